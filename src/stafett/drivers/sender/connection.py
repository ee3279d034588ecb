"""One connection to a receiver: one exchange at a time, bytes out, a reply in.

Invariant: every exchange ends exactly once, and a connection about which anything is odd (bytes
nobody asked for, an end in the middle, a reply that was cut) is never used again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast, final

from typing_extensions import override

from stafett.drivers.sender.failure import SendFailed
from stafett.drivers.sender.reply import ReplyReader
from stafett.model import FailureCause

Key = tuple[str, str, int]
"""Scheme, host as written, port. The address is not part of it: a certificate was checked for the
name, so connections of two names are never mixed, wherever both names point."""

PEEK_AFTER: Final = 0.05
"""Idle seconds from which the socket is asked whether its end has come: a busy loop may not have
told us yet. 0.05 costs nothing under load, where connections rest for less."""


@final
class Connection(asyncio.Protocol):
    """Made by the dialler, rests in the pool, is used by the sender."""

    __slots__ = (
        "_on_lost",
        "_transport",
        "_waiter",
        "alive",
        "born_at",
        "gone",
        "idle_since",
        "key",
        "loop",
        "reply",
        "socket",
    )

    def __init__(
        self,
        key: Key,
        *,
        max_body: int,
        on_lost: Callable[[Connection], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`on_lost` is called when the connection is gone."""
        self.key = key
        self.loop = loop
        self.alive = False
        """Stands, and nothing odd was seen."""
        self.gone = False
        """Was lost."""
        self.born_at = loop.time()
        self.idle_since = 0.0
        self.reply = ReplyReader(max_body=max_body)
        self.socket: socket.socket | None = None
        """The dialler's; only to look at."""
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None

    # --- for the sender -----------------------------------------------------------------------

    def exchange(self, data: bytes) -> asyncio.Future[None]:
        """Write `data`; done when `reply` holds a whole reply, or with SendFailed."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        transport = self._transport
        if transport is None or not self.alive:
            waiter.set_exception(_closed_before_reply())
            return waiter
        self._waiter = waiter
        self.reply.restart()
        transport.write(data)
        return waiter

    def fail(self, failure: SendFailed) -> None:
        """End the exchange with `failure`, and the connection with it."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(failure)
        self.abort()

    def expire(self) -> None:
        """End the exchange because its time is over."""
        status = self.reply.status
        begun = f"; one with status {status} had begun" if status else ""
        self.fail(SendFailed(FailureCause.TIMEOUT, f"no whole reply within the timeout{begun}"))

    def abort(self) -> None:
        """Close without a goodbye."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    @property
    def reusable(self) -> bool:
        """Whether another request may follow the reply just read."""
        return (
            self.alive
            and self.reply.reusable
            and self._transport is not None
            and self._transport.get_write_buffer_size() == 0
        )

    def rested_well(self, now: float) -> bool:
        """Whether the peer still seems to be there after a rest; `now` by the loop's clock."""
        if not self.alive or self.socket is None:
            return False
        if now - self.idle_since < PEEK_AFTER:
            return True
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    # --- for the event loop -------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.alive = True

    @override
    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None:
            self.abort()
        elif self.reply.feed(data):
            self._settle(waiter)

    @override
    def eof_received(self) -> None:
        self._ended(clean=True)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(clean=exc is None)
        self.gone = True
        self._on_lost(self)

    def _settle(self, waiter: asyncio.Future[None]) -> None:
        self._waiter = None
        if not self.reply.reusable:
            self.abort()
        if waiter.done():
            return
        if self.reply.problem:
            waiter.set_exception(SendFailed(FailureCause.BAD_REPLY, self.reply.problem))
        else:
            waiter.set_result(None)

    def _ended(self, *, clean: bool) -> None:
        self.alive = False
        waiter = self._waiter
        if waiter is None:
            return
        if not self.reply.wire_size:
            self.fail(_closed_before_reply())
        elif clean:
            self.reply.end()
            self._settle(waiter)
        else:
            self.fail(SendFailed(FailureCause.BAD_REPLY, "the connection broke in the reply"))


def _closed_before_reply() -> SendFailed:
    return SendFailed(
        FailureCause.CONNECT_FAILED, "the endpoint closed the connection before any reply"
    )
