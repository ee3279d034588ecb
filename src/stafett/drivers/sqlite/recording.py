"""`record_attempts`: what attempts brought, under the claims they were made with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

from stafett.drivers.schema import to_micros
from stafett.drivers.sqlite import rows
from stafett.drivers.values import Seen, attempt_row, delivery_row, ended_as, health_of, health_row
from stafett.ids import EndpointId
from stafett.model import DeliveryState, DisabledReason, Trigger
from stafett.store import AttemptRecord, Recorded

# A delivery that succeeded once stays succeeded, whatever a resend of it comes to.
_DELIVERY = (
    "WITH done(id, claim_id, state, due_at, failures, succeeded_at, code, cause, note, at)"
    " AS ({rows}) UPDATE deliveries SET"
    " state = CASE WHEN done.state = 'failed' AND deliveries.succeeded_at IS NOT NULL"
    "         THEN 'succeeded' ELSE done.state END,"
    " due_at = done.due_at, failure_count = done.failures, claim_id = NULL,"
    " attempt_count = attempt_count + 1,"
    " succeeded_at = coalesce(deliveries.succeeded_at, done.succeeded_at),"
    " last_status_code = done.code, last_cause = done.cause, note = done.note, updated_at = done.at"
    " FROM done WHERE deliveries.id = done.id AND deliveries.claim_id = done.claim_id"
)
_ATTEMPT = (
    "message_id, id, delivery_id, app_id, endpoint_id, url, manual, test, status_code, cause,"
    " detail, note, duration_us, request_headers, response_headers, response_body,"
    " response_truncated, content_gone, created_at"
)
_HEALTH = (
    "WITH seen(id, counted, cleared, failing, at, code, cause, paused) AS ({rows})"
    " UPDATE endpoints SET event_count = event_count + seen.counted,"
    " failing_since = CASE WHEN seen.cleared THEN seen.failing"
    "                 ELSE coalesce(failing_since, seen.failing) END,"
    " last_attempt_at = seen.at, last_status_code = seen.code, last_cause = seen.cause,"
    " paused_until = CASE WHEN seen.paused > coalesce(paused_until, 0) THEN seen.paused"
    "                ELSE paused_until END"
    " FROM seen WHERE endpoints.id = seen.id"
)
_HELD = "SELECT id, claim_id FROM deliveries WHERE id IN ({wanted})"
_SUCCEEDED = "SELECT id FROM deliveries WHERE succeeded_at IS NOT NULL AND id IN ({wanted})"
_ENABLED = "SELECT id FROM endpoints WHERE NOT disabled AND id IN ({wanted})"
_FAILING = (
    "SELECT id FROM endpoints WHERE NOT disabled AND failing_since <= %d AND id IN ({wanted})"
)
_DISABLE = (
    "UPDATE endpoints SET disabled = 1, disabled_reason = ?, disabled_at = ?, updated_at = ?"
    " WHERE id = ? AND NOT disabled"
)
_CANCEL_PENDING = (
    "UPDATE deliveries SET due_at = NULL,"
    f" state = {ended_as('canceled')},"
    " note = 'canceled: webhook switched"
    " off', updated_at = ? WHERE endpoint_id = ? AND due_at IS NOT NULL AND state = 'pending'"
)
_CANCEL = (
    "UPDATE deliveries SET due_at = NULL,"
    f" state = {ended_as('canceled')},"
    " note = 'canceled: webhook switched off or deleted' WHERE id IN ({wanted})"
)


class StaleClaims(Exception):
    """Some record's claim is gone: the unit is undone, and done again with `weed`."""


def record_attempts(
    raw: sqlite3.Connection,
    batch: Sequence[AttemptRecord],
    *,
    now: datetime,
    failing_before: datetime,
    weed: bool,
) -> Recorded:
    """See `stafett.store.Hot.record_attempts`.

    `weed` looks for stale claims first. Hardly ever is one stale, so the caller goes without, and
    comes again when this raises StaleClaims.
    """
    held = _with_live_claims(raw, batch) if weed else batch
    again = _succeeded_before(raw, held)
    changed = rows.execute(raw, _DELIVERY, [delivery_row(record) for record in held])
    if changed != len(held):
        raise StaleClaims
    rows.insert(raw, "attempts", _ATTEMPT, rows=[attempt_row(record.attempt) for record in held])
    health = health_of(held, again)
    rows.execute(raw, _HEALTH, [health_row(each, seen) for each, seen in health.items()])
    disabled = _disable(raw, held, health, now=now, failing_before=failing_before)
    _cancel_unwanted(raw, held)
    kept = {record.attempt.id for record in held}
    stale = frozenset(r.attempt.id for r in batch if r.attempt.id not in kept)
    return Recorded(stale=stale, disabled=disabled)


def _with_live_claims(
    raw: sqlite3.Connection, batch: Sequence[AttemptRecord]
) -> list[AttemptRecord]:
    wanted = [record.attempt.delivery_id for record in batch]
    claims = {row[0]: row[1] for row in rows.select(raw, _HELD, wanted)}
    return [r for r in batch if claims.get(r.attempt.delivery_id) == r.claim_id]


def _succeeded_before(raw: sqlite3.Connection, batch: Sequence[AttemptRecord]) -> set[str]:
    """Deliveries that a resend brought here although they had succeeded: not counted again."""
    resent = [
        record.attempt.delivery_id
        for record in batch
        if record.attempt.trigger is Trigger.MANUAL and record.attempt.outcome.succeeded
    ]
    return {row[0] for row in rows.select(raw, _SUCCEEDED, resent)}


def _disable(
    raw: sqlite3.Connection,
    held: Sequence[AttemptRecord],
    health: dict[EndpointId, Seen],
    *,
    now: datetime,
    failing_before: datetime,
) -> dict[EndpointId, DisabledReason]:
    failing = [each for each, seen in health.items() if seen.failing is not None]
    found = rows.select(raw, _FAILING % to_micros(failing_before), failing)
    reasons = {EndpointId(row[0]): DisabledReason.FAILING for row in found}
    reasons |= {
        record.attempt.endpoint_id: record.disable_endpoint
        for record in held
        if record.disable_endpoint is not None
    }
    at = to_micros(now)
    disabled: dict[EndpointId, DisabledReason] = {}
    for endpoint_id, reason in reasons.items():
        if raw.execute(_DISABLE, (reason.value, at, at, endpoint_id)).rowcount:
            disabled[endpoint_id] = reason
            raw.execute(_CANCEL_PENDING, (at, endpoint_id))
    return disabled


def _cancel_unwanted(raw: sqlite3.Connection, held: Iterable[AttemptRecord]) -> None:
    """A retry owed to an endpoint that is disabled or gone ends as canceled."""
    pending = [record.attempt for record in held if record.state is DeliveryState.PENDING]
    if not pending:
        return
    wanted = {attempt.endpoint_id for attempt in pending}
    enabled = {row[0] for row in rows.select(raw, _ENABLED, wanted)}
    unwanted = [a.delivery_id for a in pending if a.endpoint_id not in enabled]
    list(rows.select(raw, _CANCEL, unwanted))
