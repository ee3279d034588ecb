"""Whether the store answers, asked every second: whoever routes traffic hears it before callers do.

One question at a time: a store that hangs is not asked again before it has answered or given up.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from stafett import errors
from stafett.engine.clock import Clock
from stafett.store import Store

# Together below the 3 s in which it has to show that the store is away.
_EVERY: Final = timedelta(seconds=1)
_WITHIN: Final = timedelta(seconds=1.5)


class Reach:
    """Asks the store until it is stopped."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._halt = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Why the store is not to be reached; None while it is."""

    def start(self) -> None:
        """Begin; the store was reached a moment ago."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, also in the middle of a question."""
        self._halt.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._halt.is_set():
            await self._ask()
            await self._clock.wait(self._halt, until=self._clock.now() + _EVERY)

    async def _ask(self) -> None:
        # Not cut short by a timeout: an end by cancelling waits for the server itself.
        question = asyncio.ensure_future(self._answer())
        try:
            done, _ = await asyncio.wait([question], timeout=_WITHIN.total_seconds())
            if not done:
                self.problem = f"the store does not answer within {_WITHIN.total_seconds():g} s"
            self.problem = await question
        finally:
            question.cancel()

    async def _answer(self) -> str | None:
        try:
            await self._store.ping()
        except errors.StafettError as error:
            return error.detail
        return None
