"""Messages and payloads in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from stafett import ids
from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page
from stafett.ids import AppId, MessageId
from stafett.model import Message, MessageFilter, Page, PageQuery
from stafett.store import Found

_t = schema.messages
_p = schema.payloads
_FIRST_STEP = 256
_GROWTH = 8
# A search looks at a payload of this size as fast as it finds one; a larger one counts as more.
_USUAL_PAYLOAD = 2_048


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
        trace=row["trace"],
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
    return conditions + within(_t.c.id, where)


def within(key: sa.ColumnElement[Any], where: MessageFilter) -> list[sa.ColumnElement[bool]]:
    """The range that the times of `where` are for the ids of messages in `key`."""
    conditions: list[sa.ColumnElement[bool]] = []
    if where.after is not None:
        conditions.append(key >= ids.first_at(ids.MESSAGE, where.after))
    if where.before is not None:
        conditions.append(key < ids.first_at(ids.MESSAGE, where.before))
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


@dataclass(frozen=True, slots=True)
class Steps:
    """What a search goes back over."""

    keys: tuple[sa.ColumnElement[Any], ...]
    """The same in each table that is joined; the first is sorted by."""
    query: sa.Select[Any, Any]
    """Each key, labelled `key`, and what looking at it costs, as `cost`."""

    def where(self, *conditions: sa.ColumnElement[bool]) -> Steps:
        return Steps(self.keys, self.query.where(*conditions))


def look_back(
    connection: sa.Connection,
    query: sa.Select[Any],
    steps: Steps,
    *,
    keys: tuple[sa.ColumnElement[Any], ...],
    limit: int,
    look: int,
) -> tuple[list[Row], str | None]:
    """Rows of `query` by falling key, until there are more than `limit` or all was looked at.

    When `look` of what the steps cost is spent, the answer has the key down to which it was looked
    at. So a search for what is rare takes no longer the more there is.

    The range stands at the key of each table: PostgreSQL carries only equality from one to the
    other, and would read, or search for a text, all of the other table.
    """
    found: list[Row] = []
    size, end = _FIRST_STEP, None
    while True:
        part, ahead = steps, query
        if end is not None:
            part = part.where(*(each < end for each in part.keys))
            ahead = ahead.where(*(each < end for each in keys))
        step = part.query.order_by(part.keys[0].desc()).limit(size).subquery()
        summary = sa.select(sa.func.min(step.c.key), sa.func.count(), sa.func.sum(step.c.cost))
        end, count, cost = _summed(connection.execute(summary).one())
        if not count:
            return found, None
        ahead = ahead.where(*(each >= end for each in keys)).limit(limit + 1 - len(found))
        found += connection.execute(ahead).mappings()
        look -= cost
        if len(found) > limit or count < size:
            return found, None
        if look <= 0:
            return found, end
        size = min(size * _GROWTH, max(1, look * count // cost))


def _summed(row: sa.Row[Any, Any, Any]) -> tuple[str, int, int]:
    end, count, cost = row
    return end, count, cost


def _has_one(connection: sa.Connection, texts: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether the payload has one of `texts`; of capitals, only A to Z are known, in every store.

    PostgreSQL reads bytes as text only where their encoding is named. As Latin-1 every byte is a
    character, so both sides are compared byte by byte.
    """
    if connection.dialect.name == "postgresql":
        plain = sa.func.convert_from(_p.c.body, "LATIN1")
        body = sa.func.lower(sa.collate(plain, "C"))
        wanted = [sa.literal(text.encode().decode("latin-1")) for text in texts]
        return sa.or_(
            *(sa.func.strpos(body, sa.func.lower(sa.collate(each, "C"))) > 0 for each in wanted)
        )
    body = sa.func.lower(sa.cast(_p.c.body, sa.Text))
    return sa.or_(*(sa.func.instr(body, sa.func.lower(text)) > 0 for text in texts))


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

    async def search_messages(
        self,
        app_id: AppId,
        where: MessageFilter,
        texts: Sequence[str],
        *,
        after: str | None,
        limit: int,
        look: int,
    ) -> Found[Message]:
        source = _t.join(_p, _p.c.message_id == _t.c.id)
        keys = (_t.c.id, _p.c.message_id)
        inside = [_t.c.app_id == app_id, *(each for key in keys for each in within(key, where))]
        if after is not None:
            inside += [key < after for key in keys]
        size = sa.func.length(_p.c.body)
        cost = sa.case((size > _USUAL_PAYLOAD, size), else_=_USUAL_PAYLOAD).label("cost")
        looked_at = sa.select(_t.c.id.label("key"), cost).select_from(source).where(*inside)
        query = (
            sa.select(_t)
            .select_from(source)
            .where(*inside, *matches(where))
            .order_by(_t.c.id.desc())
        )

        def work(connection: sa.Connection) -> Found[Message]:
            having = query.where(_has_one(connection, texts))
            rows, end = look_back(
                connection,
                having,
                Steps(keys, looked_at),
                keys=keys,
                limit=limit,
                look=look * _USUAL_PAYLOAD,
            )
            items = tuple(to_message(row) for row in rows[:limit])
            if len(rows) > limit:
                return Found(items=items, place=items[-1].id)
            return Found(items=items, place=end, until=None if end is None else ids.made_at(end))

        return await self.read(work)
