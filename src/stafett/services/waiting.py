"""How much waited lately: the backlog, looked at once a minute and kept in memory.

The store knows only how much waits now. What is kept here ends with the process: a day of minutes,
and of the month before it the worst of each hour.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stafett.services.activity import Range
from stafett.store import Backlog

_MINUTES: Final = 25 * 60
_HOURS: Final = 31 * 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What waited at one time."""

    at: datetime
    count: int
    """Pending and being sent."""
    overdue: timedelta
    """How long the oldest that is due has been due; 0 where nothing is."""


class Waiting:
    """What waited, as far back as this process knows."""

    def __init__(
        self, *, backlog: Callable[[], Awaitable[Backlog]], clock: Callable[[], datetime]
    ) -> None:
        self._backlog = backlog
        self._clock = clock
        self._minutes: deque[Sample] = deque(maxlen=_MINUTES)
        self._hours: deque[Sample] = deque(maxlen=_HOURS)

    async def look(self) -> None:
        """Look once, and keep it."""
        self._keep(sample(await self._backlog(), now=self._clock()))

    def worst(self, asked: list[Range]) -> list[Sample | None]:
        """Of each range the most that waited in it; None where nobody looked."""
        known = [*self._before_minutes(), *self._minutes]
        return [worst_of(each for each in known if a <= each.at < b) for a, b in asked]

    def _before_minutes(self) -> Iterable[Sample]:
        """The hours of which no minute is kept any more."""
        first = _hour(self._minutes[0].at) if self._minutes else None
        return (each for each in self._hours if first is None or each.at < first)

    def _keep(self, new: Sample) -> None:
        self._minutes.append(new)
        hour = _hour(new.at)
        last = self._hours[-1] if self._hours else None
        if last is not None and last.at == hour:
            self._hours.pop()
            merged = worst_of([last, new])
            assert merged is not None  # noqa: S101 - two went in
            new = merged
        self._hours.append(Sample(at=hour, count=new.count, overdue=new.overdue))


def sample(backlog: Backlog, *, now: datetime) -> Sample:
    """A backlog as it is kept."""
    oldest = backlog.oldest_due_at
    return Sample(
        at=now,
        count=backlog.pending + backlog.sending,
        overdue=timedelta() if oldest is None else max(timedelta(), now - oldest),
    )


def worst_of(samples: Iterable[Sample]) -> Sample | None:
    """The most that waited and the longest that it did, at the time of the last; None of none."""
    listed = list(samples)
    if not listed:
        return None
    return Sample(
        at=listed[-1].at,
        count=max(each.count for each in listed),
        overdue=max(each.overdue for each in listed),
    )


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
