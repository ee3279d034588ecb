"""The source of a copy: a SQLite file, locked against servers and open for reading alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stafett import errors
from stafett.drivers.copying.parts import Part
from stafett.drivers.copying.sums import FETCH, Row
from stafett.drivers.migrations.upgrade import HEAD, is_current
from stafett.drivers.sqlite import connections
from stafett.drivers.sqlite.connections import Session
from stafett.drivers.sqlite.lock import FileLock

_MAX_ROWS: Final = 10_000
_MAX_BYTES: Final = 8 << 20
"""Of bodies in one batch: memory stays flat, whatever they are."""
_STRIDE: Final = 32
"""Rows with bodies that are read at a time, so a batch is too large by 31 bodies at most."""


class Source:
    """The file, locked against servers and open for reading alone."""

    def __init__(self, path: Path, session: Session) -> None:
        self.mark = _mark(path)
        self._raw = session.raw
        self._raw.create_function("sha256", 1, _sha256, deterministic=True)

    def count(self, part: Part) -> int:
        return self._raw.execute(part.count(), {"begun": 0}).fetchone()[0]

    def after(self, part: Part, keys: Row | None, *, begun_at: int) -> Iterator[list[Row]]:
        """The rows behind the one with these keys, in batches of a size that memory can hold."""
        query = part.after(begun=keys is not None)
        bound = {f"key{n}": key for n, key in enumerate(keys or ())}
        cursor = self._raw.execute(query, bound | {"begun": begun_at})
        bodies = part.places(part.bodies)
        batch: list[Row] = []
        size = 0
        while rows := cursor.fetchmany(_STRIDE if bodies else _MAX_ROWS):
            batch += rows
            size += sum(len(row[place] or b"") for row in rows for place in bodies)
            if len(batch) >= _MAX_ROWS or size >= _MAX_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def compared(self, part: Part, *, begun_at: int) -> Iterator[list[Row]]:
        """All rows as they are compared, in batches."""
        cursor = self._raw.execute(part.source(), {"begun": begun_at})
        while rows := cursor.fetchmany(FETCH):
            yield rows


def _sha256(body: bytes) -> bytes:
    """What PostgreSQL calls so."""
    return hashlib.sha256(body).digest()


def _mark(path: Path) -> str:
    """Changes whenever somebody writes to the file or its log."""
    files = (path, path.with_name(path.name + "-wal"))
    found = [each.stat() for each in files if each.exists()]
    return ", ".join(f"{each.st_size} {each.st_mtime_ns}" for each in found if each.st_size)


@contextmanager
def opened_source(path: Path) -> Generator[Source]:
    """Errors: Unavailable, StoreInUse, StoreBroken."""
    if not path.is_file():
        message = f"there is no database file {path}"
        raise errors.Unavailable(message)
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.take()
    except OSError as error:
        message = f"cannot lock {path} against servers: {error.strerror}"
        raise errors.Unavailable(message) from error
    try:
        session = connections.connect(path, read_only=True)
        try:
            with connections.translated_errors():
                _require_schema(path, session)
                yield Source(path, session)
        finally:
            session.close()
    finally:
        lock.release()


def _require_schema(path: Path, session: Session) -> None:
    if not is_current(session.core):
        message = (
            f"{path} does not have the schema of this release ({HEAD}); let a server of this"
            " release open it once (stafett serve), stop that, and copy then"
        )
        raise errors.Unavailable(message)


async def ahead(batches: Iterator[list[Row]]) -> AsyncGenerator[list[Row]]:
    """The batches, each read in a thread while the one before it is worked on."""

    def start() -> asyncio.Task[list[Row] | None]:
        return asyncio.create_task(asyncio.to_thread(next, batches, None))

    coming = start()
    try:
        while (rows := await asyncio.shield(coming)) is not None:
            coming = start()
            yield rows
    finally:
        # The thread has the connection: nobody may close that before it is done.
        await asyncio.wait([coming])
