"""Whether the store answers, as readiness hears it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

import pytest

from engine.set_clock import SetClock
from stafett import errors
from stafett.engine import reach
from stafett.engine.reach import Reach
from stafett.store import Store

SECOND = timedelta(seconds=1)
WAIT = 10.0


class AskedStore:
    """Answers `ping` when, and as, the test says."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: errors.StafettError | None = None
        self.count = 0

    async def ping(self) -> None:
        self.count += 1
        self.asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error


class Asking:
    """Somebody who asks, by a clock that the test moves."""

    def __init__(self) -> None:
        self.store = AskedStore()
        self.clock = SetClock()
        self.reach = Reach(store=cast("Store", self.store), clock=self.clock)

    async def again(self) -> None:
        """Let a second pass, and the store be asked."""
        await self.rests()
        self.store.asked.clear()
        self.clock.move_to(self.clock.now() + SECOND)
        async with asyncio.timeout(WAIT):
            await self.store.asked.wait()

    async def rests(self) -> None:
        """Return once it has its answer, and waits for the next second."""
        for _ in range(int(WAIT / 0.01)):
            if self.clock.next_wish() is not None:
                return
            await asyncio.sleep(0.01)
        raise AssertionError


async def test_a_store_that_answers_is_no_problem() -> None:
    asking = Asking()
    asking.reach.start()
    for _ in range(3):
        await asking.again()
    await asking.rests()
    assert asking.reach.problem is None
    await asking.reach.stop()


async def test_why_it_does_not_answer_is_told_until_it_does() -> None:
    asking = Asking()
    asking.reach.start()
    asking.store.error = errors.Unavailable("the database is away")
    await asking.again()
    await asking.rests()
    assert asking.reach.problem == "the database is away"

    asking.store.error = None
    await asking.again()
    await asking.rests()
    assert asking.reach.problem is None
    await asking.reach.stop()


async def test_a_store_that_hangs_is_a_problem_and_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reach, "_WITHIN", timedelta(milliseconds=10))
    asking = Asking()
    asking.reach.start()
    await asking.rests()
    asking.store.answers.clear()
    await asking.again()
    asked = asking.store.count
    for _ in range(int(WAIT / 0.01)):
        if asking.reach.problem is not None:
            break
        await asyncio.sleep(0.01)
    assert asking.reach.problem == "the store does not answer within 0.01 s"
    asking.clock.move_to(asking.clock.now() + 10 * SECOND)
    assert asking.store.count == asked

    asking.store.answers.set()
    await asking.rests()
    assert asking.reach.problem is None
    await asking.reach.stop()


async def test_it_ends_in_the_middle_of_a_question() -> None:
    asking = Asking()
    asking.reach.start()
    await asking.rests()
    asking.store.answers.clear()
    await asking.again()
    async with asyncio.timeout(WAIT):
        await asking.reach.stop()
    assert asking.reach.problem is None


def test_a_store_that_goes_away_shows_within_three_seconds() -> None:
    assert reach._EVERY + reach._WITHIN < 3 * SECOND
