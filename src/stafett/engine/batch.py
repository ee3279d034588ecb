"""Groups concurrent work into one commit. A caller is answered only after the commit.

There is no timer: a flush starts as soon as the one before it has ended, with whatever has gathered
meanwhile. Under load batches grow by themselves; alone, a caller waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from stafett import errors

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Hands what callers submit to `flush` in batches, one at a time, in order."""

    def __init__(
        self,
        flush: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        max_batch: int = 512,
        max_waiting: int = 10_000,
    ) -> None:
        """`flush` answers one result an item, in order. Both limits count items."""
        self._flush = flush
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, item: T) -> asyncio.Future[R]:
        """The result of `item`, once its batch is flushed; what `flush` raises, every item gets.

        Errors: Unavailable, before any work, when too much waits already.
        """
        if len(self._waiting) >= self._max_waiting:
            message = "too much waits to be written; try again shortly"
            raise errors.Unavailable(message)
        # Kept, as asking for it is a system call on Python 3.11.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = loop.create_task(self._run())
        return future

    async def drain(self) -> None:
        """Return when everything submitted so far is flushed."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._max_batch]
                del self._waiting[: self._max_batch]
                await self._flush_batch(batch)
        finally:
            self._task = None

    async def _flush_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to the callers: each of them gets it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            # A caller that went away cancelled its future; its work is done all the same.
            if not future.done():
                future.set_result(result)
