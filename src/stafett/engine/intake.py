"""The accept path: a message and what it is owed go to disk in one commit, then it is accepted.

In a process that also dispatches, deliveries are born claimed while it has room for them, and are
handed to its own senders from memory the moment they are durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta

import msgspec

from stafett import errors
from stafett.engine.attempts import Plan
from stafett.engine.batch import Batcher
from stafett.engine.clock import Clock
from stafett.engine.dispatch import Dispatch
from stafett.engine.measures import Measures, timed
from stafett.engine.spans import Tracer
from stafett.ids import DeliveryId, Ids
from stafett.model import (
    Attempt,
    AttemptFilter,
    DeliveryState,
    DueDelivery,
    Endpoint,
    Message,
    PageQuery,
    Trigger,
)
from stafett.store import AddResult, AddStatus, Claim, Idempotency, NewDelivery, NewMessage, Store

MAX_BYTES_WAITING = 64 * 1024 * 1024
"""Payload bytes that may wait for the disk at one time; beyond it, nothing more is taken."""


_RECORDED_WITHIN = timedelta(seconds=2)
_FOUND_WITHIN = timedelta(seconds=3)
_LOOK_EVERY = timedelta(milliseconds=100)


class Intake:
    """Accepts messages."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        plan: Plan,
        dispatch: Dispatch | None,
        tracer: Tracer | None = None,
    ) -> None:
        """Without `dispatch`, other processes send what is accepted here."""
        self._plan = plan
        self._store = store
        self._clock = clock
        self.ids = ids
        """Shared with whoever makes the messages: ids of one moment are made together."""
        self.tracer = tracer
        """Who hears from them of every accept, if anybody."""
        self._dispatch = dispatch
        self._batcher: Batcher[NewMessage, AddResult] = Batcher(self._flush)
        self._bytes_waiting = 0
        self.measures = Measures() if dispatch is None else dispatch.measures
        """Of this process: dispatch, where it is, measures into the same."""
        self.closed: errors.Unavailable | None = None
        """Why nothing is accepted at present; upkeep sets and clears it."""

    def accept(
        self,
        message: Message,
        *,
        wanting: Sequence[Endpoint],
        idempotency: Idempotency | None = None,
    ) -> Awaitable[AddResult]:
        """Store `message` (with its payload) and a delivery for each of `wanting`.

        What it returns is resolved after the commit. Errors, before any work: Unavailable.
        """
        size = len(message.payload or b"")
        self._refuse_if_full(size)
        item = self._new(message, wanting, idempotency)
        try:
            future = self._batcher.submit(item)
        except errors.Unavailable:
            self._withdraw(item)
            raise
        self._bytes_waiting += size
        return future

    async def accept_all(
        self, items: Sequence[tuple[Message, Sequence[Endpoint]]]
    ) -> Sequence[AddResult]:
        """Store many messages of one request: a batch of its own, one commit."""
        for message, _ in items:
            self._refuse_if_full(len(message.payload or b""))
        batch = [self._new(message, wanting, None) for message, wanting in items]
        self._bytes_waiting += _size(batch)
        return await self._flush(batch)

    async def accept_test(self, message: Message, endpoint: Endpoint) -> asyncio.Future[Attempt]:
        """Store a test message for one endpoint; what it returns is its attempt, later.

        A test needs no room: it is always sent at once; by another process, where this one does not
        send. Errors: Unavailable.
        """
        dispatch = self._dispatch
        if dispatch is None:
            await self.accept(message, wanting=[endpoint])
            elsewhere = self._attempt_elsewhere(message, endpoint)
            return asyncio.get_running_loop().create_task(elsewhere)
        if dispatch.stopping:
            text = "this process is about to end; ask another"
            raise errors.Unavailable(text)
        self._refuse_if_full(0)
        now = message.created_at
        delivery = NewDelivery(
            id=self.ids.delivery(now),
            endpoint_id=endpoint.id,
            due_at=now,
            claim=dispatch.reserve_always(endpoint.id, now=now),
        )
        verdict = dispatch.watch(delivery.id)
        item = NewMessage(message=message, deliveries=(delivery,))
        try:
            stored = self._batcher.submit(item)
        except errors.Unavailable:
            self._withdraw(item)
            verdict.cancel()
            raise
        self._bytes_waiting += _size([item])
        try:
            await stored
        except errors.StafettError:
            verdict.cancel()
            raise
        return verdict

    def check_sends(self) -> None:
        """Errors: Unavailable, where this process makes no requests to receivers."""
        if self._dispatch is None:
            text = (
                "this process does not send, it only accepts (--no-dispatch): try the URL on one"
                " that sends, or save the webhook and send it a test event, which one of those does"
            )
            raise errors.Unavailable(text)
        if self._dispatch.stopping:
            text = "this process is about to end and does not send any more; ask again"
            raise errors.Unavailable(text)

    async def try_out(self, message: Message, endpoint: Endpoint) -> Attempt:
        """The attempt of a test message for an endpoint that is not stored; nothing of it is kept.

        Errors: as `check_sends`.
        """
        self.check_sends()
        assert self._dispatch is not None  # noqa: S101 - that was checked
        now = message.created_at
        delivery = NewDelivery(id=self.ids.delivery(now), endpoint_id=endpoint.id, due_at=now)
        claim = Claim(id=self.ids.claim(now), lease_until=now)
        return await self._dispatch.send_once(_to_due(message, delivery, claim), endpoint)

    def verdict_within(self, endpoint: Endpoint) -> timedelta:
        """How long the attempt of a test may take, being recorded included."""
        within = self._plan.timeout_of(endpoint) + _RECORDED_WITHIN
        return within if self._dispatch is not None else within + _FOUND_WITHIN

    async def resend(
        self, delivery: NewDelivery, *, message: Message, endpoint: Endpoint
    ) -> DeliveryId | None:
        """See `Store.resend`. To an endpoint that rests one is sent at a time, as a probe."""
        now = delivery.due_at
        claim = None
        if self._dispatch is not None:
            claim = self._dispatch.reserve_by_hand(endpoint, now=now)
        if self._dispatch is None or claim is None:
            made = await self._store.resend(delivery, message=message, now=now)
            self.hint(endpoint, due_at=now)
            return made
        due = None
        try:
            due, made = await self._resend_claimed(delivery, message, claim)
        finally:
            if due is None:
                self._dispatch.unreserve_by_hand(endpoint.id)
        if due is not None:
            self._dispatch.offer(due, by_hand=True)
        return made

    def hint(self, endpoint: Endpoint, *, due_at: datetime) -> None:
        """Something of `endpoint` became due in the store."""
        if self._dispatch is not None:
            self._dispatch.hint(endpoint.id, due_at=due_at)

    async def drain(self) -> None:
        """Return when everything accepted so far is on disk."""
        await self._batcher.drain()

    async def _resend_claimed(
        self, delivery: NewDelivery, message: Message, claim: Claim
    ) -> tuple[DueDelivery | None, DeliveryId | None]:
        """What to send, if there is something to send, and what `Store.resend` answers."""
        whole = await self._store.get_message(message.app_id, message.id, with_payload=True)
        claimed = msgspec.structs.replace(delivery, claim=claim)
        made = await self._store.resend(claimed, message=message, now=delivery.due_at)
        # Where the payload has just gone, its lease ends, and the scan finds that out.
        if made is None or whole is None or whole.payload is None:
            return None, made
        due = _to_due(whole, claimed, claim)
        return msgspec.structs.replace(due, id=made, trigger=Trigger.MANUAL), made

    async def _attempt_elsewhere(self, message: Message, endpoint: Endpoint) -> Attempt:
        """What another process recorded, once it has. Errors: Conflict, it will not be sent."""
        where = AttemptFilter(message_id=message.id)
        give_up_at = message.created_at + self.verdict_within(endpoint)
        while self._clock.now() < give_up_at:
            found = await self._store.list_attempts(message.app_id, where, PageQuery(limit=1))
            if found.items:
                return found.items[0][0]
            delivery = await self._store.get_delivery(message.id, endpoint.id)
            if delivery is not None and delivery.state is DeliveryState.CANCELED:
                text = "this webhook is switched off, and this process does not send by itself"
                raise errors.Conflict(text)
            await self._clock.wait(asyncio.Event(), until=self._clock.now() + _LOOK_EVERY)
        text = "no process that sends has taken it up: does `stafett dispatch` run?"
        raise errors.Unavailable(text)

    def _refuse_if_full(self, size: int) -> None:
        if self.closed is not None:
            self.measures.messages["refused"] += 1
            raise self.closed
        if self._bytes_waiting + size > MAX_BYTES_WAITING:
            self.measures.messages["refused"] += 1
            message = "too many bytes wait to be written; try again shortly"
            raise errors.Unavailable(message)

    async def _flush(self, batch: Sequence[NewMessage]) -> Sequence[AddResult]:
        try:
            with timed(self.measures.accept_seconds):
                results = await self._store.add_messages(batch, now=self._clock.now())
        except BaseException:
            for item in batch:
                self._withdraw(item)
            raise
        finally:
            self._bytes_waiting -= _size(batch)
        self.measures.accept_items.observe(len(batch))
        for item, result in zip(batch, results, strict=True):
            self.measures.messages[result.status.value] += 1
            if result.status is AddStatus.ADDED:
                self._hand_over(item)
            else:
                self._withdraw(item)
        return results

    def _new(
        self, message: Message, wanting: Sequence[Endpoint], idempotency: Idempotency | None
    ) -> NewMessage:
        return NewMessage(
            message=message,
            deliveries=tuple(self._delivery(message, endpoint) for endpoint in wanting),
            idempotency=idempotency,
        )

    def _delivery(self, message: Message, endpoint: Endpoint) -> NewDelivery:
        now = message.created_at
        due_at = message.deliver_at or now
        claim = None
        if self._dispatch is not None and due_at <= now:
            claim = self._dispatch.reserve(endpoint, now=now)
        return NewDelivery(
            id=self.ids.delivery(now), endpoint_id=endpoint.id, due_at=due_at, claim=claim
        )

    def _hand_over(self, item: NewMessage) -> None:
        """Give what is now durable to dispatch, whether or not the caller is still there."""
        if self._dispatch is None:
            return
        for delivery in item.deliveries:
            if delivery.claim is None:
                self._dispatch.hint(delivery.endpoint_id, due_at=delivery.due_at)
            else:
                self._dispatch.offer(_to_due(item.message, delivery, delivery.claim))

    def _withdraw(self, item: NewMessage) -> None:
        for delivery in item.deliveries:
            if delivery.claim is not None and self._dispatch is not None:
                self._dispatch.unreserve(delivery.endpoint_id)


def _size(batch: Sequence[NewMessage]) -> int:
    return sum(len(item.message.payload or b"") for item in batch)


def _to_due(message: Message, delivery: NewDelivery, claim: Claim) -> DueDelivery:
    return DueDelivery(
        id=delivery.id,
        message_id=message.id,
        app_id=message.app_id,
        endpoint_id=delivery.endpoint_id,
        event_type=message.event_type,
        accepted_at=message.created_at,
        claim_id=claim.id,
        lease_until=claim.lease_until,
        attempt_count=0,
        failure_count=0,
        trigger=Trigger.SCHEDULED,
        test=message.test,
        payload=message.payload or b"",
        trace=message.trace,
    )
