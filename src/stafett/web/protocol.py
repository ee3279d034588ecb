"""uvicorn's HTTP protocol with one write a response instead of two.

The head of a response is held until its body comes, or its end: on the hot path the second system
call, and the client waking up for half an answer, cost as much as all of our own code for it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1.1 "
_CONTINUE = b"HTTP/1.1 100 "


class _Held:
    """A transport that holds a response's head until the next write."""

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write what is held and `data` together; a head alone is held.

        Not the head that asks for the body: the caller waits for it before it sends more.
        """
        if self._head:
            data, self._head = self._head + data, b""
        elif (
            data.startswith(_HEAD) and data.endswith(b"\r\n\r\n") and not data.startswith(_CONTINUE)
        ):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write what is held: the response has no body."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Write what is held, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class OneWriteProtocol(HttpToolsProtocol):
    """To be given to uvicorn as its `http`."""

    @override
    def connection_made(self, transport: Any) -> None:  # uvicorn's own annotation is narrower
        held = _Held(transport)
        self._held = held
        super().connection_made(held)  # pyright: ignore[reportArgumentType] - it has all that is used

    @override
    def on_response_complete(self) -> None:
        self._held.flush()
        super().on_response_complete()
