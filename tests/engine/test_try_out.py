"""A test message for an endpoint that is stored nowhere: one request, and nothing kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

import making
from engine.conftest import Engine
from stafett import errors, signing
from stafett.engine.intake import Intake
from stafett.ids import Ids
from stafett.model import Endpoint, FailureCause


def drafted(engine: Engine, **given: object) -> Endpoint:
    return making.an_endpoint(engine.app.id, url="http://127.0.0.1:8080/draft", **given)


async def test_it_is_sent_signed_and_told_and_nothing_of_it_is_kept(engine: Engine) -> None:
    engine.dispatch.start()
    message = engine.message(test=True)
    attempt = await engine.intake.try_out(message, drafted(engine))
    await engine.pass_time(timedelta(hours=1))

    (request,) = engine.sender.requests
    headers = dict(request.headers)
    assert signing.verify([making.SECRET], headers, request.body, now=making.NOW).ok
    assert headers["stafett-test"] == "true"
    assert attempt.outcome == making.an_outcome(200)
    assert attempt.test
    assert {"add_messages", "record_attempts"}.isdisjoint(engine.watched.calls)
    assert await engine.store.get_message(engine.app.id, message.id, with_payload=False) is None


async def test_a_failure_is_told_and_not_repeated(engine: Engine) -> None:
    engine.sender.answers["/draft"] = [making.an_outcome(500)]
    engine.dispatch.start()
    attempt = await engine.intake.try_out(engine.message(test=True), drafted(engine))
    assert attempt.outcome.cause is FailureCause.STATUS
    await engine.pass_time(timedelta(hours=1))
    assert engine.sender.count("/draft") == 1


async def test_a_process_that_does_not_send_says_so(engine: Engine) -> None:
    silent = Intake(
        store=engine.store,
        clock=engine.clock,
        ids=Ids(),
        plan=engine.dispatch.plan,
        dispatch=None,
    )
    with pytest.raises(errors.Unavailable, match="does not send"):
        await silent.try_out(engine.message(test=True), drafted(engine))
    engine.dispatch.halt()
    with pytest.raises(errors.Unavailable, match="does not send"):
        await engine.intake.try_out(engine.message(test=True), drafted(engine))
    assert engine.sender.requests == []
