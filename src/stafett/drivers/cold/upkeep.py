"""Retention and health in SQL."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from stafett import ids
from stafett.drivers import schema
from stafett.drivers.cold.base import SqlVerbs
from stafett.store import Backlog, Expired

_m = schema.messages
_d = schema.deliveries
_p = schema.payloads
_a = schema.attempts
_k = schema.idempotency_keys
_t = schema.tasks
_tries = schema.tries
KEY_LIFE = timedelta(hours=24)
"""How long an idempotency key is remembered."""
_TASK_LIFE = timedelta(days=30)
"""How long a task can be asked for after it has ended."""
_TRIES_LIFE = timedelta(hours=1)
"""By then a handful of tries is free again, whatever the handful is."""


def _waits() -> sa.ColumnElement[bool]:
    return sa.exists().where(_d.c.message_id == _m.c.id, _d.c.due_at.is_not(None))


def _expire_payloads(connection: sa.Connection, *, now: datetime, limit: int) -> int:
    found = connection.execute(
        sa.select(_m.c.app_id, _m.c.id)
        .where(sa.not_(_m.c.payload_gone), _m.c.payload_expires_at <= now, sa.not_(_waits()))
        .limit(limit)
    ).all()
    gone = [message_id for _, message_id in found]
    by_key = sa.tuple_(_m.c.app_id, _m.c.id).in_([tuple(row) for row in found])
    if gone:
        connection.execute(sa.delete(_p).where(_p.c.message_id.in_(gone)))
        connection.execute(sa.update(_m).where(by_key).values(payload_gone=True))
    return len(gone)


def _expire_messages(connection: sa.Connection, *, before: datetime, limit: int) -> int:
    found = connection.execute(
        sa.select(_m.c.app_id, _m.c.id)
        .where(_m.c.id < ids.first_at(ids.MESSAGE, before), sa.not_(_waits()))
        .limit(limit)
    ).all()
    gone = [message_id for _, message_id in found]
    if gone:
        for table in (_p, _a, _d):
            connection.execute(sa.delete(table).where(table.c.message_id.in_(gone)))
        by_key = sa.tuple_(_m.c.app_id, _m.c.id).in_([tuple(row) for row in found])
        connection.execute(sa.delete(_m).where(by_key))
    return len(gone)


def _expire_keys(connection: sa.Connection, *, now: datetime, limit: int) -> int:
    old = sa.select(_k.c.key).where(_k.c.created_at < now - KEY_LIFE).limit(limit)
    return connection.execute(sa.delete(_k).where(_k.c.key.in_(old))).rowcount


def _expire_tasks(connection: sa.Connection, *, now: datetime) -> None:
    """They are few, and so are the tries."""
    old = (_t.c.due_at.is_(None), _t.c.updated_at < now - _TASK_LIFE)
    connection.execute(sa.delete(_t).where(*old))
    connection.execute(sa.delete(_tries).where(_tries.c.free_at < now - _TRIES_LIFE))


def expire(
    connection: sa.Connection, *, now: datetime, messages_before: datetime | None, limit: int
) -> Expired:
    """One round of retention, in the caller's transaction (see `stafett.store.Upkeep`)."""
    payloads = _expire_payloads(connection, now=now, limit=limit)
    messages = (
        0
        if messages_before is None
        else _expire_messages(connection, before=messages_before, limit=limit)
    )
    keys = _expire_keys(connection, now=now, limit=limit)
    _expire_tasks(connection, now=now)
    return Expired(
        payloads=payloads, messages=messages, keys=keys, more=limit in {payloads, messages, keys}
    )


class UpkeepVerbs(SqlVerbs):
    """See `stafett.store.Upkeep`."""

    async def expire(
        self, *, now: datetime, messages_before: datetime | None, limit: int
    ) -> Expired:
        return await self.write(
            lambda connection: expire(
                connection, now=now, messages_before=messages_before, limit=limit
            )
        )

    async def backlog(self, *, now: datetime) -> Backlog:
        return await self.read(lambda connection: self.queue.backlog(connection, now=now))
