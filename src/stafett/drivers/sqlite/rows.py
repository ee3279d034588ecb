"""Many rows in one statement.

After every step of a statement its thread has to win the interpreter lock back, and beside a busy
event loop that takes far longer than a row. So a batch goes in as one statement: the rows as one
VALUES list, filled up with NULL rows to one of a few sizes, so that SQLite prepares each size once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any

# One row's values, as SQLite takes them.
Values = Sequence[Any]

_SIZES = (1, 4, 16, 64, 256, 512)
_MAX_VALUES = 32_000  # SQLite takes 32,766 in one statement


def insert(raw: sqlite3.Connection, table: str, columns: str, *, rows: Sequence[Values]) -> None:
    """Insert `rows`; `columns` are their names. The first column must not be NULL."""
    head = f"INSERT INTO {table} ({columns}) SELECT * FROM ({{rows}}) WHERE column1 IS NOT NULL"
    execute(raw, head, rows)


def execute(raw: sqlite3.Connection, statement: str, rows: Sequence[Values]) -> int:
    """Run `statement`, whose `{rows}` becomes a VALUES list; answers how many rows it changed.

    The statement must take no notice of rows that are NULL throughout.
    """
    if not rows:
        return 0
    width = len(rows[0])
    most = max(size for size in _SIZES if size * width <= _MAX_VALUES)
    before = raw.total_changes  # a cursor does not count what begins with WITH
    for start in range(0, len(rows), most):
        chunk = rows[start : start + most]
        size = next(size for size in _SIZES if size >= len(chunk))
        values = [*chain.from_iterable(chunk), *[None] * ((size - len(chunk)) * width)]
        raw.execute(_text(statement, width, size), values)
    return raw.total_changes - before


@lru_cache(maxsize=256)
def _text(statement: str, width: int, size: int) -> str:
    """Made once for each size: the same text object is found fastest in SQLite's own cache."""
    row = f"({','.join('?' * width)})"
    return statement.replace("{rows}", "VALUES " + ",".join([row] * size))


def select(raw: sqlite3.Connection, statement: str, wanted: Iterable[Any]) -> Iterator[Values]:
    """Rows of `statement`, whose `{wanted}` becomes a list of placeholders, a chunk at a time."""
    left = iter(wanted)
    while chunk := list(islice(left, 500)):
        marks = ",".join("?" * len(chunk))
        yield from raw.execute(statement.replace("{wanted}", marks), chunk).fetchall()
