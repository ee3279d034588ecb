"""Request bins: what is sent to them, live, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec

from stafett import errors, signing
from stafett.ids import BinId, CaptureId
from stafett.model import (
    Attempt,
    Bin,
    Capture,
    Endpoint,
    Message,
    PageQuery,
    Role,
    ScriptedReply,
)
from stafett.services.bins import MAX_BINS, Tail, number_of
from stafett.web import wire
from stafett.web.admin import captures
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply, Stream

_LISTED: Final = 50
_MAX_TRIES: Final = 100
_MAX_APPS: Final = 250
_EXPORT_BYTES: Final = 16 << 20
"""Of bodies in one download; all that a bin can hold would take several times 100 MiB here."""
_CLOCK_STEP: Final = timedelta(minutes=1)
"""How far the clock may have been set back between a message and its first request."""
_HEARTBEAT_SECONDS: Final = 15


def catch_url(visit: Visit, found: Bin) -> str:
    """Where to send requests to."""
    return f"{visit.base_url}/in/{found.catch_token}"


async def _bin(visit: Visit) -> Bin:
    """Errors: NotFound."""
    return await visit.stafett.bins.get(BinId(visit.params["bin"]))


async def _capture(visit: Visit, found: Bin) -> Capture:
    """Errors: NotFound."""
    return await visit.stafett.bins.capture(found.id, CaptureId(visit.params["capture"]))


# --- bins -------------------------------------------------------------------------------------


async def show_list(visit: Visit) -> Reply:
    """Every bin."""
    return await _list(visit)


async def _list(visit: Visit, problems: tuple[errors.Problem, ...] = ()) -> Reply:
    page = await visit.stafett.bins.list(PageQuery(limit=MAX_BINS))
    return visit.page(
        "bins.html",
        status=422 if problems else 200,
        bins=page.items,
        urls={each.id: catch_url(visit, each) for each in page.items},
        problems=problems,
        typed=visit.field("name"),
    )


async def create(visit: Visit) -> Reply:
    """One more, in one click; its name may be given."""
    try:
        made, _ = await visit.stafett.bins.create(visit.field("name") or None)
    except errors.Invalid as error:
        return await _list(visit, error.problems)
    await visit.note("bin.created", target=made.id, detail=made.name)
    return visit.go(f"bins/{made.id}")


async def clear(visit: Visit) -> Reply:
    """Forget everything it caught."""
    found = await _bin(visit)
    count = await visit.stafett.bins.clear(found.id)
    await visit.note("bin.cleared", target=found.id, detail=str(count))
    return visit.go(f"bins/{found.id}", notice="bin-cleared")


async def delete(visit: Visit) -> Reply:
    """With everything it caught, once that was confirmed."""
    found = await _bin(visit)
    if not visit.ticked("sure"):
        return visit.page("bin_delete.html", bin=found)
    await visit.stafett.bins.delete(found.id)
    await visit.note("bin.deleted", target=found.id, detail=found.name)
    return visit.go("bins", notice="bin-deleted")


async def set_reply(visit: Visit) -> Reply:
    """What it answers from now on."""
    found = await _bin(visit)
    problems: list[errors.Problem] = []
    typed = {name: visit.field(name) for name in ("status_code", "headers", "delay")}
    typed["body"] = _typed_body(visit)
    try:
        reply = ScriptedReply(
            status_code=_whole(typed, "status_code", problems, default=200),
            headers=_headers(typed["headers"], problems),
            body=typed["body"].encode(),
            delay=timedelta(milliseconds=_whole(typed, "delay", problems, default=0)),
        )
        if problems:
            raise errors.Invalid(problems)
        await visit.stafett.bins.set_reply(found.id, reply)
    except errors.Invalid as error:
        return await _page(visit, found, to_mend=(error.problems, typed))
    await visit.note("bin.reply_set", target=found.id, detail=str(reply.status_code))
    return visit.go(f"bins/{found.id}", notice="reply-saved")


def _typed_body(visit: Visit) -> str:
    """With the space around it; a browser sends line ends as CR LF whatever was typed."""
    given = visit.fields("body")
    return given[-1].replace("\r\n", "\n") if given else ""


def _whole(
    typed: dict[str, str], name: str, problems: list[errors.Problem], *, default: int
) -> int:
    text = typed[name]
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        problems.append(errors.Problem(("body", name), "must be a whole number"))
        return default
    return int(text)


_DIGITS: Final = 6


def _headers(text: str, problems: list[errors.Problem]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            message = "must be lines of the form name: value"
            problems.append(errors.Problem(("body", "headers"), message))
            break
        pairs.append((name.strip(), value.strip()))
    return tuple(pairs)


# --- what was caught --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A capture in a list: without its body, of which 50 may be 50 MiB."""

    id: CaptureId
    number: int
    method: str
    target: bytes
    """What comes behind the bin's own address: `/` when that is all."""
    size: int
    received_at: datetime
    status_code: int


def _row(found: Bin, capture: Capture) -> Row:
    return Row(
        id=capture.id,
        number=capture.number,
        method=capture.method,
        target=capture.target.removeprefix(b"/in/" + found.catch_token.encode()) or b"/",
        size=len(capture.body),
        received_at=capture.received_at,
        status_code=capture.status_code,
    )


async def _rows(visit: Visit, found: Bin, *, after: int | None) -> tuple[list[Row], bool]:
    """A page of the list; True: there are older ones."""
    rows: list[Row] = []
    async for each in visit.stafett.bins.walk(found.id, after=after):
        if len(rows) == _LISTED:
            return rows, True
        rows.append(_row(found, each))
    return rows, False


async def show_bin(visit: Visit) -> Reply:
    """The list, and the newest request in it."""
    return await _page(visit, await _bin(visit))


async def show_capture(visit: Visit) -> Reply:
    """The list, and one request."""
    found = await _bin(visit)
    return await _page(visit, found, await _capture(visit, found))


async def reveal(visit: Visit) -> Reply:
    """One request with the headers that are hidden; that they were shown is noted."""
    found = await _bin(visit)
    capture = await _capture(visit, found)
    await visit.note("capture.revealed", target=capture.id)
    return await _page(visit, found, capture, show_all=True)


async def _page(
    visit: Visit,
    found: Bin,
    capture: Capture | None = None,
    *,
    show_all: bool = False,
    to_mend: tuple[tuple[errors.Problem, ...], dict[str, str]] | None = None,
) -> Reply:
    """`to_mend`: what is wrong with the reply that was typed, and what was typed."""
    asked = visit.one("after")
    rows, more = await _rows(visit, found, after=None if asked is None else number_of(asked))
    if capture is None and rows:
        capture = await visit.stafett.bins.capture(found.id, rows[0].id)
    problems, typed = to_mend or ((), _reply_as_typed(found.reply))
    return visit.page(
        "bin.html",
        status=422 if problems else 200,
        bin=found,
        url_to_catch=catch_url(visit, found),
        rows=rows,
        more=more,
        after=asked,
        newest=rows[0].number if rows else found.capture_count,
        capture=capture,
        shown=await _readings(visit, found, capture, show_all=show_all) if capture else {},
        problems=problems,
        typed=typed,
    )


def _reply_as_typed(reply: ScriptedReply) -> dict[str, str]:
    return {
        "status_code": str(reply.status_code),
        "headers": "\n".join(f"{name}: {value}" for name, value in reply.headers),
        "body": reply.body.decode(errors="replace"),
        "delay": str(reply.delay // timedelta(milliseconds=1)),
    }


async def _readings(
    visit: Visit, found: Bin, capture: Capture, *, show_all: bool
) -> dict[str, Any]:
    path, query = captures.path_and_query(capture)
    both_ends = await _both_ends(visit, capture, show_all=show_all)
    since = both_ends.message.created_at - _CLOCK_STEP if both_ends else None
    return {
        "path": path,
        "query": query,
        "headers": captures.headers(capture, reveal=show_all),
        "hidden": not show_all and captures.has_secrets(capture),
        "form": captures.form(capture),
        "pretty": captures.pretty(capture.body),
        "raw": captures.beginning(capture.body),
        "raw_cut": len(capture.body) > captures.TEXT_BYTES,
        "hex": captures.hexadecimal(capture.body),
        "hex_cut": len(capture.body) > captures.HEX_BYTES,
        "curl": captures.curl(capture, visit.base_url, reveal=show_all),
        "both_ends": both_ends,
        "tries": await _tries(visit, found, capture, since=since),
    }


async def _tries(
    visit: Visit, found: Bin, capture: Capture, *, since: datetime | None
) -> list[tuple[Row, timedelta | None]]:
    """The bin's requests of the same message, oldest first, each with the wait before it.

    Older ones than `since` are not looked at: no request is older than its message.
    """
    if capture.message_id is None:
        return []
    same: list[Row] = []
    async for each in visit.stafett.bins.walk(found.id):
        if len(same) == _MAX_TRIES or (since is not None and each.received_at < since):
            break
        if each.message_id == capture.message_id:
            same.append(_row(found, each))
    same.reverse()
    waits: list[timedelta | None] = [None]
    waits += [later.received_at - earlier.received_at for earlier, later in pairwise(same)]
    return list(zip(same, waits, strict=False))


async def compare(visit: Visit) -> Reply:
    """Two requests of a bin, side by side."""
    found = await _bin(visit)
    asked = [visit.one(name) for name in ("a", "b")]
    if not all(asked):
        return visit.go(f"bins/{found.id}")  # they are chosen there
    one, two = [await visit.stafett.bins.capture(found.id, CaptureId(each or "")) for each in asked]
    first, second = captures.headers(one, reveal=True), captures.headers(two, reveal=True)
    return visit.page(
        "bin_compare.html",
        bin=found,
        one=one,
        two=two,
        headers=captures.header_differences(first, second, reveal=False),
        same_body=one.body == two.body,
        lines=captures.body_differences(one.body, two.body),
    )


# --- one of our own messages ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BothEnds:
    """What was sent beside what arrived, and whether its signature holds."""

    attempt: Attempt
    message: Message
    app: str | None
    """For links: the application, where it is not the one that is looked at."""
    verdict: signing.Verdict
    signed: str
    signatures: list[tuple[str, bool]]
    """Each that came with it, and whether it holds."""
    headers: list[captures.Difference]
    body: str
    """`same`, `changed`, or `gone`: what was sent is not kept any more."""
    lines: list[captures.Line]


async def _both_ends(visit: Visit, capture: Capture, *, show_all: bool) -> BothEnds | None:
    """None: not ours, or nothing is known of it any more."""
    sent = await _sent(visit, capture)
    if sent is None:
        return None
    attempt, message, app = sent
    arrived = captures.headers(capture, reveal=True)
    by_name = {name.lower(): value for name, value in arrived}
    family = next(
        (each for each in ("webhook", "svix") if f"{each}-signature" in by_name), "webhook"
    )
    stamp = by_name.get(f"{family}-timestamp", "")
    secrets = await _secrets(visit, attempt, at=capture.received_at)
    payload = message.payload
    same = payload is not None and payload[: len(capture.body)] == capture.body
    same = same and (capture.body_truncated or payload == capture.body)
    return BothEnds(
        attempt=attempt,
        message=message,
        app=app,
        verdict=_verdict(secrets, by_name, capture),
        signed=f"{by_name.get(f'{family}-id', '')}.{stamp}.{captures.beginning(capture.body)}",
        signatures=[
            (each, _verdict(secrets, {**by_name, f"{family}-signature": each}, capture).ok)
            for each in by_name.get(f"{family}-signature", "").split()
        ],
        headers=captures.header_differences(
            list(attempt.outcome.request_headers), arrived, reveal=show_all
        ),
        body="gone" if payload is None else "same" if same else "changed",
        lines=[] if payload is None or same else captures.body_differences(payload, capture.body),
    )


async def _sent(visit: Visit, capture: Capture) -> tuple[Attempt, Message, str | None] | None:
    """The attempt that the request names, of whichever application."""
    if capture.message_id is None or capture.attempt_id is None:
        return None
    page = await visit.stafett.applications.list(PageQuery(limit=_MAX_APPS))
    for app in (visit.app_ref, *(each.id for each in page.items)):
        try:
            attempt, message = await visit.stafett.deliveries.attempt(
                app, capture.message_id, capture.attempt_id
            )
        except errors.NotFound:
            continue
        return attempt, message, None if app == visit.app_ref else app
    return None


async def _secrets(visit: Visit, attempt: Attempt, *, at: datetime) -> list[str] | None:
    """Those that held at the time; None: the webhook is gone."""
    try:
        endpoint: Endpoint = await visit.stafett.endpoints.get(attempt.app_id, attempt.endpoint_id)
    except errors.NotFound:
        return None
    return [
        each.secret.reveal()
        for each in endpoint.secrets
        if each.expires_at is None or each.expires_at > at
    ]


def _verdict(
    secrets: list[str] | None, by_name: dict[str, str], capture: Capture
) -> signing.Verdict:
    if secrets is None:
        return signing.Verdict(ok=False, reason=_NO_SECRETS)
    if capture.body_truncated:
        return signing.Verdict(ok=False, reason=_NO_END)
    return signing.verify(secrets, by_name, capture.body, now=capture.received_at)


_NO_SECRETS: Final = "it cannot be checked: the webhook was deleted, and its secret with it"
_NO_END: Final = "it cannot be checked: only the beginning of the body was kept"


# --- out of here ------------------------------------------------------------------------------


async def delete_capture(visit: Visit) -> Reply:
    """One request."""
    found = await _bin(visit)
    capture_id = CaptureId(visit.params["capture"])
    await visit.stafett.bins.delete_capture(found.id, capture_id)
    await visit.note("capture.deleted", target=capture_id)
    return visit.go(f"bins/{found.id}", notice="request-deleted")


async def download(visit: Visit) -> Reply:
    """The body as it came, to be saved and not to be shown."""
    capture = await _capture(visit, await _bin(visit))
    return _file("body.bin", capture.body, kind=b"application/octet-stream")


async def export_json(visit: Visit) -> Reply:
    """What it caught, as the API shows it, without credentials in headers."""
    found = await _bin(visit)
    kept, complete = await _kept(visit, found)
    content = {
        "bin": wire.bin_out(found, url=catch_url(visit, found), read_token=None),
        "complete": complete,
        "captures": [wire.capture_out(captures.masked(each)) for each in kept],
    }
    return _file(f"{found.id}.json", msgspec.json.encode(content), kind=b"application/json")


async def export_har(visit: Visit) -> Reply:
    """What it caught, for tools that read HTTP archives, without credentials in headers."""
    found = await _bin(visit)
    kept, complete = await _kept(visit, found)
    content = msgspec.json.encode(captures.har(kept, visit.base_url, complete=complete))
    return _file(f"{found.id}.har", content, kind=b"application/json")


async def _kept(visit: Visit, found: Bin) -> tuple[list[Capture], bool]:
    """The newest captures that fit a download, oldest first; True: these are all."""
    kept: list[Capture] = []
    room = _EXPORT_BYTES
    async for each in visit.stafett.bins.walk(found.id):
        room -= len(each.body)
        if room < 0:
            return kept[::-1], False
        kept.append(each)
    return kept[::-1], True


def _file(name: str, content: bytes, *, kind: bytes) -> Reply:
    return Reply(
        200,
        content,
        [
            (b"content-type", kind),
            (b"content-disposition", f'attachment; filename="{name}"'.encode()),
            (b"content-security-policy", b"sandbox; default-src 'none'"),
        ],
    )


# --- live -------------------------------------------------------------------------------------


async def live(visit: Visit) -> Stream:
    """Server-sent events: each request as it comes, as a row of the list."""
    found = await _bin(visit)
    seen = visit.header(b"last-event-id") or visit.one("after")
    tail = await visit.stafett.bins.tail(found.id, None if seen is None else number_of(seen))
    return Stream(_arriving(visit, found, tail))


async def _arriving(visit: Visit, found: Bin, tail: Tail) -> AsyncGenerator[bytes, None]:
    yield b": following\n\n"
    while True:
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                capture = await anext(tail)
        except TimeoutError:
            if await visit.stafett.users.session(visit.session_text) is None:
                return  # signed out, or shut out, since it began
            yield b": still here\n\n"
            continue
        except StopAsyncIteration:
            return
        row = visit.page(
            "bin_row.html", bin=found, each=_row(found, capture), chosen=None, after=None
        )
        data = msgspec.json.encode({"html": row.content.decode()})
        yield b"id: %d\nevent: capture\ndata: %b\n\n" % (capture.number, data)


_ONE: Final = "bins/{bin}"
_CAUGHT: Final = f"{_ONE}/captures/{{capture}}"
PAGES: Final = (
    Page(method="GET", path="bins", show=show_list, role=Role.VIEWER),
    Page(method="POST", path="bins", show=create, role=Role.DEVELOPER),
    Page(method="GET", path=_ONE, show=show_bin, role=Role.VIEWER),
    Page(method="GET", path=f"{_ONE}/live", show=live, role=Role.VIEWER),
    Page(method="GET", path=f"{_ONE}/compare", show=compare, role=Role.VIEWER),
    Page(method="GET", path=f"{_ONE}/export.json", show=export_json, role=Role.VIEWER),
    Page(method="GET", path=f"{_ONE}/export.har", show=export_har, role=Role.VIEWER),
    Page(method="POST", path=f"{_ONE}/clear", show=clear, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/delete", show=delete, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/reply", show=set_reply, role=Role.DEVELOPER),
    Page(method="GET", path=_CAUGHT, show=show_capture, role=Role.VIEWER),
    Page(method="GET", path=f"{_CAUGHT}/body", show=download, role=Role.VIEWER),
    Page(method="POST", path=f"{_CAUGHT}/reveal", show=reveal, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_CAUGHT}/delete", show=delete_capture, role=Role.DEVELOPER),
)
