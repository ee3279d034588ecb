"""Many rows in one statement.

After every step of a statement its thread has to win the interpreter lock back, and beside a busy
event loop that takes far longer than a row. So a batch goes in as one statement: the rows as one
VALUES list, filled up with empty rows to one of a few sizes, so that SQLite prepares each size
once.

The standard library binds plain `int`, `float`, `str` and `bytearray` at once, and looks for an
adapter for everything else, None included. So a column that is None in every row is written as
NULL, and rows should hold no `bool`, `bytes` or enum.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, compress, islice
from typing import Any

# One row's values, as SQLite takes them.
Values = Sequence[Any]

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_MAX_VALUES = 32_000  # SQLite takes 32,766 in one statement


def insert(raw: sqlite3.Connection, table: str, columns: str, *, rows: Sequence[Values]) -> None:
    """Insert `rows`; `columns` are their names. The first column must be a text, not empty."""
    head = f"INSERT INTO {table} ({columns}) SELECT * FROM ({{rows}}) WHERE column1 <> ''"
    execute(raw, head, rows)


def execute(raw: sqlite3.Connection, statement: str, rows: Sequence[Values]) -> int:
    """Run `statement`, whose `{rows}` becomes a VALUES list; answers how many rows it changed.

    The statement must take no notice of rows whose first column is empty.
    """
    if not rows:
        return 0
    before = raw.total_changes  # a cursor does not count what begins with WITH
    most = max(size for size in _SIZES if size * len(rows[0]) <= _MAX_VALUES)
    for start in range(0, len(rows), most):
        _execute_chunk(raw, statement, rows[start : start + most])
    return raw.total_changes - before


def _execute_chunk(raw: sqlite3.Connection, statement: str, rows: Sequence[Values]) -> None:
    columns = list(zip(*rows, strict=True))
    used = tuple(any(value is not None for value in column) for column in columns)
    kept = list(compress(columns, used))
    size = next(size for size in _SIZES if size >= len(rows))
    empty = [""] * (len(kept) * (size - len(rows)))
    values = [*chain.from_iterable(zip(*kept, strict=True)), *empty]
    raw.execute(_text(statement, used, size), values)


@lru_cache(maxsize=256)
def _text(statement: str, used: tuple[bool, ...], size: int) -> str:
    """Made once for each shape: the same text object is found fastest in SQLite's own cache."""
    row = f"({','.join('?' if each else 'NULL' for each in used)})"
    return statement.replace("{rows}", "VALUES " + ",".join([row] * size))


def select(raw: sqlite3.Connection, statement: str, wanted: Iterable[Any]) -> Iterator[Values]:
    """Rows of `statement`, whose `{wanted}` becomes a list of placeholders, a chunk at a time."""
    left = iter(wanted)
    while chunk := list(islice(left, 500)):
        marks = ",".join("?" * len(chunk))
        yield from raw.execute(statement.replace("{wanted}", marks), chunk).fetchall()
