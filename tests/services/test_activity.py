"""Slots of time: which are asked for, and which are shown when there are too many attempts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from making import MINUTE, NOW
from stafett.ids import AppId, EndpointId
from stafett.services.activity import Counts, Horizon, Memory, Range, look_back, ranges
from stafett.store import AttemptCount, AttemptsMeasured

HOUR = timedelta(hours=1)
ONE, OTHER = EndpointId("ep_one"), EndpointId("ep_other")


def test_ranges_begin_at_round_times_and_the_newest_holds_now() -> None:
    asked = ranges(HOUR, now=NOW + 5 * MINUTE, slots=24)
    assert len(asked) == 24
    assert asked[:2] == [(NOW, NOW + HOUR), (NOW - HOUR, NOW)]


def test_at_a_round_time_the_newest_range_has_just_begun() -> None:
    assert ranges(HOUR, now=NOW, slots=24)[0] == (NOW, NOW + HOUR)


async def test_slots_come_oldest_first_with_sums() -> None:
    async def count(asked: list[Range]) -> list[AttemptsMeasured]:
        newest: Counts = {
            ONE: AttemptCount(succeeded=2, failed=1),
            OTHER: AttemptCount(failed=4),
        }
        earlier: list[Counts] = [{ONE: AttemptCount(succeeded=3)}, *({} for _ in asked[2:])]
        return [AttemptsMeasured(counts=each) for each in (newest, *earlier)]

    found = await look_back(count, now=NOW, horizon=Horizon.DAY)
    assert (found.step, found.span) == (HOUR, timedelta(days=1))
    assert found.slots[-1].until == NOW + HOUR
    assert found.slots[-1].total == AttemptCount(succeeded=2, failed=5)
    assert found.total == AttemptCount(succeeded=5, failed=5)
    assert found.of(ONE) == AttemptCount(succeeded=5, failed=1)


@pytest.mark.parametrize(
    ("a_minute", "step", "slots"),
    [
        (0, HOUR, 24),
        (100, HOUR, 16),
        (1_000, timedelta(minutes=5), 20),
        (100_000, timedelta(seconds=10), 6),
        (10_000_000, HOUR, 0),
    ],
)
async def test_where_there_is_more_to_count_slots_are_shorter(
    a_minute: int, step: timedelta, slots: int
) -> None:
    async def count(asked: list[Range]) -> list[AttemptsMeasured]:
        each = int((asked[0][1] - asked[0][0]) / MINUTE * a_minute)
        fitting = 100_000 // each if each else len(asked)
        return [
            AttemptsMeasured(counts={ONE: AttemptCount(succeeded=each)}) for _ in asked[:fitting]
        ]

    found = await look_back(count, now=NOW, horizon=Horizon.DAY)
    assert (found.step, len(found.slots)) == (step, slots)


@pytest.mark.parametrize("horizon", list(Horizon))
def test_every_horizon_is_its_slots_and_shortens_them_step_by_step(horizon: Horizon) -> None:
    days = {"1h": 1 / 24, "24h": 1, "7d": 7, "30d": 30}[horizon.value]
    assert horizon.span == timedelta(days=days)
    assert list(horizon.steps) == sorted(horizon.steps, reverse=True)
    assert all(timedelta(days=1) % step == timedelta() for step in horizon.steps)


# --- what is remembered -----------------------------------------------------------------------


class Measuring:
    """Notes what it was asked; knows slots with `each` attempts, as many as it may measure."""

    def __init__(self, each: int = 0) -> None:
        self.found = AttemptsMeasured(counts={ONE: AttemptCount(failed=each)})
        self.asked: list[list[Range]] = []

    async def __call__(
        self, app_id: AppId, asked: list[Range], limit: int
    ) -> list[AttemptsMeasured]:
        self.asked.append(asked)
        each = self.found.total
        return [self.found for _ in asked[: limit // each if each else None]]


APP = AppId("app_1")


async def test_only_slots_that_may_still_fill_up_are_measured_again() -> None:
    measuring = Measuring()
    memory = Memory(measuring)
    asked = ranges(MINUTE, now=NOW, slots=60)
    assert len(await memory.of(APP, asked, now=NOW)) == 60
    assert len(await memory.of(APP, asked, now=NOW)) == 60
    assert measuring.asked == [asked, asked[:6]]


async def test_another_application_has_its_own_slots() -> None:
    measuring = Measuring()
    memory = Memory(measuring)
    asked = ranges(HOUR, now=NOW, slots=3)
    await memory.of(APP, asked, now=NOW)
    await memory.of(AppId("app_2"), asked, now=NOW)
    assert measuring.asked == [asked, asked]


async def test_nothing_is_shown_behind_a_slot_that_holds_too_much() -> None:
    measuring = Measuring(each=40_000)
    memory = Memory(measuring)
    earlier = ranges(HOUR, now=NOW - 3 * HOUR, slots=2)
    assert len(await memory.of(APP, earlier, now=NOW)) == 2
    asked = ranges(HOUR, now=NOW, slots=8)
    assert len(await memory.of(APP, asked, now=NOW)) == 2


async def test_what_is_remembered_shows_no_more_than_what_is_measured() -> None:
    measuring = Measuring(each=40_000)
    memory = Memory(measuring)
    asked = ranges(HOUR, now=NOW + 6 * HOUR, slots=6)
    for _ in range(2):
        assert len(await memory.of(APP, asked, now=NOW + 6 * HOUR)) == 2


async def test_what_is_too_much_is_not_tried_at_once_again() -> None:
    measuring = Measuring(each=120_000)
    memory = Memory(measuring)
    asked = ranges(HOUR, now=NOW, slots=3)
    for seconds in (0, 29, 30):
        assert await memory.of(APP, asked, now=NOW + timedelta(seconds=seconds)) == []
    assert measuring.asked == [asked, asked]


async def test_what_holds_much_is_good_for_half_a_minute() -> None:
    measuring = Measuring(each=5_000)
    memory = Memory(measuring)
    asked = ranges(HOUR, now=NOW, slots=1)
    for seconds in (0, 29, 30):
        assert await memory.of(APP, asked, now=NOW + timedelta(seconds=seconds)) == [
            measuring.found
        ]
    assert measuring.asked == [asked, asked]
