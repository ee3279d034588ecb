"""The one clock. Everything that asks for the time or waits for it does so through this."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits; a test brings one that it moves by hand."""

    def now(self) -> datetime:
        """The present moment, an aware UTC datetime."""
        ...

    async def wait(self, event: asyncio.Event, *, until: datetime) -> None:
        """Return when `event` is set or the time is `until`, whichever comes first."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC)  # noqa: TID251 - here, and nowhere else, time comes in

    async def wait(self, event: asyncio.Event, *, until: datetime) -> None:
        """See `Clock`."""
        seconds = (until - self.now()).total_seconds()
        if seconds <= 0 or event.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
