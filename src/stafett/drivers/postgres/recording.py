"""`record_attempts`: what attempts brought, under the claims they were made with.

Endpoints are locked first, in one order, then rows of the queue, then those of the deliveries: so
no two nodes wait for each other. An attempt whose claim is gone finds no row in the queue.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from stafett.drivers.postgres.server import Connection, columns_of
from stafett.drivers.schema import to_micros
from stafett.drivers.values import (
    Seen,
    attempt_row,
    delivery_row,
    ended_as,
    health_of,
    health_row,
)
from stafett.ids import EndpointId
from stafett.model import DeliveryState, DisabledReason, Trigger
from stafett.store import AttemptRecord, Recorded

_LOCK: Final = (
    "SELECT id, failing_since FROM endpoints WHERE id = ANY($1::text[]) AND NOT disabled"
    " ORDER BY id FOR NO KEY UPDATE"
)
_SUCCEEDED: Final = (
    "SELECT id FROM deliveries WHERE id = ANY($1::text[]) AND message_id = ANY($2::text[])"
    " AND succeeded_at IS NOT NULL"
)
_HELD: Final = (
    "SELECT delivery_id, claim_id FROM queue WHERE delivery_id = ANY($1::text[])"
    " ORDER BY delivery_id FOR UPDATE"
)
# A delivery that succeeded once stays succeeded, whatever a resend of it comes to.
_RECORD: Final = """
WITH done AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::bigint[],
    $7::int[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::text[]) AS
    t(delivery_id, claim_id, state, due_at, failures, succeeded_at, code, cause, note, at,
      message_id, endpoint_id)),
finished AS (
  DELETE FROM queue q USING done WHERE q.delivery_id = done.delivery_id
    AND q.claim_id = done.claim_id AND done.due_at IS NULL RETURNING q.delivery_id),
again AS (
  UPDATE queue q SET due_at = done.due_at, claim_id = NULL FROM done
  WHERE q.delivery_id = done.delivery_id AND q.claim_id = done.claim_id
    AND done.due_at IS NOT NULL RETURNING q.delivery_id),
live AS (SELECT * FROM finished UNION ALL SELECT * FROM again),
d AS (
  UPDATE deliveries d SET
    state = CASE WHEN done.state IN ('failed', 'canceled') AND d.succeeded_at IS NOT NULL
            THEN 'succeeded' ELSE done.state END,
    due_at = done.due_at, failure_count = done.failures, attempt_count = d.attempt_count + 1,
    succeeded_at = coalesce(d.succeeded_at, done.succeeded_at), last_status_code = done.code,
    last_cause = done.cause, note = done.note, updated_at = done.at
  FROM live JOIN done USING (delivery_id)
  WHERE d.message_id = done.message_id AND d.endpoint_id = done.endpoint_id
    AND d.message_id BETWEEN $13 AND $14),
a AS (
  INSERT INTO attempts (message_id, id, delivery_id, app_id, endpoint_id, url, manual, test,
    status_code, cause, detail, note, duration_us, request_headers, response_headers,
    response_body, response_truncated, content_gone, created_at)
  SELECT message_id, id, t.delivery_id, app_id, endpoint_id, url, manual <> 0, test <> 0,
    status_code, cause, detail, note, duration_us, request_headers, response_headers,
    response_body, response_truncated <> 0, content_gone <> 0, created_at
  FROM unnest($15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[],
    $21::int[], $22::int[], $23::int[], $24::text[], $25::text[], $26::text[], $27::bigint[],
    $28::text[], $29::text[], $30::bytea[], $31::int[], $32::int[], $33::bigint[]) AS
    t(message_id, id, delivery_id, app_id, endpoint_id, url, manual, test, status_code, cause,
      detail, note, duration_us, request_headers, response_headers, response_body,
      response_truncated, content_gone, created_at)
  WHERE t.delivery_id IN (SELECT delivery_id FROM live)),
h AS (
  UPDATE endpoints e SET event_count = e.event_count + seen.counted,
    failing_since = CASE WHEN seen.cleared <> 0 THEN seen.failing
                    ELSE coalesce(e.failing_since, seen.failing) END,
    last_attempt_at = seen.at, last_status_code = seen.code, last_cause = seen.cause,
    paused_until = CASE WHEN seen.paused > coalesce(e.paused_until, 0) THEN seen.paused
                   ELSE e.paused_until END
  FROM unnest($34::text[], $35::int[], $36::int[], $37::bigint[], $38::bigint[], $39::int[],
    $40::text[], $41::bigint[]) AS seen(id, counted, cleared, failing, at, code, cause, paused)
  WHERE e.id = seen.id)
SELECT count(*) FROM live
"""
_DISABLE: Final = (
    "UPDATE endpoints SET disabled = true, disabled_reason = $2, disabled_at = $3, updated_at = $3"
    " WHERE id = $1 AND NOT disabled"
)
_CANCEL_PENDING: Final = f"""
WITH gone AS (DELETE FROM queue WHERE endpoint_id = $1 AND claim_id IS NULL
  RETURNING message_id, endpoint_id)
UPDATE deliveries d SET due_at = NULL, note = 'canceled: webhook switched off', updated_at = $2,
  state = {ended_as("canceled")}
FROM gone WHERE d.message_id = gone.message_id AND d.endpoint_id = gone.endpoint_id
"""  # noqa: S608 - constants
_UNWANTED: Final = "canceled: webhook switched off or deleted"
_HEALTH_COLUMNS: Final = 8
_STATE, _DUE_AT, _NOTE = 2, 3, 8  # places in `delivery_row`


class StaleClaims(Exception):
    """Some record's claim is gone: the transaction is undone, and done again with `weed`."""


async def record_attempts(
    connection: Connection,
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
    async with connection.transaction():
        ids = sorted({record.attempt.endpoint_id for record in batch})
        receiving = {row[0]: row[1] for row in await connection.fetch(_LOCK, ids)}
        held = await _with_live_claims(connection, batch) if weed else batch
        health = health_of(held, await _succeeded_before(connection, held))
        disabled = _to_disable(held, health, receiving, failing_before=to_micros(failing_before))
        if held:
            closed = [each for each in ids if each not in receiving or each in disabled]
            await _record(connection, held, health, closed=closed)
        for endpoint_id, reason in disabled.items():
            await connection.execute(_DISABLE, endpoint_id, reason.value, to_micros(now))
            await connection.execute(_CANCEL_PENDING, endpoint_id, to_micros(now))
    kept = {record.attempt.id for record in held}
    stale = frozenset(r.attempt.id for r in batch if r.attempt.id not in kept)
    return Recorded(stale=stale, disabled=disabled)


async def _with_live_claims(
    connection: Connection, batch: Sequence[AttemptRecord]
) -> list[AttemptRecord]:
    wanted = [record.attempt.delivery_id for record in batch]
    claims = {row[0]: row[1] for row in await connection.fetch(_HELD, wanted)}
    return [r for r in batch if claims.get(r.attempt.delivery_id) == r.claim_id]


async def _succeeded_before(connection: Connection, batch: Sequence[AttemptRecord]) -> set[str]:
    """Deliveries that a resend brought here although they had succeeded: not counted again."""
    resent = [
        record.attempt
        for record in batch
        if record.attempt.trigger is Trigger.MANUAL and record.attempt.outcome.succeeded
    ]
    if not resent:
        return set()
    found = await connection.fetch(
        _SUCCEEDED, [each.delivery_id for each in resent], [each.message_id for each in resent]
    )
    return {row[0] for row in found}


async def _record(
    connection: Connection,
    held: Sequence[AttemptRecord],
    health: Mapping[EndpointId, Seen],
    *,
    closed: Collection[EndpointId],
) -> None:
    """Errors: StaleClaims, when not every claim was still there."""
    messages = [record.attempt.message_id for record in held]
    deliveries = [_delivery_row(record, closed=closed) for record in held]
    attempts = [attempt_row(record.attempt) for record in held]
    seen = [health_row(endpoint_id, each) for endpoint_id, each in health.items()]
    changed: int = await connection.fetchval(
        _RECORD,
        *columns_of(deliveries),
        min(messages),
        max(messages),
        *columns_of(attempts),
        *columns_of(seen, count=_HEALTH_COLUMNS),
    )
    if changed != len(held):
        raise StaleClaims


def _delivery_row(record: AttemptRecord, *, closed: Collection[EndpointId]) -> list[Any]:
    """A retry owed to an endpoint that is disabled or gone ends as canceled."""
    row = [*delivery_row(record), record.attempt.message_id, record.attempt.endpoint_id]
    if record.state is DeliveryState.PENDING and record.attempt.endpoint_id in closed:
        row[_STATE], row[_DUE_AT], row[_NOTE] = DeliveryState.CANCELED.value, None, _UNWANTED
    return row


def _to_disable(
    held: Sequence[AttemptRecord],
    health: Mapping[EndpointId, Seen],
    receiving: Mapping[EndpointId, int | None],
    *,
    failing_before: int,
) -> dict[EndpointId, DisabledReason]:
    """The endpoints that this batch switches off.

    `receiving` are those that are on, each with since when it fails.
    """
    reasons: dict[EndpointId, DisabledReason] = {}
    for endpoint_id, seen in health.items():
        if seen.failing is None:
            continue
        since = None if seen.cleared else receiving.get(endpoint_id)
        if (to_micros(seen.failing) if since is None else since) <= failing_before:
            reasons[endpoint_id] = DisabledReason.FAILING
    reasons |= {
        record.attempt.endpoint_id: record.disable_endpoint
        for record in held
        if record.disable_endpoint is not None
    }
    return {each: reason for each, reason in reasons.items() if each in receiving}
