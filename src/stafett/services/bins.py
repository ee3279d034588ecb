"""Request bins: whatever is sent to a bin's catch address is kept byte for byte and shown.

A room of its own: nothing else in the domain knows of bins. A capture is on disk before its sender
is answered; who tails a bin sees every capture that is still kept exactly once, in order of number.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import hmac
import itertools
import re
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from stafett import errors, ids, model
from stafett.engine.batch import Batcher
from stafett.ids import AttemptId, BinId, CaptureId, Ids, MessageId
from stafett.model import Arrival, Bin, Capture, Page, PageQuery, ReplyMode, ScriptedReply
from stafett.services import fields, replies
from stafett.store import Store

MAX_BINS: Final = 1_000
MAX_BODY_BYTES: Final = 1 << 20
"""Of a caught body; the web room refuses or cuts longer ones while they arrive."""
KEEP_CAPTURES: Final = 500
KEEP_BYTES: Final = 100 << 20
MAX_PINNED: Final = 50
"""Captures of one bin that are kept beside the ring."""
MAX_HELD: Final = 100
"""Connections that wait for one bin's answer at one time, be it delayed, dripped or never sent."""
MAX_HELD_IN_ALL: Final = 400

# What may wait for the disk at one time; beyond it catching answers Unavailable.
_MAX_WAITING_BYTES: Final = 64 << 20
# What a slow tail may have in memory; beyond it that tail goes on from the store.
_MAX_BEHIND: Final = 64
_MAX_BEHIND_BYTES: Final = 4 << 20
_AT_ONCE: Final = 16
"""Captures with their bodies that are read from the store together."""
_MAX_TAILS: Final = 100
_MAX_KNOWN: Final = 1_000
_MAX_COUNTED: Final = 10_000
"""Webhook-ids in memory whose answers are counted; beyond it they are counted in the store anew."""
_MAX_WEBHOOK_ID: Final = 256
_TOKEN_BYTES: Final = 16

_NUMBER = re.compile(r"[0-9]{1,18}")
_ID_HEADERS: Final = (b"webhook-id", b"svix-id")
_ATTEMPT_HEADER: Final = b"stafett-attempt"
_NO_ANSWER: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """A request as it came in, before it has a number."""

    method: str
    target: bytes
    """Raw: path and query as sent."""
    http_version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    truncated: bool = False
    peer: str


Flush = Callable[[Sequence[Capture]], Awaitable[Sequence[Capture | None]]]


class Batch(Protocol):
    """Groups captures into commits (see `engine/batch.py`)."""

    def submit(self, item: Capture) -> Awaitable[Capture | None]:
        """The stored capture once its batch is on disk; None when its bin is gone."""
        ...

    async def drain(self) -> None:
        """Return when everything submitted so far is on disk."""
        ...


def reads_with(bin: Bin, read_token: str) -> bool:  # noqa: A002 - the glossary's word
    """Whether `read_token` may read this bin; takes the same time for every wrong one."""
    return hmac.compare_digest(bin.read_token_hash, _hash(read_token))


def origin_of(
    headers: Sequence[tuple[bytes, bytes]],
) -> tuple[MessageId | None, AttemptId | None]:
    """The message and attempt that a request of our own names; (None, None) for any other.

    It is only what the headers say: whoever follows the link looks the attempt up.
    """
    message = attempt = ""
    for name, value in headers:
        lower = name.lower()
        if lower in _ID_HEADERS:
            message = value.decode("latin-1")
        elif lower == _ATTEMPT_HEADER:
            attempt = value.decode("latin-1")
    if ids.is_id(ids.MESSAGE, message) and ids.is_id(ids.ATTEMPT, attempt):
        return MessageId(message), AttemptId(attempt)
    return None, None


def webhook_id_of(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """What the sender calls the message; None where it says nothing, or too much."""
    found = [value.decode("latin-1") for name, value in headers if name.lower() in _ID_HEADERS]
    return found[-1] if found and 0 < len(found[-1]) <= _MAX_WEBHOOK_ID else None


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


def number_of(text: str) -> int:
    """The number of a capture. Errors: BadRequest, also for one that no store can hold."""
    if not _NUMBER.fullmatch(text):
        message = f"{text!r} is not the number of a capture"
        raise errors.BadRequest(message)
    return int(text)


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
        query = PageQuery(limit=_AT_ONCE, after=str(self._last), ascending=True)
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


class Bins:
    """The verbs. Errors of every verb that takes a bin's id: NotFound."""

    def __init__(
        self,
        *,
        store: Store,
        ids: Ids,
        clock: model.Clock,
        entropy: Callable[[int], bytes],
        batch: Callable[[Flush], Batch] = Batcher,
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._entropy = entropy
        self._batch = batch(self._flush)
        self._waiting_bytes = 0
        self._known: dict[str, Bin] = {}
        self._answered: dict[tuple[BinId, int, str | None], int] = {}
        self._held: Counter[BinId] = Counter()
        self._changes = 0
        self._tails: dict[BinId, weakref.WeakSet[Tail]] = {}

    async def create(
        self, name: str | None = None, *, reply: ScriptedReply = replies.AFTERWARDS
    ) -> tuple[Bin, str]:
        """A bin that answers so, and its read token, which is never seen again.

        Errors: Invalid, LimitReached (1,000 bins).
        """
        found = fields.Findings()
        if name is not None:
            found.name(name, "name")
        found.close()
        replies.check(reply)
        page = await self._store.list_bins(PageQuery(limit=MAX_BINS))
        if len(page.items) >= MAX_BINS:
            message = f"there are {MAX_BINS:,} bins already; delete one first"
            raise errors.LimitReached(message)
        now = self._clock()
        read_token = self._entropy(_TOKEN_BYTES).hex()
        made = Bin(
            id=self._ids.bin(now),
            name=name or "Request bin",
            catch_token=self._entropy(_TOKEN_BYTES).hex(),
            read_token_hash=_hash(read_token),
            reply=reply,
            reply_since=0,
            capture_count=0,
            created_at=now,
        )
        await self._store.add_bin(made)
        return made, read_token

    async def get(self, bin_id: BinId) -> Bin:
        """One bin as it is now."""
        found = await self._store.get_bin(bin_id)
        if found is None:
            message = f"there is no bin {bin_id!r}"
            raise errors.NotFound(message)
        return found

    async def list(self, page: PageQuery) -> Page[Bin]:
        """In order of id."""
        return await self._store.list_bins(page)

    async def delete(self, bin_id: BinId) -> None:
        """With its captures; whoever tails it comes to an end."""
        known = await self.get(bin_id)
        await self._store.delete_bin(bin_id)
        self._forget(known)
        for tail in self._tails.pop(bin_id, ()):
            tail.end()

    async def set_reply(self, bin_id: BinId, reply: ScriptedReply) -> Bin:
        """Answer so from the next request on. Errors: Invalid."""
        replies.check(reply)
        known = await self.get(bin_id)
        await self._store.set_reply(bin_id, reply)
        self._forget(known)
        return await self.get(bin_id)

    async def catch(self, catch_token: str, caught: Caught) -> Answer:
        """Keep a request; what to reply once it is on disk (to take the time for it is the web's).

        A body over 1 MiB is cut and marked. Where too many wait for an answer already, it is a 503.
        Errors: NotFound, Unavailable (too much waits for the disk; nothing was kept).
        """
        known = await self._caught_by(catch_token)
        webhook_id = webhook_id_of(caught.headers)
        answer = self._placed(known, await self._reply_to(known, webhook_id))
        with contextlib.ExitStack() as stack:
            stack.enter_context(answer)
            if self._waiting_bytes > _MAX_WAITING_BYTES:
                message = "too much waits to be written; try again shortly"
                raise errors.Unavailable(message)
            capture = self._numberless(known, caught, webhook_id=webhook_id, reply=answer.reply)
            stored = self._batch.submit(capture)
            self._waiting_bytes += len(capture.body)
            if await stored is None:
                self._forget(known)
                raise _uncaught()
            stack.pop_all()  # the place is the caller's now
        return answer

    async def _reply_to(self, known: Bin, webhook_id: str | None) -> ScriptedReply:
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

    def _placed(self, known: Bin, reply: ScriptedReply) -> Answer:
        if not replies.takes_time(reply):
            return Answer(reply, None)
        if self._held[known.id] >= MAX_HELD or self._held.total() >= MAX_HELD_IN_ALL:
            return Answer(replies.TOO_MANY, None)
        self._held[known.id] += 1
        return Answer(reply, functools.partial(self._leave, known.id))

    def _leave(self, bin_id: BinId) -> None:
        self._held[bin_id] -= 1
        if not self._held[bin_id]:
            del self._held[bin_id]

    async def captures(self, bin_id: BinId, page: PageQuery) -> Page[Capture]:
        """In order of number, newest first unless `page.ascending`; `page.after` is a number.

        Errors: BadRequest when it is not.
        """
        if page.after is not None:
            number_of(page.after)
        await self.get(bin_id)
        return await self._store.list_captures(bin_id, page)

    async def walk(self, bin_id: BinId, *, after: int | None = None) -> AsyncIterator[Capture]:
        """Every capture, newest first, or from the one before number `after`.

        Holds a few at a time: all of a bin may be 100 MiB. Ends early when the bin is deleted.
        """
        await self.get(bin_id)
        place = None if after is None else str(after)
        while True:
            query = PageQuery(limit=_AT_ONCE, after=place)
            page = await self._store.list_captures(bin_id, query)
            for each in page.items:
                yield each
            if page.done:
                return
            place = str(page.items[-1].number)

    async def capture(self, bin_id: BinId, capture_id: CaptureId) -> Capture:
        """One capture with its body. Errors: NotFound, also when the ring has dropped it."""
        found = await self._store.get_capture(bin_id, capture_id)
        if found is None:
            message = f"there is no capture {capture_id!r} in this bin"
            raise errors.NotFound(message)
        return found

    async def arrivals(self, bin_id: BinId, webhook_id: str, *, limit: int) -> Sequence[Arrival]:
        """The newest requests with that webhook-id, in the order in which they came."""
        await self.get(bin_id)
        return await self._store.arrivals(bin_id, webhook_id, limit=limit)

    async def pinned(self, bin_id: BinId) -> Sequence[Arrival]:
        """The pinned captures, newest first."""
        return await self._store.pinned_arrivals(bin_id)

    async def pin(self, bin_id: BinId, capture_id: CaptureId) -> None:
        """Keep it until it is unpinned or deleted, whatever the ring and `clear` do.

        Errors: NotFound, LimitReached (50 of one bin).
        """
        if await self._store.set_pinned(bin_id, capture_id, pinned=True, limit=MAX_PINNED):
            return
        await self.capture(bin_id, capture_id)
        message = f"{MAX_PINNED} requests are pinned here already; unpin one first"
        raise errors.LimitReached(message)

    async def unpin(self, bin_id: BinId, capture_id: CaptureId) -> None:
        """Let the ring have it; nothing happens to one that is not pinned. Errors: NotFound."""
        if not await self._store.set_pinned(bin_id, capture_id, pinned=False, limit=MAX_PINNED):
            await self.capture(bin_id, capture_id)

    async def delete_capture(self, bin_id: BinId, capture_id: CaptureId) -> None:
        """Errors: NotFound."""
        await self.capture(bin_id, capture_id)
        await self._store.delete_capture(bin_id, capture_id)

    async def clear(self, bin_id: BinId) -> int:
        """Delete all captures that are not pinned; answers how many. Numbers go on counting."""
        await self.get(bin_id)
        return await self._store.clear_bin(bin_id)

    async def tail(self, bin_id: BinId, after: int | None = None) -> Tail:
        """The captures behind number `after`, stored ones first, then live; None: only new ones.

        Errors: LimitReached (100 tails of one bin).
        """
        known = await self.get(bin_id)
        tails = self._tails.setdefault(bin_id, weakref.WeakSet())
        if len(tails) >= _MAX_TAILS:
            message = f"this bin is tailed {_MAX_TAILS} times already"
            raise errors.LimitReached(message)
        start = known.capture_count if after is None else min(after, known.capture_count)
        tail = Tail(self._store, bin_id, after=start)
        tails.add(tail)
        return tail

    async def stop(self) -> None:
        """End every tail and finish what is being written."""
        for tails in self._tails.values():
            for tail in tuple(tails):
                tail.end()
        self._tails.clear()
        await self._batch.drain()

    async def _caught_by(self, catch_token: str) -> Bin:
        known = self._known.get(catch_token)
        if known is not None:
            return known
        changes = self._changes
        found = await self._store.find_bin(catch_token)
        if found is None:
            raise _uncaught()
        if changes == self._changes:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[catch_token] = found
        return found

    def changed(self, bin_id: BinId) -> None:
        """Another process has changed this bin, or deleted it."""
        for known in [each for each in self._known.values() if each.id == bin_id]:
            self._forget(known)
        self._changes += 1

    def caught(self, bin_id: BinId | None) -> None:
        """Another process may have caught something for this bin; None: for any."""
        chosen = self._tails.values() if bin_id is None else [self._tails.get(bin_id, ())]
        for tail in itertools.chain.from_iterable(chosen):
            tail.look()

    def _forget(self, known: Bin) -> None:
        self._changes += 1
        self._known.pop(known.catch_token, None)

    def _numberless(
        self, known: Bin, caught: Caught, *, webhook_id: str | None, reply: ScriptedReply
    ) -> Capture:
        now = self._clock()
        message_id, attempt_id = origin_of(caught.headers)
        return Capture(
            id=self._ids.capture(now),
            bin_id=known.id,
            number=0,
            method=caught.method,
            target=caught.target,
            http_version=caught.http_version,
            headers=caught.headers,
            body=caught.body[:MAX_BODY_BYTES],
            body_truncated=caught.truncated or len(caught.body) > MAX_BODY_BYTES,
            peer=caught.peer,
            received_at=now,
            status_code=_NO_ANSWER if reply.mode is ReplyMode.HANG else reply.status_code,
            message_id=message_id,
            attempt_id=attempt_id,
            webhook_id=webhook_id,
        )

    async def _flush(self, batch: Sequence[Capture]) -> Sequence[Capture | None]:
        try:
            stored = await self._store.add_captures(
                batch, keep=KEEP_CAPTURES, keep_bytes=KEEP_BYTES
            )
        finally:
            self._waiting_bytes -= sum(len(each.body) for each in batch)
        for capture in stored:
            for tail in self._tails.get(capture.bin_id, ()):
                tail.offer(capture)
        numbered = {each.id: each for each in stored}
        return [numbered.get(each.id) for each in batch]


def _hash(read_token: str) -> str:
    return hashlib.sha256(read_token.encode()).hexdigest()


def _uncaught() -> errors.NotFound:
    return errors.NotFound("there is no bin at this address")
