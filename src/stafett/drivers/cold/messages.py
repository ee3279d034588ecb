"""Messages and payloads in SQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from stafett import ids
from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page
from stafett.ids import AppId, MessageId
from stafett.model import Message, MessageFilter, Page, PageQuery

_t = schema.messages
_p = schema.payloads


def to_message(row: Row) -> Message:
    """A row as the model knows it; with its payload where the query fetched `body`."""
    return Message(
        id=row["id"],
        app_id=row["app_id"],
        uid=row["uid"],
        event_type=row["event_type"],
        channels=row["channels"],
        tags=row["tags"],
        test=row["test"],
        problems=tuple(row["problems"] or ()),
        endpoint_count=row["endpoint_count"],
        deliver_at=row["deliver_at"],
        created_at=row["created_at"],
        payload_expires_at=row["payload_expires_at"],
        payload_gone=row["payload_gone"],
        payload=row.get("body"),
    )


def matches(where: MessageFilter) -> list[sa.ColumnElement[bool]]:
    """The conditions that `where` puts on a message; times become ranges of ids."""
    conditions: list[sa.ColumnElement[bool]] = []
    if where.event_types is not None:
        conditions.append(_t.c.event_type.in_(where.event_types))
    if where.channel is not None:
        conditions.append(schema.Words.has(_t.c.channels, where.channel))
    if where.tag is not None:
        conditions.append(schema.Words.has(_t.c.tags, where.tag))
    if where.after is not None:
        conditions.append(_t.c.id >= ids.first_at(ids.MESSAGE, where.after))
    if where.before is not None:
        conditions.append(_t.c.id < ids.first_at(ids.MESSAGE, where.before))
    return conditions


def with_body(query: sa.Select[Any]) -> sa.Select[Any]:
    """`query` over messages, with the payload of each that still has one."""
    return query.add_columns(_p.c.body)


def joined(*, with_payload: bool) -> sa.FromClause:
    """Messages, beside their payloads when those are asked for."""
    return _t.outerjoin(_p, _p.c.message_id == _t.c.id) if with_payload else _t


def _query(*, with_payload: bool) -> sa.Select[Any]:
    query = sa.select(_t).select_from(joined(with_payload=with_payload))
    return with_body(query) if with_payload else query


class MessageVerbs(SqlVerbs):
    """See `stafett.store.Messages`."""

    async def get_message(self, app_id: AppId, ref: str, *, with_payload: bool) -> Message | None:
        column = _t.c.id if ids.is_id(ids.MESSAGE, ref) else _t.c.uid
        query = _query(with_payload=with_payload).where(_t.c.app_id == app_id, column == ref)

        def work(connection: sa.Connection) -> Message | None:
            return fetch_one(connection, query, to_message)

        return await self.read(work)

    async def list_messages(
        self, app_id: AppId, where: MessageFilter, page: PageQuery, *, with_payload: bool
    ) -> Page[Message]:
        query = _query(with_payload=with_payload).where(_t.c.app_id == app_id, *matches(where))
        return await self.read(
            lambda connection: fetch_page(
                connection, query, key=_t.c.id, page=page, to_item=to_message
            )
        )

    async def expunge_payload(self, app_id: AppId, message_id: MessageId) -> None:
        mark = (
            sa.update(_t)
            .where(_t.c.app_id == app_id, _t.c.id == message_id)
            .values(payload_gone=True)
        )

        def work(connection: sa.Connection) -> None:
            if connection.execute(mark).rowcount:
                connection.execute(sa.delete(_p).where(_p.c.message_id == message_id))

        await self.write(work)
