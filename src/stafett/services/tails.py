"""Following a bin: a tail sees each capture that is still kept exactly once, in order of number."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections import deque
from typing import Final

from stafett import errors
from stafett.ids import BinId
from stafett.model import Capture, PageQuery
from stafett.store import Store

AT_ONCE: Final = 16
"""Captures with their bodies that are read from the store together."""

# What a slow tail may have in memory; beyond it that tail goes on from the store.
_MAX_BEHIND: Final = 64
_MAX_BEHIND_BYTES: Final = 4 << 20
_MAX_TAILS: Final = 100


class Tail:
    """One reader of one bin: stored captures first, then live ones.

    Cancelling a wait for the next capture loses nothing, so a caller may time out and go on. Ends
    when the bin is deleted or Stafett stops.
    """

    def __init__(self, store: Store, bin_id: BinId, *, after: int) -> None:
        self._store = store
        self._bin_id = bin_id
        self._last = after
        self._ready: deque[Capture] = deque()
        self._live: deque[Capture] = deque()
        self._live_bytes = 0
        self._behind = True
        self._ended = False
        self._news = asyncio.Event()

    def __aiter__(self) -> Tail:
        return self

    async def __anext__(self) -> Capture:
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            await self._refill()
        capture = self._ready.popleft()
        self._last = capture.number
        return capture

    def offer(self, capture: Capture) -> None:
        """A capture that has just been stored."""
        self._live_bytes += len(capture.body)
        if len(self._live) >= _MAX_BEHIND or self._live_bytes > _MAX_BEHIND_BYTES:
            self._forget_live()
            self._behind = True
        else:
            self._live.append(capture)
        self._news.set()

    def look(self) -> None:
        """Another process has stored something."""
        self._behind = True
        self._news.set()

    def end(self) -> None:
        """Nothing comes any more; what is ready is still handed out."""
        self._ended = True
        self._news.set()

    async def _refill(self) -> None:
        if self._behind:
            await self._read_on()
        elif self._live:
            self._take_live()
        else:
            self._news.clear()
            await self._news.wait()

    def _take_live(self) -> None:
        """One live capture; a number that does not follow sends us back to the store."""
        capture = self._live.popleft()
        self._live_bytes -= len(capture.body)
        if capture.number == self._last + 1:
            self._ready.append(capture)
        elif capture.number > self._last:
            self._behind = True

    async def _read_on(self) -> None:
        """The next stored captures; a page that is the last means that live ones follow.

        What is stored while we ask comes live as well and is known by its number.
        """
        query = PageQuery(limit=AT_ONCE, after=str(self._last), ascending=True)
        # Before asking: what overflows meanwhile sets it again, and must not be lost.
        self._behind = False
        more = True
        try:
            page = await self._store.list_captures(self._bin_id, query)
            more = not page.done
        finally:
            self._behind = self._behind or more
        self._ready.extend(page.items)

    def _forget_live(self) -> None:
        self._live.clear()
        self._live_bytes = 0


class Tails:
    """All who follow a bin in this process; one that nobody holds any more is forgotten."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tails: dict[BinId, weakref.WeakSet[Tail]] = {}

    def follow(self, bin_id: BinId, *, after: int) -> Tail:
        """One more, behind number `after`. Errors: LimitReached (100 tails of one bin)."""
        tails = self._tails.setdefault(bin_id, weakref.WeakSet())
        if len(tails) >= _MAX_TAILS:
            message = f"this bin is tailed {_MAX_TAILS} times already"
            raise errors.LimitReached(message)
        tail = Tail(self._store, bin_id, after=after)
        tails.add(tail)
        return tail

    def offer(self, capture: Capture) -> None:
        """A capture that has just been stored."""
        for tail in self._tails.get(capture.bin_id, ()):
            tail.offer(capture)

    def look(self, bin_id: BinId | None) -> None:
        """Another process may have stored something for this bin; None: for any."""
        chosen = self._tails.values() if bin_id is None else [self._tails.get(bin_id, ())]
        for tail in itertools.chain.from_iterable(chosen):
            tail.look()

    def end(self, bin_id: BinId) -> None:
        """The bin is gone."""
        for tail in self._tails.pop(bin_id, ()):
            tail.end()

    def end_all(self) -> None:
        """Stafett stops."""
        for bin_id in tuple(self._tails):
            self.end(bin_id)
