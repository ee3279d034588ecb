"""Background work: every process brings forward the tasks that it can claim, one at a time.

Each step is one transaction of the store, and a lease covers more than a step. So what a process
leaves undone, however it ends, another one goes on with where it stood.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from stafett import errors
from stafett.engine.clock import Clock
from stafett.engine.dispatch import Dispatch
from stafett.ids import Ids
from stafett.model import Task, TaskStatus
from stafett.store import Claim, Store

_log = logging.getLogger("stafett.tasks")

LEASE: Final = timedelta(seconds=30)
"""So long after its process has died a task is taken over; begins anew with each step."""
LOOK_EVERY: Final = timedelta(seconds=5)
_TURN: Final = timedelta(seconds=1)
"""Then another task has its turn, so that a long one keeps no short one waiting."""
_STEP: Final = 200
"""Deliveries made due at a time: 10 to 50 ms in SQLite, where nobody else writes meanwhile."""
_OUR_FAULT: Final = "this is a fault of Stafett: its log says more"


class TaskRunner:
    """Works until it is stopped."""

    def __init__(self, *, store: Store, clock: Clock, ids: Ids, dispatch: Dispatch | None) -> None:
        """`dispatch` hears of what became due, where this process sends."""
        self._store = store
        self._clock = clock
        self._ids = ids
        self._dispatch = dispatch
        self._wake = asyncio.Event()
        self._halted = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def look(self) -> None:
        """There is a new task."""
        self._wake.set()

    async def stop(self) -> None:
        """Finish the step under way, and leave the rest to others."""
        self._halted = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._halted:
            self._wake.clear()
            try:
                worked = await self._take_turn()
            except errors.StoreBroken:
                return
            except errors.StafettError as error:
                _log.warning("event=tasks.failed detail=%s", error.detail)
                worked = False
            if not worked and not self._halted:
                await self._clock.wait(self._wake, until=self._clock.now() + LOOK_EVERY)

    async def _take_turn(self) -> bool:
        """Whether there was something to do."""
        claim = self._claim()
        task = await self._store.claim_task(claim, now=self._clock.now())
        if task is None:
            return False
        try:
            await self._bring_forward(task, claim)
        except errors.StafettError:
            raise
        except Exception:  # noqa: BLE001 - a task that cannot be done must not hold up the others
            _log.exception("event=task.crashed task=%s", task.id)
            now = self._clock.now()
            await self._store.fail_task(task.id, claim.id, problem=_OUR_FAULT, now=now)
        return True

    async def _bring_forward(self, task: Task, claim: Claim) -> None:
        turn_ends_at = self._clock.now() + _TURN
        while not self._halted and self._clock.now() < turn_ends_at:
            done = await self._step(task, claim)
            if done is None:
                _log.warning("event=task.taken_over task=%s", task.id)
                return
            if done.status is not TaskStatus.RUNNING:
                _tell_end(done)
                return
            task = done
        await self._store.release_task(task.id, claim.id, now=self._clock.now())

    async def _step(self, task: Task, claim: Claim) -> Task | None:
        now = self._clock.now()
        spare = [self._ids.delivery(now) for _ in range(_STEP)]
        done = await self._store.work_on_task(task.id, self._claim(claim), now=now, spare=spare)
        if done is not None and done.sent_count > task.sent_count and self._dispatch is not None:
            self._dispatch.hint(done.endpoint_id, due_at=now)
        return done

    def _claim(self, renewed: Claim | None = None) -> Claim:
        now = self._clock.now()
        claim_id = self._ids.claim(now) if renewed is None else renewed.id
        return Claim(id=claim_id, lease_until=now + LEASE)


def _tell_end(task: Task) -> None:
    _log.info(
        "event=task.ended task=%s kind=%s endpoint=%s status=%s sent=%d problem=%s",
        task.id,
        task.kind.value,
        task.endpoint_id,
        task.status.value,
        task.sent_count,
        task.problem or "",
    )
