"""`add_messages`: messages, payloads, deliveries and idempotency keys of a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from stafett.drivers.cold.upkeep import KEY_LIFE
from stafett.drivers.schema import to_micros
from stafett.drivers.sqlite import rows
from stafett.drivers.values import message_row
from stafett.ids import AppId, MessageId
from stafett.model import DeliveryState
from stafett.store import AddResult, AddStatus, Idempotency, NewMessage

_MESSAGE = (
    "app_id, id, uid, event_type, channels, tags, test, problems, endpoint_count, deliver_at,"
    " created_at, payload_expires_at, payload_gone, trace"
)
_DELIVERY = (
    "id, message_id, app_id, endpoint_id, state, manual, test, attempt_count, failure_count,"
    " due_at, claim_id, created_at, updated_at"
)
_KNOWN_KEYS = (
    "SELECT key, body_hash, message_id, created_at FROM idempotency_keys WHERE key IN ({wanted})"
)
_KNOWN_UIDS = "SELECT uid FROM messages WHERE app_id = ? AND uid IN ({wanted})"
_FORGET_KEYS = "DELETE FROM idempotency_keys WHERE key IN ({wanted})"


class _Known:
    """Which keys and uids are taken: stored ones, and those of earlier items of this batch."""

    def __init__(
        self, raw: sqlite3.Connection, batch: Sequence[NewMessage], *, now: datetime
    ) -> None:
        self._keys: dict[bytes, tuple[bytes, MessageId]] = {}
        self._uids: set[tuple[AppId, str]] = set()
        keys = [item.idempotency.key for item in batch if item.idempotency is not None]
        if keys:
            self._load_keys(raw, keys, oldest=to_micros(now - KEY_LIFE))
        uids: dict[AppId, list[str]] = {}
        for item in batch:
            if item.message.uid is not None:
                uids.setdefault(item.message.app_id, []).append(item.message.uid)
        for app_id, wanted in uids.items():
            self._load_uids(raw, app_id, wanted)

    def _load_keys(self, raw: sqlite3.Connection, keys: list[bytes], *, oldest: int) -> None:
        expired: list[bytes] = []
        for key, body_hash, message_id, created_at in rows.select(raw, _KNOWN_KEYS, keys):
            if created_at < oldest:
                expired.append(key)
            else:
                self._keys[key] = (body_hash, message_id)
        list(rows.select(raw, _FORGET_KEYS, expired))

    def _load_uids(self, raw: sqlite3.Connection, app_id: AppId, wanted: list[str]) -> None:
        for chunk in (wanted[at : at + 500] for at in range(0, len(wanted), 500)):
            text = _KNOWN_UIDS.replace("{wanted}", ",".join("?" * len(chunk)))
            found = raw.execute(text, (app_id, *chunk)).fetchall()
            self._uids.update((app_id, uid) for (uid,) in found)

    def admit(self, item: NewMessage) -> AddResult:
        """What becomes of `item`; an admitted one takes its key and uid."""
        message = item.message
        repeated = self._repeated(item.idempotency)
        if repeated is not None:
            return repeated if repeated.message_id else AddResult(repeated.status, message.id)
        if message.uid is not None:
            if (message.app_id, message.uid) in self._uids:
                return AddResult(AddStatus.UID_TAKEN, message.id)
            self._uids.add((message.app_id, message.uid))
        if item.idempotency is not None:
            self._keys[item.idempotency.key] = (item.idempotency.body_hash, message.id)
        return AddResult(AddStatus.ADDED, message.id)

    def _repeated(self, idempotency: Idempotency | None) -> AddResult | None:
        if idempotency is None or idempotency.key not in self._keys:
            return None
        body_hash, message_id = self._keys[idempotency.key]
        same = body_hash == idempotency.body_hash
        return AddResult(AddStatus.REPEATED if same else AddStatus.MISMATCH, message_id)


def _delivery_rows(item: NewMessage) -> Iterator[tuple[Any, ...]]:
    message = item.message
    made = to_micros(message.created_at)
    for delivery in item.deliveries:
        claim = delivery.claim
        yield (
            delivery.id,
            message.id,
            message.app_id,
            delivery.endpoint_id,
            DeliveryState.PENDING.value if claim is None else DeliveryState.SENDING.value,
            0,
            int(message.test),
            0,
            0,
            to_micros(delivery.due_at if claim is None else claim.lease_until),
            None if claim is None else claim.id,
            made,
            made,
        )


def add_messages(
    raw: sqlite3.Connection, batch: Sequence[NewMessage], *, now: datetime
) -> list[AddResult]:
    """See `stafett.store.Hot.add_messages`."""
    known = _Known(raw, batch, now=now)
    results = [known.admit(item) for item in batch]
    added = [
        item
        for item, result in zip(batch, results, strict=True)
        if result.status is AddStatus.ADDED
    ]
    rows.insert(raw, "messages", _MESSAGE, rows=[message_row(item.message) for item in added])
    payloads = [(item.message.id, bytearray(item.message.payload or b"")) for item in added]
    rows.insert(raw, "payloads", "message_id, body", rows=payloads)
    deliveries = [row for item in added for row in _delivery_rows(item)]
    rows.insert(raw, "deliveries", _DELIVERY, rows=deliveries)
    made = to_micros(now)
    keys = [
        (item.idempotency.key, item.idempotency.body_hash, item.message.id, made)
        for item in added
        if item.idempotency is not None
    ]
    rows.insert(raw, "idempotency_keys", "key, body_hash, message_id, created_at", rows=keys)
    return results
