"""What an endpoint has of its own: the style of what it is sent, its schedule, its deadline."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

import making
from engine.conftest import TIMEOUT, Engine
from making import NOW
from stafett import signing
from stafett.engine.attempts import MAX_OWN_TIMEOUT
from stafett.model import DueDelivery, Endpoint, Message, PayloadStyle
from stafett.store import AttemptRecord

STYLES = [each for each in PayloadStyle if each is not PayloadStyle.ACCEPTED]
SECOND = timedelta(seconds=1)


def expected(message: Message, endpoint_id: str) -> dict[PayloadStyle, object]:
    """What every style makes of the payload that tests use."""
    payload = json.loads(making.PAYLOAD)
    at = message.created_at.isoformat().replace("+00:00", "Z")
    name = message.event_type
    return {
        PayloadStyle.ENVELOPE: {"type": name, "timestamp": at, "data": payload},
        PayloadStyle.FLAT: payload | {"_event": name, "_id": message.id, "_created": at},
        PayloadStyle.LEGACY: {"webhook_id": endpoint_id, "type": name, "data": payload},
    }


@pytest.mark.parametrize("style", STYLES)
async def test_every_attempt_sends_the_same_bytes_in_its_style_signed(
    engine: Engine, style: PayloadStyle
) -> None:
    endpoint = await engine.endpoint("/a", payload_style=style)
    engine.clock.move_to(NOW + timedelta(microseconds=123_456))
    engine.sender.answers["/a"] = [making.an_outcome(500), making.an_outcome(500)]
    engine.dispatch.start()
    message = await engine.accept(endpoint)  # the first from memory, the others from the store
    await engine.pass_time(timedelta(minutes=6))

    first, *others = engine.sender.requests
    assert len(others) == 2
    assert {each.body for each in others} == {first.body}
    assert json.loads(first.body) == expected(message, endpoint.id)[style]
    for each in engine.sender.requests:
        headers = dict(each.headers)
        assert headers["stafett-payload-style"] == style.value
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert signing.verify([making.SECRET], headers, each.body, now=at).ok


async def test_as_accepted_nothing_is_added(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    await engine.accept(endpoint)
    await engine.settle()
    (request,) = engine.sender.requests
    assert request.body == making.PAYLOAD
    assert "stafett-payload-style" not in dict(request.headers)


async def test_a_test_event_comes_in_the_style_too(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a", payload_style=PayloadStyle.FLAT)
    await engine.intake.accept_test(engine.message(test=True), endpoint)
    await engine.settle()
    assert json.loads(engine.sender.requests[0].body)["_event"] == "payment_received"


async def test_its_own_schedule_takes_the_place_of_the_servers(engine: Engine) -> None:
    waits = (20 * SECOND, 40 * SECOND, 60 * SECOND)
    own = await engine.endpoint("/own", retry_schedule=waits)
    usual = await engine.endpoint("/usual")
    engine.sender.answers["/own"] = [making.an_outcome(500)] * 9
    engine.sender.answers["/usual"] = [making.an_outcome(500)] * 9
    engine.dispatch.start()
    message = await engine.accept(own, usual)
    await engine.pass_time(19 * SECOND)
    assert (engine.sender.count("/own"), engine.sender.count("/usual")) == (1, 2)
    await engine.pass_time(timedelta(hours=1))

    assert (engine.sender.count("/own"), engine.sender.count("/usual")) == (4, 3)
    assert await engine.state(message, own) == "failed"
    attempts = [each for each in await engine.attempts(message) if each.endpoint_id == own.id]
    gaps = [b.created_at - a.created_at for a, b in pairwise(attempts)]
    assert all(wait <= gap < wait + SECOND for wait, gap in zip(waits, gaps, strict=True))


async def test_an_empty_schedule_is_one_attempt(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a", retry_schedule=())
    engine.sender.answers["/a"] = [making.an_outcome(500)]
    message = await engine.accept(endpoint)
    await engine.settle()
    assert await engine.state(message, endpoint) == "failed"


@pytest.mark.parametrize("own", [SECOND, MAX_OWN_TIMEOUT])
async def test_its_own_timeout_bounds_an_attempt_and_the_verdict_on_a_test(
    engine: Engine, own: timedelta
) -> None:
    endpoint, usual = await engine.endpoint("/a", timeout=own), await engine.endpoint("/b")
    await engine.accept(endpoint, usual)
    await engine.settle()
    assert {each.target.path: each.timeout for each in engine.sender.requests} == {
        "/a": own,
        "/b": TIMEOUT,
    }
    assert engine.intake.verdict_within(endpoint) > own


async def test_no_attempt_begins_that_its_lease_might_not_outlive(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[timedelta] = []
    make = engine.dispatch._attempts.make

    async def watched(due: DueDelivery, endpoint: Endpoint, *, now: datetime) -> AttemptRecord:
        begun.append(due.lease_until - now)
        return await make(due, endpoint, now=now)

    monkeypatch.setattr(engine.dispatch._attempts, "make", watched)
    slow = await engine.endpoint("/slow", timeout=MAX_OWN_TIMEOUT)
    engine.sender.hanging.add("/slow")
    messages = [await engine.accept(slow) for _ in range(5)]
    await engine.settle()
    first = len(begun)
    assert 0 < first < 5

    # Leases made at the start are too short now: what waits is given back, and claimed anew.
    engine.clock.move_to(NOW + 16 * SECOND)
    engine.sender.let_go("/slow")
    await engine.settle()
    assert len(begun) == first
    engine.dispatch.start()
    await engine.settle()
    assert len(begun) > first
    engine.sender.hanging.clear()
    for _ in begun[1:]:
        engine.sender.let_go("/slow")
    await engine.settle()
    assert [await engine.state(each, slow) for each in messages] == ["succeeded"] * 5
    assert min(begun) > MAX_OWN_TIMEOUT + SECOND


# --- requests at once ---------------------------------------------------------------------------


async def finish(engine: Engine, path: str, *, most: int) -> None:
    """Answer everything, one at a time; there must never be more than `most` under way."""
    answered = 0
    while engine.sender.count(path) > answered:
        assert engine.sender.count(path) - answered <= most
        engine.sender.let_go(path)
        answered += 1
        await engine.pass_time(SECOND)


@pytest.mark.parametrize("most", [1, 3, 10])
async def test_no_more_are_under_way_than_it_takes_at_once(engine: Engine, most: int) -> None:
    endpoint = await engine.endpoint("/a", concurrency=most)
    other = await engine.endpoint("/b")
    engine.sender.hanging |= {"/a", "/b"}
    engine.dispatch.start()
    messages = [await engine.accept(endpoint, other) for _ in range(20)]
    await engine.settle()
    assert engine.sender.count("/a") == min(most, 4)
    assert engine.sender.count("/b") == 4
    await finish(engine, "/a", most=most)
    await finish(engine, "/b", most=20)
    assert {await engine.state(each, endpoint) for each in messages} == {"succeeded"}


async def test_it_holds_for_what_is_found_in_the_store_by_a_process_that_knows_nothing(
    engine: Engine,
) -> None:
    endpoint = await engine.endpoint("/a", concurrency=1)
    engine.sender.hanging.add("/a")
    messages = [await engine.store_unclaimed(endpoint) for _ in range(6)]
    engine.dispatch.start()
    await engine.settle()
    assert engine.sender.count("/a") == 1
    answered = 0
    while answered < len(messages):
        engine.sender.let_go("/a")
        answered += 1
        await engine.pass_time(SECOND)
        assert engine.sender.count("/a") == min(answered + 1, len(messages))
    assert {await engine.state(each, endpoint) for each in messages} == {"succeeded"}


async def test_retries_and_first_attempts_share_it(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a", concurrency=1, retry_schedule=(SECOND,))
    engine.sender.answers["/a"] = [making.an_outcome(500)]
    engine.dispatch.start()
    first = await engine.accept(endpoint)
    await engine.settle()
    engine.sender.hanging.add("/a")
    second = await engine.accept(endpoint)
    await engine.pass_time(5 * SECOND)
    assert engine.sender.count("/a") == 2
    engine.sender.let_go("/a")
    await engine.pass_time(SECOND)
    assert engine.sender.count("/a") == 3
    engine.sender.let_go("/a")
    await engine.settle()
    assert {await engine.state(each, endpoint) for each in (first, second)} == {"succeeded"}


async def test_a_change_of_it_holds_for_the_next(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    engine.sender.hanging.add("/a")
    engine.dispatch.start()
    for _ in range(8):
        await engine.accept(endpoint)
    await engine.settle()
    assert engine.sender.count("/a") == 4
    await engine.store.update_endpoint(endpoint.id, {"concurrency": 1}, now=engine.now)
    engine.directory.forget_endpoints(engine.app.id)
    for answered in (1, 2, 3):
        engine.sender.let_go("/a")
        await engine.pass_time(SECOND)
        assert engine.sender.count("/a") == 4, answered
    engine.sender.let_go("/a")
    await engine.pass_time(SECOND)
    assert engine.sender.count("/a") == 5
    for _ in range(4):
        engine.sender.let_go("/a")
        await engine.pass_time(SECOND)
    assert engine.sender.count("/a") == 8


async def test_a_test_event_does_not_wait_for_it(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a", concurrency=1)
    engine.sender.hanging.add("/a")
    await engine.accept(endpoint)
    await engine.settle()
    await engine.intake.accept_test(engine.message(test=True), endpoint)
    await engine.settle()
    assert engine.sender.count("/a") == 2
    for _ in range(2):
        engine.sender.let_go("/a")
