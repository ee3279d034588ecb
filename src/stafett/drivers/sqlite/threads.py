"""The threads that touch the file: one writer, a few readers.

The writer takes everything that waits, runs it in one transaction, commits once, and only then
answers: the one fsync is shared by all that came together. A unit that fails leaves no trace, and
fails alone.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stafett import errors
from stafett.drivers.sqlite import connections
from stafett.drivers.sqlite.connections import Session

T = TypeVar("T")

_MAX_UNITS = 64
# Rows changed since the last checkpoint: worth one when nobody waits, due even when somebody does.
# A row is about 1 KiB of log, so the log stays below some 100 MB.
_CHECKPOINT_IDLE = 4_000
_CHECKPOINT_FORCED = 100_000
_IDLE_SECONDS = 0.02


@dataclass(slots=True)
class _Unit:
    """Some work, who waits for it, and what came of it."""

    work: Callable[[Session], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Writer:
    """The only thread that writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="stafett-writer", daemon=True)
        self._checkpointed = 0
        self._broken: errors.StoreBroken | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Open the file. Errors: see `connections.connect`."""
        self._thread.start()
        await self._opened

    def submit(self, work: Callable[[Session], T]) -> asyncio.Future[T]:
        """Run `work` in the next transaction; resolved after its commit."""
        unit = _Unit(work, self._loop.create_future())
        self._queue.put(unit)
        return unit.future

    async def close(self) -> None:
        """Finish what was submitted, fold the log into the file, let it go."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            session = connections.connect(self._path)
            connections.turn_on_wal(session.raw)
        except Exception as error:  # noqa: BLE001 - `start` raises it where it can be handled
            self._tell(self._opened.set_exception, error)
            return
        self._tell(self._opened.set_result, None)
        while self._take_turn(session):
            pass
        self._checkpoint(session.raw, "TRUNCATE")
        session.close()

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _take_turn(self, session: Session) -> bool:
        """One transaction over what waits; False when it is time to end."""
        units, go_on = self._gather(session.raw)
        if units:
            self._run_units(session, units)
            self._tell(_answer, units)
            if self._changed(session.raw) >= _CHECKPOINT_FORCED:
                self._checkpoint(session.raw, "PASSIVE")
        return go_on

    def _gather(self, raw: sqlite3.Connection) -> tuple[list[_Unit], bool]:
        next_one = self._wait(raw)
        units: list[_Unit] = []
        while next_one is not None:
            units.append(next_one)
            if len(units) == _MAX_UNITS or self._queue.empty():
                return units, True
            next_one = self._queue.get()
        return units, False

    def _wait(self, raw: sqlite3.Connection) -> _Unit | None:
        """The next unit; a pause in the work is used for a checkpoint."""
        if self._changed(raw) >= _CHECKPOINT_IDLE:
            try:
                return self._queue.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                self._checkpoint(raw, "PASSIVE")
        return self._queue.get()

    def _changed(self, raw: sqlite3.Connection) -> int:
        """Rows changed since the last checkpoint."""
        return raw.total_changes - self._checkpointed

    def _run_units(self, session: Session, units: list[_Unit]) -> None:
        """One transaction; what goes wrong with the whole of it goes wrong for every unit.

        After a failed sync nobody knows what the disk holds, so nothing is written any more.
        """
        raw = session.raw
        try:
            if self._broken is not None:
                raise self._broken
            raw.execute("BEGIN IMMEDIATE")
            if len(units) == 1 or not _run_together(session, units):
                for unit in units:
                    _run_unit(session, unit, alone=len(units) == 1)
            if raw.in_transaction:
                raw.execute("COMMIT")
        except (sqlite3.Error, errors.StafettError) as error:
            failure = connections.translate(error) if isinstance(error, sqlite3.Error) else error
            for unit in units:
                unit.error = failure
            if isinstance(failure, errors.StoreBroken):
                self._broken = failure
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")

    def _checkpoint(self, raw: sqlite3.Connection, mode: str) -> None:
        self._checkpointed = raw.total_changes
        try:
            raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        except sqlite3.Error:
            # The log keeps everything; the next checkpoint (or the next start) does it.
            return


def _run_together(session: Session, units: list[_Unit]) -> bool:
    """All units, and no savepoints: each would cost four turns at the interpreter lock.

    Hardly ever does one fail. Then this is False, nothing has been done, and each is to be run
    anew, alone. Raises as `_run_unit` does.
    """
    try:
        with connections.translated_errors():
            for unit in units:
                unit.result = unit.work(session)
    except (errors.StoreFull, errors.StoreBroken):
        raise
    except Exception:  # noqa: BLE001 - whose it is shows when they are run alone
        session.reset()
        if session.raw.in_transaction:
            session.raw.execute("ROLLBACK")
        session.raw.execute("BEGIN IMMEDIATE")
        return False
    return True


def _run_unit(session: Session, unit: _Unit, *, alone: bool) -> None:
    """A unit that fails leaves no trace; the others go on.

    Raises what ended the whole transaction: SQLite rolls all of it back by itself on a full disk.
    """
    raw = session.raw
    if not alone:
        raw.execute("SAVEPOINT unit")
    try:
        with connections.translated_errors():
            unit.result = unit.work(session)
    except Exception as error:
        session.reset()
        if isinstance(error, errors.StoreFull | errors.StoreBroken):
            raise
        if not raw.in_transaction:
            message = "the database gave up the transaction; nothing was written, try again"
            raise errors.Unavailable(message) from error
        unit.error = error
        raw.execute("ROLLBACK" if alone else "ROLLBACK TO unit")
    if not alone:
        raw.execute("RELEASE unit")


def _answer(units: list[_Unit]) -> None:
    for unit in units:
        if unit.future.done():
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.result)


class Readers:
    """A few threads with read-only connections; each read sees one moment of the file."""

    def __init__(self, path: Path, *, threads: int = 4) -> None:
        self._path = path
        self._local = threading.local()
        self._sessions: list[Session] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stafett-reader")

    async def run(self, work: Callable[[Session], T]) -> T:
        """The result of `work`, run on a snapshot."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, work)

    async def close(self) -> None:
        """Finish what was asked, let the file go."""
        await asyncio.to_thread(self._pool.shutdown)
        for session in self._sessions:
            session.close()

    def _run(self, work: Callable[[Session], T]) -> T:
        session = self._session()
        with connections.translated_errors():
            session.raw.execute("BEGIN")
            try:
                return work(session)
            finally:
                if session.raw.in_transaction:
                    session.raw.execute("ROLLBACK")

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = connections.connect(self._path, read_only=True)
            self._local.session = session
            self._sessions.append(session)
        return session
