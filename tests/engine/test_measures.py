"""What the engine counts and measures of its own work."""

from __future__ import annotations

from datetime import timedelta

import pytest

import making
from engine.conftest import Engine
from stafett import errors
from stafett.engine.measures import Histogram, timed
from stafett.model import DisabledReason, FailureCause

MINUTE = timedelta(minutes=1)

# --- the histogram ----------------------------------------------------------------------------


def test_a_value_counts_for_every_bound_that_it_is_not_above() -> None:
    histogram = Histogram((1.0, 2.0, 4.0))
    for value in (0.5, 1.0, 1.5, 4.0, 9.0):
        histogram.observe(value)
    assert histogram.cumulative == [2, 3, 4, 5]
    assert histogram.total == 16.0


def test_only_what_ends_well_is_timed() -> None:
    histogram = Histogram((60.0,))
    with timed(histogram):
        pass
    with pytest.raises(errors.Unavailable), timed(histogram):
        raise errors.Unavailable("away")
    assert histogram.cumulative == [1, 1]
    assert 0 <= histogram.total < 60


# --- the journey ------------------------------------------------------------------------------


async def test_intake_and_dispatch_measure_into_one(engine: Engine) -> None:
    assert engine.intake.measures is engine.dispatch.measures


async def test_a_batch_is_measured_once_however_large(engine: Engine) -> None:
    hook = await engine.endpoint("/hook")
    items = [(engine.message(endpoint_count=1), [hook]) for _ in range(3)]
    await engine.intake.accept_all(items)
    await engine.settle()
    of = engine.dispatch.measures
    assert of.messages == {"added": 3}
    assert (of.accept_items.cumulative[-1], of.accept_items.total) == (1, 3)
    assert of.accept_seconds.cumulative[-1] == 1
    assert of.record_items.total == 3
    assert of.record_seconds.cumulative[-1] == of.record_items.cumulative[-1]


async def test_a_commit_that_fails_is_not_measured(engine: Engine) -> None:
    engine.watched.fails["add_messages"] = errors.Unavailable("away")
    with pytest.raises(errors.Unavailable):
        await engine.accept()
    assert engine.dispatch.measures.accept_seconds.cumulative[-1] == 0
    assert not engine.dispatch.measures.messages


async def test_attempts_are_counted_by_cause_and_take_what_they_took(engine: Engine) -> None:
    hook = await engine.endpoint("/hook")
    refused = making.an_outcome(
        None, cause=FailureCause.REFUSED, duration=timedelta(seconds=3), response_body=b""
    )
    engine.sender.answers["/hook"] = [refused]
    engine.dispatch.start()
    await engine.accept(hook)
    await engine.pass_time(MINUTE)
    of = engine.dispatch.measures
    assert of.attempts == {"refused": 1, "succeeded": 1}
    assert of.attempt_seconds.total == pytest.approx(3.012)


async def test_only_what_is_found_in_the_store_is_a_claim(engine: Engine) -> None:
    hook = await engine.endpoint("/hook")
    await engine.accept(hook)
    await engine.settle()
    assert engine.dispatch.measures.claims == 0

    engine.dispatch.start()
    await engine.store_unclaimed(hook)
    await engine.pass_time(MINUTE)
    of = engine.dispatch.measures
    assert of.claims == 1
    assert of.lease_expiries == 0
    assert of.claim_seconds.cumulative[-1] >= 1


async def test_what_another_did_not_end_in_time_is_an_expired_lease(engine: Engine) -> None:
    hook = await engine.endpoint("/hook")
    message = await engine.store_unclaimed(hook)
    claim = making.a_claim(engine.now)
    await engine.store.claim_due(claim, now=engine.now, limit=1, room=1, held={})

    engine.dispatch.start()
    await engine.pass_time(2 * making.LEASE)
    assert await engine.state(message, hook) == "succeeded"
    of = engine.dispatch.measures
    assert (of.claims, of.lease_expiries) == (1, 1)


async def test_an_endpoint_that_says_it_is_gone_is_counted(engine: Engine) -> None:
    hook = await engine.endpoint("/hook")
    engine.sender.answers["/hook"] = [making.an_outcome(410)]
    await engine.accept(hook)
    await engine.settle()
    found = await engine.store.get_endpoint(engine.app.id, hook.id)
    assert found is not None
    assert found.disabled_reason is DisabledReason.GONE
    assert engine.dispatch.measures.disabled == 1
