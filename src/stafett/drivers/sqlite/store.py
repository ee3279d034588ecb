"""`SqliteStore`: the Store contract over one file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from typing_extensions import override

from stafett import errors
from stafett.drivers.cold.verbs import ColdVerbs
from stafett.drivers.migrations.upgrade import upgrade
from stafett.drivers.sqlite import adding, claiming, recording
from stafett.drivers.sqlite.connections import Session
from stafett.drivers.sqlite.lock import FileLock
from stafett.drivers.sqlite.threads import Readers, Writer
from stafett.ids import ClaimId, DeliveryId, EndpointId
from stafett.model import DueDelivery
from stafett.store import AddResult, AttemptRecord, Claim, Heard, NewMessage, Recorded, Space

T = TypeVar("T")


class SqliteStore(ColdVerbs):
    """See `stafett.store.Store`. The file is made where there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._turn = EndpointId("")

    async def open(self, *, now: datetime) -> None:
        """Take the file, bring its schema up to date, make every lease void."""
        _make_folder(self._path.parent)
        self._lock.take()
        try:
            self._writer = Writer(self._path)
            await self._writer.start()
            await self._writer.submit(lambda session: upgrade(session.core))
            await self._writer.submit(lambda session: claiming.void_leases(session.raw, now=now))
        except BaseException:
            await self.close()
            raise
        self._readers = Readers(self._path)

    def listen(self, heard: Callable[[Heard], None]) -> None:
        """No other process has this file, so there is nothing to hear."""

    async def close(self) -> None:
        if self._readers is not None:
            await self._readers.close()
            self._readers = None
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        self._lock.release()

    @override
    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._read(lambda session: work(session.core))

    @override
    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._write(lambda session: work(session.core))

    async def _read(self, work: Callable[[Session], T]) -> T:
        if self._readers is None:
            raise _closed()
        return await self._readers.run(work)

    async def _write(self, work: Callable[[Session], T]) -> T:
        if self._writer is None:
            raise _closed()
        return await self._writer.submit(work)

    async def add_messages(self, batch: Sequence[NewMessage], *, now: datetime) -> list[AddResult]:
        return await self._write(lambda session: adding.add_messages(session.raw, batch, now=now))

    async def claim_due(
        self,
        claim: Claim,
        *,
        now: datetime,
        limit: int,
        room: int,
        held: Mapping[EndpointId, int],
    ) -> list[DueDelivery]:
        due = await self._read(lambda session: claiming.due_endpoints(session.raw, now=now))
        if not due:
            return []
        later = [each for each in due if each[0] > self._turn]
        turns = later + [each for each in due if each[0] <= self._turn]

        def work(session: Session) -> list[DueDelivery]:
            claimed: list[DueDelivery] = []
            for endpoint_id, closed in turns:
                free = min(limit - len(claimed), room - held.get(endpoint_id, 0))
                if closed:
                    claiming.cancel_due(session.raw, endpoint_id, now=now)
                elif free > 0:
                    claimed += claiming.claim_of_endpoint(
                        session.raw, endpoint_id, claim, now=now, limit=free
                    )
                if len(claimed) >= limit:
                    break
            return claimed

        claimed = await self._write(work)
        if claimed:
            self._turn = claimed[-1].endpoint_id
        return claimed

    async def next_due_at(self, *, now: datetime) -> datetime | None:
        return await self._read(lambda session: claiming.next_due_at(session.raw, now=now))

    async def record_attempts(
        self, batch: Sequence[AttemptRecord], *, now: datetime, failing_before: datetime
    ) -> Recorded:
        def work(session: Session, *, weed: bool) -> Recorded:
            return recording.record_attempts(
                session.raw, batch, now=now, failing_before=failing_before, weed=weed
            )

        try:
            return await self._write(lambda session: work(session, weed=False))
        except recording.StaleClaims:
            return await self._write(lambda session: work(session, weed=True))

    async def release(
        self, claims: Mapping[DeliveryId, ClaimId], *, due_at: datetime, now: datetime
    ) -> None:
        await self._write(
            lambda session: claiming.release(session.raw, claims, due_at=due_at, now=now)
        )

    async def ping(self) -> None:
        await self._write(lambda _: None)

    async def space(self) -> Space | None:
        usage = shutil.disk_usage(self._path.parent)
        return Space(free=usage.free, total=usage.total)


def _make_folder(folder: Path) -> None:
    """Errors: Unavailable where it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        message = f"cannot make the data folder {folder}: {exc.strerror}; choose another (--data)"
        raise errors.Unavailable(message) from exc
    if not os.access(folder, os.W_OK):
        message = f"cannot write to the data folder {folder}; choose another (--data)"
        raise errors.Unavailable(message)


def _closed() -> errors.Unavailable:
    return errors.Unavailable("the store is closed")
