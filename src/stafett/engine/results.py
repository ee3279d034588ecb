"""What attempts came to goes to the store in batches, and is kept in memory until it is there.

While the disk is full or the store away, results wait and are offered again: an attempt that was
made is not made twice for want of a place to note it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from stafett import errors
from stafett.engine.batch import Batcher
from stafett.engine.clock import Clock
from stafett.engine.measures import Measures, timed
from stafett.model import DueDelivery
from stafett.store import AttemptRecord, Recorded, Store

_log = logging.getLogger("stafett.results")
_UNBOUNDED = 1 << 40  # what may be claimed is bounded, so what can wait here is too
_AGAIN_AFTER = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Return:
    """Unstarted work on its way back."""

    due: DueDelivery
    due_at: datetime


class Results:
    """Writes attempts, and gives back what was claimed and not begun."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        disable_after: timedelta,
        measures: Measures,
        on_recorded: Callable[[Sequence[AttemptRecord], Recorded], None],
        on_returned: Callable[[DueDelivery, datetime], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._disable_after = disable_after
        self._measures = measures
        self._on_recorded = on_recorded
        self._on_returned = on_returned
        self._records: Batcher[AttemptRecord, None] = Batcher(self._record, max_waiting=_UNBOUNDED)
        self._returns: Batcher[_Return, None] = Batcher(self._release, max_waiting=_UNBOUNDED)

    def record(self, record: AttemptRecord) -> None:
        """Have `record` stored."""
        self._records.submit(record)

    def give_back(self, due: DueDelivery, *, due_at: datetime) -> None:
        """Have `due` released, to be looked at again at `due_at`."""
        self._returns.submit(_Return(due, due_at))

    async def drain(self) -> None:
        """Return when everything handed over is stored."""
        await self._records.drain()
        await self._returns.drain()

    async def _record(self, batch: Sequence[AttemptRecord]) -> Sequence[None]:
        while True:
            now = self._clock.now()
            try:
                with timed(self._measures.record_seconds):
                    recorded = await self._store.record_attempts(
                        batch, now=now, failing_before=now - self._disable_after
                    )
            except errors.Unavailable as error:
                await self._wait_for_store(error, len(batch))
                continue
            except errors.StoreBroken as error:
                # The server is about to stop; after the next start these are due again.
                _log.critical("event=record.lost count=%d detail=%s", len(batch), error.detail)
                return [None] * len(batch)
            self._measures.record_items.observe(len(batch))
            self._on_recorded(batch, recorded)
            return [None] * len(batch)

    async def _release(self, batch: Sequence[_Return]) -> Sequence[None]:
        ordered = sorted(batch, key=lambda each: each.due_at)
        for due_at, group in groupby(ordered, key=lambda each: each.due_at):
            claims = {each.due.id: each.due.claim_id for each in group}
            try:
                await self._store.release(claims, due_at=due_at, now=self._clock.now())
            except errors.StafettError as error:
                # Their leases end by themselves; the scan finds them then.
                _log.warning("event=release.failed count=%d detail=%s", len(claims), error)
        for each in batch:
            self._on_returned(each.due, each.due_at)
        return [None] * len(batch)

    async def _wait_for_store(self, error: errors.Unavailable, count: int) -> None:
        _log.warning("event=record.waits count=%d detail=%s", count, error.detail)
        await self._clock.wait(asyncio.Event(), until=self._clock.now() + _AGAIN_AFTER)
