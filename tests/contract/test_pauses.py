"""Pauses of an endpoint, and what is sent by hand all the same."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

import making
from making import LEASE, MINUTE, NOW
from stafett.model import Application, DeliveryState, Endpoint, Trigger
from stafett.store import Claim, NewDelivery, NewMessage, Store

AGES_AGO = NOW - timedelta(days=400)


def owed(app: Application, endpoint: Endpoint, *, claim: Claim | None = None) -> NewMessage:
    delivery = making.a_delivery(endpoint.id, claim=claim)
    return NewMessage(message=making.a_message(app.id), deliveries=(delivery,))


async def pause(
    store: Store, application: Application, endpoint: Endpoint, *until: datetime
) -> NewMessage:
    """Record failures that pause `endpoint`, all in one batch; the first of them."""
    claim = making.a_claim()
    items = [owed(application, endpoint, claim=claim) for _ in until]
    await store.add_messages(items, now=NOW)
    records = [
        making.a_record(
            item,
            claim_id=claim.id,
            outcome=making.an_outcome(503),
            state=DeliveryState.PENDING,
            due_at=NOW,
            pause_endpoint_until=each,
        )
        for item, each in zip(items, until, strict=True)
    ]
    await store.record_attempts(records, now=NOW, failing_before=AGES_AGO)
    return items[0]


async def paused_until(store: Store, endpoint: Endpoint) -> datetime | None:
    found = await store.get_endpoint(endpoint.app_id, endpoint.id)
    assert found is not None
    return found.health.paused_until


async def claimed(store: Store, at: datetime) -> list[str]:
    found = await store.claim_due(making.a_claim(at), now=at, limit=10, room=10, held={})
    return [each.id for each in found]


async def test_the_longest_pause_of_a_batch_holds(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    await pause(store, application, endpoint, NOW + 2 * MINUTE, NOW + MINUTE)
    assert await paused_until(store, endpoint) == NOW + 2 * MINUTE


async def test_a_pause_is_ended_by_who_knows_which_one_it_is(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = await pause(store, application, endpoint, NOW + MINUTE)

    await store.end_pause(endpoint.id, until=NOW + MINUTE / 2)
    assert await paused_until(store, endpoint) == NOW + MINUTE
    assert await claimed(store, NOW) == []
    await store.end_pause(endpoint.id, until=NOW + MINUTE)

    assert await paused_until(store, endpoint) is None
    assert await claimed(store, NOW) == [item.deliveries[0].id]


@pytest.mark.parametrize("owed_before", [True, False])
async def test_a_claimed_resend_is_its_holders_though_the_endpoint_is_paused(
    store: Store, application: Application, endpoint: Endpoint, *, owed_before: bool
) -> None:
    item = await pause(store, application, endpoint, NOW + MINUTE)
    if not owed_before:
        item = NewMessage(message=making.a_message(application.id), deliveries=())
        await store.add_messages([item], now=NOW)
    claim = making.a_claim()
    again = NewDelivery(
        id=making.ids.delivery(NOW), endpoint_id=endpoint.id, due_at=NOW, claim=claim
    )

    made = await store.resend(again, message=item.message, now=NOW)

    assert made == (item.deliveries[0].id if owed_before else again.id)
    delivery = await store.get_delivery(item.message.id, endpoint.id)
    assert delivery is not None
    assert delivery.state is DeliveryState.SENDING
    assert await store.resend(again, message=item.message, now=NOW) is None
    sent = NewMessage(message=item.message, deliveries=(making.a_delivery(endpoint.id, id=made),))
    record = making.a_record(sent, claim_id=claim.id, trigger=Trigger.MANUAL)
    recorded = await store.record_attempts([record], now=NOW, failing_before=AGES_AGO)
    assert recorded.stale == frozenset()
    delivery = await store.get_delivery(item.message.id, endpoint.id)
    assert delivery is not None
    assert delivery.state is DeliveryState.SUCCEEDED


async def test_a_claimed_resend_whose_holder_died_is_due_when_the_lease_ends(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = owed(application, endpoint)
    await store.add_messages([item], now=NOW)
    again = NewDelivery(
        id=making.ids.delivery(NOW), endpoint_id=endpoint.id, due_at=NOW, claim=making.a_claim()
    )
    await store.resend(again, message=item.message, now=NOW)

    assert await claimed(store, NOW + LEASE - timedelta(seconds=1)) == []
    assert await claimed(store, NOW + LEASE) == [item.deliveries[0].id]
