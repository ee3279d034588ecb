"""Event types in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from stafett import errors
from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, alone, fetch_one, fetch_page
from stafett.model import EventType, EventTypeChanges, Page, PageQuery, PayloadCheck

_t = schema.event_types
_FIELDS = [field.name for field in fields(EventType)]


def to_event_type(row: Row) -> EventType:
    """A row as the model knows it."""
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values["check"] = PayloadCheck(values["check"])
    return EventType(**values)


def _changed_meanwhile() -> errors.Conflict:
    return errors.Conflict("the catalogue has changed meanwhile; look again")


class EventTypeVerbs(SqlVerbs):
    """See `stafett.store.EventTypes`."""

    async def add_event_types(self, event_types: Sequence[EventType]) -> list[bool]:
        def work(connection: sa.Connection) -> list[bool]:
            alone(connection, _t)
            names = [event_type.name for event_type in event_types]
            taken = set(connection.scalars(sa.select(_t.c.name).where(_t.c.name.in_(names))))
            added: list[bool] = []
            for event_type in event_types:
                added.append(event_type.name not in taken)
                taken.add(event_type.name)
            rows = [
                {name: getattr(event_type, name) for name in _FIELDS}
                for event_type, new in zip(event_types, added, strict=True)
                if new
            ]
            if rows:
                connection.execute(sa.insert(_t), rows)
            return added

        return await self.write(work)

    async def get_event_type(self, name: str) -> EventType | None:
        def work(connection: sa.Connection) -> EventType | None:
            return fetch_one(connection, sa.select(_t).where(_t.c.name == name), to_event_type)

        return await self.read(work)

    async def list_event_types(self, page: PageQuery, *, include_archived: bool) -> Page[EventType]:
        query = sa.select(_t)
        if not include_archived:
            query = query.where(sa.not_(_t.c.archived))
        return await self.read(
            lambda connection: fetch_page(
                connection, query, key=_t.c.name, page=page, to_item=to_event_type
            )
        )

    async def all_event_types(self) -> list[EventType]:
        query = sa.select(_t).order_by(_t.c.name)
        return await self.read(
            lambda connection: [to_event_type(row) for row in connection.execute(query).mappings()]
        )

    async def update_event_type(
        self, name: str, changes: EventTypeChanges, *, now: datetime
    ) -> None:
        statement = sa.update(_t).where(_t.c.name == name).values({**changes, "updated_at": now})
        await self.write(lambda connection: connection.execute(statement) and None)

    async def save_event_types(
        self, new: Sequence[EventType], changes: Mapping[str, EventTypeChanges], *, now: datetime
    ) -> None:
        rows = [{name: getattr(each, name) for name in _FIELDS} for each in new]

        def work(connection: sa.Connection) -> None:
            try:
                if rows:
                    connection.execute(sa.insert(_t), rows)
            except IntegrityError as exc:
                raise _changed_meanwhile() from exc
            for name, each in changes.items():
                statement = sa.update(_t).where(_t.c.name == name)
                done = connection.execute(statement.values({**each, "updated_at": now}))
                if not done.rowcount:
                    raise _changed_meanwhile()

        await self.write(work)

    async def delete_event_type(self, name: str) -> None:
        statement = sa.delete(_t).where(_t.c.name == name)
        await self.write(lambda connection: connection.execute(statement) and None)
