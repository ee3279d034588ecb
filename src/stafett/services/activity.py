"""How much was sent lately: attempts counted by slots of time. Pure but for the counting itself.

Counting costs about 1.5 us an attempt, so it has a limit, and a busy server counts shorter slots:
hours where they fit, else minutes, else seconds. The slots end with the one that now lies in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from stafett.ids import EndpointId
from stafett.store import AttemptCount

SLOTS: Final = 24
STEPS: Final = (timedelta(hours=1), timedelta(minutes=5), timedelta(seconds=10))
MAX_COUNTED: Final = 100_000
_ENOUGH: Final = 6
"""So many slots show a course; with fewer, shorter slots show more."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Range = tuple[datetime, datetime]
Counts = Mapping[EndpointId, AttemptCount]
Count = Callable[[list[Range]], Awaitable[list[Counts]]]
"""Counts attempts in ranges, newest first; leaves out those that are too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Real (not test) attempts begun in `since <= t < until`, by endpoint."""

    since: datetime
    until: datetime
    counts: Counts

    @property
    def total(self) -> AttemptCount:
        """Of all endpoints."""
        return added(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """The latest slots, oldest first. Empty when even the shortest slot has too many attempts."""

    step: timedelta
    slots: tuple[Slot, ...]

    @property
    def total(self) -> AttemptCount:
        """Of all endpoints and slots."""
        return added(slot.total for slot in self.slots)

    @property
    def span(self) -> timedelta:
        """How far back it reaches."""
        return self.step * len(self.slots)

    def of(self, endpoint_id: EndpointId) -> AttemptCount:
        """Of one endpoint."""
        return added(slot.counts[endpoint_id] for slot in self.slots if endpoint_id in slot.counts)


def added(counts: Iterable[AttemptCount]) -> AttemptCount:
    """The sum."""
    listed = list(counts)
    return AttemptCount(
        succeeded=sum(each.succeeded for each in listed),
        failed=sum(each.failed for each in listed),
    )


def ranges(step: timedelta, *, now: datetime) -> list[Range]:
    """The last 24 ranges of `step`, newest first, beginning at round times."""
    end = now - (now - _EPOCH) % step + step
    return [(end - step * (n + 1), end - step * n) for n in range(SLOTS)]


async def look_back(count: Count, *, now: datetime) -> Activity:
    """The longest slots of which enough can be counted."""
    best = Activity(step=STEPS[0], slots=())
    for step in STEPS:
        asked = ranges(step, now=now)
        counted = await count(asked)
        slots = [
            Slot(since=since, until=until, counts=each)
            for (since, until), each in zip(asked, counted, strict=False)
        ]
        if slots:
            best = Activity(step=step, slots=tuple(reversed(slots)))
        if len(slots) >= _ENOUGH:
            break
    return best
