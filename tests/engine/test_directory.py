"""What is kept in memory is never older than the last change that was told."""

from __future__ import annotations

import asyncio

import pytest

import making
from engine.conftest import Engine
from stafett import errors
from stafett.model import Endpoint


async def wanting(engine: Engine) -> list[Endpoint]:
    return await engine.directory.wanting(engine.app.id, event_type="payment_received", channels=())


async def test_what_is_known_is_not_asked_for_again(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    for _ in range(3):
        assert await engine.directory.application(engine.app.id) == engine.app
        assert await engine.directory.endpoints(engine.app.id) == (endpoint,)
        assert await engine.directory.endpoint(engine.app.id, endpoint.id) == endpoint
        assert await engine.directory.target(engine.app.id, endpoint.id) == (endpoint, None)
        assert await engine.directory.event_types() == {}
    asked = [each for each in engine.watched.calls if not each.startswith("add_")]
    assert sorted(asked) == [
        "all_endpoints",
        "all_event_types",
        "get_application",
        "get_application",  # for its rate limit, with the endpoints
    ]


async def test_an_unknown_application_is_told_and_not_remembered(engine: Engine) -> None:
    with pytest.raises(errors.NotFound, match="'late'"):
        await engine.directory.application("late")
    late = making.an_application(uid="late")
    await engine.store.add_application(late)
    assert await engine.directory.application("late") == late
    assert await engine.directory.application(late.id) == late


async def test_a_change_that_was_told_is_seen_at_once(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    assert await wanting(engine) == [endpoint]

    await engine.switch_off(endpoint)

    assert await wanting(engine) == []
    [kept] = await engine.directory.endpoints(engine.app.id)
    assert kept.disabled


async def test_a_new_rate_limit_of_an_application_is_seen_at_once(engine: Engine) -> None:
    endpoint = await engine.endpoint("/a")
    assert await engine.directory.target(engine.app.id, endpoint.id) == (endpoint, None)

    await engine.limit_application(7)

    assert await engine.directory.target(engine.app.id, endpoint.id) == (endpoint, 7)


async def test_event_types_are_loaded_anew_after_a_change(engine: Engine) -> None:
    assert await engine.directory.event_types() == {}
    await engine.store.add_event_types([making.an_event_type("order.paid")])
    engine.directory.forget_event_types()
    assert set(await engine.directory.event_types()) == {"order.paid"}


async def test_an_application_is_forgotten_under_both_its_names(engine: Engine) -> None:
    made = making.an_application(uid="acme")
    await engine.store.add_application(made)
    for ref in (made.id, "acme"):
        await engine.directory.application(ref)
    await engine.store.delete_application(made.id)

    engine.directory.forget_application(made.id)

    for ref in (made.id, "acme"):
        with pytest.raises(errors.NotFound):
            await engine.directory.application(ref)


@pytest.mark.parametrize("what", ["application", "endpoints", "event types"])
async def test_a_load_that_began_before_a_change_is_not_kept(engine: Engine, what: str) -> None:
    directory = engine.directory
    loads = {
        "application": lambda: directory.application(engine.app.id),
        "endpoints": lambda: directory.endpoints(engine.app.id),
        "event types": directory.event_types,
    }
    load = asyncio.ensure_future(loads[what]())
    await asyncio.sleep(0)
    if what == "event types":
        directory.forget_event_types()
    else:
        directory.forget_application(engine.app.id)
    await load
    before = len(engine.watched.calls)

    await loads[what]()

    assert len(engine.watched.calls) > before
    before = len(engine.watched.calls)
    await loads[what]()
    assert len(engine.watched.calls) == before


async def test_memory_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stafett.engine.directory._MAX_KEPT", 3)
    for number in range(10):
        made = making.an_application(uid=f"app-{number}")
        await engine.store.add_application(made)
        assert await engine.directory.application(f"app-{number}") == made
        await engine.directory.wanting(engine.app.id, event_type=f"event_{number}", channels=())
        await engine.directory.endpoints(made.id)
    assert len(engine.directory._applications) <= 3
    assert len(engine.directory._rooms) <= 3
