"""What every noun's verbs stand on: a way to a connection, and one way to page."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from stafett.drivers.cold.queue import Queue
from stafett.model import Page, PageQuery

T = TypeVar("T")

Row = sa.RowMapping
"""A row by column name: SQLAlchemy does not know the columns of a Core table statically."""


class SqlVerbs(abc.ABC):
    """Runs units of work. A unit is a plain function: all its statements are one transaction."""

    queue = Queue()

    @abc.abstractmethod
    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` on a consistent snapshot; it must not write."""

    @abc.abstractmethod
    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction; when this returns it is on disk."""


def alone(connection: sa.Connection, table: sa.Table) -> None:
    """From here to the commit nobody else writes to `table`; in SQLite nobody does anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


def insert_into(
    connection: sa.Connection, table: sa.Table
) -> postgresql.Insert[Any] | sqlite.Insert[Any]:
    """An insert that knows what to do about a conflict."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table)


def fetch_one(
    connection: sa.Connection, query: sa.Select[Any], to_item: Callable[[Row], T]
) -> T | None:
    """The one row that `query` finds, or None."""
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else to_item(row)


def fetch_page(
    connection: sa.Connection,
    query: sa.Select[Any],
    *,
    key: sa.ColumnElement[Any],
    page: PageQuery,
    to_item: Callable[[Row], T],
) -> Page[T]:
    """One slice of `query` in order of `key`, read with one row of look-ahead for `done`."""
    upward = page.ascending != page.backward
    if page.after is not None:
        query = query.where(key > page.after if upward else key < page.after)
    query = query.order_by(key.asc() if upward else key.desc()).limit(page.limit + 1)
    rows = connection.execute(query).mappings().all()
    items = [to_item(row) for row in rows[: page.limit]]
    if page.backward:
        items.reverse()
    return Page(tuple(items), done=len(rows) <= page.limit)


def labelled(table: sa.Table, prefix: str) -> list[sa.Label[Any]]:
    """Every column, its name behind `prefix`: for rows of more than one table."""
    return [column.label(prefix + column.key) for column in table.c]
