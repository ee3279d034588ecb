"""Housekeeping: the door closes before the disk is full, and old payloads go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

import making
from engine.conftest import Engine
from stafett import errors
from stafett.engine.upkeep import Upkeep, low_on
from stafett.store import Space

GIB = 1 << 30
PLENTY = Space(free=50 * GIB, total=100 * GIB)
LITTLE = Space(free=GIB // 2, total=100 * GIB)


class Housekeeping:
    """Upkeep on the engine's store, on a disk of the test's making."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.disk: Space | None = PLENTY
        self.done: list[str] = []
        self.broken: list[errors.StafettError] = []
        engine.watched.space = self._space  # pyright: ignore[reportAttributeAccessIssue]
        self.upkeep = Upkeep(
            store=engine.store,
            clock=engine.clock,
            intake=engine.intake,
            keep_messages=timedelta(days=1),
            chores=[self._chore, self._failing_chore],
            on_broken=self.broken.append,
        )

    async def _space(self) -> Space | None:
        return self.disk

    async def _chore(self) -> None:
        self.done.append("chore")

    async def _failing_chore(self) -> None:
        self.done.append("failing chore")
        message = "away"
        raise errors.Unavailable(message)


@pytest.fixture
async def house(engine: Engine) -> AsyncIterator[Housekeeping]:
    made = Housekeeping(engine)
    made.upkeep.start()
    await engine.settle()
    yield made
    engine.watched.fails.clear()
    await made.upkeep.stop()


@pytest.mark.parametrize(
    ("free", "total", "low"),
    [
        (GIB, 100 * GIB, False),
        (GIB - 1, 100 * GIB, True),
        (GIB // 2, 10 * GIB, False),  # a twentieth of a small disk is enough
        (GIB // 2 - 1, 10 * GIB, True),
        (0, GIB, True),
    ],
)
def test_when_there_is_too_little_room(free: int, total: int, low: bool) -> None:
    assert low_on(Space(free=free, total=total)) is low


async def test_nothing_is_accepted_while_the_disk_is_low_and_deliveries_go_on(
    engine: Engine, house: Housekeeping
) -> None:
    endpoint = await engine.endpoint("/a")
    unclaimed = await engine.store_unclaimed(endpoint)
    house.disk = LITTLE
    await engine.pass_time(timedelta(seconds=2))

    with pytest.raises(errors.StoreFull, match="536 MB") as told:
        await engine.accept(endpoint)
    assert told.value.retry_after
    engine.dispatch.start()
    await engine.settle()
    assert await engine.state(unclaimed, endpoint) == "succeeded"

    house.disk = PLENTY
    await engine.pass_time(timedelta(seconds=2))
    await engine.accept(endpoint)


async def test_a_driver_that_does_not_know_the_disk_accepts(
    engine: Engine, house: Housekeeping
) -> None:
    house.disk = None
    await engine.pass_time(timedelta(seconds=4))
    await engine.accept()


async def test_old_payloads_and_messages_go_but_nothing_that_is_still_owed(
    engine: Engine, house: Housekeeping
) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.answers["/a"] = [making.an_outcome(200), making.an_outcome(500)]
    soon = engine.now + timedelta(minutes=10)
    delivered = await engine.accept(endpoint, payload_expires_at=soon)
    await engine.settle()
    owed = await engine.accept(endpoint, payload_expires_at=soon)
    await engine.settle()

    await engine.jump(timedelta(minutes=11))
    kept = await engine.store.get_message(engine.app.id, delivered.id, with_payload=True)
    assert kept is not None
    assert kept.payload_gone
    await engine.jump(timedelta(days=1))

    assert await engine.store.get_message(engine.app.id, delivered.id, with_payload=True) is None
    kept = await engine.store.get_message(engine.app.id, owed.id, with_payload=True)
    assert kept is not None
    assert kept.payload == making.PAYLOAD


async def test_chores_are_done_once_a_minute_and_at_the_end_and_one_may_fail(
    engine: Engine, house: Housekeeping
) -> None:
    assert house.done == ["chore", "failing chore"]
    await engine.pass_time(timedelta(seconds=58))
    assert len(house.done) == 2
    await engine.pass_time(timedelta(seconds=2))
    assert len(house.done) == 4
    await house.upkeep.stop()
    assert len(house.done) == 6


async def test_a_store_that_is_away_is_asked_again(engine: Engine, house: Housekeeping) -> None:
    engine.watched.fails["ping"] = errors.Unavailable("away")
    await engine.pass_time(timedelta(seconds=4))
    assert house.broken == []
    engine.watched.fails.clear()
    house.disk = LITTLE
    await engine.pass_time(timedelta(seconds=2))
    assert engine.intake.closed is not None


async def test_a_broken_store_is_reported_once_and_left_alone(
    engine: Engine, house: Housekeeping
) -> None:
    engine.watched.fails["ping"] = errors.StoreBroken("an fsync failed")
    await engine.pass_time(timedelta(seconds=10))
    assert [each.detail for each in house.broken] == ["an fsync failed"]
