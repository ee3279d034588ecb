"""What waits for a webhook that rests says so: its next attempt is not before the pause is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import making
from stafett.app import Stafett
from stafett.model import DeliveryFilter, DeliveryState, Endpoint, Message, PageQuery
from stafett.services.messages import DEFAULT_APP as APP
from stafett.settings import Settings
from stafett.store import NewMessage

PAUSE = timedelta(minutes=10)


@pytest.fixture
async def stafett(tmp_path: Path) -> AsyncIterator[Stafett]:
    """One that stores and does not send."""
    async with Stafett(Settings(data=tmp_path), dispatch=False) as made:
        yield made


async def paused(stafett: Stafett) -> tuple[Endpoint, list[Message]]:
    """A webhook that rests, and two messages owed to it: due after the pause, and before."""
    app = await stafett.applications.get(APP)
    endpoint = making.an_endpoint(app.id)
    await stafett._store.add_endpoint(endpoint)
    now = stafett.now()
    claim = making.a_claim(now)
    items = [
        NewMessage(
            message=making.a_message(app.id, at=now),
            deliveries=(making.a_delivery(endpoint.id, due_at=now, claim=each),),
        )
        for each in (claim, None)
    ]
    await stafett._store.add_messages(items, now=now)
    record = making.a_record(
        items[0],
        claim_id=claim.id,
        outcome=making.an_outcome(500),
        at=now,
        state=DeliveryState.PENDING,
        due_at=now + 2 * PAUSE,
        pause_endpoint_until=now + PAUSE,
    )
    await stafett._store.record_attempts([record], now=now, failing_before=now - PAUSE)
    found = await stafett._store.get_endpoint(app.id, endpoint.id)
    assert found is not None
    return found, [item.message for item in items]


async def test_every_way_to_a_delivery_tells_when_it_is_sent_at_the_earliest(
    stafett: Stafett,
) -> None:
    endpoint, messages = await paused(stafett)
    until = endpoint.health.paused_until
    assert until is not None
    wanted: list[datetime | None] = [until + PAUSE, until]
    deliveries, page = stafett.deliveries, PageQuery()

    one_by_one = [await deliveries.delivery(APP, each.id, endpoint.id) for each in messages]
    assert [delivery.due_at for delivery, _ in one_by_one] == wanted
    of_messages = [await deliveries.destinations(APP, each.id, page) for each in messages]
    assert [each.items[0][0].due_at for each in of_messages] == wanted
    of_webhook = await deliveries.attempted_messages(
        APP, endpoint.id, PageQuery(ascending=True), where=DeliveryFilter()
    )
    assert {message.id: delivery.due_at for message, delivery in of_webhook.items} == dict(
        zip([each.id for each in messages], wanted, strict=True)
    )
    assert (await deliveries.resend(APP, messages[1].id, endpoint.id)).due_at == until


async def test_what_is_done_has_no_next_attempt_and_a_deleted_webhook_no_pause(
    stafett: Stafett,
) -> None:
    endpoint, messages = await paused(stafett)
    await stafett.deliveries.cancel(APP, messages[0].id, endpoint.id)
    canceled, _ = await stafett.deliveries.delivery(APP, messages[0].id, endpoint.id)
    assert canceled.due_at is None
    await stafett._store.delete_endpoint(endpoint.id)
    [(left, none)] = (await stafett.deliveries.destinations(APP, messages[1].id, PageQuery())).items
    assert (left.due_at, none) == (None, None)
