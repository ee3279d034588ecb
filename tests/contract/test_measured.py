"""What the store says for the metrics, and the trace that it carries from accept to attempt."""

from __future__ import annotations

import making
from making import LEASE, MINUTE, NOW
from stafett.ids import DeliveryId
from stafett.model import Application, DisabledReason, DueDelivery, Endpoint
from stafett.store import Backlog, NewDelivery, NewMessage, Store

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def put(
    store: Store, application: Application, *deliveries: NewDelivery, trace: str | None = None
) -> list[NewMessage]:
    items = [
        NewMessage(message=making.a_message(application.id, trace=trace), deliveries=(each,))
        for each in deliveries
    ]
    await store.add_messages(items, now=NOW)
    return items


async def claim(store: Store, *, at_minutes: int = 0) -> list[DueDelivery]:
    now = NOW + at_minutes * MINUTE
    return await store.claim_due(making.a_claim(now), now=now, limit=10, room=10, held={})


# --- the backlog ------------------------------------------------------------------------------


async def test_due_is_what_is_pending_and_may_be_sent_now(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    await put(
        store,
        application,
        making.a_delivery(endpoint.id, due_at=NOW - 2 * MINUTE),
        making.a_delivery(endpoint.id, due_at=NOW),
        making.a_delivery(endpoint.id, due_at=NOW + MINUTE),
        making.a_delivery(endpoint.id, claim=making.a_claim()),
    )
    assert await store.backlog(now=NOW) == Backlog(
        pending=3, due=2, sending=1, oldest_due_at=NOW - 2 * MINUTE
    )


async def test_what_waits_for_a_webhook_that_rests_is_not_due(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item, _ = await put(
        store,
        application,
        making.a_delivery(endpoint.id, claim=making.a_claim()),
        making.a_delivery(endpoint.id, due_at=NOW - MINUTE),
    )
    assert (await store.backlog(now=NOW)).due == 1

    given = item.deliveries[0].claim
    assert given is not None
    failed = making.a_record(
        item,
        claim_id=given.id,
        outcome=making.an_outcome(503),
        pause_endpoint_until=NOW + MINUTE,
    )
    await store.record_attempts([failed], now=NOW, failing_before=NOW - MINUTE)

    assert await store.backlog(now=NOW) == Backlog(pending=1, due=0, sending=0, oldest_due_at=None)
    after = await store.backlog(now=NOW + MINUTE)
    assert (after.due, after.oldest_due_at) == (1, NOW - MINUTE)


async def test_an_empty_store_has_no_backlog(store: Store) -> None:
    assert await store.backlog(now=NOW) == Backlog(pending=0, due=0, sending=0, oldest_due_at=None)


# --- leases that ran out ----------------------------------------------------------------------


async def test_only_what_was_claimed_before_is_expired(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    born, released, fresh = (
        making.a_delivery(endpoint.id, claim=making.a_claim()),
        making.a_delivery(endpoint.id, claim=making.a_claim()),
        making.a_delivery(endpoint.id),
    )
    await put(store, application, born, released, fresh)
    assert released.claim is not None
    await store.release({released.id: released.claim.id}, due_at=NOW, now=NOW)

    assert expired(await claim(store)) == {released.id: False, fresh.id: False}
    later = LEASE // MINUTE + 1
    assert expired(await claim(store, at_minutes=later)) == {
        born.id: True,
        released.id: True,
        fresh.id: True,
    }


def expired(claimed: list[DueDelivery]) -> dict[DeliveryId, bool]:
    return {each.id: each.expired for each in claimed}


async def test_a_retry_is_not_an_expired_lease(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    [item] = await put(store, application, making.a_delivery(endpoint.id))
    [due] = await claim(store)
    failed = making.a_record(
        item,
        claim_id=due.claim_id,
        outcome=making.an_outcome(500),
        state=making.DeliveryState.PENDING,
        due_at=NOW + MINUTE,
    )
    await store.record_attempts([failed], now=NOW, failing_before=NOW - MINUTE)
    [again] = await claim(store, at_minutes=1)
    assert (again.id, again.expired) == (due.id, False)


# --- traces -----------------------------------------------------------------------------------


async def test_a_trace_goes_with_its_message_to_every_claim(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    [traced] = await put(store, application, making.a_delivery(endpoint.id), trace=TRACE)
    [untraced] = await put(store, application, making.a_delivery(endpoint.id))
    wanted = {traced.message.id: TRACE, untraced.message.id: None}
    assert {each.message_id: each.trace for each in await claim(store)} == wanted
    again = await claim(store, at_minutes=2)
    assert {each.message_id: each.trace for each in again} == wanted
    for message_id, trace in wanted.items():
        found = await store.get_message(application.id, message_id, with_payload=False)
        assert found is not None
        assert found.trace == trace


async def test_traced_and_untraced_messages_share_a_batch(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    batch = [
        NewMessage(
            message=making.a_message(application.id, trace=trace, uid=uid),
            deliveries=(making.a_delivery(endpoint.id),),
        )
        for trace, uid in ((TRACE, None), (None, "a"), (TRACE, "b"))
    ]
    await store.add_messages(batch, now=NOW)
    claimed = {each.message_id: each.trace for each in await claim(store)}
    assert claimed == {item.message.id: item.message.trace for item in batch}


async def test_what_is_disabled_has_no_say_in_what_is_due(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    """Its deliveries are called off with it, so nothing of it waits."""
    await put(store, application, making.a_delivery(endpoint.id))
    await store.update_endpoint(
        endpoint.id,
        {"disabled": True, "disabled_reason": DisabledReason.MANUAL, "disabled_at": NOW},
        now=NOW,
    )
    assert (await store.backlog(now=NOW)).due == 0
