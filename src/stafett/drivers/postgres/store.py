"""The Store contract on PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import override

from stafett import errors
from stafett.drivers.cold import upkeep
from stafett.drivers.cold.verbs import ColdVerbs
from stafett.drivers.migrations.upgrade import is_current, upgrade
from stafett.drivers.postgres import adding, claiming, news, partitions, recording, server
from stafett.drivers.postgres.queue import QueueTable
from stafett.drivers.postgres.server import Connection, Server
from stafett.ids import ClaimId, DeliveryId, EndpointId, TaskId
from stafett.model import Capture, DueDelivery, Message, Task
from stafett.store import (
    AddResult,
    AttemptRecord,
    Claim,
    Expired,
    Heard,
    NewDelivery,
    NewMessage,
    News,
    Recorded,
    Space,
)

T = TypeVar("T")

_MIGRATION_LOCK: Final = 7_823_538_271
_MIGRATION_PATIENCE: Final = "SET LOCAL lock_timeout = '60s'"
_UPKEEP_LOCK: Final = 7_823_538_272


class PostgresStore(ColdVerbs):
    """See `stafett.store.Store`. Any number of processes may have the same one open."""

    queue = QueueTable()

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._reading: AsyncEngine = self._server.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._news = news.Newsroom(self._server)
        self._turn = EndpointId("")
        self._open = False

    # --- life ---------------------------------------------------------------------------------

    async def open(self, *, now: datetime) -> None:
        await self._server.open()
        self._open = True
        try:
            await self._upgrade(now=now)
            await self._news.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._news.close()
            await self._server.close()

    async def _upgrade(self, *, now: datetime) -> None:
        """One process at a time; who waited finds it done."""

        def work(connection: sa.Connection) -> None:
            if not is_current(connection):
                connection.execute(sa.text(_MIGRATION_PATIENCE))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                upgrade(connection)
            partitions.make_ahead(connection, now=now)

        try:
            await self.write(work)
        except errors.Unavailable as error:
            message = f"the schema could not be brought up to date: {error.detail}"
            raise errors.Unavailable(message) from error

    def listen(self, heard: Callable[[Heard], None]) -> None:
        self._news.listen(heard)

    # --- units of work ------------------------------------------------------------------------

    @override
    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._run(self._reading, work)

    @override
    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._run(self._server.engine, work)

    async def _run(self, engine: AsyncEngine, work: Callable[[sa.Connection], T]) -> T:
        if not self._open:
            message = "the store is closed"
            raise errors.Unavailable(message)

        async def once() -> T:
            async with engine.begin() as connection:
                return await connection.run_sync(work)

        with server.translated_errors():
            return await server.persist(once)

    # --- the hot path -------------------------------------------------------------------------

    async def add_messages(self, batch: Sequence[NewMessage], *, now: datetime) -> list[AddResult]:
        results = await self._again(lambda held: adding.add_messages(held, batch, now=now))
        if any(each.claim is None and each.due_at <= now for i in batch for each in i.deliveries):
            self._news.hint(News.DUE)
        return results

    async def claim_due(
        self,
        claim: Claim,
        *,
        now: datetime,
        limit: int,
        room: int,
        held: Mapping[EndpointId, int],
    ) -> list[DueDelivery]:
        full = [endpoint_id for endpoint_id, count in held.items() if count >= room]
        async with self._server.hot() as connection:
            due = await claiming.due_endpoints(
                connection, now=now, after=self._turn, but=full, limit=limit
            )
            closed = [endpoint_id for endpoint_id, is_closed in due if is_closed]
            if closed:
                await claiming.cancel_due(connection, closed, now=now)
            turns = [(each, room - held.get(each, 0)) for each, is_closed in due if not is_closed]
            if not turns:
                return []
            claimed = await claiming.claim_of_endpoints(
                connection, turns, claim, now=now, limit=limit
            )
        if claimed:
            self._turn = claimed[-1].endpoint_id
        return claimed

    async def next_due_at(self, *, now: datetime) -> datetime | None:
        async with self._server.hot() as connection:
            return await claiming.next_due_at(connection, now=now)

    async def record_attempts(
        self, batch: Sequence[AttemptRecord], *, now: datetime, failing_before: datetime
    ) -> Recorded:
        async def work(connection: Connection, *, weed: bool) -> Recorded:
            return await recording.record_attempts(
                connection, batch, now=now, failing_before=failing_before, weed=weed
            )

        try:
            return await self._again(lambda held: work(held, weed=False))
        except recording.StaleClaims:
            return await self._again(lambda held: work(held, weed=True))

    async def release(
        self, claims: Mapping[DeliveryId, ClaimId], *, due_at: datetime, now: datetime
    ) -> None:
        await self._again(lambda held: claiming.release(held, claims, due_at=due_at, now=now))
        if due_at <= now:
            self._news.hint(News.DUE)

    async def _again(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """As `_run`, for work that needs no SQLAlchemy."""
        async with self._server.hot() as connection:
            return await server.persist(lambda: work(connection))

    # --- what others should hear of -----------------------------------------------------------

    @override
    async def resend(
        self, delivery: NewDelivery, *, message: Message, now: datetime
    ) -> DeliveryId | None:
        made = await super().resend(delivery, message=message, now=now)
        if made is not None and delivery.claim is None:
            self._news.hint(News.DUE)
        return made

    @override
    async def work_on_task(
        self, task_id: TaskId, claim: Claim, *, now: datetime, spare: Sequence[DeliveryId]
    ) -> Task | None:
        task = await super().work_on_task(task_id, claim, now=now, spare=spare)
        if task is not None:
            self._news.hint(News.DUE)
        return task

    @override
    async def add_captures(
        self, batch: Sequence[Capture], *, keep: int, keep_bytes: int
    ) -> list[Capture]:
        stored = await super().add_captures(batch, keep=keep, keep_bytes=keep_bytes)
        for bin_id in {each.bin_id for each in stored}:
            self._news.hint(News.CAPTURE, bin_id)
        return stored

    # --- housekeeping -------------------------------------------------------------------------

    @override
    async def expire(
        self, *, now: datetime, messages_before: datetime | None, limit: int
    ) -> Expired:
        """Messages go by whole days, when their day is over and nothing of it waits."""

        def work(connection: sa.Connection) -> Expired:
            mine = sa.select(sa.func.pg_try_advisory_xact_lock(_UPKEEP_LOCK))
            if not connection.scalar(mine):
                return Expired(payloads=0, messages=0, keys=0, more=False)
            partitions.make_ahead(connection, now=now)
            connection.execute(sa.text(news.FORGET))
            if messages_before is None:
                return upkeep.expire(connection, now=now, messages_before=None, limit=limit)
            dropped = partitions.drop_before(connection, messages_before)
            oldest = partitions.oldest(connection)
            before = min(messages_before, oldest or messages_before)
            partitions.forget_uids(connection, before=before)
            expired = upkeep.expire(connection, now=now, messages_before=before, limit=limit)
            if dropped is None:
                return expired
            return replace(expired, messages=expired.messages + dropped, more=True)

        return await self.write(work)

    async def ping(self) -> None:
        await self._server.check()

    async def space(self) -> Space | None:
        return None
