"""Catching: whatever is sent below `/in/{token}` is kept byte for byte and answered by script.

The answer is a stranger's words on our origin, so every one carries a policy under which a browser
runs nothing of it. One that takes its time ends when its caller leaves and when the server stops.
One that is no HTTP is written past the server, on the connection itself (see `protocol.Breaking`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from datetime import timedelta
from typing import Any, Final

from stafett.app import Receive, Scope, Send, Stafett
from stafett.model import ReplyMode, ScriptedReply
from stafett.services import replies
from stafett.services.bins import MAX_BODY_BYTES, Caught
from stafett.web.admin import guard
from stafett.web.calls import RawHeaders, Reply
from stafett.web.protocol import Breaking, breaking
from stafett.web.uploads import Uploads, next_piece

_MAX_HEADERS: Final = 100
_MAX_HEADER_BYTES: Final = 8 * 1024
_MAX_HEADERS_BYTES: Final = 64 * 1024
_BODY_SECONDS: Final = 30
_PIECE: Final = b"more than you wanted\n" * 3_120
"""Of an oversized body, just below 64 KiB."""
_NO_LENGTH: Final = b"as long as it takes\r\n"
"""In place of a chunk's length."""
_SAFE: RawHeaders = [
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
    (b"referrer-policy", b"no-referrer"),
]


async def catch(
    stafett: Stafett, request: tuple[Scope, Receive, Send], *, token: str, uploads: Uploads
) -> Reply | None:
    """Keep one ASGI request and answer it; what is not kept gets a reply that says why.

    Errors: NotFound, Unavailable, BadRequest (the caller went away).
    """
    scope, receive, send = request
    if _has_too_much_of_headers(scope["headers"]):
        return _refusal(431, "headers_too_large", "at most 100 headers of 8 KiB, 64 KiB together")
    # Or anybody could have us hold a mebibyte for every connection, for a bin that there is not.
    await stafett.bins.expect(token)
    try:
        reading = _read(receive, uploads)
        body, truncated = await uploads.in_time(reading, seconds=_BODY_SECONDS)
    except TimeoutError:
        detail = f"the body did not come within {_BODY_SECONDS} seconds"
        return _refusal(408, "request_timeout", detail)
    answer = await stafett.bins.catch(token, _caught(scope, body, truncated=truncated))
    del body  # it is on disk: nothing so large is held for as long as a connection may be
    with answer as reply:
        to = _Caller(send, with_body=scope["method"] != "HEAD", breaking=breaking(scope))
        if not replies.takes_time(reply):
            await _at_once(reply, to)
            return None
        async with _patience(receive, stafett.stopping) as patience:
            return await _in_its_time(reply, to, patience)


def _caught(scope: Scope, body: bytes, *, truncated: bool) -> Caught:
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    client = scope.get("client")
    return Caught(
        method=scope["method"],
        target=raw_path + (b"?" + query if query else b""),
        http_version=scope["http_version"],
        headers=tuple(guard.without_session(scope["headers"])),
        body=body,
        truncated=truncated,
        peer=client[0] if client else "",
        breakable=breaking(scope) is not None,
    )


def _has_too_much_of_headers(headers: RawHeaders) -> bool:
    sizes = [len(name) + len(value) for name, value in headers]
    return (
        len(sizes) > _MAX_HEADERS
        or max(sizes, default=0) > _MAX_HEADER_BYTES
        or sum(sizes) > _MAX_HEADERS_BYTES
    )


def _refusal(status: int, code: str, detail: str) -> Reply:
    return Reply(status, {"code": code, "detail": detail}, [(b"connection", b"close")])


async def _read(receive: Receive, uploads: Uploads) -> tuple[bytes, bool]:
    """The body, cut at the limit; what is over it is read and dropped.

    Errors: BadRequest, Unavailable.
    """
    body = bytearray()
    truncated, more = False, True
    with uploads.room() as take:
        while more:
            chunk, more = await next_piece(receive)
            left = MAX_BODY_BYTES - len(body)
            truncated = truncated or len(chunk) > left
            take(min(len(chunk), left))
            body += chunk[:left]
    return bytes(body), truncated


# --- answering --------------------------------------------------------------------------------


class _Caller:
    """Who is answered."""

    def __init__(self, send: Send, *, with_body: bool, breaking: Breaking | None) -> None:
        self._send = send
        self._breaking = breaking
        self.with_body = with_body

    async def answer(self, reply: ScriptedReply) -> None:
        """All of it, now."""
        await self.begin(reply, length=len(reply.body))
        await self.body(reply.body if self.with_body else b"", more=False)

    async def begin(self, reply: ScriptedReply, *, length: int | None) -> None:
        """Status and headers; None: the body comes in chunks."""
        headers: RawHeaders = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers
        ]
        if not any(name.lower() == b"content-type" for name, _ in headers):
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
        if reply.status_code not in {204, 304} and length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self._send(
            {
                "type": "http.response.start",
                "status": reply.status_code,
                "headers": [*headers, *_SAFE],
            }
        )

    async def body(self, part: bytes, *, more: bool) -> None:
        """A part of the body."""
        await self._send({"type": "http.response.body", "body": part, "more_body": more})

    def close(self, last: bytes = b"") -> None:
        """Break the answer off behind `last`, which is sent as it is."""
        if self._breaking is not None:
            self._breaking.close(last)

    def reset(self) -> None:
        """Break the connection off."""
        if self._breaking is not None:
            self._breaking.reset()


class _Patience:
    """Waits, but not for a caller who has left, and not beyond the server's end."""

    def __init__(self, receive: Receive, stopping: asyncio.Event) -> None:
        self._left = asyncio.create_task(_left(receive))
        self._stopping = asyncio.create_task(stopping.wait())

    @property
    def left(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self._left.done()

    async def wait(self, duration: timedelta) -> bool:
        """Whether it was possible to wait so long."""
        ends = (self._left, self._stopping)
        done, _ = await asyncio.wait(
            ends, timeout=duration.total_seconds(), return_when=asyncio.FIRST_COMPLETED
        )
        return not done

    async def lasts(self, answer: Coroutine[Any, Any, None]) -> bool:
        """Whether it was possible to give all of this answer."""
        task = asyncio.create_task(answer)
        limit = replies.MAX_HELD.total_seconds()
        try:
            ends = (task, self._left, self._stopping)
            await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            return task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def end(self) -> None:
        """Watch nothing any more."""
        for each in (self._left, self._stopping):
            each.cancel()
        await asyncio.gather(self._left, self._stopping, return_exceptions=True)


async def _left(receive: Receive) -> None:
    """Returns when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def _patience(receive: Receive, stopping: asyncio.Event) -> AsyncGenerator[_Patience, None]:
    patience = _Patience(receive, stopping)
    try:
        yield patience
    finally:
        await patience.end()


async def _in_its_time(reply: ScriptedReply, to: _Caller, patience: _Patience) -> Reply | None:
    """When the server stops, a delay is over, a drip flows, and a hang ends in a refusal."""
    await patience.wait(reply.delay)
    if reply.mode is ReplyMode.HANG:
        await patience.wait(replies.MAX_HELD)
        if not patience.left:
            return _refusal(503, "unavailable", "this bin answers nobody, and has ended the wait")
    elif reply.mode is ReplyMode.DRIP and to.with_body:
        await _drip(reply, to, patience)
    elif reply.mode is ReplyMode.OVERSIZED:
        if not await patience.lasts(_oversized(reply, to)):
            to.reset()
    else:
        await _at_once(reply, to)
    return None


async def _at_once(reply: ScriptedReply, to: _Caller) -> None:
    match reply.mode:
        case ReplyMode.RESET:
            to.reset()
        case ReplyMode.TRUNCATED if to.with_body:
            await to.begin(reply, length=len(reply.body))
            await to.body(reply.body[: len(reply.body) // 2], more=True)
            to.close()
        case ReplyMode.BAD_CHUNK if to.with_body:
            await to.begin(reply, length=None)
            await to.body(reply.body, more=True)
            to.close(_NO_LENGTH)
        case _:
            await to.answer(reply)


async def _oversized(reply: ScriptedReply, to: _Caller) -> None:
    """As fast as it is read, and never more than a piece of it in memory."""
    await to.begin(reply, length=reply.size)
    left = reply.size if to.with_body else 0
    while left > len(_PIECE):
        await to.body(_PIECE, more=True)
        left -= len(_PIECE)
    await to.body(_PIECE[:left], more=False)


async def _drip(reply: ScriptedReply, to: _Caller, patience: _Patience) -> None:
    await to.begin(reply, length=len(reply.body))
    sent = 0
    while sent < len(reply.body) and await patience.wait(reply.drip_every):
        await to.body(reply.body[sent : sent + 1], more=True)
        sent += 1
    await to.body(reply.body[sent:], more=False)
