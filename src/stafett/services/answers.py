"""What a bin answers to one request: its reply so many times, and only so many who wait for one.

Answers that are counted are counted in the store, for all processes together; how many wait is
each process's own.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Final

from stafett import model
from stafett.ids import BinId
from stafett.model import Bin, ScriptedReply
from stafett.services import replies
from stafett.store import Store

MAX_HELD: Final = 100
"""Connections that wait for one bin's answer at one time, be it delayed, dripped or never sent."""
MAX_HELD_IN_ALL: Final = 400
_MAX_SPENT: Final = 10_000
"""Webhook-ids in memory whose answers are spent; of others the store is asked."""
_EVERY: Final = "every request"
_DRAW_BYTES: Final = 6


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
    """The answers of every bin."""

    def __init__(
        self, store: Store, *, clock: model.Clock, entropy: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._spent: set[tuple[BinId, int, str]] = set()
        self._held: Counter[BinId] = Counter()

    async def to(
        self, known: Bin, webhook_id: str | None, *, target: bytes, breakable: bool
    ) -> Answer:
        """The answer to one more request for `target`; see `replies.prepared`.

        Where too many wait for one already, it is a 503, and where the connection has to be broken
        and is not `breakable` a 501.
        """
        reply = await self._reply(known, webhook_id)
        if replies.breaks(reply) and not breakable:
            return Answer(replies.UNBREAKABLE, None)
        prepared = replies.prepared(reply, now=self._clock(), target=target)
        return self._placed(known.id, prepared)

    def forget(self, bin_id: BinId) -> None:
        """Its reply was set: everything may be counted anew."""
        self._spent = {each for each in self._spent if each[0] != bin_id}

    async def _reply(self, known: Bin, webhook_id: str | None) -> ScriptedReply:
        """The bin's reply, or what comes in its place."""
        reply = known.reply
        message = f"message {webhook_id}" if webhook_id else "no message"
        spent = (known.id, known.reply_since, message)
        seeded = reply.chance < 1 and reply.seed is not None
        if spent in self._spent and not seeded:
            return replies.AFTERWARDS
        # In this order in every process, or two of them wait for each other's row.
        counted = [name for name, wanted in ((_EVERY, seeded), (message, reply.times)) if wanted]
        counts = await self._counts(known, counted)
        if reply.times and counts[message] > reply.times:
            self._remember(spent)
            return replies.AFTERWARDS
        hit = self._draw(reply, nth=counts.get(_EVERY, 0)) < reply.chance
        return reply if hit else replies.AFTERWARDS

    def _draw(self, reply: ScriptedReply, *, nth: int) -> float:
        """In [0, 1); with a seed the same for the same request in line."""
        if reply.chance >= 1:
            return 0
        if reply.seed is None:
            draw = self._entropy(_DRAW_BYTES)
        else:
            draw = hashlib.sha256(b"%d %d" % (reply.seed, nth)).digest()[:_DRAW_BYTES]
        return int.from_bytes(draw) / 256**_DRAW_BYTES

    async def _counts(self, known: Bin, counted: list[str]) -> dict[str, int]:
        if not counted:
            return {}
        counts = await self._store.count_answers(
            known.id, since=known.reply_since, counted=counted, now=self._clock()
        )
        return dict(zip(counted, counts, strict=True))

    def _remember(self, spent: tuple[BinId, int, str]) -> None:
        if len(self._spent) >= _MAX_SPENT:
            self._spent.clear()
        self._spent.add(spent)

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
