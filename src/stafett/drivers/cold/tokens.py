"""Tokens and kept replies in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime

import sqlalchemy as sa

from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page
from stafett.ids import TokenId
from stafett.model import Page, PageQuery, Token
from stafett.store import StoredReply

_t = schema.tokens
_keys = schema.idempotency_keys
_FIELDS = [field.name for field in fields(Token)]


def to_token(row: Row) -> Token:
    """A row as the model knows it."""
    return Token(**{name: row[name] for name in _FIELDS})


def to_reply(row: Row) -> StoredReply:
    """A row as the contract knows it."""
    return StoredReply(
        body_hash=row["body_hash"], status_code=row["status_code"], body=row["body"] or b""
    )


class TokenVerbs(SqlVerbs):
    """See `stafett.store.Tokens` and `stafett.store.Replies`."""

    async def add_token(self, token: Token) -> None:
        values = {name: getattr(token, name) for name in _FIELDS}
        await self.write(
            lambda connection: connection.execute(sa.insert(_t).values(values)) and None
        )

    async def find_token(self, hash: str) -> Token | None:  # noqa: A002 - the contract's word
        def work(connection: sa.Connection) -> Token | None:
            return fetch_one(connection, sa.select(_t).where(_t.c.hash == hash), to_token)

        return await self.read(work)

    async def list_tokens(self, page: PageQuery) -> Page[Token]:
        return await self.read(
            lambda connection: fetch_page(
                connection, sa.select(_t), key=_t.c.id, page=page, to_item=to_token
            )
        )

    async def revoke_token(self, token_id: TokenId, *, now: datetime) -> bool:
        statement = (
            sa.update(_t)
            .where(_t.c.id == token_id)
            .values(
                revoked_at=sa.func.coalesce(_t.c.revoked_at, sa.bindparam(None, now, schema.Moment))
            )
        )
        return await self.write(lambda connection: connection.execute(statement).rowcount > 0)

    async def touch_tokens(self, used: Mapping[TokenId, datetime]) -> None:
        def work(connection: sa.Connection) -> None:
            for token_id, at in used.items():
                connection.execute(sa.update(_t).where(_t.c.id == token_id).values(last_used_at=at))

        await self.write(work)

    async def find_reply(self, key: bytes) -> StoredReply | None:
        query = sa.select(_keys).where(_keys.c.key == key, _keys.c.status_code.is_not(None))
        return await self.read(lambda connection: fetch_one(connection, query, to_reply))

    async def keep_reply(self, key: bytes, reply: StoredReply, *, now: datetime) -> None:
        values = {
            "key": key,
            "body_hash": reply.body_hash,
            "status_code": reply.status_code,
            "body": reply.body,
            "created_at": now,
        }

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(_keys).where(_keys.c.key == key))
            connection.execute(sa.insert(_keys).values(values))

        await self.write(work)
