"""Searching an application's deliveries in SQL, newest first, a bounded look at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from stafett import ids
from stafett.drivers import schema
from stafett.drivers.cold import messages
from stafett.drivers.cold.base import Row, SqlVerbs, labelled
from stafett.drivers.cold.deliveries import last_answered, to_delivery
from stafett.ids import AppId
from stafett.store import DeliveryQuery, Found, ListedDelivery

_d = schema.deliveries
_a = schema.attempts
_m = schema.messages


def _duration() -> sa.Label[Any]:
    """How long the last attempt of a delivery took, for a row of the query around it."""
    last = (
        sa.select(_a.c.duration_us)
        .where(_a.c.message_id == _d.c.message_id, _a.c.delivery_id == _d.c.id)
        .order_by(_a.c.id.desc())
        .limit(1)
    )
    return last.scalar_subquery().label("duration_us")


def _query_conditions(app_id: AppId, where: DeliveryQuery) -> list[sa.ColumnElement[bool]]:
    """Those on a delivery itself."""
    conditions = [_d.c.app_id == app_id]
    if where.endpoint_id is not None:
        conditions.append(_d.c.endpoint_id == where.endpoint_id)
    if where.state is not None:
        conditions.append(_d.c.state == where.state)
    if where.status_code_class is not None:
        conditions += last_answered(where.status_code_class)
    if where.test is not None:
        conditions.append(_d.c.test == where.test)
    return conditions


def _steps(app_id: AppId, where: DeliveryQuery) -> messages.Steps:
    """An endpoint's deliveries, or the application's messages."""
    if where.endpoint_id is not None:
        key = _d.c.message_id
        query = sa.select(key.label("key"), sa.literal(2).label("cost"))
        return messages.Steps((key,), query.where(_d.c.endpoint_id == where.endpoint_id))
    key, cost = _m.c.id, (1 + _m.c.endpoint_count).label("cost")
    query = sa.select(key.label("key"), cost)
    return messages.Steps((key,), query.where(_m.c.app_id == app_id))


def _search_query(
    app_id: AppId,
    where: DeliveryQuery,
    keys: tuple[sa.ColumnElement[Any], ...],
    *,
    after: str | None,
) -> sa.Select[Any]:
    """What `where` asks for, newest first by its `keys`, beginning behind the place `after`."""
    key = keys[0]
    query = (
        sa.select(*labelled(_d, "d_"), _m, _duration())
        .join_from(_d, _m, sa.and_(_m.c.app_id == _d.c.app_id, _m.c.id == _d.c.message_id))
        .where(*_query_conditions(app_id, where), *messages.matches(where))
        .where(*(each for own in keys for each in messages.within(own, where)))
        .order_by(key.desc(), _d.c.endpoint_id.desc())
    )
    if after is None:
        return query
    # Behind one delivery of a message come its others; behind a message, older ones.
    message_id, _, endpoint_id = after.partition(".")
    return query.where(
        *(each <= message_id for each in keys),
        sa.or_(key < message_id, _d.c.endpoint_id < endpoint_id),
    )


def _to_listed(row: Row) -> ListedDelivery:
    took: int | None = row["duration_us"]
    return ListedDelivery(
        delivery=to_delivery(row, "d_"),
        message=messages.to_message(row),
        duration=None if took is None else timedelta(microseconds=took),
    )


class SearchVerbs(SqlVerbs):
    """What of `stafett.store.Deliveries` looks for some of them."""

    async def search_deliveries(
        self, app_id: AppId, where: DeliveryQuery, *, after: str | None, limit: int, look: int
    ) -> Found[ListedDelivery]:
        steps = _steps(app_id, where)
        [step_key] = steps.keys
        steps = steps.where(*messages.within(step_key, where))
        if after is not None:
            steps = steps.where(step_key <= after.partition(".")[0])

        def work(connection: sa.Connection) -> Found[ListedDelivery]:
            # The key is the same in both tables, and each database sorts by the index of the one
            # that is named: PostgreSQL has no better than that of the deliveries.
            on_postgresql = connection.dialect.name == "postgresql"
            keys = (_d.c.message_id, _m.c.id) if on_postgresql else steps.keys
            query = _search_query(app_id, where, keys, after=after)
            rows, end = messages.look_back(
                connection, query, steps, keys=keys, limit=limit, look=look
            )
            items = tuple(_to_listed(row) for row in rows[:limit])
            if len(rows) > limit:
                last = items[-1].delivery
                return Found(items=items, place=f"{last.message_id}.{last.endpoint_id}")
            return Found(items=items, place=end, until=None if end is None else ids.made_at(end))

        return await self.read(work)
