"""What a bin answers to one request: its reply so many times, and only so many who wait for one."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Final

from stafett.ids import BinId
from stafett.model import Bin, ScriptedReply
from stafett.services import replies
from stafett.store import Store

MAX_HELD: Final = 100
"""Connections that wait for one bin's answer at one time, be it delayed, dripped or never sent."""
MAX_HELD_IN_ALL: Final = 400
_MAX_COUNTED: Final = 10_000
"""Webhook-ids in memory whose answers are counted; beyond it they are counted in the store anew."""


class Answer:
    """What to reply to one request, and its place among those who wait.

    Enter it to get the reply; the place is given back at the end.
    """

    __slots__ = ("_leave", "reply")

    def __init__(self, reply: ScriptedReply, leave: Callable[[], None] | None) -> None:
        self.reply = reply
        self._leave = leave

    def __enter__(self) -> ScriptedReply:
        return self.reply

    def __exit__(self, *_: object) -> None:
        if self._leave is not None:
            self._leave()


class Answers:
    """The answers of every bin, counted and held in this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answered: dict[tuple[BinId, int, str | None], int] = {}
        self._held: Counter[BinId] = Counter()

    async def to(self, known: Bin, webhook_id: str | None) -> Answer:
        """The answer to one more request; where too many wait for one already, it is a 503."""
        return self._placed(known.id, await self._reply(known, webhook_id))

    async def _reply(self, known: Bin, webhook_id: str | None) -> ScriptedReply:
        """The bin's reply, or what comes after it.

        The memory knows of those that are not stored yet, the store of what was answered before a
        start or by another process.
        """
        times = known.reply.times
        if not times:
            return known.reply
        key = (known.id, known.reply_since, webhook_id)
        if self._answered.get(key, 0) >= times:
            return replies.AFTERWARDS
        stored = await self._store.arrivals(
            known.id, webhook_id, after=known.reply_since, limit=times
        )
        count = max(self._answered.get(key, 0), len(stored))
        if len(self._answered) >= _MAX_COUNTED:
            self._answered.clear()
        self._answered[key] = count + 1
        return known.reply if count < times else replies.AFTERWARDS

    def _placed(self, bin_id: BinId, reply: ScriptedReply) -> Answer:
        if not replies.takes_time(reply):
            return Answer(reply, None)
        if self._held[bin_id] >= MAX_HELD or self._held.total() >= MAX_HELD_IN_ALL:
            return Answer(replies.TOO_MANY, None)
        self._held[bin_id] += 1
        return Answer(reply, functools.partial(self._leave, bin_id))

    def _leave(self, bin_id: BinId) -> None:
        self._held[bin_id] -= 1
        if not self._held[bin_id]:
            del self._held[bin_id]
