"""Request bins: whatever is sent to a bin's catch address is kept byte for byte and shown.

A room of its own: nothing else in the domain knows of bins. A capture is on disk before its sender
is answered; who tails a bin sees every capture that is still kept exactly once, in order of number.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from stafett import errors, ids, model
from stafett.engine.batch import Batcher
from stafett.ids import AttemptId, BinId, CaptureId, Ids, MessageId
from stafett.model import Arrival, Bin, Capture, Page, PageQuery, ScriptedReply
from stafett.services import fields, replies
from stafett.services.answers import Answer, Answers
from stafett.services.tails import AT_ONCE, Tail, Tails
from stafett.store import Store

MAX_BINS: Final = 1_000
MAX_BODY_BYTES: Final = 1 << 20
"""Of a caught body; the web room refuses or cuts longer ones while they arrive."""
KEEP_CAPTURES: Final = 500
KEEP_BYTES: Final = 100 << 20
MAX_PINNED: Final = 50
"""Captures of one bin that are kept beside the ring."""

# What may wait for the disk at one time; beyond it catching answers Unavailable.
_MAX_WAITING_BYTES: Final = 64 << 20
_MAX_KNOWN: Final = 1_000
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
    breakable: bool = False
    """Its answer may be broken off."""


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


def number_of(text: str) -> int:
    """The number of a capture. Errors: BadRequest, also for one that no store can hold."""
    if not _NUMBER.fullmatch(text):
        message = f"{text!r} is not the number of a capture"
        raise errors.BadRequest(message)
    return int(text)


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
        self._answers = Answers(store, clock=clock, entropy=entropy)
        self._changes = 0
        self._tails = Tails(store)

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
        self._tails.end(bin_id)

    async def set_reply(self, bin_id: BinId, reply: ScriptedReply) -> Bin:
        """Answer so from the next request on. Errors: Invalid."""
        replies.check(reply)
        known = await self.get(bin_id)
        await self._store.set_reply(bin_id, reply)
        self._forget(known)
        return await self.get(bin_id)

    async def expect(self, catch_token: str) -> None:
        """Whether it is worth reading a request. Errors: NotFound."""
        await self._caught_by(catch_token)

    async def catch(self, catch_token: str, caught: Caught) -> Answer:
        """Keep a request; what to reply once it is on disk (to take the time for it is the web's).

        A body over 1 MiB is cut and marked. Where too many wait for an answer already, it is a 503,
        and where the answer would have to be broken and cannot be, a 501.
        Errors: NotFound, Unavailable (too much waits for the disk; nothing was kept).
        """
        known = await self._caught_by(catch_token)
        webhook_id = webhook_id_of(caught.headers)
        answer = await self._answers.to(
            known, webhook_id, target=caught.target, breakable=caught.breakable
        )
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
            query = PageQuery(limit=AT_ONCE, after=place)
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
        start = known.capture_count if after is None else min(after, known.capture_count)
        return self._tails.follow(bin_id, after=start)

    async def stop(self) -> None:
        """End every tail and finish what is being written."""
        self._tails.end_all()
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
        self._answers.forget(bin_id)
        self._changes += 1

    def caught(self, bin_id: BinId | None) -> None:
        """Another process may have caught something for this bin; None: for any."""
        self._tails.look(bin_id)

    def _forget(self, known: Bin) -> None:
        self._changes += 1
        self._known.pop(known.catch_token, None)
        self._answers.forget(known.id)

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
            status_code=reply.status_code if replies.answers(reply) else _NO_ANSWER,
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
            self._tails.offer(capture)
        numbered = {each.id: each for each in stored}
        return [numbered.get(each.id) for each in batch]


def _hash(read_token: str) -> str:
    return hashlib.sha256(read_token.encode()).hexdigest()


def _uncaught() -> errors.NotFound:
    return errors.NotFound("there is no bin at this address")
