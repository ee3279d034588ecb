"""Request bins over HTTP: making, reading and following them. Catching is in `bins.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final

import msgspec

from stafett import errors
from stafett.ids import BinId, CaptureId
from stafett.model import Bin, ScriptedReply
from stafett.services import replies
from stafett.services.bins import number_of, reads_with
from stafett.services.tails import Tail
from stafett.web import paging, timelines
from stafett.web.calls import Call, Reply, Stream, span
from stafett.web.wire.bins import BinIn, BinOut, ReplyIn, bin_out
from stafett.web.wire.captures import DeletedOut, capture_out
from stafett.web.wire.timelines import TimelineOut, step_out

_HEARTBEAT_SECONDS = 15.0
_MILLISECOND = timedelta(milliseconds=1)


async def may_read(call: Call, text: str) -> bool:
    """Whether `text` is the read token of the bin in the path."""
    try:
        found = await call.stafett.bins.get(_id(call))
    except errors.NotFound:
        return False
    return reads_with(found, text)


def _id(call: Call) -> BinId:
    return BinId(call.params["bin"])


def _capture(call: Call) -> CaptureId:
    return CaptureId(call.params["capture"])


def _out(call: Call, found: Bin, read_token: str | None = None) -> BinOut:
    return bin_out(found, url=f"{call.base_url}/in/{found.catch_token}", read_token=read_token)


async def list_bins(call: Call) -> Reply:
    """Every bin, newest first."""
    asked = paging.query(call)
    page = await call.stafett.bins.list(asked)
    return Reply(
        200,
        paging.answer(page, asked, key=lambda each: each.id, out=lambda each: _out(call, each)),
    )


async def create_bin(call: Call) -> Reply:
    """A new bin; its read token is in this answer and nowhere else."""
    given = call.read(BinIn)
    reply = replies.AFTERWARDS if given.reply is None else _scripted(given.reply, "reply")
    made, read_token = await call.stafett.bins.create(given.name, reply=reply)
    return Reply(201, _out(call, made, read_token))


async def get_bin(call: Call) -> Reply:
    """One bin."""
    return Reply(200, _out(call, await call.stafett.bins.get(_id(call))))


async def delete_bin(call: Call) -> Reply:
    """Delete a bin with its captures."""
    await call.stafett.bins.delete(_id(call))
    return Reply(204)


async def put_reply(call: Call) -> Reply:
    """What the bin answers from now on."""
    reply = _scripted(call.read(ReplyIn))
    return Reply(200, _out(call, await call.stafett.bins.set_reply(_id(call), reply)))


def _scripted(given: ReplyIn, *path: str) -> ScriptedReply:
    """The reply that stands at `path` of the body. Errors: Invalid, in the words of the wire."""
    try:
        reply = ScriptedReply(
            status_code=given.status_code,
            headers=tuple(given.headers),
            body=given.body.encode(),
            delay=span(given.delay_ms, unit=_MILLISECOND, field="delay_ms"),
            mode=given.mode,
            drip_every=span(given.drip_ms, unit=_MILLISECOND, field="drip_ms"),
            times=given.times,
            chance=given.chance,
            seed=given.seed,
            size=given.size,
            retry_date=span(given.retry_date_ms, unit=_MILLISECOND, field="retry_date_ms"),
        )
        replies.check(reply)
    except errors.Invalid as error:
        raise errors.Invalid([_on_the_wire(each, path) for each in error.problems]) from None
    return reply


def _on_the_wire(problem: errors.Problem, path: tuple[str, ...]) -> errors.Problem:
    _, name, *rest = problem.loc
    own = _IN_MILLISECONDS.get(str(name), str(name))
    return errors.Problem(("body", *path, _NAMES[own], *rest), problem.msg, problem.kind)


_NAMES: Final = {each.name: each.encode_name for each in msgspec.structs.fields(ReplyIn)}
_IN_MILLISECONDS: Final = {
    "delay": "delay_ms",
    "drip_every": "drip_ms",
    "retry_date": "retry_date_ms",
}


async def list_captures(call: Call) -> Reply:
    """What was caught, newest first; `iterator` is a number."""
    asked = paging.query(call)
    page = await call.stafett.bins.captures(_id(call), asked)
    return Reply(
        200, paging.answer(page, asked, key=lambda each: str(each.number), out=capture_out)
    )


async def get_capture(call: Call) -> Reply:
    """One caught request."""
    return Reply(200, capture_out(await call.stafett.bins.capture(_id(call), _capture(call))))


async def get_timeline(call: Call) -> Reply:
    """The requests with the same webhook-id as this one, beside what the schedule promised."""
    capture = await call.stafett.bins.capture(_id(call), _capture(call))
    steps = await timelines.of(call.stafett, await call.stafett.bins.get(_id(call)), capture)
    return Reply(200, TimelineOut(data=[step_out(each) for each in steps]))


async def delete_capture(call: Call) -> Reply:
    """Delete one caught request."""
    await call.stafett.bins.delete_capture(_id(call), _capture(call))
    return Reply(204)


async def pin_capture(call: Call) -> Reply:
    """Keep one caught request: clearing and newer ones leave it."""
    await call.stafett.bins.pin(_id(call), _capture(call))
    return Reply(204)


async def unpin_capture(call: Call) -> Reply:
    """Keep one caught request no longer than the others."""
    await call.stafett.bins.unpin(_id(call), _capture(call))
    return Reply(204)


async def clear_bin(call: Call) -> Reply:
    """Delete everything caught so far that is not pinned."""
    return Reply(200, DeletedOut(deleted=await call.stafett.bins.clear(_id(call))))


async def tail(call: Call) -> Stream:
    """Server-sent events: a `capture` for each request as it comes.

    `id` is its number: with `Last-Event-ID` (or `?after=`) the stream goes on behind that one,
    otherwise it begins with the next request.
    """
    seen = call.header(b"last-event-id") or call.one("after")
    after = None if seen is None else number_of(seen)
    following = await call.stafett.bins.tail(_id(call), after)
    return Stream(_events(following))


async def _events(following: Tail) -> AsyncGenerator[bytes, None]:
    """The stream itself; a comment now and then, so that nobody in between falls asleep."""
    yield b": following\n\n"
    while True:
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                capture = await anext(following)
        except TimeoutError:
            yield b": still here\n\n"
            continue
        except StopAsyncIteration:
            return
        data = msgspec.json.encode(capture_out(capture))
        yield b"id: %d\nevent: capture\ndata: %b\n\n" % (capture.number, data)
