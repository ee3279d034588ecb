"""Group commit: who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from stafett import errors
from stafett.engine.batch import Batcher


class Disk:
    """Flushes when the test says so, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.fails = False

    async def flush(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        await self.gate.wait()
        if self.fails:
            message = "disk full"
            raise errors.StoreFull(message)
        return [item * 10 for item in batch]


async def test_what_gathers_during_a_flush_goes_into_the_next() -> None:
    disk = Disk()
    batcher = Batcher(disk.flush)
    first = batcher.submit(1)
    await asyncio.sleep(0)
    rest = [batcher.submit(n) for n in (2, 3, 4)]
    assert disk.batches == [[1]]
    assert not first.done()

    disk.gate.set()

    assert await asyncio.gather(first, *rest) == [10, 20, 30, 40]
    assert disk.batches == [[1], [2, 3, 4]]


async def test_a_batch_has_a_limit() -> None:
    disk = Disk()
    disk.gate.set()
    batcher = Batcher(disk.flush, max_batch=2)
    await asyncio.gather(*(batcher.submit(n) for n in range(5)))
    assert disk.batches == [[0, 1], [2, 3], [4]]


async def test_a_failed_flush_is_told_to_each_of_its_batch_and_the_next_goes_on() -> None:
    disk = Disk()
    disk.gate.set()
    disk.fails = True
    batcher = Batcher(disk.flush)
    told = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [type(each) for each in told] == [errors.StoreFull] * 2
    disk.fails = False
    assert await batcher.submit(3) == 30


async def test_a_caller_that_went_away_holds_nobody_up() -> None:
    disk = Disk()
    batcher = Batcher(disk.flush)
    gone, stays = batcher.submit(1), batcher.submit(2)
    gone.cancel()
    disk.gate.set()
    assert await stays == 20
    assert disk.batches == [[1, 2]]


async def test_too_much_waiting_is_refused_before_any_work() -> None:
    disk = Disk()
    batcher = Batcher(disk.flush, max_waiting=2)
    waiting = [batcher.submit(n) for n in range(2)]
    with pytest.raises(errors.Unavailable):
        batcher.submit(3)
    disk.gate.set()
    await batcher.drain()
    assert [each.result() for each in waiting] == [0, 10]
    assert disk.batches == [[0, 1]]
