"""The accept path: durable, then answered; refused before any work, or not at all."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

import making
from engine.conftest import Engine
from stafett import errors
from stafett.engine.dispatch import Places
from stafett.engine.intake import MAX_BYTES_WAITING, Intake
from stafett.ids import Ids
from stafett.store import AddStatus, Idempotency


async def test_a_message_is_on_disk_when_it_is_answered(engine: Engine) -> None:
    message = engine.message(endpoint_count=0)
    result = await engine.intake.accept(message, wanting=())
    assert result.status is AddStatus.ADDED
    found = await engine.store.get_message(engine.app.id, message.id, with_payload=True)
    assert found == message


async def test_a_message_for_later_is_not_sent_before(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.dispatch.start()
    await engine.accept(endpoint, deliver_at=engine.now + timedelta(seconds=30))
    await engine.pass_time(timedelta(seconds=29.9))
    assert engine.sender.requests == []
    await engine.pass_time(timedelta(seconds=0.2))
    assert engine.sender.count("/a") == 1


async def test_what_repeats_an_idempotency_key_is_sent_once(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    key = Idempotency(key=b"k" * 32, body_hash=b"b" * 32)
    results = await asyncio.gather(
        *(
            engine.intake.accept(engine.message(), wanting=[endpoint], idempotency=key)
            for _ in range(5)
        )
    )
    await engine.settle()

    assert [each.status for each in results] == [AddStatus.ADDED] + [AddStatus.REPEATED] * 4
    assert len({each.message_id for each in results}) == 1
    assert engine.sender.count("/a") == 1


async def test_a_caller_that_goes_away_does_not_take_its_message_along(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    message = engine.message()
    accepted = asyncio.ensure_future(engine.intake.accept(message, wanting=[endpoint]))
    accepted.cancel()
    await engine.settle()
    assert await engine.state(message, endpoint) == "succeeded"


async def test_what_the_store_does_not_take_is_told_and_leaves_no_trace(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.watched.fails["add_messages"] = errors.StoreFull("the disk is full")
    for _ in range(50):
        with pytest.raises(errors.StoreFull):
            await engine.accept(endpoint)
    engine.watched.fails.clear()

    await engine.accept(endpoint)
    await engine.settle()

    assert engine.sender.count("/a") == 1


async def test_a_closed_door_is_told_before_any_work_and_counted(engine: Engine) -> None:
    engine.intake.closed = errors.StoreFull("the disk is full")
    before = list(engine.watched.calls)
    with pytest.raises(errors.StoreFull):
        await engine.accept()
    with pytest.raises(errors.StoreFull):
        await engine.intake.accept_all([(engine.message(), ())])
    assert engine.watched.calls == before
    assert engine.intake.measures.messages["refused"] == 2


async def test_too_many_bytes_that_wait_are_refused_and_room_comes_back(engine: Engine) -> None:
    big = b"x" * (MAX_BYTES_WAITING // 2)
    waiting = [engine.intake.accept(engine.message(payload=big), wanting=()) for _ in range(2)]
    with pytest.raises(errors.Unavailable, match="bytes"):
        engine.intake.accept(engine.message(payload=b"one more"), wanting=())
    await asyncio.gather(*waiting)
    await engine.intake.accept(engine.message(payload=b"one more"), wanting=())


async def test_a_batch_is_one_commit_and_answers_each(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    messages = [engine.message(uid=uid) for uid in ("1", "2", "1", "3")]
    before = engine.watched.calls.count("add_messages")

    results = await engine.intake.accept_all([(each, [endpoint]) for each in messages])
    await engine.settle()

    taken = AddStatus.UID_TAKEN
    assert [each.status for each in results] == [*[AddStatus.ADDED] * 2, taken, AddStatus.ADDED]
    assert engine.watched.calls.count("add_messages") == before + 1
    assert engine.sender.count("/a") == 3


async def test_a_process_that_does_not_send_leaves_the_work_to_others(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    plan = engine.dispatch.plan
    intake = Intake(store=engine.store, clock=engine.clock, ids=Ids(), plan=plan, dispatch=None)
    message = engine.message()
    await intake.accept(message, wanting=[endpoint])
    assert await engine.state(message, endpoint) == "pending"
    tested = engine.message(test=True)
    verdict = await intake.accept_test(tested, endpoint)
    await engine.pass_time(timedelta(seconds=1))
    assert not verdict.done()
    engine.dispatch.start()
    await engine.pass_time(timedelta(seconds=1))
    assert (await verdict).message_id == tested.id


async def test_a_test_that_the_store_does_not_take_leaves_no_trace(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.watched.fails["add_messages"] = errors.StoreFull("the disk is full")
    with pytest.raises(errors.StoreFull):
        await engine.intake.accept_test(engine.message(test=True), endpoint)
    engine.intake._batcher._max_waiting = 0
    with pytest.raises(errors.Unavailable, match="too much"):
        await engine.intake.accept_test(engine.message(test=True), endpoint)
    await engine.settle()

    assert engine.dispatch._held == 0
    assert engine.dispatch._watchers == {}
    assert engine.intake._bytes_waiting == 0


class TestWithLittleRoom:
    """There is room for eight deliveries, of which a quarter is the scan's."""

    @pytest.fixture
    def places(self) -> Places:
        return Places(first=8, again=4, tests=2, held=8)

    async def test_what_there_is_no_room_for_is_written_unclaimed_and_sent_later(
        self, engine: Engine
    ) -> None:
        endpoints = [await engine.endpoint(f"/{n}") for n in range(4)]
        paths = [f"/{n}" for n in range(4)]
        engine.sender.hanging.update(paths)
        messages = [await engine.accept(*endpoints) for _ in range(5)]
        await engine.settle()
        states = [await engine.state(m, e) for m in messages for e in endpoints]
        assert states.count("sending") == 6
        assert states.count("pending") == 14

        engine.dispatch.start()
        engine.sender.hanging.clear()
        for path in paths:
            for _ in range(engine.sender.count(path)):
                engine.sender.let_go(path)
        await engine.pass_time(timedelta(seconds=1))

        assert len(engine.sender.requests) == 20
        states = [await engine.state(m, e) for m in messages for e in endpoints]
        assert states == ["succeeded"] * 20

    async def test_a_test_is_sent_although_there_is_no_room(self, engine: Engine) -> None:
        endpoint = await engine.endpoint("/a")
        engine.sender.hanging.add("/a")
        for _ in range(9):
            await engine.accept(endpoint)
        await engine.settle()
        engine.sender.hanging.clear()

        verdict = await engine.intake.accept_test(engine.message(test=True), endpoint)
        await engine.settle()

        assert verdict.result().outcome == making.an_outcome(200)
        assert engine.intake.verdict_within(endpoint) > timedelta(seconds=15)
