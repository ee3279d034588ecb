"""Connections to the file, and what SQLite's errors mean.

Every connection is in autocommit mode: transactions begin and end where the threads say so, and
neither the standard library nor SQLAlchemy adds one of its own.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from stafett import errors

_CACHE_KIB = 32 * 1024
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})
# A write that did not happen, for want of room: SQLite tells a full disk apart from a quota or a
# limit on the size of files, we do not. The transaction is undone; only a failed sync is the end.
_NO_ROOM = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
)
_PRIMARY = 0xFF  # the low byte of an extended result code


@dataclass(frozen=True, slots=True)
class Session:
    """One connection, as the hot verbs (`raw`) and the cold ones (`core`) use it."""

    raw: sqlite3.Connection
    core: sa.Connection
    open_cursors: weakref.WeakSet[sqlite3.Cursor]
    """Of `core`, those that somebody still holds."""

    def reset(self) -> None:
        """End what a unit of work that failed was in the middle of: with it nothing can commit."""
        for cursor in list(self.open_cursors):
            cursor.close()

    def close(self) -> None:
        """Lets the file go."""
        self.core.close()
        self.core.engine.dispose()
        self.raw.close()


def connect(path: Path, *, read_only: bool = False) -> Session:
    """A connection, for one thread at a time.

    It never checkpoints by itself: SQLite before 3.51.3 can lose data when two connections do, so
    the writer alone does, and says when (`docs/decisions/0002-sqlite-driver.md`). Errors:
    Unavailable, StoreFull, StoreBroken.
    """
    if not read_only:
        _make_file(path)
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    with translated_errors():
        raw = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            timeout=10,
            cached_statements=256,
            check_same_thread=False,  # used by one thread, closed by another
        )
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA wal_autocheckpoint=0")
        raw.execute("PRAGMA temp_store=MEMORY")
        raw.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    engine = sa.create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    open_cursors = weakref.WeakSet[sqlite3.Cursor]()

    def note(_: object, cursor: sqlite3.Cursor, *__: object) -> None:
        open_cursors.add(cursor)

    event.listen(engine, "before_cursor_execute", note)
    return Session(raw, engine.connect(), open_cursors)


def _make_file(path: Path) -> None:
    """Payloads and secrets lie in it: only its owner may read a file that we make.

    SQLite gives the log and its index the mode of the file. One that is there keeps its mode, and
    is not even opened: to close it again would drop the locks this process holds on it.
    """
    if sys.platform == "win32":
        return
    try:
        # resolve: where a link leads to nothing yet, SQLite would make the file there.
        os.close(os.open(path.resolve(), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as exc:
        message = f"cannot make the database file {path}: {exc.strerror}; choose another place"
        raise errors.Unavailable(message) from exc


def turn_on_wal(raw: sqlite3.Connection) -> None:
    """Write-ahead logging, once for the file. Errors: StoreBroken where it cannot be had."""
    with translated_errors():
        mode = raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        synchronous = raw.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous != 2:
        message = (
            "SQLite could not turn on write-ahead logging here (is the data folder on a network"
            " file system?); put it on a local disk, or use PostgreSQL"
        )
        raise errors.StoreBroken(message)


def translate(error: sqlite3.Error) -> errors.StafettError:
    """What an error of SQLite means to us."""
    exact = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    code = exact & _PRIMARY
    if exact in _NO_ROOM:
        message = "the disk is full: nothing was accepted; free some space and try again"
        return errors.StoreFull(message, retry_after=5.0)
    if code in _BROKEN:
        return errors.StoreBroken(f"the database file cannot be trusted any more: {error}")
    return errors.Unavailable(f"the database did not answer: {error}")


@contextmanager
def translated_errors() -> Generator[None]:
    """Turns SQLite's errors, also those wrapped by SQLAlchemy, into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error) from error
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise translate(error.orig) from error
        raise
