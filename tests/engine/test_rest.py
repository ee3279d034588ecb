"""A webhook that keeps failing rests: nothing is sent, nothing is lost, and a person gets through.

The oracles are the scripted receiver (what it was asked, and when) and the store.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import making
from engine.conftest import Engine
from making import NOW
from stafett.model import Attempt, Endpoint, FailureCause, Message, PageQuery
from stafett.store import NewDelivery

BAD = making.an_outcome(500)
TIMED_OUT = making.an_outcome(None, cause=FailureCause.TIMEOUT)
COOL_DOWN = timedelta(seconds=30)
A_SCAN = timedelta(milliseconds=25)


async def a_resting(engine: Engine, *, more_failures: int = 0) -> tuple[Endpoint, list[Message]]:
    """A webhook `/a` that has just failed ten times, and what it was sent."""
    endpoint = await engine.endpoint("/a")
    engine.sender.answers["/a"] = [BAD] * (10 + more_failures)
    engine.dispatch.start()
    messages = [await engine.accept(endpoint) for _ in range(10)]
    await engine.pass_time(4 * A_SCAN)
    assert engine.sender.count("/a") == 10
    return endpoint, messages


async def paused_until(engine: Engine, endpoint: Endpoint) -> datetime | None:
    found = await engine.store.get_endpoint(engine.app.id, endpoint.id)
    assert found is not None
    return found.health.paused_until


async def resend(engine: Engine, message: Message, endpoint: Endpoint) -> None:
    new = NewDelivery(
        id=making.ids.delivery(engine.now), endpoint_id=endpoint.id, due_at=engine.now
    )
    [current] = [
        each for each in await engine.store.all_endpoints(engine.app.id) if each.id == endpoint.id
    ]
    assert await engine.intake.resend(new, message=message, endpoint=current) is not None
    await engine.settle()


async def test_nothing_is_sent_while_it_rests_and_everything_after_that(engine: Engine) -> None:
    endpoint, messages = await a_resting(engine)
    rests_until = await paused_until(engine, endpoint)
    assert rests_until is not None
    assert NOW + COOL_DOWN <= rests_until <= engine.now + COOL_DOWN

    messages += [await engine.accept(endpoint) for _ in range(5)]
    messages += [await engine.store_unclaimed(endpoint) for _ in range(5)]
    await engine.pass_time(rests_until - engine.now - A_SCAN)
    assert engine.sender.count("/a") == 10
    assert [(await engine.delivery(each, endpoint)).attempt_count for each in messages] == (
        [1] * 10 + [0] * 10
    )
    await engine.pass_time(timedelta(seconds=2))

    assert [await engine.state(each, endpoint) for each in messages] == ["succeeded"] * 20
    assert engine.dispatch.measures.breaker_opened == 1
    assert engine.dispatch.measures.breaker_closed == 1


async def test_the_attempt_that_opened_it_says_so(engine: Engine) -> None:
    _, messages = await a_resting(engine)
    notes = [each.note for message in messages for each in await engine.attempts(message)]
    resting = [each for each in notes if "rests" in each]
    assert resting == ["next try in 5 s: 500; the webhook rests for 30 s"]


async def test_one_request_probes_and_only_its_answer_lets_others_follow(engine: Engine) -> None:
    await a_resting(engine)
    engine.sender.hanging.add("/a")
    await engine.pass_time(COOL_DOWN + timedelta(seconds=2))
    assert engine.sender.count("/a") == 11

    seen: list[int] = []
    for _ in range(3):
        for _ in range(engine.dispatch.under_way):
            engine.sender.let_go("/a")
        await engine.pass_time(4 * A_SCAN)
        seen.append(engine.dispatch.under_way)
    assert seen == [2, 4, 3]  # the last three of ten
    for _ in range(3):
        engine.sender.let_go("/a")


async def test_one_request_probes_however_many_were_under_way_when_it_opened(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a")
    engine.dispatch.start()
    for _ in range(30):
        await engine.accept(endpoint)
    await engine.pass_time(timedelta(seconds=1))
    assert engine.sender.count("/a") == 30
    engine.sender.hanging.add("/a")
    for _ in range(30):
        await engine.accept(endpoint)
    await engine.settle()
    assert engine.dispatch.under_way == 30

    for _ in range(30):
        engine.sender.let_go("/a", BAD)
    await engine.pass_time(COOL_DOWN + timedelta(seconds=2))

    assert engine.sender.count("/a") == 61
    engine.sender.hanging.clear()
    engine.sender.let_go("/a")
    await engine.pass_time(timedelta(seconds=6))
    assert engine.sender.count("/a") == 90


async def test_who_goes_on_failing_rests_longer_and_each_delivery_gets_its_attempts(
    engine: Engine,
) -> None:
    endpoint, messages = await a_resting(engine, more_failures=20)
    asked: list[int] = []
    for _ in range(8):
        before = engine.sender.count("/a")
        await engine.jump(timedelta(minutes=5))
        await engine.pass_time(timedelta(seconds=2))
        asked.append(engine.sender.count("/a") - before)
    assert asked == [1] * 8

    await engine.jump(timedelta(hours=1))
    for _ in range(20):
        await engine.pass_time(timedelta(minutes=5))

    attempts = [len(await engine.attempts(each)) for each in messages]
    assert attempts == [3] * 10
    states = {await engine.state(each, endpoint) for each in messages}
    assert states <= {"failed", "succeeded"}


async def test_a_receiver_that_hangs_is_left_alone_after_five_timeouts(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.answers["/a"] = [TIMED_OUT] * 5
    engine.dispatch.start()
    for _ in range(20):
        await engine.accept(endpoint)
    await engine.pass_time(timedelta(seconds=20))
    assert engine.sender.count("/a") == 5
    await engine.pass_time(timedelta(seconds=20))
    assert engine.sender.count("/a") == 25


async def test_a_webhook_with_a_quick_schedule_of_its_own_does_not_rest_longer_than_that(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a", retry_schedule=(timedelta(seconds=1),) * 3)
    engine.sender.answers["/a"] = [BAD] * 10
    engine.dispatch.start()
    messages = [await engine.accept(endpoint) for _ in range(10)]
    await engine.pass_time(timedelta(seconds=2))
    assert [await engine.state(each, endpoint) for each in messages] == ["succeeded"] * 10
    assert engine.dispatch.measures.breaker_opened == 1


async def test_the_store_is_not_searched_for_each_event_that_a_resting_webhook_gets(
    engine: Engine,
) -> None:
    await a_resting(engine)
    await engine.pass_time(timedelta(seconds=1))
    [resting] = await engine.directory.endpoints(engine.app.id)
    engine.watched.calls.clear()
    for _ in range(50):
        await engine.accept(resting)
        await engine.pass_time(timedelta(milliseconds=20))
    assert engine.watched.calls.count("claim_due") <= 2
    assert "release" not in engine.watched.calls


# --- by hand ------------------------------------------------------------------------------------


async def test_a_resend_by_hand_goes_out_at_once_and_its_success_ends_the_rest(
    engine: Engine,
) -> None:
    endpoint, messages = await a_resting(engine)
    engine.sender.answers["/a"].clear()

    await resend(engine, messages[3], endpoint)

    assert engine.sender.count("/a") == 11
    assert await engine.state(messages[3], endpoint) == "succeeded"
    assert await paused_until(engine, endpoint) is None
    await engine.pass_time(timedelta(seconds=6))
    assert [await engine.state(each, endpoint) for each in messages] == ["succeeded"] * 10


async def test_a_resend_by_hand_that_fails_makes_nobody_wait_longer(engine: Engine) -> None:
    endpoint, messages = await a_resting(engine, more_failures=1)
    before = await paused_until(engine, endpoint)

    await resend(engine, messages[3], endpoint)

    assert engine.sender.count("/a") == 11
    assert await paused_until(engine, endpoint) == before
    [_, again] = await engine.attempts(messages[3])
    assert again.trigger == "manual"


async def test_of_many_resends_one_goes_out_at_a_time(engine: Engine) -> None:
    endpoint, messages = await a_resting(engine)
    engine.sender.hanging.add("/a")
    for each in messages[:5]:
        await resend(engine, each, endpoint)
    assert engine.sender.count("/a") == 11
    assert [await engine.state(each, endpoint) for each in messages[:5]] == (
        ["sending"] + ["pending"] * 4
    )

    engine.sender.hanging.clear()
    engine.sender.let_go("/a")
    await engine.pass_time(timedelta(seconds=6))
    assert [await engine.state(each, endpoint) for each in messages] == ["succeeded"] * 10


async def test_a_resend_whose_payload_is_gone_holds_nothing_up(engine: Engine) -> None:
    endpoint, messages = await a_resting(engine)
    await engine.store.expunge_payload(engine.app.id, messages[0].id)

    await resend(engine, messages[0], endpoint)
    assert engine.sender.count("/a") == 10
    engine.sender.answers["/a"].clear()
    await resend(engine, messages[1], endpoint)
    assert await engine.state(messages[1], endpoint) == "succeeded"

    await engine.pass_time(timedelta(minutes=2))
    assert await engine.state(messages[0], endpoint) == "failed"


async def test_a_test_event_that_arrives_ends_the_rest(engine: Engine) -> None:
    endpoint, messages = await a_resting(engine)
    engine.sender.answers["/a"].clear()

    verdict = await engine.intake.accept_test(engine.message(test=True), endpoint)
    await engine.settle()
    attempt: Attempt = verdict.result()

    assert attempt.outcome.succeeded
    assert await paused_until(engine, endpoint) is None
    await engine.pass_time(timedelta(seconds=6))
    assert [await engine.state(each, endpoint) for each in messages] == ["succeeded"] * 10


async def test_a_pause_that_the_receiver_asked_for_is_not_ended_by_a_success(
    engine: Engine,
) -> None:
    endpoint, messages = await a_resting(engine)
    quiet = making.an_outcome(503, response_headers=(("Retry-After", "600"),))
    engine.sender.answers["/a"] = [quiet]
    await resend(engine, messages[0], endpoint)
    asked_for = await paused_until(engine, endpoint)
    assert asked_for == engine.now + timedelta(seconds=600)

    await resend(engine, messages[1], endpoint)

    assert await engine.state(messages[1], endpoint) == "succeeded"
    assert await paused_until(engine, endpoint) == asked_for
    await engine.pass_time(timedelta(seconds=590))
    assert engine.sender.count("/a") == 12
    await engine.pass_time(timedelta(seconds=12))
    assert [await engine.state(each, endpoint) for each in messages] == ["succeeded"] * 10


async def test_the_longer_of_two_pauses_holds(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    quiet = making.an_outcome(500, response_headers=(("Retry-After", "600"),))
    engine.sender.answers["/a"] = [*[BAD] * 9, quiet]
    for _ in range(4):
        await engine.accept(endpoint)
    engine.dispatch.start()
    for _ in range(6):
        await engine.accept(endpoint)
    await engine.pass_time(4 * A_SCAN)
    assert engine.dispatch.measures.breaker_opened == 1
    until = await paused_until(engine, endpoint)
    assert until is not None
    assert until >= NOW + timedelta(seconds=600)


async def test_a_webhook_that_is_switched_on_again_does_not_rest_any_more(engine: Engine) -> None:
    endpoint, _ = await a_resting(engine)
    await engine.switch_off(endpoint)
    await engine.store.update_endpoint(endpoint.id, {"disabled": False}, now=engine.now)
    engine.directory.forget_endpoints(engine.app.id)
    engine.sender.answers["/a"].clear()

    message = await engine.accept(endpoint)
    await engine.settle()

    assert await engine.state(message, endpoint) == "succeeded"
    page = await engine.store.list_endpoints(engine.app.id, PageQuery())
    assert page.items[0].health.paused_until is None
