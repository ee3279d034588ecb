"""A clock that moves only when a test says so, and whoever waits for it waits for the test."""

from __future__ import annotations

import asyncio
from datetime import datetime

import making


class SetClock:
    """See `stafett.engine.clock.Clock`."""

    def __init__(self) -> None:
        self._now: datetime = making.NOW
        self._waiting: dict[asyncio.Future[None], datetime] = {}

    def now(self) -> datetime:
        return self._now

    async def wait(self, event: asyncio.Event, *, until: datetime) -> None:
        if event.is_set() or until <= self._now:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[reached] = until
        happened = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait([reached, happened], return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[reached]
            happened.cancel()

    def next_wish(self) -> datetime | None:
        """The earliest time that somebody waits for."""
        return min(self._waiting.values(), default=None)

    def move_to(self, at: datetime) -> None:
        """Let it be `at`; nobody who waits for that, or for something earlier, waits longer."""
        self._now = at
        for reached, until in self._waiting.items():
            if until <= at and not reached.done():
                reached.set_result(None)
