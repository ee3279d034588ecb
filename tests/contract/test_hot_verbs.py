"""The journey of one event through the store: added, claimed, recorded, given back.

Every driver passes these. Oracle: the docstrings of `stafett.store.Hot`.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest

import making
from making import MINUTE, NOW
from stafett.model import (
    Application,
    AttemptFilter,
    DeliveryState,
    DisabledReason,
    Endpoint,
    FailureCause,
    PageQuery,
    Trigger,
)
from stafett.store import AddStatus, Claim, Idempotency, NewMessage, Recorded, Store

LONG_AGO = NOW - timedelta(days=365)


def owed(app: Application, *endpoints: Endpoint, claim: Claim | None = None) -> NewMessage:
    """A message owed to `endpoints`, born claimed when `claim` is given."""
    return NewMessage(
        message=making.a_message(app.id, endpoint_count=len(endpoints)),
        deliveries=tuple(making.a_delivery(each.id, claim=claim) for each in endpoints),
    )


async def claim_all(store: Store, at: datetime = NOW, *, room: int = 100) -> list[str]:
    claimed = await store.claim_due(making.a_claim(at), now=at, limit=1000, room=room, held={})
    return [due.message_id for due in claimed]


async def record(
    store: Store, *records: making.AttemptRecord, failing_before: datetime = LONG_AGO
) -> Recorded:
    return await store.record_attempts(records, now=NOW, failing_before=failing_before)


async def state_of(store: Store, item: NewMessage) -> DeliveryState:
    delivery = await store.get_delivery(item.message.id, item.deliveries[0].endpoint_id)
    assert delivery is not None
    return delivery.state


async def test_a_message_comes_back_byte_for_byte(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    message = making.a_message(
        application.id, uid="m-1", channels=("a", "b"), tags=("t",), problems=("total: odd",)
    )
    item = NewMessage(message=message, deliveries=(making.a_delivery(endpoint.id),))

    results = await store.add_messages([item], now=NOW)

    assert [each.status for each in results] == [AddStatus.ADDED]
    assert await store.get_message(application.id, message.id, with_payload=True) == message
    assert await store.get_message(application.id, "m-1", with_payload=True) == message


async def test_a_message_nobody_wants_is_stored(store: Store, application: Application) -> None:
    item = owed(application)
    await store.add_messages([item], now=NOW)

    found = await store.get_message(application.id, item.message.id, with_payload=False)
    assert found is not None
    assert found.endpoint_count == 0
    assert await claim_all(store) == []


async def test_a_taken_uid_refuses_its_message_alone(
    store: Store, application: Application
) -> None:
    first = NewMessage(message=making.a_message(application.id, uid="same"), deliveries=())
    again = NewMessage(message=making.a_message(application.id, uid="same"), deliveries=())
    other = NewMessage(message=making.a_message(application.id, uid="other"), deliveries=())

    together = await store.add_messages([first, again], now=NOW)
    later = await store.add_messages([again, other], now=NOW)

    assert [each.status for each in together] == [AddStatus.ADDED, AddStatus.UID_TAKEN]
    assert [each.status for each in later] == [AddStatus.UID_TAKEN, AddStatus.ADDED]


async def test_an_idempotency_key_answers_with_the_first_message(
    store: Store, application: Application
) -> None:
    def keyed(body: bytes) -> NewMessage:
        return NewMessage(
            message=making.a_message(application.id),
            deliveries=(),
            idempotency=Idempotency(key=b"k", body_hash=body),
        )

    first, same, other = keyed(b"1"), keyed(b"1"), keyed(b"2")
    results = await store.add_messages([first, same], now=NOW)
    results += await store.add_messages([other, same], now=NOW)

    assert [each.status for each in results] == [
        AddStatus.ADDED,
        AddStatus.REPEATED,
        AddStatus.MISMATCH,
        AddStatus.REPEATED,
    ]
    assert {results[1].message_id, results[3].message_id} == {first.message.id}
    assert await store.get_message(application.id, same.message.id, with_payload=False) is None


async def test_an_idempotency_key_is_forgotten_after_a_day(
    store: Store, application: Application
) -> None:
    def keyed() -> NewMessage:
        return NewMessage(
            message=making.a_message(application.id),
            deliveries=(),
            idempotency=Idempotency(key=b"k", body_hash=b"1"),
        )

    await store.add_messages([keyed()], now=NOW)
    results = await store.add_messages([keyed()], now=NOW + timedelta(hours=25))
    assert results[0].status is AddStatus.ADDED


async def test_due_work_is_claimed_once(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = owed(application, endpoint)
    await store.add_messages([item], now=NOW)

    claim = making.a_claim()
    [due] = await store.claim_due(claim, now=NOW, limit=10, room=10, held={})

    assert due.payload == making.PAYLOAD
    assert (due.claim_id, due.lease_until) == (claim.id, claim.lease_until)
    assert (due.attempt_count, due.failure_count, due.trigger) == (0, 0, Trigger.SCHEDULED)
    assert await claim_all(store) == []
    assert await state_of(store, item) is DeliveryState.SENDING


async def test_work_born_claimed_is_nobody_elses_until_its_lease_ends(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = owed(application, endpoint, claim=making.a_claim())
    await store.add_messages([item], now=NOW)

    assert await claim_all(store, NOW + making.LEASE - timedelta(microseconds=1)) == []
    assert await claim_all(store, NOW + making.LEASE) == [item.message.id]


async def test_work_is_not_claimed_before_it_is_due(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    later = making.a_delivery(endpoint.id, due_at=NOW + MINUTE)
    item = NewMessage(message=making.a_message(application.id), deliveries=(later,))
    await store.add_messages([item], now=NOW)

    assert await claim_all(store) == []
    assert await store.next_due_at(now=NOW) == NOW + MINUTE
    assert await claim_all(store, NOW + MINUTE) == [item.message.id]


async def test_nobody_gets_more_than_its_room_and_limit_starves_nobody(
    store: Store, application: Application
) -> None:
    endpoints = [making.an_endpoint(application.id) for _ in range(4)]
    for each in endpoints:
        await store.add_endpoint(each)
    await store.add_messages([owed(application, *endpoints) for _ in range(5)], now=NOW)

    seen: set[str] = set()
    for _ in range(4):
        claimed = await store.claim_due(
            making.a_claim(), now=NOW, limit=3, room=3, held={endpoints[0].id: 1}
        )
        counts = Counter(due.endpoint_id for due in claimed)
        assert sum(counts.values()) <= 3
        assert counts[endpoints[0].id] <= 2
        seen |= set(counts)

    assert seen == {each.id for each in endpoints}


async def test_a_success_is_recorded_and_counted(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item = owed(application, endpoint, claim=claim)
    await store.add_messages([item], now=NOW)
    wanted = making.a_record(item, claim_id=claim.id)

    recorded = await record(store, wanted)

    assert recorded == Recorded(stale=frozenset(), disabled={})
    assert await state_of(store, item) is DeliveryState.SUCCEEDED
    assert await store.get_attempt(item.message.id, wanted.attempt.id) == wanted.attempt
    found = await store.get_endpoint(application.id, endpoint.id)
    assert found is not None
    assert found.health.event_count == 1
    assert (found.health.last_status_code, found.health.failing_since) == (200, None)


async def test_a_late_writer_changes_nothing(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    lost, kept = (owed(application, endpoint, claim=claim) for _ in range(2))
    await store.add_messages([lost, kept], now=NOW)
    await store.release({lost.deliveries[0].id: claim.id}, due_at=NOW, now=NOW)
    assert await claim_all(store) == [lost.message.id]
    late = making.a_record(lost, claim_id=claim.id)

    recorded = await record(store, late, making.a_record(kept, claim_id=claim.id))

    assert recorded.stale == {late.attempt.id}
    assert await state_of(store, lost) is DeliveryState.SENDING
    assert await state_of(store, kept) is DeliveryState.SUCCEEDED
    assert await store.get_attempt(lost.message.id, late.attempt.id) is None


async def test_a_failure_is_due_again_and_starts_the_failing_time(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item = owed(application, endpoint, claim=claim)
    await store.add_messages([item], now=NOW)
    failed = making.a_record(
        item,
        claim_id=claim.id,
        outcome=making.an_outcome(503),
        state=DeliveryState.PENDING,
        due_at=NOW + MINUTE,
    )

    await record(store, failed)

    found = await store.get_endpoint(application.id, endpoint.id)
    assert found is not None
    assert (found.health.failing_since, found.health.last_cause) == (NOW, FailureCause.STATUS)
    [due] = await store.claim_due(making.a_claim(), now=NOW + MINUTE, limit=1, room=1, held={})
    assert (due.attempt_count, due.failure_count) == (1, 1)


async def test_a_receiver_that_asked_for_quiet_gets_it(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item, waiting = owed(application, endpoint, claim=claim), owed(application, endpoint)
    await store.add_messages([item, waiting], now=NOW)
    await record(
        store,
        making.a_record(
            item,
            claim_id=claim.id,
            outcome=making.an_outcome(429),
            state=DeliveryState.PENDING,
            due_at=NOW + MINUTE,
            pause_endpoint_until=NOW + MINUTE,
        ),
    )

    assert await claim_all(store, NOW + MINUTE / 2) == []
    assert await store.next_due_at(now=NOW) == NOW + MINUTE
    assert len(await claim_all(store, NOW + MINUTE)) == 2


async def test_an_endpoint_that_fails_too_long_is_disabled_with_reason_and_time(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    items = [owed(application, endpoint, claim=claim) for _ in range(2)]
    waiting = owed(application, endpoint)
    await store.add_messages([*items, waiting], now=NOW)

    def failure(item: NewMessage) -> making.AttemptRecord:
        return making.a_record(
            item,
            claim_id=claim.id,
            outcome=making.an_outcome(500),
            state=DeliveryState.PENDING,
            due_at=NOW + MINUTE,
        )

    first = await record(store, failure(items[0]), failing_before=NOW - MINUTE)
    second = await record(store, failure(items[1]), failing_before=NOW)

    assert first.disabled == {}
    assert second.disabled == {endpoint.id: DisabledReason.FAILING}
    found = await store.get_endpoint(application.id, endpoint.id)
    assert found is not None
    assert (found.disabled, found.disabled_reason) == (True, DisabledReason.FAILING)
    assert found.disabled_at == NOW
    for each in (*items, waiting):
        assert await state_of(store, each) is DeliveryState.CANCELED


async def test_one_success_ends_the_failing_time(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    items = [owed(application, endpoint, claim=claim) for _ in range(3)]
    await store.add_messages(items, now=NOW)
    bad = making.an_outcome(500)

    await record(store, making.a_record(items[0], claim_id=claim.id, outcome=bad))
    await record(store, making.a_record(items[1], claim_id=claim.id))
    found = await store.get_endpoint(application.id, endpoint.id)
    assert found is not None
    assert found.health.failing_since is None
    later = making.a_record(items[2], claim_id=claim.id, outcome=bad, at=NOW + MINUTE)
    assert not (await record(store, later, failing_before=NOW)).disabled


async def test_a_gone_receiver_is_disabled_at_once(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item = owed(application, endpoint, claim=claim)
    await store.add_messages([item], now=NOW)
    gone = making.a_record(
        item,
        claim_id=claim.id,
        outcome=making.an_outcome(410),
        disable_endpoint=DisabledReason.GONE,
    )
    assert (await record(store, gone)).disabled == {endpoint.id: DisabledReason.GONE}


async def test_test_attempts_leave_health_alone(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item = NewMessage(
        message=making.a_message(application.id, test=True),
        deliveries=(making.a_delivery(endpoint.id, claim=claim),),
    )
    await store.add_messages([item], now=NOW)
    await record(store, making.a_record(item, claim_id=claim.id, outcome=making.an_outcome(500)))
    found = await store.get_endpoint(application.id, endpoint.id)
    assert found is not None
    assert found.health == endpoint.health


async def test_released_work_is_due_again_and_only_for_its_holder_to_release(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item = owed(application, endpoint, claim=claim)
    await store.add_messages([item], now=NOW)
    delivery_id = item.deliveries[0].id

    await store.release({delivery_id: making.a_claim().id}, due_at=NOW, now=NOW)
    assert await claim_all(store) == []
    await store.release({delivery_id: claim.id}, due_at=NOW, now=NOW)
    assert await claim_all(store) == [item.message.id]


async def test_work_of_a_disabled_endpoint_is_canceled_wherever_it_is(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    pending, held, sent = (
        owed(application, endpoint),
        owed(application, endpoint, claim=claim),
        owed(application, endpoint, claim=claim),
    )
    await store.add_messages([pending, held, sent], now=NOW)

    await store.update_endpoint(
        endpoint.id,
        {"disabled": True, "disabled_reason": DisabledReason.MANUAL, "disabled_at": NOW},
        now=NOW,
    )
    late = owed(application, endpoint)
    await store.add_messages([late], now=NOW)
    await store.release({held.deliveries[0].id: claim.id}, due_at=NOW, now=NOW)
    retry = making.a_record(
        sent,
        claim_id=claim.id,
        outcome=making.an_outcome(500),
        state=DeliveryState.PENDING,
        due_at=NOW + MINUTE,
    )
    await record(store, retry)

    assert await claim_all(store, NOW + MINUTE) == []
    for each in (pending, held, sent, late):
        assert await state_of(store, each) is DeliveryState.CANCELED


async def test_work_without_payload_fails_visibly(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = owed(application, endpoint)
    await store.add_messages([item], now=NOW)
    await store.expunge_payload(application.id, item.message.id)

    assert await claim_all(store) == []
    assert await state_of(store, item) is DeliveryState.FAILED


async def test_a_resend_is_a_fresh_run_and_counts_no_second_success(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item = owed(application, endpoint, claim=claim)
    await store.add_messages([item], now=NOW)
    again = making.a_delivery(endpoint.id)
    assert await store.resend(again, message=item.message, now=NOW) is None
    await record(store, making.a_record(item, claim_id=claim.id))

    assert await store.resend(again, message=item.message, now=NOW) == item.deliveries[0].id
    fresh = making.a_claim()
    [due] = await store.claim_due(fresh, now=NOW, limit=1, room=1, held={})
    assert (due.trigger, due.failure_count, due.attempt_count) == (Trigger.MANUAL, 0, 1)
    bad = making.a_record(
        item, claim_id=fresh.id, outcome=making.an_outcome(500), trigger=Trigger.MANUAL
    )
    await record(store, bad)
    assert await state_of(store, item) is DeliveryState.SUCCEEDED

    await store.resend(again, message=item.message, now=NOW)
    third = making.a_claim()
    await store.claim_due(third, now=NOW, limit=1, room=1, held={})
    await record(
        store, making.a_record(item, claim_id=third.id, trigger=Trigger.MANUAL, at=NOW + MINUTE)
    )
    found = await store.get_endpoint(application.id, endpoint.id)
    assert found is not None
    assert found.health.event_count == 1


async def test_a_message_never_owed_can_be_sent_by_hand(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = owed(application)
    await store.add_messages([item], now=NOW)
    new = making.a_delivery(endpoint.id)
    assert await store.resend(new, message=item.message, now=NOW) == new.id
    assert await claim_all(store) == [item.message.id]


async def test_a_waiting_delivery_can_be_canceled_once(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = owed(application, endpoint)
    await store.add_messages([item], now=NOW)
    assert await store.cancel(item.deliveries[0].id, now=NOW)
    assert not await store.cancel(item.deliveries[0].id, now=NOW)
    assert await claim_all(store) == []


async def test_attempts_are_listed_by_result_and_class(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    outcomes = [
        making.an_outcome(200),
        making.an_outcome(404),
        making.an_outcome(503),
        making.an_outcome(None, cause=FailureCause.TIMEOUT),
    ]
    items = [owed(application, endpoint, claim=claim) for _ in outcomes]
    await store.add_messages(items, now=NOW)
    for item, outcome in zip(items, outcomes, strict=True):
        await record(store, making.a_record(item, claim_id=claim.id, outcome=outcome))

    async def codes(**where: object) -> set[int | None]:
        page = await store.list_attempts(
            application.id,
            AttemptFilter(endpoint_id=endpoint.id, **where),  # pyright: ignore[reportArgumentType] - a table of filters
            PageQuery(),
        )
        return {attempt.outcome.status_code for attempt, _ in page.items}

    assert await codes() == {200, 404, 503, None}
    assert await codes(succeeded=True) == {200}
    assert await codes(succeeded=False) == {404, 503, None}
    assert await codes(status_code_class=400) == {404}
    assert await codes(status_code_class=0) == {None}
    assert await codes(event_types=frozenset({"other"})) == set()


@pytest.mark.parametrize("how", ["payload gone", "switched off", "by hand"])
async def test_what_succeeded_once_stays_succeeded_however_a_resend_ends(
    store: Store, application: Application, endpoint: Endpoint, how: str
) -> None:
    claim = making.a_claim()
    item = owed(application, endpoint, claim=claim)
    await store.add_messages([item], now=NOW)
    await record(store, making.a_record(item, claim_id=claim.id))
    again = making.a_delivery(endpoint.id)
    assert await store.resend(again, message=item.message, now=NOW) is not None
    match how:
        case "payload gone":
            await store.expunge_payload(application.id, item.message.id)
        case "switched off":
            await store.update_endpoint(endpoint.id, {"disabled": True}, now=NOW)
        case _:
            assert await store.cancel(item.deliveries[0].id, now=NOW)
    await store.claim_due(making.a_claim(), now=NOW + MINUTE, limit=9, room=9, held={})
    assert await state_of(store, item) is DeliveryState.SUCCEEDED
    assert await claim_all(store) == []


async def test_work_without_payload_takes_nobodys_place(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    earlier = making.a_delivery(endpoint.id, due_at=NOW - MINUTE)
    lost = NewMessage(message=making.a_message(application.id), deliveries=(earlier,))
    whole = owed(application, endpoint)
    await store.add_messages([lost, whole], now=NOW)
    await store.expunge_payload(application.id, lost.message.id)

    claimed = await store.claim_due(making.a_claim(), now=NOW, limit=1, room=1, held={})

    assert [each.message_id for each in claimed] == [whole.message.id]
    assert await state_of(store, lost) is DeliveryState.FAILED
