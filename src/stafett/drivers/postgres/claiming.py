"""`claim_due`, `next_due_at` and `release`: who may send what, and until when.

A claim moves `due_at` to the end of the lease, so what is being sent is not in the way of whoever
looks for what is due. Rows of the queue are always locked before those of the deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from stafett.drivers.postgres.server import Connection
from stafett.drivers.schema import from_micros, to_micros
from stafett.drivers.values import due_of, ended_as
from stafett.ids import ClaimId, DeliveryId, EndpointId
from stafett.model import DueDelivery
from stafett.store import Claim

# Endpoints with something in the queue, from one on, found by skipping through its index: the cost
# is a probe for each of them, however long its queue is.
_QUEUED: Final = """
WITH RECURSIVE queued(endpoint_id) AS (
  (SELECT endpoint_id FROM queue WHERE endpoint_id > $2 ORDER BY endpoint_id LIMIT 1)
  UNION ALL
  SELECT (SELECT q.endpoint_id FROM queue q WHERE q.endpoint_id > queued.endpoint_id
          ORDER BY q.endpoint_id LIMIT 1)
  FROM queued WHERE queued.endpoint_id IS NOT NULL)
"""
# No join, which might turn their order round; the first that are found are the answer.
_DUE_ENDPOINTS: Final = (
    _QUEUED  # noqa: S608 - constants
    + """
SELECT endpoint_id, coalesce((SELECT e.disabled FROM endpoints e WHERE e.id = endpoint_id), true)
FROM queued
WHERE endpoint_id IS NOT NULL AND endpoint_id <> ALL($3::text[])
  AND coalesce((SELECT e.paused_until FROM endpoints e WHERE e.id = endpoint_id), 0) <= $1
  AND (SELECT q.due_at FROM queue q WHERE q.endpoint_id = queued.endpoint_id
       ORDER BY q.due_at LIMIT 1) <= $1
LIMIT $4
"""
)
_NEXT_DUE: Final = (
    _QUEUED  # noqa: S608 - constants
    + """
SELECT min(greatest(coalesce(e.paused_until, 0), (
  SELECT q.due_at FROM queue q WHERE q.endpoint_id = queued.endpoint_id
    AND q.due_at > CASE WHEN coalesce(e.paused_until, 0) > $1 THEN 0 ELSE $1 END
  ORDER BY q.due_at LIMIT 1))) FILTER (WHERE EXISTS (
  SELECT 1 FROM queue q WHERE q.endpoint_id = queued.endpoint_id
    AND q.due_at > CASE WHEN coalesce(e.paused_until, 0) > $1 THEN 0 ELSE $1 END))
FROM queued LEFT JOIN endpoints e ON e.id = queued.endpoint_id
WHERE queued.endpoint_id IS NOT NULL
"""
)
# What somebody else has in hand this moment is passed over.
_CLAIM: Final = """
WITH picked AS MATERIALIZED (
  SELECT due.delivery_id, due.expired FROM unnest($1::text[], $2::int[]) WITH ORDINALITY
    AS turn(endpoint_id, room, place)
  CROSS JOIN LATERAL (
    SELECT q.delivery_id, q.claim_id IS NOT NULL AS expired FROM queue q
    WHERE q.endpoint_id = turn.endpoint_id AND q.due_at <= $3
    ORDER BY q.due_at LIMIT turn.room FOR UPDATE SKIP LOCKED) due
  LIMIT $4)
UPDATE queue q SET claim_id = $5, due_at = $6 FROM picked
WHERE q.delivery_id = picked.delivery_id
RETURNING q.message_id, q.endpoint_id, CASE WHEN picked.expired THEN q.delivery_id END
"""
_START: Final = """
UPDATE deliveries d SET state = 'sending', due_at = $3
FROM unnest($1::text[], $2::text[]) AS c(message_id, endpoint_id)
JOIN messages m ON m.id = c.message_id AND m.id BETWEEN $4 AND $5
LEFT JOIN payloads p ON p.message_id = c.message_id AND p.message_id BETWEEN $4 AND $5
WHERE d.message_id = c.message_id AND d.endpoint_id = c.endpoint_id
  AND d.message_id BETWEEN $4 AND $5 AND m.app_id = d.app_id
RETURNING d.id, d.message_id, d.app_id, d.endpoint_id, m.event_type, d.attempt_count,
  d.failure_count, d.manual, d.test, m.created_at, m.trace, p.body
"""
_END: Final = f"""
WITH gone AS (DELETE FROM queue WHERE delivery_id = ANY($1::text[])
  RETURNING message_id, endpoint_id)
UPDATE deliveries d SET state = {ended_as("failed")}, due_at = NULL,
  note = 'failed: the payload is gone', updated_at = $2
FROM gone WHERE d.message_id = gone.message_id AND d.endpoint_id = gone.endpoint_id
"""  # noqa: S608 - constants
_CANCEL_DUE: Final = f"""
WITH picked AS MATERIALIZED (
  SELECT delivery_id FROM queue WHERE endpoint_id = ANY($1::text[]) AND due_at <= $2
  LIMIT 10000 FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM queue q USING picked WHERE q.delivery_id = picked.delivery_id
  RETURNING q.message_id, q.endpoint_id)
UPDATE deliveries d SET state = {ended_as("canceled")}, due_at = NULL,
  note = 'canceled: webhook switched off or deleted', updated_at = $2
FROM gone WHERE d.message_id = gone.message_id AND d.endpoint_id = gone.endpoint_id
"""  # noqa: S608 - constants
_RELEASE: Final = f"""
WITH given AS MATERIALIZED (
  SELECT q.delivery_id, e.id IS NOT NULL AS wanted
  FROM unnest($1::text[], $2::text[]) AS t(delivery_id, claim_id)
  JOIN queue q ON q.delivery_id = t.delivery_id AND q.claim_id = t.claim_id
  LEFT JOIN endpoints e ON e.id = q.endpoint_id AND NOT e.disabled
  ORDER BY q.delivery_id FOR UPDATE OF q),
back AS (
  UPDATE queue q SET due_at = $3, claim_id = NULL FROM given
  WHERE q.delivery_id = given.delivery_id AND given.wanted
  RETURNING q.message_id, q.endpoint_id, true AS wanted),
gone AS (
  DELETE FROM queue q USING given WHERE q.delivery_id = given.delivery_id AND NOT given.wanted
  RETURNING q.message_id, q.endpoint_id, false AS wanted),
both_ways AS (SELECT * FROM back UNION ALL SELECT * FROM gone)
UPDATE deliveries d SET
  state = CASE WHEN b.wanted THEN 'pending' ELSE {ended_as("canceled")} END,
  due_at = CASE WHEN b.wanted THEN $3 END,
  note = CASE WHEN b.wanted THEN note ELSE 'canceled: webhook switched off or deleted' END,
  updated_at = $4
FROM both_ways b WHERE d.message_id = b.message_id AND d.endpoint_id = b.endpoint_id
"""  # noqa: S608 - constants


async def due_endpoints(
    connection: Connection, *, now: datetime, after: EndpointId, but: list[EndpointId], limit: int
) -> list[tuple[EndpointId, bool]]:
    """Endpoints with due work that are not paused, in order, beginning behind `after`.

    At most `limit`, and none of `but`. True: it is disabled or gone.
    """
    ahead = await connection.fetch(_DUE_ENDPOINTS, to_micros(now), after, but, limit)
    if len(ahead) < limit and after:
        around = await connection.fetch(_DUE_ENDPOINTS, to_micros(now), "", but, limit)
        ahead += [row for row in around if row[0] <= after]
    return [(endpoint_id, closed) for endpoint_id, closed in ahead[:limit]]


async def cancel_due(
    connection: Connection, endpoint_ids: Sequence[EndpointId], *, now: datetime
) -> None:
    """What is due to endpoints that get nothing any more ends here, 10,000 at a time."""
    await connection.execute(_CANCEL_DUE, list(endpoint_ids), to_micros(now))


async def claim_of_endpoints(
    connection: Connection,
    rooms: Sequence[tuple[EndpointId, int]],
    claim: Claim,
    *,
    now: datetime,
    limit: int,
) -> list[DueDelivery]:
    """Claims at most `limit`, and of each endpoint at most its room, oldest first.

    Those whose payload is gone end here, and the next ones take their places.
    """
    claimed: list[DueDelivery] = []
    left = dict(rooms)
    async with connection.transaction():
        while True:
            got, is_whole = await _claim_once(
                connection, left, claim, now=now, limit=limit - len(claimed)
            )
            claimed += got
            if is_whole:
                break
            for due in got:
                left[due.endpoint_id] -= 1
    places = {endpoint_id: place for place, endpoint_id in enumerate(left)}
    return sorted(claimed, key=lambda due: (places[due.endpoint_id], due.id))


async def _claim_once(
    connection: Connection,
    rooms: Mapping[EndpointId, int],
    claim: Claim,
    *,
    now: datetime,
    limit: int,
) -> tuple[list[DueDelivery], bool]:
    """What was claimed, and whether all of it had its payload."""
    ends = to_micros(claim.lease_until)
    picked = await connection.fetch(
        _CLAIM, list(rooms), list(rooms.values()), to_micros(now), limit, claim.id, ends
    )
    if not picked:
        return [], True
    messages = [row[0] for row in picked]
    found = await connection.fetch(
        _START, messages, [row[1] for row in picked], ends, min(messages), max(messages)
    )
    lost = [row[0] for row in found if row[-1] is None]
    if lost:
        await connection.execute(_END, lost, to_micros(now))
    expired = {row[2] for row in picked}
    whole = [row for row in found if row[-1] is not None]
    return [due_of(row, claim, expired=row[0] in expired) for row in whole], not lost


async def next_due_at(connection: Connection, *, now: datetime) -> datetime | None:
    """See `stafett.store.Hot.next_due_at`."""
    micros: int | None = await connection.fetchval(_NEXT_DUE, to_micros(now), "")
    return None if micros is None else from_micros(micros)


async def release(
    connection: Connection,
    claims: Mapping[DeliveryId, ClaimId],
    *,
    due_at: datetime,
    now: datetime,
) -> None:
    """See `stafett.store.Hot.release`."""
    await connection.execute(
        _RELEASE, list(claims), list(claims.values()), to_micros(due_at), to_micros(now)
    )
