"""What is stored of a message, an attempt and an endpoint's health, as plain values.

The hot verbs of both drivers write these. Flags are 0 and 1, times microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from stafett.drivers.schema import from_micros, to_micros, to_words
from stafett.ids import EndpointId
from stafett.model import Attempt, DueDelivery, Message, Trigger
from stafett.store import AttemptRecord, Claim

_MICROSECOND = timedelta(microseconds=1)
_encode = msgspec.json.encode


def ended_as(state: str) -> str:
    """In SQL, the state of a delivery that ends without an attempt, as `schema.ends_as`."""
    return f"CASE WHEN succeeded_at IS NULL THEN '{state}' ELSE 'succeeded' END"


def due_of(row: Iterable[Any], claim: Claim, *, expired: bool) -> DueDelivery:
    """A delivery that has just been claimed: ids and event, counts, flags, time, trace, payload."""
    delivery, message, app, endpoint, event_type, attempts, failures, *rest = row
    manual, test, at, trace, body = rest
    return DueDelivery(
        id=delivery,
        message_id=message,
        app_id=app,
        endpoint_id=endpoint,
        event_type=event_type,
        accepted_at=from_micros(at),
        claim_id=claim.id,
        lease_until=claim.lease_until,
        attempt_count=attempts,
        failure_count=failures,
        trigger=Trigger.MANUAL if manual else Trigger.SCHEDULED,
        test=bool(test),
        payload=body,
        expired=expired,
        trace=trace,
    )


def message_row(message: Message) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        message.app_id,
        message.id,
        message.uid,
        message.event_type,
        to_words(message.channels),
        to_words(message.tags),
        int(message.test),
        msgspec.json.encode(message.problems).decode() if message.problems else None,
        message.endpoint_count,
        None if message.deliver_at is None else to_micros(message.deliver_at),
        to_micros(message.created_at),
        to_micros(message.payload_expires_at),
        0,
        message.trace,
    )


@dataclass(slots=True)
class Seen:
    """What a batch says about one endpoint's health."""

    counted: int = 0
    cleared: bool = False
    failing: datetime | None = None
    at: datetime | None = None
    code: int | None = None
    cause: str | None = None
    paused: datetime | None = None


def delivery_row(record: AttemptRecord) -> tuple[Any, ...]:
    """Of a delivery after an attempt: what it was claimed by, and what it is now."""
    attempt = record.attempt
    outcome = attempt.outcome
    at = to_micros(attempt.created_at + outcome.duration)
    return (
        attempt.delivery_id,
        record.claim_id,
        record.state.value,
        None if record.due_at is None else to_micros(record.due_at),
        record.failure_count,
        at if outcome.succeeded else None,
        outcome.status_code,
        outcome.cause and outcome.cause.value,
        attempt.note,
        at,
    )


def attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    outcome = attempt.outcome
    return (
        attempt.message_id,
        attempt.id,
        attempt.delivery_id,
        attempt.app_id,
        attempt.endpoint_id,
        attempt.url,
        int(attempt.trigger is Trigger.MANUAL),
        int(attempt.test),
        outcome.status_code,
        outcome.cause and outcome.cause.value,
        outcome.detail,
        attempt.note,
        outcome.duration // _MICROSECOND,
        _encode(outcome.request_headers).decode(),
        _encode(outcome.response_headers).decode(),
        bytearray(outcome.response_body),
        int(outcome.response_truncated),
        0,
        to_micros(attempt.created_at),
    )


def health_of(held: Sequence[AttemptRecord], again: set[str]) -> dict[EndpointId, Seen]:
    """One summary for each endpoint with real attempts, in the order they were recorded."""
    health: dict[EndpointId, Seen] = {}
    for record in held:
        attempt = record.attempt
        if attempt.test:
            continue
        seen = health.setdefault(attempt.endpoint_id, Seen())
        seen.at = attempt.created_at
        seen.code = attempt.outcome.status_code
        seen.cause = attempt.outcome.cause
        if attempt.outcome.succeeded:
            seen.counted += attempt.delivery_id not in again
            seen.cleared, seen.failing = True, None
        else:
            seen.failing = seen.failing or attempt.created_at
            until = record.pause_endpoint_until
            if until is not None:
                seen.paused = max(until, seen.paused or until)
    return health


def health_row(endpoint_id: EndpointId, seen: Seen) -> tuple[Any, ...]:
    """In the order of the fields of `Seen`."""
    return (
        endpoint_id,
        seen.counted,
        int(seen.cleared),
        None if seen.failing is None else to_micros(seen.failing),
        None if seen.at is None else to_micros(seen.at),
        seen.code,
        seen.cause,
        None if seen.paused is None else to_micros(seen.paused),
    )
