"""Request bins: what is sent to them, live, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec

from stafett import errors, signing
from stafett.ids import BinId, CaptureId
from stafett.model import Attempt, Bin, Capture, Message, PageQuery, Role, ScriptedReply
from stafett.services.bins import Tail, number_of
from stafett.web.admin import captures, render
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply, Stream

_MANY: Final = 500
_HEARTBEAT_SECONDS: Final = 15
_DOWNLOAD: Final = [
    (b"content-type", b"application/octet-stream"),
    (b"content-disposition", b'attachment; filename="body.bin"'),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
]


def catch_url(visit: Visit, found: Bin) -> str:
    """Where to send requests to."""
    return f"{visit.base_url}/in/{found.catch_token}"


async def _bin(visit: Visit) -> Bin:
    """Errors: NotFound."""
    return await visit.stafett.bins.get(BinId(visit.params["bin"]))


# --- bins -------------------------------------------------------------------------------------


async def show_list(visit: Visit) -> Reply:
    """Every bin."""
    page = await visit.stafett.bins.list(PageQuery(limit=_MANY))
    urls = {each.id: catch_url(visit, each) for each in page.items}
    return visit.page("bins.html", bins=page.items, urls=urls)


async def create(visit: Visit) -> Reply:
    """One more, in one click; its name may be given."""
    made, _ = await visit.stafett.bins.create(visit.field("name") or None)
    await visit.note("bin.created", target=made.id)
    return visit.go(f"bins/{made.id}")


async def clear(visit: Visit) -> Reply:
    """Forget everything it caught."""
    found = await _bin(visit)
    await visit.stafett.bins.clear(found.id)
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
    try:
        reply = ScriptedReply(
            status_code=_whole(visit, "status_code", problems, default=200),
            headers=_headers(visit.field("headers"), problems),
            body=visit.field("body").encode(),
            delay=timedelta(milliseconds=_whole(visit, "delay", problems, default=0)),
        )
        if problems:
            raise errors.Invalid(problems)
        await visit.stafett.bins.set_reply(found.id, reply)
    except errors.Invalid as error:
        typed = {name: visit.field(name) for name in ("status_code", "headers", "body", "delay")}
        return await _page(visit, found, None, to_mend=(error.problems, typed))
    return visit.go(f"bins/{found.id}", notice="reply-saved")


def _whole(visit: Visit, name: str, problems: list[errors.Problem], *, default: int) -> int:
    text = visit.field(name)
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


async def show_bin(visit: Visit) -> Reply:
    """The list, and the newest request."""
    return await _page(visit, await _bin(visit), None)


async def show_capture(visit: Visit) -> Reply:
    """The list, and one request."""
    found = await _bin(visit)
    capture = await _capture(visit, found)
    return await _page(visit, found, capture)


async def reveal(visit: Visit) -> Reply:
    """One request with the headers that are hidden; that they were shown is noted."""
    found = await _bin(visit)
    capture = await _capture(visit, found)
    await visit.note("capture.revealed", target=capture.id)
    return await _page(visit, found, capture, show_all=True)


async def _capture(visit: Visit, found: Bin) -> Capture:
    """Errors: NotFound."""
    return await visit.stafett.bins.capture(found.id, CaptureId(visit.params["capture"]))


async def _page(
    visit: Visit,
    found: Bin,
    capture: Capture | None,
    *,
    show_all: bool = False,
    to_mend: tuple[tuple[errors.Problem, ...], dict[str, str]] | None = None,
) -> Reply:
    """`to_mend`: what is wrong with the reply that was typed, and what was typed."""
    caught = (await visit.stafett.bins.captures(found.id, PageQuery(limit=_MANY))).items
    if capture is None and caught:
        capture = await visit.stafett.bins.capture(found.id, caught[0].id)
    shown: dict[str, Any] = {}
    if capture is not None:
        shown = _readings(visit, capture, show_all=show_all)
        shown["both_ends"] = await _both_ends(visit, capture)
        shown["tries"] = _tries(caught, capture)
    problems, typed = to_mend or ((), _reply_as_typed(found.reply))
    return visit.page(
        "bin.html",
        status=422 if problems else 200,
        bin=found,
        url_to_catch=catch_url(visit, found),
        caught=caught,
        newest=caught[0].number if caught else found.capture_count,
        capture=capture,
        shown=shown,
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


def _readings(visit: Visit, capture: Capture, *, show_all: bool) -> dict[str, Any]:
    path, query = captures.path_and_query(capture)
    return {
        "path": path,
        "query": query,
        "headers": captures.headers(capture, reveal=show_all),
        "hidden": not show_all and any(captures.is_secret(name) for name, _ in capture.headers),
        "form": captures.form(capture),
        "hex": captures.hexadecimal(capture.body),
        "hex_cut": len(capture.body) > captures.HEX_BYTES,
        "curl": captures.curl(capture, visit.base_url),
    }


def _tries(caught: tuple[Capture, ...], capture: Capture) -> list[tuple[Capture, timedelta | None]]:
    """All requests here of the same message, oldest first, each with the wait before it."""
    if capture.message_id is None:
        return []
    same = [each for each in reversed(caught) if each.message_id == capture.message_id]
    waits: list[timedelta | None] = [None]
    waits += [later.received_at - earlier.received_at for earlier, later in pairwise(same)]
    return list(zip(same, waits, strict=False))


# --- one of our own messages ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BothEnds:
    """What was sent beside what arrived, and whether its signature holds."""

    attempt: Attempt
    message: Message
    verdict: signing.Verdict
    signed: str
    signatures: list[str]
    differences: list[tuple[str, str, str, str]]
    same_body: bool


async def _both_ends(visit: Visit, capture: Capture) -> BothEnds | None:
    if capture.message_id is None or capture.attempt_id is None:
        return None
    app = visit.app_ref
    try:
        attempt, _ = await visit.stafett.deliveries.attempt(
            app, capture.message_id, capture.attempt_id
        )
        message = await visit.stafett.messages.get(app, capture.message_id)
        endpoint = await visit.stafett.endpoints.get(app, attempt.endpoint_id)
    except errors.NotFound:
        return None
    arrived = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in capture.headers]
    by_name = {name.lower(): value for name, value in arrived}
    family = "webhook" if "webhook-id" in by_name else "svix"
    stamp = by_name.get(f"{family}-timestamp", "")
    return BothEnds(
        attempt=attempt,
        message=message,
        verdict=signing.verify(
            [each.secret.reveal() for each in endpoint.secrets],
            by_name,
            capture.body,
            now=capture.received_at,
        ),
        signed=f"{by_name.get(f'{family}-id', '')}.{stamp}.{render.visible(capture.body)}",
        signatures=by_name.get(f"{family}-signature", "").split(),
        differences=captures.differences(list(attempt.outcome.request_headers), arrived),
        same_body=message.payload == capture.body,
    )


# --- out of here ------------------------------------------------------------------------------


async def delete_capture(visit: Visit) -> Reply:
    """One request."""
    found = await _bin(visit)
    await visit.stafett.bins.delete_capture(found.id, CaptureId(visit.params["capture"]))
    return visit.go(f"bins/{found.id}")


async def download(visit: Visit) -> Reply:
    """The body as it came, to be saved and not to be shown."""
    capture = await _capture(visit, await _bin(visit))
    return Reply(200, capture.body, list(_DOWNLOAD))


async def live(visit: Visit) -> Stream:
    """Server-sent events: each request as it comes, as a row of the list."""
    found = await _bin(visit)
    seen = visit.header(b"last-event-id") or visit.one("after")
    tail = await visit.stafett.bins.tail(found.id, None if seen is None else number_of(seen))
    return Stream(_rows(visit, found, tail))


async def _rows(visit: Visit, found: Bin, tail: Tail) -> AsyncIterator[bytes]:
    yield b": following\n\n"
    while True:
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                capture = await anext(tail)
        except TimeoutError:
            yield b": still here\n\n"
            continue
        except StopAsyncIteration:
            return
        row = visit.page("bin_row.html", bin=found, each=capture, chosen=None)
        data = msgspec.json.encode({"html": row.content.decode()})
        yield b"id: %d\nevent: capture\ndata: %b\n\n" % (capture.number, data)


_ONE: Final = "bins/{bin}"
_CAUGHT: Final = f"{_ONE}/captures/{{capture}}"
PAGES: Final = (
    Page(method="GET", path="bins", show=show_list, role=Role.VIEWER),
    Page(method="POST", path="bins", show=create, role=Role.DEVELOPER),
    Page(method="GET", path=_ONE, show=show_bin, role=Role.VIEWER),
    Page(method="GET", path=f"{_ONE}/live", show=live, role=Role.VIEWER),
    Page(method="POST", path=f"{_ONE}/clear", show=clear, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/delete", show=delete, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/reply", show=set_reply, role=Role.DEVELOPER),
    Page(method="GET", path=_CAUGHT, show=show_capture, role=Role.VIEWER),
    Page(method="GET", path=f"{_CAUGHT}/body", show=download, role=Role.VIEWER),
    Page(method="POST", path=f"{_CAUGHT}/reveal", show=reveal, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_CAUGHT}/delete", show=delete_capture, role=Role.DEVELOPER),
)
