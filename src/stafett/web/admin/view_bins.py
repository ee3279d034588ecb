"""Request bins: what is sent to them, live, and what they answer."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stafett import errors, model
from stafett.ids import CaptureId
from stafett.model import Arrival, Bin, Capture, PageQuery, ReplyMode, Role, ScriptedReply
from stafett.services import replies
from stafett.services.bins import MAX_BINS, number_of
from stafett.services.tails import Tail
from stafett.web.admin import view_captures
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply, Stream

_LISTED: Final = 50
_MILLISECOND: Final = timedelta(milliseconds=1)
_HEARTBEAT_SECONDS: Final = 15
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
"""As a reader of a stream sees them, within a field too."""


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
        urls={each.id: view_captures.catch_url(visit, each) for each in page.items},
        problems=problems,
        typed=visit.field("name"),
        usual=replies.USUAL,
        chosen=visit.field("reply"),
    )


async def create(visit: Visit) -> Reply:
    """One more, in one click; its name may be given."""
    try:
        reply = replies.usual(visit.field("reply") or replies.USUAL[0])
        made, _ = await visit.stafett.bins.create(visit.field("name") or None, reply=reply)
    except errors.Invalid as error:
        return await _list(visit, error.problems)
    await visit.note("bin.created", target=made.id, detail=made.name)
    return visit.go(f"bins/{made.id}")


async def clear(visit: Visit) -> Reply:
    """Forget everything it caught that is not pinned."""
    found = await view_captures.the_bin(visit)
    count = await visit.stafett.bins.clear(found.id)
    await visit.note("bin.cleared", target=found.id, detail=str(count))
    return visit.go(f"bins/{found.id}", notice="bin-cleared")


async def delete(visit: Visit) -> Reply:
    """With everything it caught, once that was confirmed."""
    found = await view_captures.the_bin(visit)
    if not visit.ticked("sure"):
        return visit.page("bin_delete.html", bin=found)
    await visit.stafett.bins.delete(found.id)
    await visit.note("bin.deleted", target=found.id, detail=found.name)
    return visit.go("bins", notice="bin-deleted")


async def set_reply(visit: Visit) -> Reply:
    """What it answers from now on."""
    found = await view_captures.the_bin(visit)
    typed = {name: visit.field(name) for name in _REPLY_FIELDS}
    typed["body"] = _typed_body(visit)
    try:
        reply = _read_reply(typed)
        await visit.stafett.bins.set_reply(found.id, reply)
    except errors.Invalid as error:
        return await _page(visit, found, to_mend=(error.problems, typed))
    await visit.note("bin.reply_set", target=found.id, detail=str(reply.status_code))
    return visit.go(f"bins/{found.id}", notice="reply-saved")


_REPLY_FIELDS: Final = (
    *("status_code", "headers", "delay", "mode", "drip_every", "times"),
    *("chance", "seed", "size", "retry_date"),
)


def _read_reply(typed: dict[str, str]) -> ScriptedReply:
    """Errors: Invalid."""
    problems: list[errors.Problem] = []
    whole = functools.partial(_whole, typed, problems=problems)
    reply = ScriptedReply(
        status_code=whole("status_code", default=200),
        headers=_headers(typed["headers"], problems),
        body=typed["body"].encode(),
        delay=whole("delay", default=0) * _MILLISECOND,
        mode=_mode(typed["mode"], problems),
        drip_every=whole("drip_every", default=1_000) * _MILLISECOND,
        times=whole("times", default=0),
        chance=_chance(typed["chance"], problems),
        seed=whole("seed", default=0) if typed["seed"] else None,
        size=whole("size", default=0),
        retry_date=whole("retry_date", default=0) * _MILLISECOND,
    )
    if problems:
        raise errors.Invalid(problems)
    return reply


def _mode(text: str, problems: list[errors.Problem]) -> ReplyMode:
    try:
        return ReplyMode(text or ReplyMode.WHOLE)
    except ValueError:
        problems.append(errors.Problem(("body", "mode"), "must be one of the list"))
        return ReplyMode.WHOLE


def _chance(text: str, problems: list[errors.Problem]) -> float:
    try:
        return replies.chance_of(text.replace(",", ".") or "1")
    except ValueError as error:
        problems.append(errors.Problem(("body", "chance"), str(error)))
        return 1.0


def _typed_body(visit: Visit) -> str:
    """With the space around it; a browser sends line ends as CR LF whatever was typed."""
    given = visit.fields("body")
    return given[-1].replace("\r\n", "\n") if given else ""


def _whole(
    typed: dict[str, str], name: str, *, problems: list[errors.Problem], default: int
) -> int:
    text = typed[name]
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        problems.append(errors.Problem(("body", name), "must be a whole number"))
        return default
    return int(text)


_DIGITS: Final = 9


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
    pinned: bool


def _row(found: Bin, arrival: Arrival) -> Row:
    return Row(
        id=arrival.id,
        number=arrival.number,
        method=arrival.method,
        target=arrival.target.removeprefix(b"/in/" + found.catch_token.encode()) or b"/",
        size=arrival.size,
        received_at=arrival.received_at,
        pinned=arrival.pinned,
    )


async def _rows(visit: Visit, found: Bin, *, after: int | None) -> tuple[list[Row], bool]:
    """A page of the list, without the pinned ones, which have a list of their own.

    True: there are older ones.
    """
    rows: list[Row] = []
    async for each in visit.stafett.bins.walk(found.id, after=after):
        if each.pinned:
            continue
        if len(rows) == _LISTED:
            return rows, True
        rows.append(_row(found, model.arrival_of(each)))
    return rows, False


async def show_bin(visit: Visit) -> Reply:
    """The list, and the newest request in it."""
    return await _page(visit, await view_captures.the_bin(visit))


async def show_capture(visit: Visit) -> Reply:
    """The list, and one request."""
    found = await view_captures.the_bin(visit)
    return await _page(visit, found, await view_captures.the_capture(visit, found))


async def reveal(visit: Visit) -> Reply:
    """One request with the headers that are hidden; that they were shown is noted."""
    found = await view_captures.the_bin(visit)
    capture = await view_captures.the_capture(visit, found)
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
    pinned = [_row(found, each) for each in await visit.stafett.bins.pinned(found.id)]
    rows, more = await _rows(visit, found, after=None if asked is None else number_of(asked))
    listed = [*rows, *pinned]
    if capture is None and listed:
        capture = await visit.stafett.bins.capture(found.id, listed[0].id)
    problems, typed = to_mend or ((), _reply_as_typed(_reply_to_show(visit, found)))
    return visit.page(
        "bin.html",
        status=422 if problems else 200,
        bin=found,
        url_to_catch=view_captures.catch_url(visit, found),
        rows=rows,
        pinned=pinned,
        more=more,
        after=asked,
        # What is caught from the moment on when the bin was read comes live, or is listed already.
        newest=max([found.capture_count, *(each.number for each in listed)]),
        capture=capture,
        shown=await view_captures.readings(visit, found, capture, show_all=show_all)
        if capture
        else {},
        problems=problems,
        typed=typed,
        usual=replies.USUAL,
        modes=list(ReplyMode),
        sequels=_sequels(found, now=visit.stafett.now()),
    )


def _sequels(found: Bin, *, now: datetime) -> dict[str, str]:
    """What Stafett does after each of the usual replies, and after this bin's (`now`)."""
    of = {word: replies.usual(word) for word in replies.USUAL} | {"now": found.reply}
    return {word: replies.sequel(reply, now=now).value for word, reply in of.items()}


def _reply_to_show(visit: Visit, found: Bin) -> ScriptedReply:
    """The bin's own, or the usual one that was asked for, to be saved or changed."""
    word = visit.one("reply")
    return replies.usual(word) if word in replies.USUAL else found.reply


def _reply_as_typed(reply: ScriptedReply) -> dict[str, str]:
    return {
        "status_code": str(reply.status_code),
        "headers": "\n".join(f"{name}: {value}" for name, value in reply.headers),
        "body": reply.body.decode(errors="replace"),
        "delay": str(reply.delay // _MILLISECOND),
        "mode": reply.mode.value,
        "drip_every": str(reply.drip_every // _MILLISECOND),
        "times": str(reply.times),
        "chance": replies.chance_as_typed(reply.chance),
        "seed": "" if reply.seed is None else str(reply.seed),
        "size": str(reply.size),
        "retry_date": str(reply.retry_date // _MILLISECOND),
    }


# --- live -------------------------------------------------------------------------------------


async def live(visit: Visit) -> Stream:
    """Server-sent events: each request as it comes, as a row of the list."""
    found = await view_captures.the_bin(visit)
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
            "bin_row.html",
            bin=found,
            each=_row(found, model.arrival_of(capture)),
            chosen=None,
            after=None,
        )
        lines = b"".join(b"data: %b\n" % line for line in _LINE_END.split(row.content.strip()))
        yield b"id: %d\n%b\n" % (capture.number, lines)


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
    Page(method="POST", path=f"{_CAUGHT}/reveal", show=reveal, role=Role.DEVELOPER),
)
