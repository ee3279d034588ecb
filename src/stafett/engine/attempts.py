"""Makes one attempt: one request, one outcome, one decision. Never raises for a bad endpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stafett import errors, retry
from stafett.engine.clock import Clock
from stafett.engine.requests import Template
from stafett.engine.sending import Sender
from stafett.engine.spans import Tracer
from stafett.ids import AttemptId, EndpointId, Ids
from stafett.model import Attempt, DueDelivery, Endpoint, FailureCause, Outcome
from stafett.retry import RetrySchedule
from stafett.store import AttemptRecord

_log = logging.getLogger("stafett.attempts")
_MAX_TEMPLATES = 20_000

MIN_OWN_TIMEOUT: Final = timedelta(seconds=1)
MAX_OWN_TIMEOUT: Final = timedelta(seconds=60)
"""The longest that an endpoint may have for itself: every lease is made to outlive it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How attempts are made and repeated."""

    schedule: RetrySchedule
    """Of endpoints that have none of their own."""
    timeout: timedelta
    """Of one attempt, all told, at endpoints that have none of their own."""
    disable_after: timedelta
    """How long an endpoint may fail without one success before it is disabled."""

    @property
    def longest(self) -> timedelta:
        """What no attempt at any endpoint outlasts."""
        return max(self.timeout, MAX_OWN_TIMEOUT)

    def timeout_of(self, endpoint: Endpoint) -> timedelta:
        """Of one attempt at this endpoint."""
        return endpoint.timeout or self.timeout

    def schedule_of(self, endpoint: Endpoint) -> RetrySchedule:
        """What this endpoint's retries go by."""
        waits = endpoint.retry_schedule
        return self.schedule if waits is None else RetrySchedule(waits)


class Attempts:
    """Sends claimed deliveries, one request each."""

    def __init__(
        self,
        *,
        sender: Sender,
        clock: Clock,
        ids: Ids,
        chance: Callable[[], float],
        plan: Plan,
        tracer: Tracer | None = None,
    ) -> None:
        """`chance` gives numbers in [0, 1): the jitter."""
        self._sender = sender
        self._clock = clock
        self._ids = ids
        self._chance = chance
        self.plan = plan
        self._tracer = tracer
        self._templates: dict[EndpointId, Template] = {}

    async def make(self, due: DueDelivery, endpoint: Endpoint, *, now: datetime) -> AttemptRecord:
        """Send `due` to `endpoint` once; what came of it, ready to be recorded."""
        attempt_id = self._ids.attempt(now)
        if self._tracer is None:
            outcome = await self._send(due, endpoint, attempt_id, now=now)
        else:
            with self._tracer.attempting(due, endpoint, attempt_id) as span:
                trace = span.to_receiver
                outcome = await self._send(due, endpoint, attempt_id, now=now, trace=trace)
                span.ended(outcome)
        decision = retry.decide(
            outcome,
            failure_count=due.failure_count,
            schedule=self.plan.schedule_of(endpoint),
            now=self._clock.now(),
            jitter=self._chance(),
            test=due.test,
        )
        attempt = Attempt(
            id=attempt_id,
            delivery_id=due.id,
            message_id=due.message_id,
            app_id=due.app_id,
            endpoint_id=due.endpoint_id,
            url=endpoint.url,
            outcome=outcome,
            trigger=due.trigger,
            test=due.test,
            note=decision.note,
            created_at=now,
        )
        return AttemptRecord(
            attempt=attempt,
            claim_id=due.claim_id,
            state=decision.state,
            due_at=decision.due_at,
            failure_count=decision.failure_count,
            pause_endpoint_until=decision.pause_endpoint_until,
            disable_endpoint=decision.disable_endpoint,
        )

    async def _send(
        self,
        due: DueDelivery,
        endpoint: Endpoint,
        attempt_id: AttemptId,
        *,
        now: datetime,
        trace: str | None = None,
    ) -> Outcome:
        try:
            request = self._template(endpoint).request(
                due,
                attempt_id=attempt_id,
                now=now,
                timeout=self.plan.timeout_of(endpoint),
                trace=trace,
            )
            return await self._sender.send(request)
        except errors.Invalid as error:
            # Stored by an older release or by hand: no address that may be dialled.
            return Outcome(cause=FailureCause.TARGET_NOT_ALLOWED, detail=error.detail)
        except Exception:  # noqa: BLE001 - one bad row must not stop the others: it fails, visibly
            _log.exception("event=attempt.crashed delivery=%s", due.id)
            detail = "Stafett failed to make this request; its log says why"
            return Outcome(cause=FailureCause.INTERNAL, detail=detail)

    def _template(self, endpoint: Endpoint) -> Template:
        template = self._templates.get(endpoint.id)
        if template is None or template.endpoint is not endpoint:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            template = self._templates[endpoint.id] = Template(endpoint)
        return template
