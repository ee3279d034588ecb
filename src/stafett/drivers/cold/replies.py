"""Idempotency keys of everything but messages, and tries, in SQL.

Each verb decides with the one statement that writes, so that of two processes one is first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, insert_into
from stafett.drivers.cold.upkeep import KEY_LIFE
from stafett.store import Idempotency, KnownKey, StoredReply

_k = schema.idempotency_keys
_t = schema.tries


def _to_known(row: Row) -> KnownKey:
    if row["held_until"] is not None:
        return KnownKey(body_hash=row["body_hash"], reply=None)
    reply = StoredReply(status_code=row["status_code"], body=row["body"] or b"")
    return KnownKey(body_hash=row["body_hash"], reply=reply)


def _held(key: bytes, held_until: datetime) -> sa.ColumnElement[bool]:
    return (_k.c.key == key) & (_k.c.held_until == held_until)


class ReplyVerbs(SqlVerbs):
    """See `stafett.store.Replies` and `stafett.store.Tries`."""

    async def hold_key(
        self, wanted: Idempotency, *, until: datetime, now: datetime
    ) -> KnownKey | None:
        values = {"body_hash": wanted.body_hash, "created_at": now, "held_until": until}
        nothing = {"message_id": None, "status_code": None, "body": None}
        is_over = sa.or_(_k.c.held_until <= now, _k.c.created_at < now - KEY_LIFE)

        def work(connection: sa.Connection) -> KnownKey | None:
            held = connection.execute(
                insert_into(connection, _k)
                .values({"key": wanted.key, **values})
                .on_conflict_do_update(
                    index_elements=["key"], set_={**values, **nothing}, where=is_over
                )
                .returning(_k.c.key)
            ).one_or_none()
            if held is not None:
                return None
            known = sa.select(_k).where(_k.c.key == wanted.key)
            return _to_known(connection.execute(known).mappings().one())

        return await self.write(work)

    async def hold_longer(self, key: bytes, *, held_until: datetime, until: datetime) -> bool:
        longer = sa.update(_k).where(_held(key, held_until)).values(held_until=until)
        return await self.write(lambda connection: connection.execute(longer).rowcount > 0)

    async def keep_reply(
        self, key: bytes, reply: StoredReply, *, held_until: datetime, now: datetime
    ) -> bool:
        kept = (
            sa.update(_k)
            .where(_held(key, held_until))
            .values(status_code=reply.status_code, body=reply.body, created_at=now, held_until=None)
        )
        return await self.write(lambda connection: connection.execute(kept).rowcount > 0)

    async def free_key(self, key: bytes, *, held_until: datetime) -> None:
        freed = sa.delete(_k).where(_held(key, held_until))
        await self.write(lambda connection: connection.execute(freed) and None)

    async def take_try(
        self, key: str, *, burst: int, every: timedelta, now: datetime
    ) -> datetime | None:
        # A key that rested long has its whole burst, and never more.
        first = now - every * (burst - 1) + every
        step = every // timedelta(microseconds=1)
        later = sa.type_coerce(_t.c.free_at, sa.BigInteger) + step
        start = schema.to_micros(first)
        next_at = sa.case((later > start, later), else_=start)

        def work(connection: sa.Connection) -> datetime | None:
            taken = connection.execute(
                insert_into(connection, _t)
                .values(key=key, free_at=first)
                .on_conflict_do_update(
                    index_elements=["key"], set_={"free_at": next_at}, where=_t.c.free_at <= now
                )
                .returning(_t.c.key)
            ).one_or_none()
            if taken is not None:
                return None
            return connection.execute(sa.select(_t.c.free_at).where(_t.c.key == key)).scalar_one()

        return await self.write(work)
