"""The copy itself: every part copied, then every part compared."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from datetime import datetime
from pathlib import Path

import asyncpg

from stafett import errors
from stafett.drivers.copying.parts import Part, parts
from stafett.drivers.copying.progress import Progress, Step, Tell
from stafett.drivers.copying.source import Source, ahead, opened_source
from stafett.drivers.copying.sums import Compared, Sum
from stafett.drivers.copying.target import Place, Target, opened_target
from stafett.drivers.postgres import server


async def copy(source: Path, target: str, *, now: datetime, tell: Tell) -> list[Compared]:
    """Copy the file `source` to the database with the URL `target`, or go on with it.

    Answers how the tables compare; where they differ, the notes stay and the next call compares
    again. Errors: StoreInUse, Unavailable, StoreBroken, SchemaTooNew; Conflict, where the target
    has something else or cannot hold a text.
    """
    every = parts()
    with opened_source(source) as read, server.translated_errors():
        async with opened_target(target, every, now=now) as written:
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
        self, source: Source, target: Target, part: Part, *, place: Place, tell: Tell
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
        async with aclosing(ahead(batches)) as coming:
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
        async with aclosing(ahead(batches)) as coming:
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
