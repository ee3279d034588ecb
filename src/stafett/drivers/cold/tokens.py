"""Tokens in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime

import sqlalchemy as sa

from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page
from stafett.ids import AppId, TokenId
from stafett.model import Page, PageQuery, Token

_t = schema.tokens
_FIELDS = [field.name for field in fields(Token)]


def to_token(row: Row) -> Token:
    """A row as the model knows it."""
    return Token(**{name: row[name] for name in _FIELDS})


class TokenVerbs(SqlVerbs):
    """See `stafett.store.Tokens`."""

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

    async def expire_tokens(self, app_id: AppId, *, at: datetime) -> list[TokenId]:
        longer = sa.or_(_t.c.expires_at.is_(None), _t.c.expires_at > at)
        statement = (
            sa.update(_t)
            .where(_t.c.app_id == app_id, _t.c.revoked_at.is_(None), longer)
            .values(expires_at=at)
            .returning(_t.c.id)
        )
        return await self.write(
            lambda connection: [TokenId(each) for each in connection.scalars(statement)]
        )

    async def touch_tokens(self, used: Mapping[TokenId, datetime]) -> None:
        def work(connection: sa.Connection) -> None:
            for token_id, at in used.items():
                connection.execute(sa.update(_t).where(_t.c.id == token_id).values(last_used_at=at))

        await self.write(work)
