"""Many rows in few statements.

Each step of a statement hands the interpreter lock over and back, and beside a busy event loop that
costs more than the row. So rows go in by the chunk, in a handful of chunk sizes, so that SQLite
prepares each statement once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

# One row's values, as SQLite takes them.
Values = Sequence[Any]

_CHUNKS = (128, 32, 8, 1)


def _chunks(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    start = 0
    for size in _CHUNKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def execute(raw: sqlite3.Connection, statement: str, rows: Sequence[Values]) -> int:
    """Run `statement`, whose `{rows}` becomes a VALUES list; answers how many rows it changed."""
    if not rows:
        return 0
    group = f"({','.join('?' * len(rows[0]))})"
    changed = 0
    for chunk in _chunks(rows):
        text = statement.replace("{rows}", "VALUES " + ",".join([group] * len(chunk)))
        changed += raw.execute(text, tuple(chain.from_iterable(chunk))).rowcount
    return changed


def select(raw: sqlite3.Connection, statement: str, wanted: Iterable[Any]) -> Iterator[Values]:
    """Rows of `statement`, whose `{wanted}` becomes a list of placeholders, a chunk at a time."""
    left = iter(wanted)
    while chunk := list(islice(left, 500)):
        marks = ",".join("?" * len(chunk))
        yield from raw.execute(statement.replace("{wanted}", marks), chunk).fetchall()
