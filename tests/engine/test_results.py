"""What attempts came to is written, later if not now, and under a claim that still holds."""

from __future__ import annotations

from datetime import timedelta

import making
from engine.conftest import Engine
from stafett import errors
from stafett.model import PageQuery
from stafett.store import NewMessage

GRACE = timedelta(seconds=1)


async def test_results_wait_while_the_store_is_away_and_are_written_once(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.watched.fails["record_attempts"] = errors.StoreFull("the disk is full")
    messages = [await engine.accept(endpoint) for _ in range(3)]
    await engine.pass_time(timedelta(seconds=10))
    assert [await engine.state(each, endpoint) for each in messages] == ["sending"] * 3

    engine.watched.fails.clear()
    await engine.pass_time(timedelta(seconds=1))

    assert engine.sender.count("/a") == 3
    for each in messages:
        assert await engine.state(each, endpoint) == "succeeded"
        assert len(await engine.attempts(each)) == 1


async def test_while_results_wait_other_work_is_still_sent(engine: Engine) -> None:
    one, two = await engine.endpoint("/one"), await engine.endpoint("/two")
    engine.watched.fails["record_attempts"] = errors.Unavailable("away")
    await engine.accept(one)
    await engine.settle()

    await engine.accept(two)
    await engine.settle()

    assert engine.sender.count("/two") == 1


async def test_a_result_whose_claim_is_gone_changes_nothing(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.hanging.add("/a")
    message = await engine.accept(endpoint)
    await engine.settle()
    engine.clock.move_to(engine.now + timedelta(minutes=2))
    thief = making.a_claim(engine.now)
    [stolen] = await engine.store.claim_due(thief, now=engine.now, limit=9, room=9, held={})

    engine.sender.let_go("/a", making.an_outcome(410))
    await engine.settle()

    assert stolen.message_id == message.id
    assert engine.dispatch.measures.stale == 1
    assert await engine.state(message, endpoint) == "sending"
    assert await engine.attempts(message) == []
    kept = await engine.store.get_endpoint(engine.app.id, endpoint.id)
    assert kept is not None
    assert not kept.disabled


async def test_a_broken_store_does_not_hold_up_the_end(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.watched.fails["record_attempts"] = errors.StoreBroken("an fsync failed")
    message = await engine.accept(endpoint)
    await engine.settle()

    await engine.dispatch.stop(grace=GRACE)

    assert await engine.state(message, endpoint) == "sending"


async def test_a_stop_ends_although_the_store_does_not_take_the_results(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.watched.fails["record_attempts"] = errors.StoreFull("the disk is full")
    message = await engine.accept(endpoint)
    await engine.settle()

    await engine.dispatch.stop(grace=timedelta(milliseconds=10))

    assert await engine.state(message, endpoint) == "sending"


async def test_work_that_could_not_be_given_back_is_found_when_its_lease_ends(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    engine.watched.fails["all_endpoints"] = RuntimeError("a bug")
    engine.watched.fails["release"] = errors.Unavailable("away")
    engine.dispatch.start()
    message = await engine.accept(endpoint)
    await engine.settle()
    engine.watched.fails.clear()
    assert await engine.state(message, endpoint) == "sending"

    await engine.pass_time(timedelta(seconds=82))

    assert await engine.state(message, endpoint) == "succeeded"


async def test_an_endpoint_that_failed_too_long_is_switched_off_and_gets_nothing_more(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.answers["/a"] = [making.an_outcome(500)] * 9
    await engine.accept(endpoint)
    await engine.settle()
    await engine.jump(timedelta(days=5))
    last = await engine.accept(endpoint)
    await engine.settle()

    found = await engine.store.get_endpoint(engine.app.id, endpoint.id)
    assert found is not None
    assert (found.disabled_reason, found.disabled_at) == ("failing", engine.now)
    assert await engine.state(last, endpoint) == "canceled"
    assert (
        await engine.directory.wanting(engine.app.id, event_type="payment_received", channels=())
        == []
    )


async def test_an_answer_to_one_of_many_does_not_wait_for_the_others(engine: Engine) -> None:
    slow, quick = await engine.endpoint("/slow"), await engine.endpoint("/quick")
    engine.sender.hanging.add("/slow")
    message = await engine.accept(slow, quick)
    await engine.settle()

    page = await engine.store.list_deliveries(message.id, PageQuery())
    assert {each.endpoint_id: each.state.value for each, _ in page.items} == {
        slow.id: "sending",
        quick.id: "succeeded",
    }
    engine.sender.let_go("/slow")


async def test_a_claim_of_another_process_is_not_given_back(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    message = engine.message()
    theirs = making.a_delivery(endpoint.id, claim=making.a_claim())
    await engine.store.add_messages(
        [NewMessage(message=message, deliveries=(theirs,))], now=engine.now
    )
    engine.dispatch.start()
    await engine.pass_time(timedelta(seconds=2))

    await engine.dispatch.stop(grace=GRACE)

    assert await engine.state(message, endpoint) == "sending"
