"""uvicorn's HTTP protocol, with a short way for a request that is whole and an answer that is.

ASGI takes a body in pieces and an answer in two. Nearly every call of the API comes in one read and
is answered in one write; then the pieces, and a timer set and unset for each request, cost as much
as all of our own work for it. On other servers everything goes ASGI's own way.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast, final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    RequestResponseCycle,
)

from stafett.app import Receive, Scope, Send
from stafett.web.bounds import BoundedProtocol

_EXTENSION: Final = "stafett.breaking"
_NO_LINGER: Final = struct.pack("ii", 1, 0)


def whole_body(receive: Receive) -> bytes | None:
    """The request's body where all of it is here and nobody has read of it; else None."""
    cycle = getattr(receive, "__self__", None)
    if type(cycle) is not RequestResponseCycle:
        return None
    if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
        return None
    body, cycle.body = bytes(cycle.body), bytearray()
    return body


def answer_whole(send: Send, status: int, *, head: bytes, body: bytes) -> bool:
    """Send an answer in one write; False where it has to go ASGI's own way.

    `head` is the header lines, `content-length` among them, each with its line end.
    """
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or cycle.flow.write_paused or cycle.disconnected:
        return False
    if cycle.default_headers or cycle.access_log:
        return False  # uvicorn has something to add, or to write down
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    cycle.transport.write(b"".join((STATUS_LINE[status], head, end, body)))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


@final
class Breaking:
    """A way to end an answer as HTTP does not. The connection ends with it."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def close(self, last: bytes = b"") -> None:
        """Send `last` as it is, and close, whatever of the answer was still to come."""
        if not self._cycle.disconnected:
            self._cycle.transport.write(last)
        self._cycle.transport.close()
        self._end()

    def reset(self) -> None:
        """Drop what was not sent yet, and reset the connection where the platform can."""
        found = self._cycle.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._cycle.transport.abort()
        self._end()

    def _end(self) -> None:
        cycle = self._cycle
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()


def breaking(scope: Scope) -> Breaking | None:
    """A way to break the answer to this request; None on another server than `RestingProtocol`."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    found: Callable[[], Breaking] | None = extensions.get(_EXTENSION)
    return None if found is None else found()


class RestingProtocol(BoundedProtocol):
    """To be given to uvicorn as its `http`: one timer for a connection, not one for each request.

    The timer looks, now and then, how long the connection has rested.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._resting_since: float | None = None
        self._at_work: RequestResponseCycle | None = None
        # One for all requests: hardly any of them looks at it, and one of each would be a ring of
        # references for the garbage collector to find.
        self._extensions: dict[str, Any] = {_EXTENSION: self._breaking}

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._at_work = cycle
        cycle.scope["extensions"] = self._extensions
        super()._start_asgi_task(cycle, app)

    def _breaking(self) -> Breaking:
        return Breaking(cast("RequestResponseCycle", self._at_work))

    @override
    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._rest()

    @override
    def _unset_keepalive_if_required(self) -> None:
        self._resting_since = None

    @override
    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._rest()

    def _rest(self) -> None:
        self._resting_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_in(self.timeout_keep_alive)

    @override
    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._resting_since is None:
            return  # it is at work; its answer sets the timer again
        left = self._resting_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_in(left)
        else:
            super().timeout_keep_alive_handler()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for cycle in (self._at_work, *(each for each, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def _look_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )
