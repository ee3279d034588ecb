"""`add_messages`: messages, payloads, deliveries and idempotency keys of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from stafett.drivers.cold.upkeep import KEY_LIFE
from stafett.drivers.postgres.server import Connection, columns_of
from stafett.drivers.schema import to_micros
from stafett.drivers.values import message_row
from stafett.ids import MessageId
from stafett.store import AddResult, AddStatus, NewMessage

# One statement is one transaction and one trip to the server.
_ADD: Final = """
WITH m AS (
  INSERT INTO messages (app_id, id, uid, event_type, channels, tags, test, problems,
    endpoint_count, deliver_at, created_at, payload_expires_at, payload_gone, trace)
  SELECT app_id, id, uid, event_type, channels, tags, test <> 0, problems,
    endpoint_count, deliver_at, created_at, payload_expires_at, payload_gone <> 0, trace
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[],
    $8::text[], $9::int[], $10::bigint[], $11::bigint[], $12::bigint[], $13::int[], $14::text[]) AS
    t(app_id, id, uid, event_type, channels, tags, test, problems, endpoint_count, deliver_at,
      created_at, payload_expires_at, payload_gone, trace)),
p AS (
  INSERT INTO payloads (message_id, body) SELECT * FROM unnest($2::text[], $15::bytea[])),
owed AS (
  SELECT * FROM unnest($16::text[], $17::text[], $18::text[], $19::text[], $20::bigint[],
    $21::text[], $22::bigint[], $23::int[]) AS
    t(id, message_id, app_id, endpoint_id, due_at, claim_id, created_at, test)),
d AS (
  INSERT INTO deliveries (id, message_id, app_id, endpoint_id, state, manual, test, attempt_count,
    failure_count, due_at, created_at, updated_at)
  SELECT id, message_id, app_id, endpoint_id,
    CASE WHEN claim_id IS NULL THEN 'pending' ELSE 'sending' END, false, test <> 0, 0, 0, due_at,
    created_at, created_at
  FROM owed)
INSERT INTO queue (delivery_id, message_id, endpoint_id, due_at, claim_id)
SELECT id, message_id, endpoint_id, due_at, claim_id FROM owed
"""
# An old key is taken over as if it were not there. In one order, or two nodes wait for each other.
_TAKE_KEYS: Final = """
INSERT INTO idempotency_keys AS held (key, body_hash, message_id, created_at)
SELECT key, body_hash, message_id, $4 FROM unnest($1::bytea[], $2::bytea[], $3::text[]) AS
  t(key, body_hash, message_id) ORDER BY key
ON CONFLICT (key) DO UPDATE SET body_hash = excluded.body_hash, message_id = excluded.message_id,
  status_code = NULL, body = NULL, created_at = excluded.created_at
WHERE held.created_at < $5
RETURNING key
"""
_HELD_KEYS: Final = (
    "SELECT key, body_hash, message_id FROM idempotency_keys WHERE key = ANY($1::bytea[])"
)
_DROP_KEYS: Final = "DELETE FROM idempotency_keys WHERE key = ANY($1::bytea[])"
_TAKE_UIDS: Final = """
INSERT INTO message_uids (app_id, uid, message_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS t(app_id, uid, message_id)
ORDER BY app_id, uid
ON CONFLICT DO NOTHING RETURNING app_id, uid
"""
_DELIVERY_COLUMNS: Final = 8


async def add_messages(
    connection: Connection, batch: Sequence[NewMessage], *, now: datetime
) -> list[AddResult]:
    """See `stafett.store.Hot.add_messages`."""
    if not any(item.message.uid is not None or item.idempotency is not None for item in batch):
        await _insert(connection, batch)
        return [AddResult(AddStatus.ADDED, item.message.id) for item in batch]
    results: dict[MessageId, AddResult] = {}
    left = list(batch)
    async with connection.transaction():
        while left:
            turn, left = _distinct(left)
            results |= await _admit(connection, turn, now=now)
        added = [i for i in batch if results[i.message.id].status is AddStatus.ADDED]
        await _insert(connection, added)
    return [results[item.message.id] for item in batch]


def _distinct(items: Iterable[NewMessage]) -> tuple[list[NewMessage], list[NewMessage]]:
    """Those that are the first with their key and their uid, and the rest."""
    first: list[NewMessage] = []
    rest: list[NewMessage] = []
    seen: set[Any] = set()
    for item in items:
        marks: list[Any] = []
        if item.idempotency is not None:
            marks.append(item.idempotency.key)
        if item.message.uid is not None:
            marks.append((item.message.app_id, item.message.uid))
        (rest if seen.intersection(marks) else first).append(item)
        seen.update(marks)
    return first, rest


async def _admit(
    connection: Connection, items: Sequence[NewMessage], *, now: datetime
) -> dict[MessageId, AddResult]:
    """What becomes of each item; an admitted one has taken its key and its uid."""
    results = await _take_keys(connection, items, now=now)
    taken = await _uids_taken(connection, [i for i in items if i.message.id not in results])
    keys = [i.idempotency.key for i in taken if i.idempotency is not None]
    if keys:
        await connection.execute(_DROP_KEYS, keys)
    results |= {i.message.id: AddResult(AddStatus.UID_TAKEN, i.message.id) for i in taken}
    return {i.message.id: AddResult(AddStatus.ADDED, i.message.id) for i in items} | results


async def _take_keys(
    connection: Connection, items: Sequence[NewMessage], *, now: datetime
) -> dict[MessageId, AddResult]:
    """The answers for those whose key is known."""
    keyed = {i.idempotency.key: (i.idempotency, i.message.id) for i in items if i.idempotency}
    if not keyed:
        return {}
    hashes = [promise.body_hash for promise, _ in keyed.values()]
    ids = [message_id for _, message_id in keyed.values()]
    oldest = to_micros(now - KEY_LIFE)
    got = await connection.fetch(_TAKE_KEYS, list(keyed), hashes, ids, to_micros(now), oldest)
    missed = keyed.keys() - {row[0] for row in got}
    if not missed:
        return {}
    results: dict[MessageId, AddResult] = {}
    for key, body_hash, first in await connection.fetch(_HELD_KEYS, list(missed)):
        promise, message_id = keyed[key]
        same = body_hash == promise.body_hash
        status = AddStatus.REPEATED if same else AddStatus.MISMATCH
        results[message_id] = AddResult(status, first or message_id)
    return results


async def _uids_taken(connection: Connection, items: Sequence[NewMessage]) -> list[NewMessage]:
    """Those whose uid another message has."""
    named = [item for item in items if item.message.uid is not None]
    if not named:
        return []
    columns = columns_of([(i.message.app_id, i.message.uid, i.message.id) for i in named])
    got = {tuple(row) for row in await connection.fetch(_TAKE_UIDS, *columns)}
    return [item for item in named if (item.message.app_id, item.message.uid) not in got]


async def _insert(connection: Connection, items: Sequence[NewMessage]) -> None:
    if not items:
        return
    messages = columns_of([message_row(item.message) for item in items])
    bodies = [item.message.payload or b"" for item in items]
    owed = columns_of(
        [row for item in items for row in _delivery_rows(item)], count=_DELIVERY_COLUMNS
    )
    await connection.execute(_ADD, *messages, bodies, *owed)


def _delivery_rows(item: NewMessage) -> list[tuple[Any, ...]]:
    message = item.message
    made = to_micros(message.created_at)
    test = int(message.test)
    return [
        (
            each.id,
            message.id,
            message.app_id,
            each.endpoint_id,
            to_micros(each.due_at if each.claim is None else each.claim.lease_until),
            None if each.claim is None else each.claim.id,
            made,
            test,
        )
        for each in item.deliveries
    ]
