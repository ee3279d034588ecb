"""What is copied: the rows of each table of the target, and how they are found in the source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from stafett.drivers import schema
from stafett.drivers.postgres import partitions

Query = sa.Select[Any, *tuple[Any, ...]]
_LARGE: Final = 4_096
"""Bytes: beyond them a body is compared by its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The rows of one table of the target, and how they are found in the source."""

    table: str
    columns: Mapping[str, sa.ColumnElement[Any]]
    """What the target has, from what of the source."""
    keys: tuple[str, ...]
    """Of these columns: the rows are copied in their order."""
    where: Sequence[sa.ColumnElement[bool]] = ()

    def places(self, names: Iterable[str]) -> list[int]:
        """Where in a row these columns are."""
        every = list(self.columns)
        return [every.index(name) for name in names]

    @property
    def bodies(self) -> list[str]:
        """The columns with bytes."""
        every = self.columns.items()
        return [name for name, column in every if isinstance(column.type, sa.LargeBinary)]

    @property
    def day(self) -> str | None:
        """The column with the message's id, where the table has a partition for each day."""
        if self.table not in partitions.PARENTS:
            return None
        return "id" if self.table == "messages" else "message_id"

    def count(self) -> str:
        """SQL: how many rows the source has."""
        return _sql(sa.select(sa.func.count()).select_from(self._query().subquery()))

    def after(self, *, begun: bool) -> str:
        """SQL: the source's rows in their order, from the beginning or behind `:key0`, ..."""
        keys = [self.columns[name] for name in self.keys]
        query = self._query().order_by(*keys)
        if begun:
            marks: list[sa.BindParameter[Any]] = [sa.bindparam(f"key{n}") for n in range(len(keys))]
            query = query.where(sa.tuple_(*keys) > sa.tuple_(*marks))
        return _sql(query)

    def source(self) -> str:
        """SQL: the source's rows in any order, as they are compared."""
        return self._compared(f"({_sql(self._query())}) AS found")

    def target(self) -> str:
        """SQL: the same of the target."""
        return self._compared(self.table)

    def _query(self) -> Query:
        found = [column.label(name) for name, column in self.columns.items()]
        return sa.select(*found).where(*self.where)

    def _compared(self, rows: str) -> str:
        """A large body shows as its digest, so that memory stays flat."""
        names = [f'"{name}"' for name in self.columns]  # `key` and the like are words of SQL
        for place in self.places(self.bodies):
            name = names[place]
            digest = f"CASE WHEN length({name}) > {_LARGE} THEN sha256({name}) ELSE {name} END"
            names[place] = digest
        return f"SELECT {', '.join(names)} FROM {rows}"  # noqa: S608 - the schema's names


def _sql(query: Query) -> str:
    return str(query.compile(dialect=sqlite.dialect(paramstyle="named")))


def _whole(table: sa.Table, **changed: sa.ColumnElement[Any]) -> Part:
    """A table of the schema; some columns not as they are."""
    columns: dict[str, sa.ColumnElement[Any]] = {each.name: each for each in table.columns}
    keys = tuple(each.name for each in table.primary_key.columns)
    return Part(table=table.name, columns=columns | changed, keys=keys)


def _deliveries() -> tuple[Part, Part]:
    """The deliveries, and what of them waits: what was being sent is due when the copy began."""
    of = schema.deliveries.c
    # Literals in the text, so that `:begun` and the keys are all there is to bind.
    sending = sa.and_(of.state == sa.literal_column("'sending'"), of.due_at.is_not(None))
    begun = sa.bindparam("begun", type_=sa.BigInteger)
    due_at = sa.case((sending, begun), else_=of.due_at)
    state = sa.case((sending, sa.literal_column("'pending'", sa.Text)), else_=of.state)
    queue = Part(
        table="queue",
        columns={
            "delivery_id": of.id,
            "message_id": of.message_id,
            "endpoint_id": of.endpoint_id,
            "due_at": due_at,
            "claim_id": sa.null(),
        },
        keys=("delivery_id",),
        where=[of.due_at.is_not(None)],
    )
    return _whole(schema.deliveries, state=state, due_at=due_at, claim_id=sa.null()), queue


def _message_uids() -> Part:
    of = schema.messages.c
    return Part(
        table="message_uids",
        columns={"app_id": of.app_id, "uid": of.uid, "message_id": of.id},
        keys=("app_id", "uid"),
        where=[of.uid.is_not(None)],
    )


def parts() -> list[Part]:
    """All of an installation. The queue comes last: before, a server would find nothing to send."""
    deliveries, queue = _deliveries()
    whole = [
        deliveries if table is schema.deliveries else _whole(table)
        for table in schema.metadata.tables.values()
    ]
    return [*whole, _message_uids(), queue]
