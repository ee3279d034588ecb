"""How much was sent lately: attempts measured by slots of time. Pure but for the measuring itself.

Measuring costs about 2 us an attempt, so it has a limit, and a busy server shows shorter slots than
were asked for. The slots end with the one that now lies in.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from stafett.ids import AppId, EndpointId
from stafett.store import AttemptCount, AttemptsMeasured

MAX_MEASURED: Final = 100_000
PERCENTS: Final = (50, 99)
_ENOUGH: Final = 6
"""So many slots show a course; with fewer, shorter slots show more."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SETTLED: Final = timedelta(minutes=5)
"""Attempts are recorded under the time they began at, so a slot fills up after it has ended."""
_MANY: Final = 2_000
"""Attempts of a slot that fills up: so many are not measured anew with every look."""
_SOON: Final = timedelta(seconds=30)
_MAX_KEPT: Final = 2_000

Range = tuple[datetime, datetime]
Counts = Mapping[EndpointId, AttemptCount]


class Horizon(enum.StrEnum):
    """How far back somebody looks."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def slots(self) -> int:
        """How many there are."""
        return {"1h": 60, "24h": 24, "7d": 28, "30d": 30}[self.value]

    @property
    def steps(self) -> tuple[timedelta, ...]:
        """How long a slot is, then how long where those hold too much; each divides a day."""
        whole = {
            "1h": timedelta(minutes=1),
            "24h": timedelta(hours=1),
            "7d": timedelta(hours=6),
            "30d": timedelta(days=1),
        }[self.value]
        shorter = (timedelta(hours=1), timedelta(minutes=5), timedelta(seconds=10))
        return (whole, *(each for each in shorter if each < whole))

    @property
    def span(self) -> timedelta:
        """All slots together."""
        return self.steps[0] * self.slots


Measure = Callable[[list[Range]], Awaitable[list[AttemptsMeasured]]]
"""Measures ranges, newest first; leaves out those that hold too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What began in `since <= t < until`."""

    since: datetime
    until: datetime
    measured: AttemptsMeasured

    @property
    def total(self) -> AttemptCount:
        """Of all endpoints."""
        return added(self.measured.counts.values())

    @property
    def p50(self) -> timedelta | None:
        """What half of the attempts took at most."""
        return self.measured.durations[0] if self.measured.durations else None

    @property
    def p99(self) -> timedelta | None:
        """What 99 of 100 attempts took at most."""
        return self.measured.durations[1] if self.measured.durations else None


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
        found = (slot.measured.counts.get(endpoint_id) for slot in self.slots)
        return added(each for each in found if each is not None)


def added(counts: Iterable[AttemptCount]) -> AttemptCount:
    """The sum."""
    listed = list(counts)
    return AttemptCount(
        succeeded=sum(each.succeeded for each in listed),
        failed=sum(each.failed for each in listed),
    )


def ranges(step: timedelta, *, now: datetime, slots: int) -> list[Range]:
    """The last `slots` ranges of `step`, newest first, beginning at round times."""
    end = now - (now - _EPOCH) % step + step
    return [(end - step * (n + 1), end - step * n) for n in range(slots)]


async def look_back(measure: Measure, *, now: datetime, horizon: Horizon) -> Activity:
    """The longest slots of which enough can be measured."""
    best = Activity(step=horizon.steps[0], slots=())
    for step in horizon.steps:
        asked = ranges(step, now=now, slots=horizon.slots)
        slots = [
            Slot(since=since, until=until, measured=each)
            for (since, until), each in zip(asked, await measure(asked), strict=False)
        ]
        if slots:
            best = Activity(step=step, slots=tuple(reversed(slots)))
        if len(slots) >= _ENOUGH:
            break
    return best


class Memory:
    """Remembers slots, so that looking again costs little.

    For good those that nothing is added to any more (what is deleted later stays in them), and for
    half a minute those that hold much.
    """

    def __init__(
        self, measure: Callable[[AppId, list[Range], int], Awaitable[list[AttemptsMeasured]]]
    ) -> None:
        """`measure` gets how many attempts it may measure at most."""
        self._measure = measure
        self._kept: dict[tuple[AppId, Range], tuple[datetime, AttemptsMeasured | None]] = {}
        """Each with the time until which it is good; None: it is too much to be measured."""

    async def of(
        self, app_id: AppId, asked: list[Range], *, now: datetime
    ) -> list[AttemptsMeasured]:
        """As `Measure`, of one application."""
        found = {each: self._known(app_id, each, now=now) for each in asked}
        missing = [each for each, one in found.items() if one is None]
        if not self._is_too_much(app_id, asked[0], now=now):
            room = MAX_MEASURED - sum(each.total for each in _fitting(found.values()))
            measured = await self._measure(app_id, missing, room) if missing else []
            for each, one in zip(missing, measured, strict=False):
                found[each] = one
                self._keep(app_id, each, one, now=now)
            if missing[:1] == asked[:1] and not measured:
                self._kept[app_id, asked[0]] = now + _SOON, None
        return list(_fitting(found.values()))

    def _known(self, app_id: AppId, slot: Range, *, now: datetime) -> AttemptsMeasured | None:
        until, found = self._kept.get((app_id, slot), (now, None))
        return found if until > now else None

    def _is_too_much(self, app_id: AppId, slot: Range, *, now: datetime) -> bool:
        until, found = self._kept.get((app_id, slot), (now, None))
        return until > now and found is None

    def _keep(self, app_id: AppId, slot: Range, found: AttemptsMeasured, *, now: datetime) -> None:
        if slot[1] + _SETTLED <= now:
            until = datetime.max.replace(tzinfo=UTC)
        elif found.total > _MANY:
            until = now + _SOON
        else:
            return
        self._kept[app_id, slot] = until, found
        if len(self._kept) > _MAX_KEPT:
            del self._kept[next(iter(self._kept))]


def _fitting(measured: Iterable[AttemptsMeasured | None]) -> Iterator[AttemptsMeasured]:
    """The first of them, as many as are known and fit: remembered ones are no reason for more."""
    room = MAX_MEASURED
    for each in measured:
        if each is None or each.total > room:
            return
        room -= each.total
        yield each
