"""Moves a whole installation from a SQLite file to a PostgreSQL database.

The source is only read. How far each table has come is noted in the target by the transaction that
writes the rows, so a copy that was killed goes on where it was and writes no row twice. In the end
both sides are read again and compared.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import struct
from bisect import bisect_left
from collections.abc import (
    AsyncGenerator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from stafett import errors, ids
from stafett.drivers import schema
from stafett.drivers.migrations.upgrade import HEAD, is_current
from stafett.drivers.postgres import partitions, server
from stafett.drivers.postgres.server import Connection, Server
from stafett.drivers.postgres.store import PostgresStore
from stafett.drivers.sqlite import connections
from stafett.drivers.sqlite.connections import Session
from stafett.drivers.sqlite.lock import FileLock

Row = Sequence[Any]
Query = sa.Select[Any, *tuple[Any, ...]]

_MAX_ROWS: Final = 10_000
_MAX_BYTES: Final = 8 << 20
"""Of bodies in one batch: memory stays flat, whatever they are."""
_STRIDE: Final = 32
"""Rows with bodies that are read at a time, so a batch is too large by 31 bodies at most."""
_FETCH: Final = 1_000
"""Rows that are read back at a time."""
_LARGE: Final = 4_096
"""Bytes: beyond them a body is compared by its digest."""
_PATIENCE: Final = 24 * 3600.0
"""Seconds that a batch on a slow line, or a statement over a whole table, may take."""
_DAY: Final = timedelta(days=1)
_MADE_BY_A_START: Final = frozenset({"applications", "event_types", "tokens"})
"""What a server puts into an empty database by itself: it makes way for what is copied."""
_DEFAULT_APP: Final = "default"
"""Its uid, as the services have it."""

_MAKE_PROGRESS: Final = """
CREATE TABLE IF NOT EXISTS copy_progress (part text PRIMARY KEY, source text NOT NULL,
  begun_at bigint NOT NULL, place bytea, row_count bigint NOT NULL, done boolean NOT NULL)
"""
# Waits for what a killed copy's connection may still be committing.
_LOCK_PROGRESS: Final = "LOCK TABLE copy_progress IN ACCESS EXCLUSIVE MODE"
_PROGRESS: Final = "SELECT part, source, begun_at, place, row_count, done FROM copy_progress"
_BEGIN: Final = (
    "INSERT INTO copy_progress SELECT part, $2, $3, NULL, 0, false"
    " FROM unnest($1::text[]) AS t(part)"
)
# Another copy that has written meanwhile is found out here, before anything is written.
_ADVANCE: Final = (
    "UPDATE copy_progress SET place = $2, row_count = $3, done = $4"
    " WHERE part = $1 AND row_count = $5 AND NOT done"
)


class Step(enum.StrEnum):
    """What is done with a table."""

    COPY = "copying"
    COMPARE = "comparing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the work on one table has come, in rows."""

    part: str
    doing: Step
    row_count: int
    total: int
    resumed: bool = False
    """These rows were there already, from a copy that ended before its time."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows of a table, whatever their order: how many, and their hashes added up."""

    row_count: int = 0
    checksum: int = 0

    def plus(self, rows: Iterable[Row]) -> Sum:
        """With these rows, of which flags are 0 and 1."""
        encode = msgspec.msgpack.encode
        hashes = [blake2b(encode(row), digest_size=8).digest() for row in rows]
        added = sum(struct.unpack(f">{len(hashes)}Q", b"".join(hashes)))
        return Sum(self.row_count + len(hashes), (self.checksum + added) % (1 << 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A table as it is on both sides."""

    part: str
    source: Sum
    target: Sum

    @property
    def equal(self) -> bool:
        """Whether all arrived, as it was."""
        return self.source == self.target


Tell = Callable[[Progress], None]


# --- what is copied ---------------------------------------------------------------------------


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


# --- the source -------------------------------------------------------------------------------


class _Source:
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
        while rows := cursor.fetchmany(_FETCH):
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
def _opened_source(path: Path) -> Generator[_Source]:
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
                yield _Source(path, session)
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


async def _ahead(batches: Iterator[list[Row]]) -> AsyncGenerator[list[Row]]:
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


# --- the target -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """How far a part has come."""

    begun_at: int
    keys: Row | None
    row_count: int
    done: bool


class _Target:
    """The database, and what is noted there of this copy."""

    def __init__(self, way: Server, connection: Connection) -> None:
        self._way = way
        self._connection = connection
        self._days: set[datetime] = set()

    async def begin(self, every: Sequence[Part], mark: str, *, now: datetime) -> dict[str, _Place]:
        """Where to go on with each part. Errors: Conflict, the target has something else."""
        call = self._connection
        async with call.transaction():
            await call.execute(_MAKE_PROGRESS)
            await call.execute(_LOCK_PROGRESS)
            noted = await call.fetch(_PROGRESS)
            if not noted:
                await _refuse_filled(call, every)
                for table in sorted(_MADE_BY_A_START):
                    await call.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
                names = [part.table for part in every]
                await call.execute(_BEGIN, names, mark, schema.to_micros(now))
                noted = await call.fetch(_PROGRESS)
        if any(source != mark for _, source, *_ in noted):
            message = (
                "the target has part of a copy of another file, or of this one before a server"
                " wrote to it again; empty the database, and begin anew"
            )
            raise errors.Conflict(message)
        return {
            name: _Place(
                begun_at=begun_at,
                keys=None if keys is None else msgspec.msgpack.decode(keys),
                row_count=row_count,
                done=bool(done),
            )
            for name, _, begun_at, keys, row_count, done in noted
        }

    async def add(self, part: Part, rows: Sequence[Row], place: _Place) -> _Place:
        """Write a batch and note it; none: the part is done."""
        last = [rows[-1][n] for n in part.places(part.keys)] if rows else place.keys
        after = replace(place, keys=last, row_count=place.row_count + len(rows), done=not rows)
        if part.day is not None:
            [day] = part.places([part.day])
            await self._make_days(row[day] for row in rows)
        async with self._connection.transaction():
            # Lost with the server's machine, a batch is lost with its note, and is copied again.
            await self._connection.execute("SET LOCAL synchronous_commit TO off")
            await self._note(part, after, before=place)
            if rows:
                await self._copy(part, rows)
        return after

    async def _note(self, part: Part, after: _Place, *, before: _Place) -> None:
        keys = None if after.keys is None else msgspec.msgpack.encode(after.keys)
        done = await self._connection.execute(
            _ADVANCE, part.table, keys, after.row_count, after.done, before.row_count
        )
        if done != "UPDATE 1":
            message = "another copy writes to this database; let it finish, or stop it"
            raise errors.Conflict(message)

    async def _copy(self, part: Part, rows: Sequence[Row]) -> None:
        try:
            await self._connection.copy_records_to_table(
                part.table, records=rows, columns=part.columns, timeout=_PATIENCE
            )
        except asyncpg.CharacterNotInRepertoireError as error:
            raise _unfit(part, rows) from error
        except asyncpg.UniqueViolationError as error:
            message = (
                f"{part.table} of the target has rows that did not come with this copy: a server"
                " wrote to it meanwhile; stop that, empty the database, and begin anew"
            )
            raise errors.Conflict(message) from error

    async def _make_days(self, message_ids: Iterable[str]) -> None:
        for day in _days_of(message_ids):
            if day not in self._days:
                async with self._way.engine.begin() as connection:
                    # It makes the day before this `now`, and some after it: history has no holes.
                    await connection.run_sync(partitions.make_ahead, now=day + _DAY)
                self._days.add(day)

    async def rows(self, part: Part) -> AsyncGenerator[Iterator[Row]]:
        """All rows as they are compared, in batches."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            cursor = await self._connection.cursor(part.target(), timeout=_PATIENCE)
            while rows := await cursor.fetch(_FETCH):
                yield map(tuple, rows)

    async def end(self, every: Sequence[Part]) -> None:
        """The server learns what its tables are like now, and the notes go."""
        for part in every:
            await self._connection.execute(f"ANALYZE {part.table}", timeout=_PATIENCE)
        await self._connection.execute("DROP TABLE copy_progress")


def _unfit(part: Part, rows: Sequence[Row]) -> errors.Conflict:
    """The error that names the row with a character that PostgreSQL cannot hold."""
    for row in rows:
        for name, value in zip(part.columns, row, strict=True):
            if isinstance(value, str) and "\0" in value:
                key = ", ".join(str(row[place]) for place in part.places(part.keys))
                message = (
                    f"{name} of {part.table} {key} has a NUL character, which PostgreSQL cannot"
                    " hold: change it, or delete the row, and begin anew"
                )
                return errors.Conflict(message)
    return errors.Conflict(f"{part.table} has text that PostgreSQL cannot hold")


def _days_of(message_ids: Iterable[str]) -> Generator[datetime]:
    """The days of these messages. What has no time in its id has no day."""
    left = sorted(set(message_ids))
    while left:
        try:
            made_at = ids.made_at(left[0])
        except errors.BadRequest:
            left = left[1:]
            continue
        day = made_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        yield day
        left = left[max(1, bisect_left(left, ids.first_at(ids.MESSAGE, day + _DAY))) :]


async def _refuse_filled(connection: Connection, every: Sequence[Part]) -> None:
    """Errors: Conflict, where the target has more than what a first start makes."""
    for part in every:
        if await connection.fetchval("SELECT to_regclass($1)", part.table) is None:
            continue
        rest = (
            f" WHERE uid IS DISTINCT FROM '{_DEFAULT_APP}'" if part.table == "applications" else ""
        )
        some = f"SELECT EXISTS (SELECT 1 FROM {part.table}{rest})"  # noqa: S608 - our own names
        if (rest or part.table not in _MADE_BY_A_START) and await connection.fetchval(some):
            message = (
                f"the target is in use: its table {part.table} has rows, and there is no copy to go"
                " on with (one that had come to its end is complete); name an empty database"
            )
            raise errors.Conflict(message)


@asynccontextmanager
async def _opened_target(
    url: str, every: Sequence[Part], *, now: datetime
) -> AsyncGenerator[_Target]:
    """Its schema is brought up to date, unless it has rows already that stand in the way."""
    way = Server(url)
    connection = await way.connect()
    try:
        if await connection.fetchval("SELECT to_regclass('copy_progress')") is None:
            await _refuse_filled(connection, every)
        store = PostgresStore(url)
        await store.open(now=now)
        await store.close()
        # Flags are 0 and 1 in the source, and stay so on the way and where they are compared.
        await connection.set_type_codec(
            "bool",
            schema="pg_catalog",
            encoder=(b"\0", b"\1").__getitem__,
            decoder=(b"\0", b"\1").index,
            format="binary",
        )
        yield _Target(way, connection)
    finally:
        await connection.close()
        await way.close()


# --- the copy ---------------------------------------------------------------------------------


async def copy(source: Path, target: str, *, now: datetime, tell: Tell) -> list[Compared]:
    """Copy the file `source` to the database with the URL `target`, or go on with it.

    Answers how the tables compare; where they differ, the notes stay and the next call compares
    again. Errors: StoreInUse, Unavailable, StoreBroken, SchemaTooNew; Conflict, where the target
    has something else or cannot hold a text.
    """
    every = parts()
    with _opened_source(source) as read, server.translated_errors():
        async with _opened_target(target, every, now=now) as written:
            places = await written.begin(every, read.mark, now=now)
            with _translated_errors():
                jobs = [
                    _Job(read, written, part, place=places[part.table], tell=tell) for part in every
                ]
                for job in jobs:
                    await job.copy()
                compared = [await job.compare() for job in jobs]
                if all(each.equal for each in compared):
                    await written.end(every)
            return compared


class _Job:
    """The work on one part."""

    def __init__(
        self, source: _Source, target: _Target, part: Part, *, place: _Place, tell: Tell
    ) -> None:
        self._source = source
        self._target = target
        self._part = part
        self._place = place
        self._total = 0
        self._tell_all = tell

    async def copy(self) -> None:
        """What of the part is not there yet."""
        place = self._place
        self._total = await asyncio.to_thread(self._source.count, self._part)
        self._tell(Step.COPY, place.row_count, resumed=True)
        if place.done:
            return
        batches = self._source.after(self._part, place.keys, begun_at=place.begun_at)
        async with aclosing(_ahead(batches)) as coming:
            async for rows in coming:
                place = await self._target.add(self._part, rows, place)
                self._tell(Step.COPY, place.row_count)
        await self._target.add(self._part, [], place)

    async def compare(self) -> Compared:
        """Read the part on both sides, at the same time."""
        self._tell(Step.COMPARE, 0)
        source = asyncio.create_task(self._sum_source())
        try:
            target = await self._sum_target()
            return Compared(part=self._part.table, source=await source, target=target)
        finally:
            source.cancel()
            await asyncio.wait([source])

    async def _sum_source(self) -> Sum:
        found = Sum()
        batches = self._source.compared(self._part, begun_at=self._place.begun_at)
        async with aclosing(_ahead(batches)) as coming:
            async for rows in coming:
                found = found.plus(rows)
        return found

    async def _sum_target(self) -> Sum:
        found = Sum()
        async with aclosing(self._target.rows(self._part)) as stored:
            async for rows in stored:
                found = found.plus(rows)
                self._tell(Step.COMPARE, found.row_count)
        return found

    def _tell(self, step: Step, row_count: int, *, resumed: bool = False) -> None:
        self._tell_all(
            Progress(
                part=self._part.table,
                doing=step,
                row_count=row_count,
                total=self._total,
                resumed=resumed and row_count > 0,
            )
        )


@contextmanager
def _translated_errors() -> Generator[None]:
    """The target's errors as ours; where trying again helps, it says so."""
    try:
        with server.translated_errors():
            yield
    except (asyncpg.PostgresError, errors.Unavailable) as error:
        cause = error.detail if isinstance(error, errors.Unavailable) else error
        message = f"{cause}; the same copy, started again, goes on where it was"
        raise errors.Unavailable(message) from error
