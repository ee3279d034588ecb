"""Background work through the store: claimed by one, brought forward in steps, done once.

Every driver passes these. Oracle: the docstrings of `stafett.store.Tasks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

import making
from making import MINUTE, NOW
from stafett.model import (
    Application,
    DeliveryState,
    Endpoint,
    EndpointChanges,
    Message,
    PageQuery,
    Replayed,
    Task,
    TaskFilter,
    TaskKind,
    TaskStatus,
)
from stafett.store import Claim, NewMessage, Store

LONG_AGO = NOW - timedelta(days=365)
HOUR = timedelta(hours=1)


async def sent(
    store: Store, endpoint: Endpoint, *, how: int | None, at: datetime = NOW, **given: object
) -> Message:
    """A message that this endpoint has answered with `how`; None: it waits."""
    claim = making.a_claim()
    item = NewMessage(
        message=making.a_message(endpoint.app_id, at=at, **given),
        deliveries=(making.a_delivery(endpoint.id, claim=None if how is None else claim),),
    )
    await store.add_messages([item], now=NOW)
    if how is not None:
        outcome = making.an_outcome(how)
        record = making.a_record(item, claim_id=claim.id, outcome=outcome)
        await store.record_attempts([record], now=NOW, failing_before=LONG_AGO)
    return item.message


async def claimed(store: Store, endpoint: Endpoint, **given: object) -> tuple[Task, Claim]:
    task = making.a_task(endpoint, **given)
    claim = making.a_claim()
    await store.add_task(task)
    assert await store.claim_task(claim, now=NOW) == task
    return task, claim


async def step(store: Store, task: Task, claim: Claim, *, limit: int = 100) -> Task | None:
    spare = [making.ids.delivery(NOW) for _ in range(limit)]
    return await store.work_on_task(task.id, claim, now=NOW, spare=spare)


async def done(store: Store, task: Task, claim: Claim, *, limit: int = 100) -> Task:
    """The task as it ended."""
    while True:
        after = await step(store, task, claim, limit=limit)
        assert after is not None
        if after.status is not TaskStatus.RUNNING:
            return after


async def all_done(store: Store, endpoint: Endpoint, **given: object) -> Task:
    return await done(store, *await claimed(store, endpoint, **given))


async def due(store: Store) -> list[str]:
    found = await store.claim_due(making.a_claim(), now=NOW, limit=1000, room=1000, held={})
    return sorted(each.message_id for each in found)


def ids_of(messages: Collection[Message]) -> list[str]:
    return sorted(each.id for each in messages)


# --- whose it is ------------------------------------------------------------------------------


async def test_a_task_is_claimed_by_one_until_its_lease_ends(
    store: Store, endpoint: Endpoint
) -> None:
    task, claim = await claimed(store, endpoint)
    other = making.a_claim(NOW + MINUTE)
    assert await store.claim_task(other, now=claim.lease_until - timedelta(seconds=1)) is None
    assert await store.claim_task(other, now=claim.lease_until) == task


async def test_of_many_that_claim_at_once_each_gets_another(
    store: Store, endpoint: Endpoint
) -> None:
    tasks = [making.a_task(endpoint) for _ in range(4)]
    for each in tasks:
        await store.add_task(each)
    found: list[Task] = []
    while len(found) < 4:  # one that is being claimed this moment may be passed over
        claims = [store.claim_task(making.a_claim(), now=NOW) for _ in range(8)]
        found += [each for each in await asyncio.gather(*claims) if each is not None]
    assert sorted(each.id for each in found) == sorted(each.id for each in tasks)
    assert await store.claim_task(making.a_claim(), now=NOW) is None


async def test_the_one_that_waited_longest_comes_first(store: Store, endpoint: Endpoint) -> None:
    for minutes in (2, 0, 1):
        at = NOW + minutes * MINUTE
        await store.add_task(making.a_task(endpoint, id=making.ids.task(at), created_at=at))
    later = NOW + HOUR
    first = await store.claim_task(making.a_claim(later), now=later)
    assert first is not None
    assert first.created_at == NOW
    await store.release_task(first.id, making.a_claim().id, now=NOW)  # not its claim
    second = await store.claim_task(making.a_claim(later), now=later)
    assert second is not None
    assert second.created_at == NOW + MINUTE


async def test_what_is_released_may_be_claimed_at_once(store: Store, endpoint: Endpoint) -> None:
    task, claim = await claimed(store, endpoint)
    await store.release_task(task.id, claim.id, now=NOW)
    assert await store.claim_task(making.a_claim(), now=NOW) == task


async def test_a_claim_that_is_over_does_nothing(store: Store, endpoint: Endpoint) -> None:
    await sent(store, endpoint, how=500)
    task, late = await claimed(store, endpoint)
    claim = Claim(id=making.ids.claim(NOW), lease_until=late.lease_until + MINUTE)
    assert await store.claim_task(claim, now=late.lease_until) == task
    assert await step(store, task, late) is None
    await store.release_task(task.id, late.id, now=NOW)
    await store.fail_task(task.id, late.id, problem="late", now=NOW)
    assert await store.get_task(task.id) == task
    assert await due(store) == []
    assert (await done(store, task, claim)).sent_count == 1


async def test_each_step_renews_the_lease(store: Store, endpoint: Endpoint) -> None:
    for _ in range(2):
        await sent(store, endpoint, how=500)
    task, claim = await claimed(store, endpoint)
    renewed = Claim(id=claim.id, lease_until=claim.lease_until + MINUTE)
    assert await step(store, task, renewed, limit=1) is not None
    assert await store.claim_task(making.a_claim(), now=claim.lease_until) is None
    assert await store.claim_task(making.a_claim(), now=renewed.lease_until) is not None


# --- what it sends ----------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_recover_takes_what_failed_or_was_canceled_in_the_range(
    store: Store, application: Application, endpoint: Endpoint, limit: int
) -> None:
    failed = [await sent(store, endpoint, how=500, at=NOW + n * MINUTE) for n in range(6)]
    await sent(store, endpoint, how=200, at=NOW + MINUTE)
    await sent(store, endpoint, how=500, at=NOW + MINUTE, test=True)
    canceled = await sent(store, endpoint, how=None, at=NOW + MINUTE)
    delivery = await store.get_delivery(canceled.id, endpoint.id)
    assert delivery is not None
    await store.cancel(delivery.id, now=NOW)
    await store.expunge_payload(application.id, failed[4].id)

    wanted = Replayed(after=NOW + MINUTE, before=NOW + 5 * MINUTE)
    task, claim = await claimed(store, endpoint, wanted=wanted)
    ended = await done(store, task, claim, limit=limit)

    assert (ended.status, ended.sent_count, ended.problem) == (TaskStatus.FINISHED, 4, None)
    assert await store.get_task(task.id) == ended
    assert await due(store) == ids_of([*failed[1:4], canceled])
    assert await store.claim_task(making.a_claim(), now=NOW + timedelta(days=1)) is None


async def test_what_fails_again_meanwhile_is_not_sent_a_third_time(
    store: Store, endpoint: Endpoint
) -> None:
    messages = [await sent(store, endpoint, how=500, at=NOW + n * MINUTE) for n in range(3)]
    task, claim = await claimed(store, endpoint)
    task = await step(store, task, claim, limit=1)
    assert task is not None
    assert task.cursor == messages[0].id
    again = making.a_claim()
    (found,) = await store.claim_due(again, now=NOW, limit=9, room=9, held={})
    item = NewMessage(
        message=messages[0], deliveries=(making.a_delivery(endpoint.id, id=found.id),)
    )
    record = making.a_record(item, claim_id=again.id, outcome=making.an_outcome(500))
    await store.record_attempts([record], now=NOW, failing_before=LONG_AGO)
    assert (await done(store, task, claim, limit=1)).sent_count == 3
    assert await due(store) == ids_of(messages[1:])


async def test_bulk_replay_takes_what_has_ended_and_fits(store: Store, endpoint: Endpoint) -> None:
    good = await sent(store, endpoint, how=200, tags=("t",))
    bad = await sent(store, endpoint, how=404, channels=("c",))
    await sent(store, endpoint, how=None)
    waiting = await due(store)
    assert len(waiting) == 1  # and claimed from now on

    range_ = making.a_task(endpoint).wanted
    for wanted, fitting in (
        (replace(range_, state=DeliveryState.SUCCEEDED), [good]),
        (replace(range_, status_code_class=400), [bad]),
        (replace(range_, tag="t"), [good]),
        (replace(range_, channel="c"), [bad]),
        (replace(range_, event_types=frozenset({"payment_received"})), [good, bad]),
        (replace(range_, event_types=frozenset({"another"})), []),
        (replace(range_, status_code_class=0), []),
    ):
        task = await all_done(store, endpoint, kind=TaskKind.BULK_REPLAY, wanted=wanted)
        assert task.sent_count == len(fitting), wanted
        assert task.wanted == wanted
        found = await store.claim_due(making.a_claim(), now=NOW, limit=9, room=9, held={})
        assert sorted(each.message_id for each in found) == ids_of(fitting)
        await arrive(store, endpoint, found[0].claim_id if found else None, fitting, bad=bad)


async def arrive(
    store: Store,
    endpoint: Endpoint,
    claim_id: making.ClaimId | None,
    messages: list[Message],
    *,
    bad: Message,
) -> None:
    """Have them end as they did before."""
    for each in messages:
        assert claim_id is not None
        delivery = await store.get_delivery(each.id, endpoint.id)
        assert delivery is not None
        item = NewMessage(
            message=each, deliveries=(making.a_delivery(endpoint.id, id=delivery.id),)
        )
        outcome = making.an_outcome(404 if each is bad else 200)
        record = making.a_record(item, claim_id=claim_id, outcome=outcome)
        await store.record_attempts([record], now=NOW, failing_before=LONG_AGO)


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_replay_missing_makes_what_the_endpoint_wants_and_was_never_owed(
    store: Store, application: Application, limit: int
) -> None:
    other = making.an_endpoint(application.id)
    choosy = making.an_endpoint(
        application.id, event_types=frozenset({"wanted"}), channels=frozenset({"c"})
    )
    for each in (other, choosy):
        await store.add_endpoint(each)

    async def make(**given: Any) -> Message:
        given = {"event_type": "wanted", "channels": ("c",)} | given
        message = making.a_message(application.id, endpoint_count=0, **given)
        await store.add_messages([NewMessage(message=message, deliveries=())], now=NOW)
        return message

    missing = [await make(at=NOW + n * MINUTE) for n in range(4)]
    later = await make(deliver_at=NOW + HOUR)
    await make(event_type="unwanted")
    await make(channels=())
    await make(test=True)
    await make(at=NOW - timedelta(days=2))
    gone = await make()
    await store.expunge_payload(application.id, gone.id)
    await sent(store, choosy, how=200, event_type="wanted", channels=("c",))
    await sent(store, choosy, how=500, event_type="wanted", channels=("c",))
    elsewhere = await sent(store, other, how=200, event_type="wanted", channels=("c",))

    task, claim = await claimed(store, choosy, kind=TaskKind.REPLAY_MISSING)
    ended = await done(store, task, claim, limit=limit)

    assert (ended.status, ended.sent_count) == (TaskStatus.FINISHED, 6)
    assert await due(store) == ids_of([*missing, elsewhere])
    delivery = await store.get_delivery(later.id, choosy.id)
    assert delivery is not None
    assert (delivery.state, delivery.due_at) == (DeliveryState.PENDING, NOW + HOUR)
    found = await store.get_message(application.id, missing[0].id, with_payload=False)
    assert found is not None
    assert found.endpoint_count == 1
    assert (await all_done(store, choosy, kind=TaskKind.REPLAY_MISSING)).sent_count == 0


async def test_what_somebody_sends_by_hand_meanwhile_is_not_made_twice(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    messages = [making.a_message(application.id, endpoint_count=0) for _ in range(20)]
    await store.add_messages(
        [NewMessage(message=each, deliveries=()) for each in messages], now=NOW
    )
    task, claim = await claimed(store, endpoint, kind=TaskKind.REPLAY_MISSING)
    by_hand = [
        store.resend(making.a_delivery(endpoint.id), message=each, now=NOW) for each in messages
    ]
    working = asyncio.ensure_future(done(store, task, claim))
    await asyncio.gather(*by_hand)
    ended = await working
    assert ended.status is TaskStatus.FINISHED
    assert await due(store) == ids_of(messages)


@pytest.mark.parametrize("kind", list(TaskKind))
async def test_a_task_fails_when_its_webhook_is_off_or_gone(
    store: Store, endpoint: Endpoint, kind: TaskKind
) -> None:
    await sent(store, endpoint, how=500)
    task, claim = await claimed(store, endpoint, kind=kind)
    off = EndpointChanges(disabled=True, disabled_at=NOW)
    await store.update_endpoint(endpoint.id, off, now=NOW)
    ended = await done(store, task, claim)
    assert (ended.status, ended.problem) == (TaskStatus.FAILED, "the webhook was switched off")
    task, claim = await claimed(store, endpoint, kind=kind)
    await store.delete_endpoint(endpoint.id)
    ended = await done(store, task, claim)
    assert (ended.status, ended.problem) == (TaskStatus.FAILED, "the webhook was deleted")
    assert ended.sent_count == 0


async def test_a_task_can_be_ended_as_failed(store: Store, endpoint: Endpoint) -> None:
    task, claim = await claimed(store, endpoint)
    await store.fail_task(task.id, claim.id, problem="a fault", now=NOW + MINUTE)
    failed = replace(task, status=TaskStatus.FAILED, problem="a fault", updated_at=NOW + MINUTE)
    assert await store.get_task(task.id) == failed
    assert await store.claim_task(making.a_claim(), now=NOW + HOUR) is None


# --- looking at them --------------------------------------------------------------------------


async def test_tasks_are_listed_by_what_they_are_and_where_they_stand(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    recover, claim = await claimed(store, endpoint)
    await store.fail_task(recover.id, claim.id, problem="a fault", now=NOW)
    missing = making.a_task(
        endpoint, id=making.ids.task(NOW + MINUTE), kind=TaskKind.REPLAY_MISSING
    )
    foreign = making.a_task(
        making.an_endpoint(making.an_application().id), id=making.ids.task(NOW + 2 * MINUTE)
    )
    for each in (missing, foreign):
        await store.add_task(each)

    async def found(where: TaskFilter) -> list[str]:
        return [each.id for each in (await store.list_tasks(where, PageQuery())).items]

    assert await found(TaskFilter()) == [foreign.id, missing.id, recover.id]
    assert await found(TaskFilter(app_id=application.id)) == [missing.id, recover.id]
    assert await found(TaskFilter(kind=TaskKind.REPLAY_MISSING)) == [missing.id]
    assert await found(TaskFilter(status=TaskStatus.FAILED)) == [recover.id]
    assert await store.get_task(making.ids.task(NOW)) is None


async def test_tasks_go_with_their_application_and_a_month_after_their_end(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    ended = await all_done(store, endpoint)
    running, claim = await claimed(store, endpoint)
    month = NOW + timedelta(days=30)
    await store.expire(now=month, messages_before=None, limit=10)
    assert await store.get_task(ended.id) == ended
    await store.expire(now=month + MINUTE, messages_before=None, limit=10)
    assert await store.get_task(ended.id) is None
    assert await store.get_task(running.id) == running

    await store.delete_application(application.id)
    assert await store.get_task(running.id) is None
    assert await step(store, running, claim) is None
