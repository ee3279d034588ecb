"""Housekeeping: retention, room on the disk, and whether the store is still sound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from stafett import errors
from stafett.engine.clock import Clock
from stafett.engine.intake import Intake
from stafett.store import Space, Store

_log = logging.getLogger("stafett.upkeep")

_LOOK_EVERY = timedelta(seconds=2)
_EXPIRE_EVERY = timedelta(minutes=1)
_ROUND = 500
_LOW_WATER = 1 << 30
_LOW_WATER_SHARE = 20


def low_on(space: Space) -> bool:
    """Whether less than 1 GiB or a twentieth of the disk is left, whichever is smaller."""
    return space.free < min(_LOW_WATER, space.total // _LOW_WATER_SHARE)


class Upkeep:
    """Looks after the store until it is stopped."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        intake: Intake,
        keep_messages: timedelta | None,
        chores: Sequence[Callable[[], Awaitable[object]]],
        on_broken: Callable[[errors.StafettError], None],
    ) -> None:
        """`chores` run once a minute; `on_broken` hears when the store must not be used more."""
        self._store = store
        self._clock = clock
        self._intake = intake
        self._keep_messages = keep_messages
        self._chores = chores
        self._on_broken = on_broken
        self._halt = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._expire_at: datetime | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Finish the round that runs, then do the chores one last time."""
        self._halt.set()
        if self._task is not None:
            await self._task
            await self._do_chores()

    async def _run(self) -> None:
        while not self._halt.is_set():
            try:
                await self._look()
                await self._expire_if_due()
            except errors.StoreBroken as error:
                self._on_broken(error)
                return
            except errors.StafettError as error:
                _log.warning("event=upkeep.failed detail=%s", error.detail)
            await self._clock.wait(self._halt, until=self._clock.now() + _LOOK_EVERY)

    async def _look(self) -> None:
        """Close the door before the disk is full: deliveries need what is left to be recorded."""
        await self._store.ping()
        space = await self._store.space()
        if space is not None and low_on(space):
            message = (
                f"only {space.free // 1_000_000} MB are left on the disk: nothing is accepted"
                " until there is more, deliveries go on"
            )
            if self._intake.closed is None:
                _log.warning("event=intake.closed detail=%s", message)
            self._intake.closed = errors.StoreFull(message, retry_after=10.0)
        else:
            self._intake.closed = None

    async def _expire_if_due(self) -> None:
        now = self._clock.now()
        if self._expire_at is not None and now < self._expire_at:
            return
        before = None if self._keep_messages is None else now - self._keep_messages
        expired = await self._store.expire(now=now, messages_before=before, limit=_ROUND)
        # More is left: the next look goes on, so that no round holds the store for long.
        self._expire_at = now if expired.more else now + _EXPIRE_EVERY
        if not expired.more:
            await self._do_chores()

    async def _do_chores(self) -> None:
        for chore in self._chores:
            try:
                await chore()
            except errors.StafettError as error:
                _log.warning("event=chore.failed detail=%s", error.detail)
