"""Request bins: whatever is sent to a bin's catch address is kept byte for byte and shown.

A room of its own: nothing else in the domain knows of bins. A capture is on disk before its sender
is answered; who tails a bin sees every capture that is still kept exactly once, in order of number.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from stafett import errors, ids, model
from stafett.engine.batch import Batcher
from stafett.ids import AttemptId, BinId, CaptureId, Ids, MessageId
from stafett.model import Bin, Capture, Headers, Page, PageQuery, ScriptedReply
from stafett.services import fields
from stafett.store import Store

MAX_BINS: Final = 1_000
MAX_BODY_BYTES: Final = 1 << 20
"""Of a caught body; the web room refuses or cuts longer ones while they arrive."""
KEEP_CAPTURES: Final = 500
KEEP_BYTES: Final = 100 << 20
MAX_REPLY_BODY_BYTES: Final = 1 << 20
MAX_REPLY_HEADERS: Final = 50
MAX_REPLY_HEADER_BYTES: Final = 4_096
MAX_DELAY: Final = timedelta(seconds=30)

# What may wait for the disk at one time; beyond it catching answers Unavailable.
_MAX_WAITING_BYTES: Final = 64 << 20
# What a slow tail may have in memory; beyond it that tail goes on from the store.
_MAX_BEHIND: Final = 64
_MAX_BEHIND_BYTES: Final = 4 << 20
_AT_ONCE: Final = 16
"""Captures with their bodies that are read from the store together."""
_MAX_TAILS: Final = 100
_MAX_KNOWN: Final = 1_000
_TOKEN_BYTES: Final = 16

_NUMBER = re.compile(r"[0-9]{1,18}")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Framing is the server's; the others would let a stranger's bin act on the origin it shares with
# the admin pages: cookies, storage, service workers, forced TLS, credentials over CORS.
_REFUSED_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "access-control-allow-credentials",
        "clear-site-data",
        "content-security-policy",
        "service-worker-allowed",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
    }
)
_BODYLESS: Final = frozenset({204, 205, 304})
_ID_HEADERS: Final = (b"webhook-id", b"svix-id")
_ATTEMPT_HEADER: Final = b"stafett-attempt"


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
        self._changes = 0
        self._tails: dict[BinId, weakref.WeakSet[Tail]] = {}

    async def create(self, name: str | None = None) -> tuple[Bin, str]:
        """A bin that answers 200, and its read token, which is never seen again.

        Errors: Invalid, LimitReached (1,000 bins).
        """
        found = fields.Findings()
        if name is not None:
            found.name(name, "name")
        found.close()
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
            reply=ScriptedReply(),
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
        _check_reply(reply)
        known = await self.get(bin_id)
        await self._store.set_reply(bin_id, reply)
        self._forget(known)
        return await self.get(bin_id)

    async def catch(self, catch_token: str, caught: Caught) -> ScriptedReply:
        """Keep a request; answers what to reply once it is on disk (the delay is the caller's).

        A body over 1 MiB is cut and marked. Errors: NotFound, Unavailable (too much waits for
        the disk; nothing was kept).
        """
        known = await self._caught_by(catch_token)
        if self._waiting_bytes > _MAX_WAITING_BYTES:
            message = "too much waits to be written; try again shortly"
            raise errors.Unavailable(message)
        capture = self._numberless(known, caught)
        stored = self._batch.submit(capture)
        self._waiting_bytes += len(capture.body)
        if await stored is None:
            self._forget(known)
            raise _uncaught()
        return known.reply

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

    async def delete_capture(self, bin_id: BinId, capture_id: CaptureId) -> None:
        """Errors: NotFound."""
        await self.capture(bin_id, capture_id)
        await self._store.delete_capture(bin_id, capture_id)

    async def clear(self, bin_id: BinId) -> int:
        """Delete all captures; answers how many. Numbers go on counting."""
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

    def _forget(self, known: Bin) -> None:
        self._changes += 1
        self._known.pop(known.catch_token, None)

    def _numberless(self, known: Bin, caught: Caught) -> Capture:
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
            status_code=known.reply.status_code,
            message_id=message_id,
            attempt_id=attempt_id,
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


def _check_reply(reply: ScriptedReply) -> None:
    found = fields.Findings()
    if not 200 <= reply.status_code <= 599:
        found.add("must be between 200 and 599", "status_code")
    if len(reply.body) > MAX_REPLY_BODY_BYTES:
        found.add("may have at most 1 MiB", "body")
    elif reply.body and reply.status_code in _BODYLESS:
        found.add(f"must be empty: a {reply.status_code} has none", "body")
    if not timedelta(0) <= reply.delay <= MAX_DELAY:
        found.add("must be between 0 and 30 seconds", "delay")
    _check_reply_headers(found, reply.headers)
    found.close()


def _check_reply_headers(found: fields.Findings, headers: Headers) -> None:
    if len(headers) > MAX_REPLY_HEADERS:
        found.add(f"may have at most {MAX_REPLY_HEADERS}", "headers")
        return
    for place, (name, value) in enumerate(headers):
        if not _HEADER_NAME.fullmatch(name):
            found.add(f"{name!r} is not a header name", "headers", place)
        elif name.lower() in _REFUSED_HEADERS:
            found.add(f"{name} is not for a bin to set", "headers", place)
        elif len(value) > MAX_REPLY_HEADER_BYTES or not _HEADER_VALUE.fullmatch(value):
            found.add(
                f"the value of {name} is too long or has control characters", "headers", place
            )
