"""What an endpoint has of its own is kept, and work carries when its message was accepted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import making
from making import MINUTE, NOW
from stafett.model import Application, Endpoint, EndpointOptions, PayloadStyle
from stafett.store import NewMessage, Store

OWN = EndpointOptions(
    payload_style=PayloadStyle.LEGACY,
    retry_schedule=(timedelta(microseconds=1), timedelta(days=7)),
    timeout=timedelta(seconds=1, microseconds=1),
    concurrency=64,
)


async def stored(store: Store, endpoint: Endpoint) -> Endpoint:
    found = await store.get_endpoint(endpoint.app_id, endpoint.id)
    assert found is not None
    return found


async def test_an_endpoint_keeps_them_exactly(store: Store, application: Application) -> None:
    endpoint = making.an_endpoint(application.id, **OWN)
    await store.add_endpoint(endpoint)
    assert await stored(store, endpoint) == endpoint


@pytest.mark.parametrize(
    "changes",
    [
        OWN,
        EndpointOptions(retry_schedule=()),
        EndpointOptions(retry_schedule=None, timeout=None, concurrency=None),
        EndpointOptions(payload_style=PayloadStyle.ENVELOPE),
    ],
)
@pytest.mark.parametrize("had", [{}, OWN])
async def test_each_can_be_changed_and_taken_back(
    store: Store, application: Application, had: dict[str, Any], changes: EndpointOptions
) -> None:
    endpoint = making.an_endpoint(application.id, **had)
    await store.add_endpoint(endpoint)
    await store.update_endpoint(endpoint.id, {**changes}, now=NOW + MINUTE)
    expected = making.an_endpoint(
        application.id, **{**had, **changes}, id=endpoint.id, updated_at=NOW + MINUTE
    )
    assert await stored(store, endpoint) == expected


async def test_claimed_work_says_to_the_microsecond_when_its_message_was_accepted(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    at = NOW + timedelta(microseconds=123_457)
    message = making.a_message(application.id, at=at)
    delivery = making.a_delivery(endpoint.id, due_at=at + MINUTE)
    await store.add_messages([NewMessage(message=message, deliveries=(delivery,))], now=at)
    later = at + MINUTE
    (due,) = await store.claim_due(making.a_claim(later), now=later, limit=5, room=5, held={})
    assert due.accepted_at == at == message.created_at
