"""What waited, minute by minute, and how much of that is remembered."""

from __future__ import annotations

from datetime import datetime, timedelta

from making import MINUTE, NOW
from stafett.services.activity import ranges
from stafett.services.waiting import Waiting
from stafett.store import Backlog

HOUR = timedelta(hours=1)


class Watched:
    """A backlog that is set by hand, and the clock it is looked at with."""

    def __init__(self) -> None:
        self.now = NOW
        self.pending = 0
        self.due_for: timedelta | None = None
        self.waiting = Waiting(backlog=self.backlog, clock=lambda: self.now)

    async def backlog(self) -> Backlog:
        oldest = None if self.due_for is None else self.now - self.due_for
        return Backlog(pending=self.pending, due=0, sending=1, oldest_due_at=oldest)

    async def look(self, at: datetime, *, pending: int, due_for: timedelta | None = None) -> None:
        self.now, self.pending, self.due_for = at, pending, due_for
        await self.waiting.look()


async def test_of_each_slot_the_worst_is_told_and_nothing_where_nobody_looked() -> None:
    watched = Watched()
    await watched.look(NOW, pending=7, due_for=MINUTE)
    await watched.look(NOW + MINUTE, pending=2, due_for=2 * MINUTE)
    newest, before = watched.waiting.worst(ranges(HOUR, now=NOW, slots=2))
    assert before is None
    assert newest is not None
    assert (newest.count, newest.overdue) == (8, 2 * MINUTE)


async def test_what_is_not_due_yet_is_not_overdue() -> None:
    watched = Watched()
    await watched.look(NOW, pending=1)
    await watched.look(NOW + MINUTE, pending=1, due_for=-MINUTE)
    [found] = watched.waiting.worst(ranges(HOUR, now=NOW, slots=1))
    assert found is not None
    assert found.overdue == timedelta()


async def test_of_days_ago_the_worst_of_each_hour_is_kept() -> None:
    watched = Watched()
    for minute in range(3 * 24 * 60):
        await watched.look(NOW + minute * MINUTE, pending=minute % 60)
    asked = ranges(HOUR, now=watched.now, slots=72)
    found = watched.waiting.worst(asked)
    assert [each.count for each in found if each is not None] == [60] * 72
    assert watched.waiting.worst(ranges(MINUTE, now=NOW + MINUTE, slots=1)) == [None]
