"""Bodies that are still on their way: how long they may take, and how much of all is held at once.

Most come with their head (`protocol.whole_body`), and cost nothing of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from stafett import errors
from stafett.app import Receive, Scope
from stafett.web.protocol import whole_body

MAX_HELD: Final = 128 * 1024 * 1024
"""Bytes of all bodies together that nobody has read to their end; two of the largest batches."""

_SECONDS: Final = 30
_SPEED: Final = 65_536
"""Bytes a second: beyond the first seconds, a body that may be large gets this much longer."""

T = TypeVar("T")


class Uploads:
    """Those of one process."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._held = 0

    async def read(self, scope: Scope, receive: Receive, *, limit: int) -> bytes:
        """The whole body. Errors: PayloadTooLarge (before it is read, where its length is told).

        BadRequest when the caller goes away meanwhile, or takes too long; Unavailable.
        """
        body = whole_body(receive)
        if body is not None:
            if len(body) > limit:
                raise _too_large(limit)
            return body
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > limit:
                raise _too_large(limit)
        seconds = _SECONDS + limit // _SPEED
        try:
            return await self.in_time(self._pieces(receive, limit=limit), seconds=seconds)
        except TimeoutError:
            message = f"the body did not come within {seconds} seconds"
            raise errors.BadRequest(message) from None

    async def _pieces(self, receive: Receive, *, limit: int) -> bytes:
        chunks: list[bytes] = []
        size, more = 0, True
        with self.room() as take:
            while more:
                chunk, more = await next_piece(receive)
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                take(len(chunk))
                chunks.append(chunk)
        return b"".join(chunks)

    @contextmanager
    def room(self) -> Generator[Callable[[int], None]]:
        """Something that takes room for so many bytes, given back at the end of the block.

        Errors: Unavailable, where there is none.
        """
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            mine += size
            self._held += size
            if self._held > MAX_HELD:
                message = "too many large bodies are being sent at once; send it again in a moment"
                raise errors.Unavailable(message, retry_after=1)

        try:
            yield take
        finally:
            self._held -= mine

    async def in_time(self, reading: Coroutine[Any, Any, T], *, seconds: float) -> T:
        """What `reading` comes to. Errors: TimeoutError; Unavailable (this server stops)."""
        body, end = asyncio.ensure_future(reading), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({body, end}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if body.done():
                return body.result()
        finally:
            body.cancel()
            end.cancel()
        if end.done():
            message = "this server is about to stop, and the body has not come"
            raise errors.Unavailable(message, retry_after=1)
        raise TimeoutError


async def next_piece(receive: Receive) -> tuple[bytes, bool]:
    """The next bytes of a body, and whether there are more. Errors: BadRequest (it breaks off)."""
    event = await receive()
    if event["type"] == "http.disconnect":
        message = "the request ended before its body did"
        raise errors.BadRequest(message)
    return event.get("body", b""), event.get("more_body", False)


def _too_large(limit: int) -> errors.PayloadTooLarge:
    return errors.PayloadTooLarge(f"a request body may have at most {limit:,} bytes here")
