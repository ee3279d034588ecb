"""Background work in one process: begun at once, in turns, given back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import pytest

import making
from engine.conftest import Engine
from making import MINUTE, NOW
from stafett import errors
from stafett.engine import tasks
from stafett.engine.tasks import TaskRunner
from stafett.ids import DeliveryId, Ids, TaskId
from stafett.model import Endpoint, Task, TaskKind, TaskStatus
from stafett.store import Claim, NewMessage

SECOND = timedelta(seconds=1)


class Background:
    """A runner on the engine's store, whose steps are as small and as slow as the test says."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.steps: list[TaskId] = []
        self.step_takes = timedelta(0)
        self.step_size: int | None = None
        self.crashes: set[TaskId] = set()
        self.stops: TaskRunner | None = None
        """Told to stop while a step is under way."""
        self.stopping: list[asyncio.Task[None]] = []
        self._work_on_task = engine.store.work_on_task
        engine.watched.work_on_task = self._watched  # pyright: ignore[reportAttributeAccessIssue]

    def runner(self) -> TaskRunner:
        return TaskRunner(
            store=self.engine.store,
            clock=self.engine.clock,
            ids=Ids(),
            dispatch=self.engine.dispatch,
        )

    async def _watched(
        self, task_id: TaskId, claim: Claim, *, now: datetime, spare: Sequence[DeliveryId]
    ) -> Task | None:
        self.steps.append(task_id)
        if task_id in self.crashes:
            message = "a fault"
            raise ValueError(message)
        if self.stops is not None:
            self.stopping.append(asyncio.create_task(self.stops.stop()))
        self.engine.clock.move_to(self.engine.now + self.step_takes)
        return await self._work_on_task(task_id, claim, now=now, spare=spare[: self.step_size])

    async def missing(self, path: str, *, count: int) -> tuple[Endpoint, Task]:
        """A task, with so many messages that its endpoint was never owed."""
        endpoint = await self.engine.endpoint(path, event_types=frozenset({path[1:]}))
        messages = [
            making.a_message(self.engine.app.id, event_type=path[1:], endpoint_count=0)
            for _ in range(count)
        ]
        new = [NewMessage(message=each, deliveries=()) for each in messages]
        await self.engine.store.add_messages(new, now=NOW)
        task = making.a_task(endpoint, kind=TaskKind.REPLAY_MISSING)
        await self.engine.store.add_task(task)
        return endpoint, task

    async def found(self, task: Task) -> Task:
        found = await self.engine.store.get_task(task.id)
        assert found is not None
        return found


@pytest.fixture
def background(engine: Engine) -> Background:
    return Background(engine)


@pytest.fixture
async def runner(background: Background) -> AsyncIterator[TaskRunner]:
    made = background.runner()
    yield made
    background.engine.watched.fails.clear()
    await made.stop()


async def test_a_task_that_was_left_goes_on_with_the_start(
    background: Background, runner: TaskRunner, engine: Engine
) -> None:
    _, task = await background.missing("/a", count=3)
    engine.dispatch.start()
    await engine.settle()
    runner.start()
    await engine.pass_time(SECOND / 10)
    done = await background.found(task)
    assert (done.status, done.sent_count) == (TaskStatus.FINISHED, 3)
    assert engine.sender.count("/a") == 3  # dispatch was told: by itself it looks once a second


async def test_a_new_task_is_begun_at_once_and_one_of_another_process_soon(
    background: Background, runner: TaskRunner, engine: Engine
) -> None:
    runner.start()
    await engine.settle()
    _, mine = await background.missing("/a", count=1)
    runner.look()
    await engine.settle()
    assert (await background.found(mine)).status is TaskStatus.FINISHED
    _, foreign = await background.missing("/b", count=1)
    await engine.settle()
    assert (await background.found(foreign)).status is TaskStatus.RUNNING
    await engine.pass_time(tasks.LOOK_EVERY)
    assert (await background.found(foreign)).status is TaskStatus.FINISHED


async def test_a_long_task_keeps_no_short_one_waiting(
    background: Background, runner: TaskRunner, engine: Engine
) -> None:
    background.step_size, background.step_takes = 1, SECOND / 2
    _, long = await background.missing("/long", count=9)
    _, short = await background.missing("/short", count=1)
    runner.start()
    await engine.settle()
    assert background.steps[:6] == [long.id, long.id, short.id, short.id, long.id, long.id]
    assert (await background.found(long)).sent_count == 9


async def test_a_stop_leaves_the_rest_to_whoever_comes_next(
    background: Background, runner: TaskRunner, engine: Engine
) -> None:
    background.step_size = 1
    endpoint, task = await background.missing("/a", count=3)
    background.stops = runner
    runner.start()
    await engine.settle()
    await asyncio.gather(*background.stopping)
    left = await background.found(task)
    assert (left.status, left.sent_count) == (TaskStatus.RUNNING, 1)

    background.stops = None
    next_one = background.runner()
    next_one.start()
    await engine.settle()
    await next_one.stop()
    done = await background.found(task)
    assert (done.status, done.sent_count) == (TaskStatus.FINISHED, 3)
    assert await waiting(engine, endpoint) == 3


async def waiting(engine: Engine, endpoint: Endpoint) -> int:
    claimed = await engine.store.claim_due(
        making.a_claim(engine.now), now=engine.now, limit=99, room=99, held={}
    )
    return sum(each.endpoint_id == endpoint.id for each in claimed)


async def test_what_a_dead_process_held_is_taken_over_when_its_lease_is_over(
    background: Background, runner: TaskRunner, engine: Engine
) -> None:
    _, task = await background.missing("/a", count=1)
    dead = Claim(id=making.ids.claim(NOW), lease_until=NOW + tasks.LEASE)
    assert await engine.store.claim_task(dead, now=NOW) == task
    runner.start()
    await engine.pass_time(tasks.LEASE - SECOND)
    assert background.steps == []
    await engine.pass_time(tasks.LOOK_EVERY)
    assert (await background.found(task)).status is TaskStatus.FINISHED


async def test_a_store_that_is_away_only_costs_time(
    background: Background, runner: TaskRunner, engine: Engine
) -> None:
    _, task = await background.missing("/a", count=1)
    engine.watched.fails["claim_task"] = errors.Unavailable("away")
    runner.start()
    await engine.pass_time(MINUTE)
    assert background.steps == []
    engine.watched.fails.clear()
    await engine.pass_time(tasks.LOOK_EVERY)
    assert (await background.found(task)).status is TaskStatus.FINISHED


async def test_a_task_that_cannot_be_done_holds_up_no_other(
    background: Background, runner: TaskRunner, engine: Engine
) -> None:
    _, bad = await background.missing("/bad", count=1)
    _, good = await background.missing("/good", count=1)
    background.crashes = {bad.id}
    runner.start()
    await engine.settle()
    failed = await background.found(bad)
    assert (failed.status, failed.problem) == (TaskStatus.FAILED, tasks._OUR_FAULT)
    assert (await background.found(good)).status is TaskStatus.FINISHED


async def test_a_broken_store_is_left_alone(
    background: Background, runner: TaskRunner, engine: Engine
) -> None:
    await background.missing("/a", count=1)
    engine.watched.fails["claim_task"] = errors.StoreBroken("damaged")
    runner.start()
    await engine.pass_time(MINUTE)
    assert engine.watched.calls.count("claim_task") == 1
