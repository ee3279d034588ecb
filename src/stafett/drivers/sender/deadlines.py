"""Ends exchanges whose time is over, with one timer for all of them.

Invariant: the timer is never set later than the earliest deadline watched. It may be early, and
then only looks: an exchange that ends in time costs two dictionary operations and no timer.
"""

from __future__ import annotations

import asyncio
from typing import final

from stafett.drivers.sender.connection import Connection
from stafett.drivers.sender.failure import SendFailed

_NEVER = float("inf")


@final
class Deadlines:
    """Which connection has to be done by when, by the loop's clock."""

    def __init__(self) -> None:
        self._watched: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER

    def watch(self, connection: Connection, deadline: float) -> None:
        """Fail the connection's exchange at `deadline`, unless `forget` comes first."""
        self._watched[connection] = deadline
        if deadline < self._timer_at:
            self._set_timer(deadline, connection.loop)

    def forget(self, connection: Connection) -> None:
        """The exchange is over."""
        self._watched.pop(connection, None)

    def fail_all(self, failure: SendFailed) -> None:
        """End every exchange now, and stop the timer."""
        for connection in list(self._watched):
            connection.fail(failure)
        self._watched.clear()
        self._stop_timer()

    def _set_timer(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        self._stop_timer()
        self._timer_at = at
        self._timer = loop.call_at(at, self._look, loop)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._timer_at = _NEVER

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in [c for c, deadline in self._watched.items() if deadline <= now]:
            del self._watched[connection]
            connection.expire()
        self._stop_timer()
        if self._watched:
            self._set_timer(min(self._watched.values()), loop)
