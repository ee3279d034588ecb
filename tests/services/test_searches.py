"""Looking through deliveries and payloads, and sending again what was found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import making
from making import MINUTE
from stafett import errors
from stafett.app import Stafett
from stafett.model import (
    DeliveryState,
    Endpoint,
    EndpointChanges,
    Message,
    MessageFilter,
    Outcome,
)
from stafett.services import deliveries, messages
from stafett.settings import Settings, parse_networks
from stafett.store import DeliveryQuery, NewMessage

FAILED = DeliveryQuery(state=DeliveryState.FAILED)
APP = messages.DEFAULT_APP


@pytest.fixture
async def stafett(tmp_path: Path) -> AsyncIterator[Stafett]:
    """One that stores and does not send: what was made due stays so."""
    settings = Settings(data=tmp_path, allow_networks=parse_networks("127.0.0.0/8"))
    async with Stafett(settings, dispatch=False) as made:
        yield made


async def an_endpoint(stafett: Stafett, **given: Any) -> Endpoint:
    application = await stafett.applications.get(APP)
    endpoint = making.an_endpoint(application.id, **given)
    await stafett._store.add_endpoint(endpoint)
    stafett._directory.forget_application(application.id)
    return endpoint


async def owed(
    stafett: Stafett, *endpoints: Endpoint, outcome: Outcome | None = None, **given: Any
) -> Message:
    """A message owed to `endpoints`, a minute ago; `outcome` is how the first was attempted."""
    now = stafett.now()
    claim = making.a_claim(now)
    made = tuple(
        making.a_delivery(
            each.id, due_at=now, claim=claim if outcome is not None and not place else None
        )
        for place, each in enumerate(endpoints)
    )
    app = await stafett.applications.get(APP)
    fields: dict[str, Any] = {"at": now - MINUTE, "endpoint_count": len(made)}
    message = making.a_message(app.id, **fields | given)
    item = NewMessage(message=message, deliveries=made)
    await stafett._store.add_messages([item], now=now)
    if outcome is not None:
        record = making.a_record(item, claim_id=claim.id, outcome=outcome, at=now)
        await stafett._store.record_attempts([record], now=now, failing_before=now - MINUTE)
    return message


async def states(stafett: Stafett) -> dict[str, DeliveryState]:
    found = await stafett.deliveries.search(APP, DeliveryQuery(), limit=99)
    return {each.message.id: each.delivery.state for each in found.items}


BAD = making.an_outcome(500)


async def test_what_failed_is_sent_again_and_nothing_else(stafett: Stafett) -> None:
    endpoint = await an_endpoint(stafett)
    bad = [await owed(stafett, endpoint, outcome=BAD) for _ in range(3)]
    good = await owed(stafett, endpoint, outcome=making.an_outcome())
    test = await owed(stafett, endpoint, outcome=BAD, test=True)

    found = await stafett.deliveries.to_resend(APP, FAILED)
    assert {each.message.id for each in found.deliveries} == {each.id for each in bad}
    assert (found.left_out, found.more) == (0, False)
    assert await stafett.deliveries.resend_all(APP, FAILED) == 3

    now = await states(stafett)
    assert {now[each.id] for each in bad} == {DeliveryState.PENDING}
    assert now[good.id] is DeliveryState.SUCCEEDED
    assert now[test.id] is DeliveryState.FAILED


async def test_what_cannot_be_sent_again_is_left_out(stafett: Stafett) -> None:
    endpoint, off, deleted = [await an_endpoint(stafett) for _ in range(3)]
    await owed(stafett, off, outcome=BAD)
    await owed(stafett, deleted, outcome=BAD)
    gone = await owed(stafett, endpoint, outcome=BAD)
    good = await owed(stafett, endpoint, outcome=BAD)
    await stafett.messages.expunge(APP, gone.id)
    await stafett.endpoints.update(APP, off.id, EndpointChanges(disabled=True))
    await stafett.endpoints.delete(APP, deleted.id)

    found = await stafett.deliveries.to_resend(APP, FAILED)
    assert [each.message.id for each in found.deliveries] == [good.id]
    assert found.left_out == 3


async def test_what_waits_is_sent_at_once_only_when_asked_for(stafett: Stafett) -> None:
    endpoint = await an_endpoint(stafett)
    waits = await owed(stafett, endpoint)
    assert (await stafett.deliveries.to_resend(APP, DeliveryQuery())).left_out == 1
    found = await stafett.deliveries.to_resend(APP, DeliveryQuery(state=DeliveryState.PENDING))
    assert [each.message.id for each in found.deliveries] == [waits.id]


async def test_a_thousand_are_sent_again_at_a_time(
    stafett: Stafett, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_RESEND", 2)
    monkeypatch.setattr(deliveries, "_AT_ONCE", 1)
    endpoint = await an_endpoint(stafett)
    made = [
        await owed(stafett, endpoint, outcome=BAD, at=stafett.now() - n * MINUTE) for n in (3, 2, 1)
    ]
    found = await stafett.deliveries.to_resend(APP, FAILED)
    assert [each.message.id for each in found.deliveries] == [made[2].id, made[1].id]
    assert found.more
    assert await stafett.deliveries.resend_all(APP, FAILED) == 2
    assert (await states(stafett))[made[0].id] is DeliveryState.FAILED
    assert await stafett.deliveries.resend_all(APP, FAILED) == 1


async def test_what_changed_since_it_was_found_is_not_counted(
    stafett: Stafett, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await an_endpoint(stafett)
    message = await owed(stafett, endpoint, outcome=BAD)
    before = await stafett.deliveries.to_resend(APP, FAILED)
    await stafett.messages.expunge(APP, message.id)

    async def as_before(*_: object) -> deliveries.ToResend:
        return before

    monkeypatch.setattr(stafett.deliveries, "to_resend", as_before)
    assert await stafett.deliveries.resend_all(APP, FAILED) == 0


async def test_what_comes_later_than_now_is_not_sent_again(stafett: Stafett) -> None:
    endpoint = await an_endpoint(stafett)
    await owed(stafett, endpoint, outcome=BAD, at=stafett.now() + MINUTE)
    later = DeliveryQuery(state=DeliveryState.FAILED, before=stafett.now() + 9 * MINUTE)
    assert (await stafett.deliveries.to_resend(APP, later)).deliveries == ()


async def test_one_delivery_is_found_by_the_id_of_a_deleted_webhook(stafett: Stafett) -> None:
    endpoint = await an_endpoint(stafett)
    message = await owed(stafett, endpoint)
    await stafett.endpoints.delete(APP, endpoint.id)
    delivery, found = await stafett.deliveries.delivery(APP, message.id, endpoint.id)
    assert delivery.state is DeliveryState.CANCELED
    assert found == message
    with pytest.raises(errors.NotFound, match="never owed"):
        await stafett.deliveries.delivery(APP, message.id, making.ids.endpoint(making.NOW))
    with pytest.raises(errors.NotFound):
        await stafett.deliveries.delivery(APP, making.ids.message(making.NOW), endpoint.id)
    with pytest.raises(errors.NotFound, match="application"):
        await stafett.deliveries.search("nobody", DeliveryQuery())


async def test_destinations_are_told_of_messages_owed_to_a_few(stafett: Stafett) -> None:
    endpoints = [await an_endpoint(stafett) for _ in range(6)]
    many, few, none = (
        await owed(stafett, *endpoints),
        await owed(stafett, *endpoints[:2]),
        await owed(stafett),
    )
    found = await stafett.deliveries.destinations_of([many, few, none])
    assert {name: len(each) for name, each in found.items()} == {few.id: 2}
    assert await stafett.deliveries.destinations_of([]) == {}


async def test_a_payload_is_found_however_json_spells_it(stafett: Stafett) -> None:
    text = 'Åse "x" a/b'
    as_encoders_write = [
        '{"t":"Åse \\"x\\" a/b"}',
        '{"t":"\\u00c5se \\"x\\" a/b"}',
        '{"t":"\\u00C5se \\"x\\" a\\/b"}',
    ]
    made = [await owed(stafett, payload=each.encode()) for each in as_encoders_write]
    await owed(stafett, payload=b'{"t":"Ase"}')
    found = await stafett.messages.search(APP, text, where=MessageFilter())
    assert {each.id for each in found.items} == {each.id for each in made}


@pytest.mark.parametrize("text", ["", "x" * 201])
async def test_a_text_to_search_for_has_a_length(stafett: Stafett, text: str) -> None:
    with pytest.raises(errors.Invalid, match="1 to 200 characters"):
        await stafett.messages.search(APP, text, where=MessageFilter())
