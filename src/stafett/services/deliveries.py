"""Deliveries: what became of messages, and sending them again.

Nothing here sends: everything that should be sent is made due, and dispatch does the rest. Test
events take the same way, marked as such.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from stafett import errors, model
from stafett.engine.intake import Intake
from stafett.ids import AttemptId, MessageId
from stafett.model import (
    Attempt,
    AttemptFilter,
    Delivery,
    DeliveryFilter,
    Endpoint,
    Message,
    Page,
    PageQuery,
    Task,
)
from stafett.services.endpoints import Endpoints
from stafett.services.event_types import EventTypes
from stafett.services.messages import Messages
from stafett.store import NewDelivery, Store

MAX_RECOVER_RANGE: Final = timedelta(days=30)
_RECOVER_ROUND: Final = 500
_TEST_RETENTION: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """A test event and what became of it."""

    __test__ = False  # a noun of ours, not a test case

    message: Message
    attempt: Attempt


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
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what became of it --------------------------------------------------------------------

    async def destinations(
        self, app: str, message: str, page: PageQuery
    ) -> Page[tuple[Delivery, Endpoint | None]]:
        """The endpoints a message is owed to, and where each delivery stands."""
        found = await self._messages.get(app, message, with_payload=False)
        return await self._store.list_deliveries(found.id, page)

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
        return await self._store.list_attempted_messages(
            found.id, where, page, with_payload=with_payload
        )

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
        _refuse_if_disabled(wanted)
        if found.payload_gone:
            text = "the payload of this message is gone, so it cannot be sent again"
            raise errors.MissingPayload(text)
        now = self._clock()
        new = NewDelivery(id=self._ids.delivery(now), endpoint_id=wanted.id, due_at=now)
        if await self._store.resend(new, message=found, now=now) is None:
            text = "this message is being sent to this webhook right now; wait for the result"
            raise errors.Conflict(text)
        self._intake.hint(wanted, due_at=now)
        delivery = await self._store.get_delivery(found.id, wanted.id)
        assert delivery is not None  # noqa: S101 - written two lines above, deliveries stay
        return delivery

    async def cancel(self, app: str, message: str, endpoint: str) -> bool:
        """Give a waiting delivery up; False when it is not waiting. Errors: NotFound."""
        wanted = await self._endpoints.get(app, endpoint)
        found = await self._messages.get(app, message, with_payload=False)
        delivery = await self._store.get_delivery(found.id, wanted.id)
        if delivery is None:
            text = "this message was never owed to this webhook"
            raise errors.NotFound(text)
        return await self._store.cancel(delivery.id, now=self._clock())

    async def recover(
        self, app: str, endpoint: str, *, since: datetime, until: datetime | None = None
    ) -> Task:
        """Send everything to an endpoint again that failed or was canceled in the range.

        Goes on in the background, oldest first. Errors: NotFound; Conflict (switched off);
        InvalidRange.
        """
        wanted = await self._endpoints.get(app, endpoint)
        _refuse_if_disabled(wanted)
        now = self._clock()
        end = min(until or now, now)
        if since >= end:
            text = "`since` must be before `until`, and in the past"
            raise errors.InvalidRange(text)
        if end - since > MAX_RECOVER_RANGE:
            text = f"at most {MAX_RECOVER_RANGE.days} days can be recovered at a time"
            raise errors.InvalidRange(text)
        task = asyncio.get_running_loop().create_task(self._recover(wanted, since, end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Task(
            id=self._ids.task(now),
            kind="endpoint.recover",
            status="running",
            data={"messagesSent": 0},
            updated_at=now,
        )

    async def drain(self) -> None:
        """Return when no recover is under way any more."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _recover(self, endpoint: Endpoint, since: datetime, until: datetime) -> None:
        after: MessageId | None = None
        while True:
            now = self._clock()
            _, after = await self._store.recover(
                endpoint.id, since=since, until=until, now=now, limit=_RECOVER_ROUND, after=after
            )
            self._intake.hint(endpoint, due_at=now)
            if after is None:
                return

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
        message, _ = await self._start_test(app, endpoint, event_type=event_type, payload=payload)
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
        message, verdict = await self._start_test(
            app, endpoint, event_type=event_type, payload=payload
        )
        try:
            async with asyncio.timeout(self._intake.verdict_within.total_seconds()):
                attempt = await verdict
        except TimeoutError as exc:
            text = f"there is no verdict yet; look at the attempts of message {message.id}"
            raise errors.Unavailable(text) from exc
        return TestResult(message=message, attempt=attempt)

    async def _start_test(
        self, app: str, endpoint: str, *, event_type: str | None, payload: bytes | None
    ) -> tuple[Message, asyncio.Future[Attempt]]:
        wanted = await self._endpoints.get(app, endpoint)
        name = event_type or await self._test_event_type(wanted)
        if payload is None:
            payload = msgspec.json.encode(await self._event_types.sample(name))
        now = self._clock()
        message = Message(
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
        return message, await self._intake.accept_test(message, wanted)

    async def _test_event_type(self, endpoint: Endpoint) -> str:
        """The event a test carries when none is named: one that the endpoint wants."""
        if endpoint.event_types:
            return min(endpoint.event_types)
        known = await self._event_types.list(PageQuery(limit=1, ascending=True))
        if not known.items:
            text = "there is no event type yet; add one, or name the event to test with"
            raise errors.BadRequest(text)
        return known.items[0].name


def _refuse_if_disabled(endpoint: Endpoint) -> None:
    if endpoint.disabled:
        text = "this webhook is switched off; switch it on first"
        raise errors.Conflict(text)
