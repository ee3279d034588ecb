"""The target of a copy: a PostgreSQL database, and what is noted there of how far it has come."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from stafett import errors, ids
from stafett.drivers import schema
from stafett.drivers.copying.parts import Part
from stafett.drivers.copying.sums import FETCH, Row
from stafett.drivers.postgres import partitions
from stafett.drivers.postgres.server import Connection, Server
from stafett.drivers.postgres.store import PostgresStore

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a part has come."""

    begun_at: int
    keys: Row | None
    row_count: int
    done: bool


class Target:
    """The database, and what is noted there of this copy."""

    def __init__(self, way: Server, connection: Connection) -> None:
        self._way = way
        self._connection = connection
        self._days: set[datetime] = set()

    async def begin(self, every: Sequence[Part], mark: str, *, now: datetime) -> dict[str, Place]:
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
            name: Place(
                begun_at=begun_at,
                keys=None if keys is None else msgspec.msgpack.decode(keys),
                row_count=row_count,
                done=bool(done),
            )
            for name, _, begun_at, keys, row_count, done in noted
        }

    async def add(self, part: Part, rows: Sequence[Row], place: Place) -> Place:
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

    async def _note(self, part: Part, after: Place, *, before: Place) -> None:
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
            while rows := await cursor.fetch(FETCH):
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
async def opened_target(
    url: str, every: Sequence[Part], *, now: datetime
) -> AsyncGenerator[Target]:
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
        yield Target(way, connection)
    finally:
        await connection.close()
        await way.close()
