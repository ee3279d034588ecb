"""`claim_due`, `next_due_at` and `release`: who may send what, and until when."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from stafett.drivers.schema import from_micros, to_micros
from stafett.drivers.sqlite import rows
from stafett.drivers.values import due_of, ended_as
from stafett.ids import ClaimId, DeliveryId, EndpointId
from stafett.model import DueDelivery
from stafett.store import Claim

# Endpoints with something in the queue, found by skipping through its index: the cost is a probe
# for each of them, however long its queue is.
_QUEUED = """
WITH RECURSIVE queued(endpoint_id) AS (
  SELECT (SELECT min(endpoint_id) FROM deliveries WHERE due_at IS NOT NULL)
  UNION ALL
  SELECT (SELECT min(endpoint_id) FROM deliveries
          WHERE due_at IS NOT NULL AND endpoint_id > queued.endpoint_id)
  FROM queued WHERE queued.endpoint_id IS NOT NULL)
"""
_DUE_ENDPOINTS = (
    _QUEUED
    + """
SELECT queued.endpoint_id, endpoints.id IS NULL OR endpoints.disabled
FROM queued LEFT JOIN endpoints ON endpoints.id = queued.endpoint_id
WHERE queued.endpoint_id IS NOT NULL
  AND coalesce(endpoints.paused_until, 0) <= :now
  AND EXISTS (SELECT 1 FROM deliveries WHERE endpoint_id = queued.endpoint_id AND due_at <= :now)
"""
)
_NEXT_DUE = (
    _QUEUED
    + """
SELECT min(max(coalesce(endpoints.paused_until, 0),
               (SELECT min(due_at) FROM deliveries
                WHERE endpoint_id = queued.endpoint_id
                  AND due_at > CASE WHEN coalesce(endpoints.paused_until, 0) > :now
                                    THEN 0 ELSE :now END)))
FROM queued LEFT JOIN endpoints ON endpoints.id = queued.endpoint_id
WHERE queued.endpoint_id IS NOT NULL
"""
)
_DUE = """
SELECT d.state = 'sending', d.id, d.message_id, d.app_id, d.endpoint_id, m.event_type,
       d.attempt_count, d.failure_count, d.manual, d.test, m.created_at, m.trace, p.body
FROM deliveries d
JOIN messages m ON m.app_id = d.app_id AND m.id = d.message_id
LEFT JOIN payloads p ON p.message_id = d.message_id
WHERE d.endpoint_id = ? AND d.due_at <= ?
ORDER BY d.due_at LIMIT ?
"""
_CLAIM = "UPDATE deliveries SET state = 'sending', claim_id = ?, due_at = ? WHERE id IN ({wanted})"
_PAYLOAD_GONE = (
    f"UPDATE deliveries SET state = {ended_as('failed')}, due_at = NULL, claim_id = NULL,"
    " note = 'failed: the payload is gone', updated_at = ? WHERE id = ?"
)
_CANCEL_DUE = (
    f"UPDATE deliveries SET state = {ended_as('canceled')}, due_at = NULL, claim_id = NULL,"
    " note = 'canceled: webhook switched off or deleted', updated_at = :now"
    " WHERE endpoint_id = :endpoint AND due_at <= :now"
)
_RELEASE = (
    "WITH given(id, claim_id) AS ({rows}) UPDATE deliveries"
    " SET state = 'pending', claim_id = NULL, due_at = %d, updated_at = %d"
    " FROM given WHERE deliveries.id = given.id AND deliveries.claim_id = given.claim_id"
)
_CANCEL_UNWANTED = (
    "WITH given(id, claim_id) AS ({rows}) UPDATE deliveries"
    f" SET state = {ended_as('canceled')},"
    " claim_id = NULL, due_at = NULL, updated_at = %d,"
    " note = 'canceled: webhook switched off or deleted'"
    " FROM given WHERE deliveries.id = given.id AND deliveries.claim_id = given.claim_id"
    " AND NOT EXISTS (SELECT 1 FROM endpoints e"
    " WHERE e.id = deliveries.endpoint_id AND NOT e.disabled)"
)


def due_endpoints(raw: sqlite3.Connection, *, now: datetime) -> list[tuple[EndpointId, bool]]:
    """Endpoints with due work that are not paused, in order; True: disabled or gone."""
    found = raw.execute(_DUE_ENDPOINTS, {"now": to_micros(now)}).fetchall()
    return [(endpoint_id, bool(closed)) for endpoint_id, closed in found]


def cancel_due(raw: sqlite3.Connection, endpoint_id: EndpointId, *, now: datetime) -> None:
    """What is due to an endpoint that gets nothing any more ends here."""
    raw.execute(_CANCEL_DUE, {"endpoint": endpoint_id, "now": to_micros(now)})


def claim_of_endpoint(
    raw: sqlite3.Connection,
    endpoint_id: EndpointId,
    claim: Claim,
    *,
    now: datetime,
    limit: int,
) -> list[DueDelivery]:
    """Claims at most `limit` of one endpoint's due deliveries, oldest first.

    Those whose payload is gone end here, and the next ones take their places.
    """
    at = to_micros(now)
    claimed: list[DueDelivery] = []
    while True:
        found = raw.execute(_DUE, (endpoint_id, at, limit - len(claimed))).fetchall()
        whole = [row for row in found if row[-1] is not None]
        raw.executemany(_PAYLOAD_GONE, [(at, row[1]) for row in found if row[-1] is None])
        if whole:
            text = _CLAIM.replace("{wanted}", ",".join("?" * len(whole)))
            leased = (claim.id, to_micros(claim.lease_until))
            raw.execute(text, (*leased, *(row[1] for row in whole)))
        claimed += [due_of(row[1:], claim, expired=bool(row[0])) for row in whole]
        if len(whole) == len(found):
            return claimed


def next_due_at(raw: sqlite3.Connection, *, now: datetime) -> datetime | None:
    """See `stafett.store.Hot.next_due_at`."""
    micros: int | None = raw.execute(_NEXT_DUE, {"now": to_micros(now)}).fetchone()[0]
    return None if micros is None else from_micros(micros)


def release(
    raw: sqlite3.Connection,
    claims: Mapping[DeliveryId, ClaimId],
    *,
    due_at: datetime,
    now: datetime,
) -> None:
    """See `stafett.store.Hot.release`."""
    given = list(claims.items())
    rows.execute(raw, _CANCEL_UNWANTED % to_micros(now), given)
    rows.execute(raw, _RELEASE % (to_micros(due_at), to_micros(now)), given)


def void_leases(raw: sqlite3.Connection, *, now: datetime) -> int:
    """At start no other process can hold work: what was being sent is due now, and tasks go on."""
    raw.execute(
        "UPDATE tasks SET claim_id = NULL, due_at = ? WHERE due_at IS NOT NULL", (to_micros(now),)
    )
    return raw.execute(
        "UPDATE deliveries SET state = 'pending', claim_id = NULL, due_at = ?"
        " WHERE state = 'sending' AND due_at IS NOT NULL",
        (to_micros(now),),
    ).rowcount
