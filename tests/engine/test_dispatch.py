"""The send path: what is sent when, and what becomes of it. Time moves by hand."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest

import making
from engine.conftest import WAITS, Engine
from making import NOW
from stafett.engine.dispatch import Places
from stafett.model import FailureCause

A_SCAN = timedelta(milliseconds=25)
"""Scans are at least 10 ms apart."""


async def test_what_is_born_claimed_is_sent_without_asking_the_store(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")

    message = await engine.accept(endpoint)
    await engine.settle()

    [request] = engine.sender.requests
    assert request.body == making.PAYLOAD
    assert "claim_due" not in engine.watched.calls
    assert await engine.state(message, endpoint) == "succeeded"


async def test_the_scan_finds_what_nobody_gave_a_hint_of(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.dispatch.start()
    await engine.settle()
    messages = [await engine.store_unclaimed(endpoint) for _ in range(3)]
    await engine.settle()
    assert engine.sender.requests == []

    await engine.pass_time(timedelta(seconds=1.1))

    assert engine.sender.count("/a") == 3
    for each in messages:
        assert await engine.state(each, endpoint) == "succeeded"


# --- when ---------------------------------------------------------------------------------------


async def test_a_retry_is_sent_at_its_due_time_and_never_before(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.answers["/a"] = [making.an_outcome(500)] * 3
    engine.dispatch.start()
    message = await engine.accept(endpoint)
    await engine.settle()

    for wait in WAITS:
        count, failed_at = engine.sender.count("/a"), engine.now
        due = (await engine.delivery(message, endpoint)).due_at
        assert due is not None
        assert due - failed_at > wait - A_SCAN
        await engine.jump(due - engine.now - A_SCAN)
        await engine.pass_time(A_SCAN - timedelta(microseconds=1))
        assert engine.sender.count("/a") == count
        await engine.pass_time(A_SCAN)
        assert engine.sender.count("/a") == count + 1
    await engine.jump(timedelta(days=2))

    notes = [each.note for each in await engine.attempts(message)]
    assert notes == [
        "next try in 5 s: 500",
        "next try in 5 min: 500",
        "gave up after 3 attempts: 500",
    ]
    assert engine.sender.count("/a") == 3
    assert await engine.state(message, endpoint) == "failed"


async def test_a_receiver_that_asks_for_quiet_gets_it_for_everything_it_is_owed(
    engine: Engine,
) -> None:
    endpoint, other = await engine.endpoint("/a"), await engine.endpoint("/b")
    quiet = making.an_outcome(503, response_headers=(("Retry-After", "60"),))
    engine.sender.answers["/a"] = [quiet]
    engine.dispatch.start()
    await engine.accept(endpoint)
    await engine.settle()

    later = await engine.accept(endpoint, other)
    unclaimed = await engine.store_unclaimed(endpoint)
    await engine.pass_time(timedelta(seconds=59.9))
    assert engine.sender.count("/a") == 1
    assert engine.sender.count("/b") == 1
    await engine.pass_time(timedelta(seconds=0.2))

    assert engine.sender.count("/a") == 4
    for each in (later, unclaimed):
        assert await engine.state(each, endpoint) == "succeeded"


async def test_the_quiet_a_receiver_asked_for_outlives_the_process(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    quiet = making.an_outcome(503, response_headers=(("Retry-After", "60"),))
    engine.sender.answers["/a"] = [quiet]
    await engine.accept(endpoint)
    await engine.settle()
    await engine.dispatch.stop(grace=timedelta(seconds=1))

    next_one = Engine(app=engine.app, store=engine.store, watched=engine.watched)
    next_one.clock.move_to(engine.now + timedelta(seconds=30))
    message = await next_one.accept(endpoint)
    await next_one.settle()
    assert next_one.sender.requests == []
    next_one.dispatch.start()
    await next_one.pass_time(timedelta(seconds=31))

    assert await next_one.state(message, endpoint) == "succeeded"
    await next_one.dispatch.stop(grace=timedelta(seconds=1))


async def test_a_webhook_that_is_switched_on_again_gets_its_events_at_once(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    quiet = making.an_outcome(503, response_headers=(("Retry-After", "3600"),))
    engine.sender.answers["/a"] = [quiet]
    engine.dispatch.start()
    await engine.accept(endpoint)
    await engine.settle()
    await engine.switch_off(endpoint)
    await engine.store.update_endpoint(endpoint.id, {"disabled": False}, now=engine.now)
    engine.directory.forget_endpoints(engine.app.id)

    message = await engine.accept(endpoint)
    await engine.pass_time(timedelta(seconds=2))

    assert await engine.state(message, endpoint) == "succeeded"


async def test_work_queued_when_a_receiver_asks_for_quiet_is_given_back(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.dispatch.start()
    await engine.accept(endpoint)
    await engine.settle()
    engine.sender.hanging.add("/a")
    messages = [await engine.accept(endpoint) for _ in range(8)]
    await engine.settle()
    assert engine.sender.count("/a") == 1 + 5
    engine.sender.hanging.clear()

    quiet = making.an_outcome(429, response_headers=(("Retry-After", "60"),))
    engine.sender.let_go("/a", quiet)
    await engine.settle()

    assert engine.sender.count("/a") == 1 + 5
    due = (await engine.delivery(messages[-1], endpoint)).due_at
    assert due == NOW + timedelta(seconds=60)
    for _ in range(4):
        engine.sender.let_go("/a")


async def test_a_rate_limit_spreads_what_is_sent_and_loses_nothing(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a", rate_limit=5)
    engine.dispatch.start()
    for _ in range(20):
        await engine.accept(endpoint)
    seen: list[int] = []
    for _ in range(6):
        seen.append(engine.sender.count("/a"))
        await engine.pass_time(timedelta(seconds=1))

    each_second = [after - before for before, after in itertools.pairwise(seen)]
    assert max(each_second) <= 6
    assert engine.sender.count("/a") == 20


async def test_what_its_rate_limit_gives_back_raises_no_doubt_about_a_webhook(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a", rate_limit=1)
    await engine.accept(endpoint)
    await engine.settle()
    for _ in range(3):
        await engine.accept(endpoint)
        await engine.settle()
    assert engine.sender.count("/a") == 1
    assert not engine.dispatch._shares[endpoint.id].doubtful


async def test_an_applications_rate_limit_holds_for_all_its_webhooks_together(
    engine: Engine,
) -> None:
    paths = ("/a", "/b", "/c")
    endpoints = [await engine.endpoint(path) for path in paths]
    await engine.limit_application(6)
    engine.dispatch.start()
    for _ in range(8):
        await engine.accept(*endpoints)
    seen: list[int] = []
    for _ in range(6):
        seen.append(sum(map(engine.sender.count, paths)))
        await engine.pass_time(timedelta(seconds=1))

    each_second = [after - before for before, after in itertools.pairwise(seen)]
    assert max(each_second) <= 7
    assert [engine.sender.count(path) for path in paths] == [8, 8, 8]


async def test_a_rate_limit_that_is_lifted_holds_nothing_back_and_a_test_never_waits(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    await engine.limit_application(1)
    await engine.accept(endpoint)
    await engine.accept(endpoint)
    await engine.settle()
    assert engine.sender.count("/a") == 1
    await engine.intake.accept_test(engine.message(test=True), endpoint)
    await engine.settle()
    assert engine.sender.count("/a") == 2

    await engine.limit_application(None)
    for _ in range(4):
        await engine.accept(endpoint)
    await engine.settle()

    assert engine.sender.count("/a") == 6


async def test_a_lease_too_short_for_an_attempt_is_given_back_and_sent_under_a_new_one(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.hanging.add("/a")
    messages = [await engine.accept(endpoint) for _ in range(5)]
    await engine.settle()
    assert engine.sender.count("/a") == 4
    engine.clock.move_to(NOW + timedelta(seconds=61))
    engine.sender.let_go("/a")
    await engine.settle()

    assert engine.sender.count("/a") == 4
    assert await engine.state(messages[4], endpoint) == "pending"
    engine.dispatch.start()
    await engine.settle()
    assert engine.sender.count("/a") == 5
    for _ in range(4):
        engine.sender.let_go("/a")


async def test_an_expired_lease_is_swept(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    message = engine.message()
    lost = making.a_delivery(endpoint.id, claim=making.a_claim())
    await engine.store.add_messages(
        [making.NewMessage(message=message, deliveries=(lost,))], now=NOW
    )
    engine.dispatch.start()
    await engine.pass_time(making.LEASE - timedelta(milliseconds=1))
    assert engine.sender.requests == []

    await engine.pass_time(timedelta(seconds=1))

    assert await engine.state(message, endpoint) == "succeeded"


# --- to whom ------------------------------------------------------------------------------------


async def test_what_was_accepted_before_its_endpoint_was_switched_off_is_canceled(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.hanging.add("/a")
    messages = [await engine.accept(endpoint) for _ in range(6)]
    await engine.settle()
    await engine.switch_off(endpoint)
    for _ in range(4):
        engine.sender.let_go("/a", making.an_outcome(500))
        await engine.settle()

    assert engine.sender.count("/a") == 4
    assert [await engine.state(each, endpoint) for each in messages] == ["canceled"] * 6


async def test_an_endpoint_that_answers_gone_is_switched_off_and_gets_nothing_more(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.answers["/a"] = [making.an_outcome(410)]
    engine.dispatch.start()
    await engine.settle()
    later = [await engine.store_unclaimed(endpoint) for _ in range(3)]

    gone = await engine.accept(endpoint)
    await engine.settle()
    raced = await engine.accept(endpoint)  # by someone who did not know yet
    await engine.pass_time(timedelta(minutes=1))

    assert engine.sender.count("/a") == 1
    assert await engine.state(gone, endpoint) == "failed"
    for each in (*later, raced):
        assert await engine.state(each, endpoint) == "canceled"
    assert engine.dispatch.measures.disabled == 1


async def test_a_test_goes_first_and_to_an_endpoint_that_is_off(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.hanging.add("/a")
    for _ in range(40):
        await engine.accept(endpoint)
    await engine.settle()
    await engine.switch_off(endpoint)
    engine.sender.hanging.clear()

    verdict = await engine.intake.accept_test(engine.message(test=True), endpoint)
    await engine.settle()

    assert verdict.result().outcome.status_code == 200
    assert ("stafett-test", "true") in engine.sender.requests[-1].headers
    for _ in range(4):
        engine.sender.let_go("/a")


# --- beside each other --------------------------------------------------------------------------


async def test_one_delivery_that_crashes_does_not_stop_the_others(engine: Engine) -> None:
    bad, good = await engine.endpoint("/bad"), await engine.endpoint("/good")
    engine.sender.answers["/bad"] = [RuntimeError("a bug")]
    engine.dispatch.start()

    first = await engine.accept(bad, good)
    await engine.settle()
    second = await engine.accept(bad, good)
    await engine.settle()

    assert await engine.state(first, bad) == "pending"
    [attempt] = [each for each in await engine.attempts(first) if each.endpoint_id == bad.id]
    assert attempt.outcome.cause == "internal"
    assert [await engine.state(each, good) for each in (first, second)] == ["succeeded"] * 2
    assert await engine.state(second, bad) == "succeeded"


async def test_a_crash_before_the_attempt_gives_the_delivery_back(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.dispatch.start()
    await engine.settle()
    engine.watched.fails["all_endpoints"] = RuntimeError("a bug")
    message = await engine.accept(endpoint)
    await engine.settle()
    assert engine.sender.requests == []
    assert await engine.state(message, endpoint) == "pending"

    engine.watched.fails.clear()
    await engine.pass_time(timedelta(seconds=2.1))

    assert await engine.state(message, endpoint) == "succeeded"


async def test_one_endpoint_that_hangs_takes_no_more_than_its_share(engine: Engine) -> None:
    hangs = await engine.endpoint("/hangs")
    healthy = [await engine.endpoint("/one"), await engine.endpoint("/two")]
    engine.sender.hanging.add("/hangs")
    engine.dispatch.start()

    for _ in range(100):
        await engine.accept(hangs, *healthy)
    await engine.pass_time(timedelta(seconds=2))

    assert engine.sender.count("/hangs") == 4
    assert engine.sender.count("/one") == engine.sender.count("/two") == 100
    timeout = making.an_outcome(None, cause=FailureCause.TIMEOUT)
    for _ in range(4):
        engine.sender.let_go("/hangs", timeout)
        await engine.pass_time(A_SCAN)
    assert engine.sender.count("/hangs") == 5
    engine.sender.let_go("/hangs", timeout)


@pytest.mark.parametrize("places", [Places(first=24, again=8, held=96)])
@pytest.mark.parametrize("born_claimed", [True, False], ids=["accepted", "found"])
async def test_many_that_hang_from_the_start_hold_up_none_of_the_others(
    engine: Engine, *, born_claimed: bool
) -> None:
    hanging = [await engine.endpoint(f"/hangs/{number}") for number in range(8)]
    healthy = [await engine.endpoint(f"/well/{number}") for number in range(32)]
    engine.sender.hanging = {f"/hangs/{number}" for number in range(8)}
    send = engine.accept if born_claimed else engine.store_unclaimed
    if not born_claimed:
        await send(*hanging, *healthy)
    engine.dispatch.start()
    await engine.settle()

    for _ in range(10):
        await send(*hanging, *healthy)
        await engine.pass_time(timedelta(milliseconds=100))
    await engine.pass_time(timedelta(seconds=2))

    sent = 10 if born_claimed else 11
    assert [engine.sender.count(f"/well/{number}") for number in range(32)] == [sent] * 32
    assert 8 <= engine.dispatch.under_way <= 12
    for path in engine.sender.hanging:
        for _ in range(engine.sender.count(path)):
            engine.sender.let_go(path)
    engine.sender.hanging.clear()


async def test_retries_do_not_take_the_places_of_first_attempts(engine: Engine) -> None:
    endpoint, other = await engine.endpoint("/a"), await engine.endpoint("/b")
    engine.sender.answers["/a"] = [making.an_outcome(500)] * 4
    engine.dispatch.start()
    for _ in range(4):
        await engine.accept(endpoint)
    await engine.settle()
    engine.sender.hanging.add("/a")
    await engine.pass_time(timedelta(seconds=6))
    assert engine.dispatch.under_way == 4

    message = await engine.accept(other)
    await engine.settle()

    assert await engine.state(message, other) == "succeeded"
    for _ in range(4):
        engine.sender.let_go("/a")


# --- the end ------------------------------------------------------------------------------------


async def test_a_stop_gives_back_what_has_not_begun_and_lets_the_rest_end(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.hanging.add("/a")
    engine.dispatch.start()
    messages = [await engine.accept(endpoint) for _ in range(6)]
    await engine.settle()

    stopping = asyncio.create_task(engine.dispatch.stop(grace=timedelta(seconds=30)))
    await engine.settle()
    assert not stopping.done()
    late = await engine.accept(endpoint)
    for _ in range(4):
        engine.sender.let_go("/a")
    await stopping

    states = [await engine.state(each, endpoint) for each in (*messages, late)]
    assert states == ["succeeded"] * 4 + ["pending"] * 3
    assert engine.sender.count("/a") == 4


async def test_a_halt_begins_nothing_more_at_once(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.hanging.add("/a")
    engine.dispatch.start()
    messages = [await engine.accept(endpoint) for _ in range(6)]
    await engine.settle()

    engine.dispatch.halt()
    for _ in range(4):
        engine.sender.let_go("/a")
    await engine.settle()

    states = [await engine.state(each, endpoint) for each in messages]
    assert states == ["succeeded"] * 4 + ["pending"] * 2
    assert engine.sender.count("/a") == 4


async def test_a_stop_leaves_what_does_not_end_within_the_grace_to_its_lease(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.hanging.add("/a")
    message = await engine.accept(endpoint)
    await engine.settle()

    await engine.dispatch.stop(grace=timedelta(0))

    assert await engine.state(message, endpoint) == "sending"
    assert await engine.attempts(message) == []
