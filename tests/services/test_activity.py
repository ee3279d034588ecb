"""Slots of time: which are asked for, and which are shown when there are too many attempts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from making import MINUTE, NOW
from stafett.ids import EndpointId
from stafett.services.activity import Counts, Range, look_back, ranges
from stafett.store import AttemptCount

HOUR = timedelta(hours=1)
ONE, OTHER = EndpointId("ep_one"), EndpointId("ep_other")


def test_ranges_begin_at_round_times_and_the_newest_holds_now() -> None:
    asked = ranges(HOUR, now=NOW + 5 * MINUTE)
    assert len(asked) == 24
    assert asked[:2] == [(NOW, NOW + HOUR), (NOW - HOUR, NOW)]


def test_at_a_round_time_the_newest_range_has_just_begun() -> None:
    assert ranges(HOUR, now=NOW)[0] == (NOW, NOW + HOUR)


async def test_slots_come_oldest_first_with_sums() -> None:
    async def count(asked: list[Range]) -> list[Counts]:
        newest: Counts = {
            ONE: AttemptCount(succeeded=2, failed=1),
            OTHER: AttemptCount(failed=4),
        }
        return [newest, {ONE: AttemptCount(succeeded=3)}, *({} for _ in asked[2:])]

    found = await look_back(count, now=NOW)
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
    async def count(asked: list[Range]) -> list[Counts]:
        each = int((asked[0][1] - asked[0][0]) / MINUTE * a_minute)
        fitting = 100_000 // each if each else len(asked)
        return [{ONE: AttemptCount(succeeded=each)} for _ in asked[:fitting]]

    found = await look_back(count, now=NOW)
    assert (found.step, len(found.slots)) == (step, slots)
