"""Deliveries: what became of messages, and sending them again.

Nothing here sends: everything that should be sent is made due, and dispatch does the rest. Test
events take the same way, marked as such.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from stafett import errors, model
from stafett.engine.intake import Intake
from stafett.ids import AttemptId, EndpointId, MessageId
from stafett.model import (
    Attempt,
    AttemptFilter,
    Delivery,
    DeliveryFilter,
    DeliveryState,
    Endpoint,
    Message,
    Page,
    PageQuery,
)
from stafett.services.endpoints import Endpoints, NewEndpoint, refuse_if_disabled
from stafett.services.event_types import EventTypes
from stafett.services.messages import Messages
from stafett.store import DeliveryQuery, Found, ListedDelivery, NewDelivery, Store

_TEST_RETENTION: Final = timedelta(days=7)
MAX_RESEND: Final = 1_000
"""Deliveries that are sent again at a time by what they have in common."""
# Rows that one search looks at; by webhook they lie apart, and each costs more.
_LOOK: Final = 40_000
_LOOK_BY_ENDPOINT: Final = 20_000
_MAX_SEARCHES: Final = 20
_AT_ONCE: Final = 100
_DESTINATIONS_EACH: Final = 5
# A URL that is tried is a request to wherever somebody says.
_TRY_OUTS_AT_ONCE: Final = 10
_TRY_OUT_EVERY: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """A test event and what became of it."""

    __test__ = False  # a noun of ours, not a test case

    message: Message
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ToResend:
    """What is sent again where all that a query finds is."""

    deliveries: tuple[ListedDelivery, ...]
    left_out: int
    """Found too, but they cannot be sent again: the webhook is off, or the payload is gone."""
    more: bool
    """There are others, or there may be."""


class Deliveries:
    """The verbs. `app`, `endpoint` and `message` are an id or a uid throughout."""

    def __init__(
        self,
        *,
        store: Store,
        messages: Messages,
        endpoints: Endpoints,
        event_types: EventTypes,
        intake: Intake,
        clock: model.Clock,
    ) -> None:
        self._store = store
        self._messages = messages
        self._endpoints = endpoints
        self._event_types = event_types
        self._intake = intake
        self._clock = clock
        self._ids = intake.ids

    # --- what became of it --------------------------------------------------------------------

    async def destinations(
        self, app: str, message: str, page: PageQuery
    ) -> Page[tuple[Delivery, Endpoint | None]]:
        """The endpoints a message is owed to, and where each delivery stands."""
        found = await self._messages.get(app, message, with_payload=False)
        owed = await self._store.list_deliveries(found.id, page)
        return replace(owed, items=tuple((_paused(d, e), e) for d, e in owed.items))

    async def destinations_of(self, messages: Sequence[Message]) -> dict[MessageId, list[Delivery]]:
        """Where the deliveries of each stand, for messages owed to a few webhooks only."""
        few = [each.id for each in messages if 0 < each.endpoint_count <= _DESTINATIONS_EACH]
        found: dict[MessageId, list[Delivery]] = {}
        limit = 2 * _DESTINATIONS_EACH * len(few)  # a resend may have added some
        for each in await self._store.list_deliveries_of(few, limit=limit):
            found.setdefault(each.message_id, []).append(each)
        return found

    async def delivery(self, app: str, message: str, endpoint: str) -> tuple[Delivery, Message]:
        """One, with its message and payload; `endpoint` is an id, also of a deleted webhook.

        Errors: NotFound.
        """
        found = await self._messages.get(app, message)
        delivery = await self._store.get_delivery(found.id, EndpointId(endpoint))
        if delivery is None:
            raise _never_owed()
        if delivery.due_at is not None:
            wanted = await self._store.get_endpoint(found.app_id, delivery.endpoint_id)
            delivery = _paused(delivery, wanted)
        return delivery, found

    async def search(
        self, app: str, where: DeliveryQuery, *, after: str | None = None, limit: int = 50
    ) -> Found[ListedDelivery]:
        """The deliveries of all webhooks, newest message first.

        Looks back over some 20,000 messages, or 10,000 of one webhook, and on from `after`, the
        `place` of the search before. Errors: NotFound.
        """
        app_id = await self._messages.app_id(app)
        look = _LOOK if where.endpoint_id is None else _LOOK_BY_ENDPOINT
        return await self._store.search_deliveries(
            app_id, where, after=after, limit=limit, look=look
        )

    async def attempted_messages(
        self,
        app: str,
        endpoint: str,
        page: PageQuery,
        *,
        where: DeliveryFilter,
        with_payload: bool = True,
    ) -> Page[tuple[Message, Delivery]]:
        """The messages owed to an endpoint, and where each delivery stands."""
        found = await self._endpoints.get(app, endpoint)
        owed = await self._store.list_attempted_messages(
            found.id, where, page, with_payload=with_payload
        )
        return replace(owed, items=tuple((m, _paused(d, found)) for m, d in owed.items))

    async def attempts_by_endpoint(
        self, app: str, endpoint: str, page: PageQuery, *, where: AttemptFilter
    ) -> Page[tuple[Attempt, Message]]:
        """In order of id: newest first unless `page.ascending`."""
        found = await self._endpoints.get(app, endpoint)
        return await self._store.list_attempts(
            found.app_id, replace(where, endpoint_id=found.id), page
        )

    async def attempts_by_message(
        self, app: str, message: str, page: PageQuery, *, where: AttemptFilter
    ) -> Page[tuple[Attempt, Message]]:
        """In order of id: newest first unless `page.ascending`."""
        found = await self._messages.get(app, message, with_payload=False)
        return await self._store.list_attempts(
            found.app_id, replace(where, message_id=found.id), page
        )

    async def attempt(self, app: str, message: str, attempt_id: str) -> tuple[Attempt, Message]:
        """One attempt, with its message (and payload). Errors: NotFound."""
        found = await self._messages.get(app, message)
        attempt = await self._store.get_attempt(found.id, AttemptId(attempt_id))
        if attempt is None:
            text = f"this message has no attempt {attempt_id!r}"
            raise errors.NotFound(text)
        return attempt, found

    async def expunge_attempt(self, app: str, message: str, attempt_id: str) -> None:
        """Forget what the receiver answered; the attempt stays. Errors: NotFound."""
        attempt, _ = await self.attempt(app, message, attempt_id)
        await self._store.expunge_attempt(attempt.message_id, attempt.id)

    # --- again --------------------------------------------------------------------------------

    async def resend(self, app: str, message: str, endpoint: str) -> Delivery:
        """Send a message to one endpoint again, with the whole schedule, whatever it wants.

        Errors: NotFound; MissingPayload; Conflict (it is being sent this moment, or the endpoint
        is switched off).
        """
        wanted = await self._endpoints.get(app, endpoint)
        found = await self._messages.get(app, message, with_payload=False)
        refuse_if_disabled(wanted)
        if found.payload_gone:
            text = "the payload of this message is gone, so it cannot be sent again"
            raise errors.MissingPayload(text)
        now = self._clock()
        new = NewDelivery(id=self._ids.delivery(now), endpoint_id=wanted.id, due_at=now)
        if await self._intake.resend(new, message=found, endpoint=wanted) is None:
            text = "this message is being sent to this webhook right now; wait for the result"
            raise errors.Conflict(text)
        delivery = await self._store.get_delivery(found.id, wanted.id)
        assert delivery is not None  # noqa: S101 - written two lines above, deliveries stay
        return _paused(delivery, wanted)

    async def cancel(self, app: str, message: str, endpoint: str) -> bool:
        """Give a waiting delivery up; False when it is not waiting. Errors: NotFound."""
        wanted = await self._endpoints.get(app, endpoint)
        found = await self._messages.get(app, message, with_payload=False)
        delivery = await self._store.get_delivery(found.id, wanted.id)
        if delivery is None:
            raise _never_owed()
        return await self._store.cancel(delivery.id, now=self._clock())

    async def to_resend(self, app: str, where: DeliveryQuery) -> ToResend:
        """What `resend_all` would send, newest message first.

        No test events, and what waits only where the query asks for that. Errors: NotFound.
        """
        now = self._clock()
        wanted = replace(where, test=False, before=min(where.before or now, now))
        on = {each.id for each in await self._endpoints.all(app) if not each.disabled}
        return await self._all_found(app, wanted, lambda each: _can_be_resent(each, wanted, on))

    async def to_recover(self, app: str, endpoint: str, *, since: datetime) -> tuple[int, bool]:
        """How many deliveries a recover would send now, and whether there are, or may be, more.

        Counts up to 1,000 that failed and as many that were canceled. Errors: NotFound.
        """
        found = await self._endpoints.get(app, endpoint)
        wanted = DeliveryQuery(endpoint_id=found.id, after=since, test=False)
        parts = [
            await self._all_found(
                app, replace(wanted, state=state), lambda each: not each.message.payload_gone
            )
            for state in (DeliveryState.FAILED, DeliveryState.CANCELED)
        ]
        return sum(len(each.deliveries) for each in parts), any(each.more for each in parts)

    async def _all_found(
        self, app: str, where: DeliveryQuery, can_be_sent: Callable[[ListedDelivery], bool]
    ) -> ToResend:
        """What a query finds in several searches, up to 1,000 that can be sent."""
        found: list[ListedDelivery] = []
        left_out, place = 0, None
        for _ in range(_MAX_SEARCHES):
            part = await self.search(app, where, after=place, limit=MAX_RESEND - len(found))
            good = [each for each in part.items if can_be_sent(each)]
            found += good
            left_out += len(part.items) - len(good)
            place = part.place
            if place is None or len(found) == MAX_RESEND:
                break
        return ToResend(deliveries=tuple(found), left_out=left_out, more=place is not None)

    async def resend_all(self, app: str, where: DeliveryQuery) -> int:
        """Send again what a query finds, at most 1,000 deliveries; answers how many.

        Errors: NotFound.
        """
        found = (await self.to_resend(app, where)).deliveries
        sent = 0
        for start in range(0, len(found), _AT_ONCE):
            part = found[start : start + _AT_ONCE]
            sent += sum(await asyncio.gather(*(self._resent(app, each) for each in part)))
        return sent

    async def _resent(self, app: str, listed: ListedDelivery) -> bool:
        """False where something changed since it was found."""
        try:
            await self.resend(app, listed.message.id, listed.delivery.endpoint_id)
        except (errors.NotFound, errors.Conflict, errors.MissingPayload):
            return False
        return True

    # --- tests --------------------------------------------------------------------------------

    async def send_example(
        self,
        app: str,
        endpoint: str,
        *,
        event_type: str | None = None,
        payload: bytes | None = None,
    ) -> Message:
        """Send a test event to an endpoint, whatever it wants and even if it is switched off.

        Its payload is the event type's realistic sample unless given. One attempt, no retries; not
        counted as traffic. Errors: NotFound (endpoint, event type); Unavailable.
        """
        wanted = await self._endpoints.get(app, endpoint)
        message, _ = await self._start_test(wanted, event_type=event_type, payload=payload)
        return message

    async def test(
        self,
        app: str,
        endpoint: str,
        *,
        event_type: str | None = None,
        payload: bytes | None = None,
    ) -> TestResult:
        """As `send_example`, and wait for the verdict: at most the attempt's timeout and 2 s."""
        wanted = await self._endpoints.get(app, endpoint)
        message, verdict = await self._start_test(wanted, event_type=event_type, payload=payload)
        try:
            async with asyncio.timeout(self._intake.verdict_within(wanted).total_seconds()):
                attempt = await verdict
        except TimeoutError as exc:
            text = f"there is no verdict yet; look at the attempts of message {message.id}"
            raise errors.Unavailable(text) from exc
        return TestResult(message=message, attempt=attempt)

    async def try_out(
        self, app: str, new: NewEndpoint, *, event_type: str | None = None, by: str | None = None
    ) -> TestResult:
        """Send a test event to an endpoint that is not made; neither it nor the message is kept.

        `by` is the id of the user or token who asks: each may do so 30 times a minute, and 10 times
        at once, however many processes there are. None is the program itself, which may always.

        Errors: NotFound (application, event type), Invalid, as for a new endpoint; TooMany;
        Unavailable (also where this process does not send).
        """
        drafted = await self._endpoints.draft(app, new)
        message = await self._test_message(drafted, event_type=event_type, payload=None)
        self._intake.check_sends()
        if by is not None:
            await self._count_try_out(by)
        return TestResult(message=message, attempt=await self._intake.try_out(message, drafted))

    async def _count_try_out(self, by: str) -> None:
        now = self._clock()
        free_at = await self._store.take_try(
            f"try_out {by}", burst=_TRY_OUTS_AT_ONCE, every=_TRY_OUT_EVERY, now=now
        )
        if free_at is not None:
            wait = (free_at - now).total_seconds()
            text = f"too many URLs were tried; try again in {math.ceil(wait)} s"
            raise errors.TooMany(text, retry_after=wait)

    async def _start_test(
        self, wanted: Endpoint, *, event_type: str | None, payload: bytes | None
    ) -> tuple[Message, asyncio.Future[Attempt]]:
        message = await self._test_message(wanted, event_type=event_type, payload=payload)
        return message, await self._intake.accept_test(message, wanted)

    async def _test_message(
        self, wanted: Endpoint, *, event_type: str | None, payload: bytes | None
    ) -> Message:
        name = event_type or await self._test_event_type(wanted)
        if payload is None:
            payload = msgspec.json.encode(await self._event_types.sample(name))
        now = self._clock()
        return Message(
            id=self._ids.message(now),
            app_id=wanted.app_id,
            uid=None,
            event_type=name,
            channels=(),
            tags=(),
            test=True,
            problems=(),
            endpoint_count=1,
            deliver_at=None,
            created_at=now,
            payload_expires_at=now + _TEST_RETENTION,
            payload=payload,
        )

    async def _test_event_type(self, endpoint: Endpoint) -> str:
        """The event a test carries when none is named: one that the endpoint wants."""
        if endpoint.event_types:
            return min(endpoint.event_types)
        known = await self._event_types.list(PageQuery(limit=1, ascending=True))
        if not known.items:
            text = "there is no event type yet; add one, or name the event to test with"
            raise errors.BadRequest(text)
        return known.items[0].name


def _can_be_resent(
    listed: ListedDelivery, where: DeliveryQuery, on: Collection[EndpointId]
) -> bool:
    """`on` are the webhooks that are there and switched on."""
    state = listed.delivery.state
    waits = state is DeliveryState.PENDING and where.state is not DeliveryState.PENDING
    if waits or state is DeliveryState.SENDING:
        return False
    return listed.delivery.endpoint_id in on and not listed.message.payload_gone


def _paused(delivery: Delivery, endpoint: Endpoint | None) -> Delivery:
    """`delivery` due when it is sent at the earliest: not before its endpoint's pause is over."""
    until = None if endpoint is None else endpoint.health.paused_until
    if until is None or delivery.due_at is None or until <= delivery.due_at:
        return delivery
    return replace(delivery, due_at=until)


def _never_owed() -> errors.NotFound:
    return errors.NotFound("this message was never owed to this webhook")
