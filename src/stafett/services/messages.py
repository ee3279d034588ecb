"""Messages: accepting what happened, and showing what was accepted.

A message is accepted exactly when it and what it is owed are on disk; a caller that got an error
may try again and nothing is doubled, given an idempotency key or a uid.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

import msgspec

from stafett import errors, ids, model
from stafett.engine.directory import Directory
from stafett.engine.intake import Intake
from stafett.engine.spans import Tracer
from stafett.ids import AppId
from stafett.model import Application, Endpoint, Json, Message, MessageFilter, Page, PageQuery
from stafett.services import fields
from stafett.services.event_types import EventTypes
from stafett.store import AddResult, AddStatus, Found, Idempotency, Store

MAX_PAYLOAD_BYTES: Final = 1024 * 1024
MAX_BATCH: Final = 1_000
MAX_TAGS: Final = 8
MAX_DELAY: Final = timedelta(days=14)
MIN_RETENTION: Final = timedelta(days=1)
MAX_RETENTION: Final = timedelta(days=3_650)
DEFAULT_APP: Final = "default"
MAX_SEARCHED: Final = 10_000
"""Payloads that one search looks at: some 50 ms."""
MAX_SEARCH_TEXT: Final = 200
_PLAIN = re.compile(r"[a-zA-Z0-9\-_.]{1,256}")


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a message. `payload` is sent byte for byte as it stands here."""

    event_type: str
    payload: bytes
    uid: str | None = None
    channels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    deliver_at: datetime | None = None
    payload_retention: timedelta | None = None
    """How long the payload is kept; None: as the server is set."""


class Messages:
    """The verbs. `app` and `ref` are an id or a uid throughout."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Directory,
        event_types: EventTypes,
        intake: Intake,
        clock: model.Clock,
        retention: timedelta,
    ) -> None:
        self._store = store
        self._directory = directory
        self._event_types = event_types
        self._intake = intake
        self._ids = intake.ids
        self._tracer = intake.tracer
        self._clock = clock
        self._retention = retention

    async def create(
        self,
        event_type: str,
        payload: Mapping[str, Json] | bytes,
        *,
        app: str = DEFAULT_APP,
        uid: str | None = None,
        channels: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> Message:
        """Accept one event: what an application that embeds Stafett calls.

        A mapping is written as JSON; bytes are kept as they are. Errors: as `accept`; Invalid, too,
        for what JSON cannot say.
        """
        body = payload if isinstance(payload, bytes) else _as_json(payload)
        new = NewMessage(
            event_type=event_type,
            payload=body,
            uid=uid,
            channels=tuple(channels),
            tags=tuple(tags),
        )
        return await self.accept(app, new)

    def accept(
        self,
        app: str,
        new: NewMessage,
        *,
        idempotency: Idempotency | None = None,
        caller: str | None = None,
    ) -> Coroutine[Any, Any, Message]:
        """The message, on disk with everything it is owed.

        `caller` is the W3C `traceparent` of whoever asks.

        Errors: NotFound (application), Invalid (a field, or a payload under a strict check),
        PayloadTooLarge, Conflict (uid taken), IdempotencyMismatch, Unavailable (nothing was
        accepted; try again).
        """
        if self._tracer is None:
            return self._accept(app, new, idempotency)
        return self._accept_traced(self._tracer, app, new, idempotency=idempotency, caller=caller)

    async def _accept_traced(
        self,
        tracer: Tracer,
        app: str,
        new: NewMessage,
        *,
        idempotency: Idempotency | None,
        caller: str | None,
    ) -> Message:
        with tracer.accepting(caller) as span:
            message = await self._accept(app, new, idempotency, trace=span.trace)
            span.accepted(message)
            return message

    async def _accept(
        self,
        app: str,
        new: NewMessage,
        idempotency: Idempotency | None,
        *,
        trace: str | None = None,
    ) -> Message:
        application = await self._directory.application(app)
        message, wanting = await self._made(application, new, trace)
        result = await self._intake.accept(message, wanting=wanting, idempotency=idempotency)
        if result.status is AddStatus.REPEATED:
            return await self.get(application.id, result.message_id, with_payload=True)
        _raise_unless_added(result, new)
        return message

    async def accept_batch(
        self, app: str, batch: Sequence[NewMessage], *, caller: str | None = None
    ) -> list[Message | errors.StafettError]:
        """Accept up to 1,000 messages in one commit; the answers, in order, are one for each.

        What is wrong with one does not touch the others. Errors of the whole: NotFound
        (application), BadRequest (too many), Unavailable (none was accepted).
        """
        if self._tracer is None:
            return await self._accept_batch(app, batch)
        with self._tracer.accepting(caller) as span:
            answers = await self._accept_batch(app, batch, trace=span.trace)
            span.accepted(*(each for each in answers if isinstance(each, Message)))
            return answers

    async def _accept_batch(
        self, app: str, batch: Sequence[NewMessage], *, trace: str | None = None
    ) -> list[Message | errors.StafettError]:
        check_batch_size(len(batch))
        application = await self._directory.application(app)
        answers: list[Message | errors.StafettError] = []
        made: list[tuple[Message, list[Endpoint]]] = []
        for new in batch:
            try:
                made.append(await self._made(application, new, trace))
                answers.append(made[-1][0])
            except errors.StafettError as error:
                answers.append(error)
        results = iter(await self._intake.accept_all(made))
        for place, new in enumerate(batch):
            if isinstance(answers[place], Message):
                try:
                    _raise_unless_added(next(results), new)
                except errors.Conflict as error:
                    answers[place] = error
        return answers

    async def app_id(self, app: str) -> AppId:
        """Of an application. Errors: NotFound."""
        return (await self._directory.application(app)).id

    async def get(self, app: str, ref: str, *, with_payload: bool = True) -> Message:
        """Errors: NotFound."""
        application = await self._directory.application(app)
        found = await self._store.get_message(application.id, ref, with_payload=with_payload)
        if found is None:
            message = f"there is no message with the id or uid {ref!r}"
            raise errors.NotFound(message)
        return found

    async def list(
        self, app: str, page: PageQuery, *, where: MessageFilter, with_payload: bool = True
    ) -> Page[Message]:
        """In order of id: newest first unless `page.ascending`. Errors: NotFound."""
        application = await self._directory.application(app)
        return await self._store.list_messages(
            application.id, where, page, with_payload=with_payload
        )

    async def search(
        self,
        app: str,
        text: str,
        *,
        where: MessageFilter,
        after: str | None = None,
        limit: int = 50,
    ) -> Found[Message]:
        """Those with `text` in their payload, newest first, without the payloads.

        However JSON spells it. Looks at the newest 10,000 payloads (fewer where they are large), or
        the next ones behind `after`, the `place` of the search before. A to Z are the same as a to
        z, other letters are not. Errors: NotFound; Invalid (the text).
        """
        if not 0 < len(text) <= MAX_SEARCH_TEXT:
            message = f"must have 1 to {MAX_SEARCH_TEXT} characters"
            raise errors.Invalid([errors.Problem(("query", "text"), message)])
        application = await self._directory.application(app)
        return await self._store.search_messages(
            application.id, where, spellings(text), after=after, limit=limit, look=MAX_SEARCHED
        )

    async def is_wanted(self, app: str, event_type: str, *, channels: Sequence[str] = ()) -> bool:
        """Whether some endpoint would get such a message now. Errors: NotFound, Invalid."""
        found = fields.Findings()
        found.word(event_type, "event_type")
        found.channels(tuple(channels), limit=fields.MAX_MESSAGE_CHANNELS)
        found.close()
        application = await self._directory.application(app)
        wanting = await self._directory.wanting(
            application.id, event_type=event_type, channels=tuple(channels)
        )
        return bool(wanting)

    async def expunge_all(self, app: str, refs: Sequence[str]) -> dict[str, bool]:
        """Delete many payloads, at most 1,000, for good; False: there is no such message.

        Errors: NotFound (application), BadRequest (too many).
        """
        if len(refs) > MAX_BATCH:
            message = f"at most {MAX_BATCH:,} messages can be named, these are {len(refs):,}"
            raise errors.BadRequest(message)
        await self.app_id(app)
        results: dict[str, bool] = {}
        for ref in dict.fromkeys(refs):
            try:
                await self.expunge(app, ref)
                results[ref] = True
            except errors.NotFound:
                results[ref] = False
        return results

    async def expunge(self, app: str, ref: str) -> None:
        """Delete the payload for good; the message stays. Errors: NotFound."""
        message = await self.get(app, ref, with_payload=False)
        await self._store.expunge_payload(message.app_id, message.id)

    async def _made(
        self, application: Application, new: NewMessage, trace: str | None
    ) -> tuple[Message, list[Endpoint]]:
        """The message as it would be stored, and who wants it."""
        now = self._clock()
        _check(new, now)
        problems = await self._event_types.check(new.event_type, new.payload)
        wanting = await self._directory.wanting(
            application.id, event_type=new.event_type, channels=new.channels
        )
        message = Message(
            id=self._ids.message(now),
            app_id=application.id,
            uid=new.uid,
            event_type=new.event_type,
            channels=new.channels,
            tags=new.tags,
            test=False,
            problems=problems,
            endpoint_count=len(wanting),
            deliver_at=new.deliver_at,
            created_at=now,
            payload_expires_at=now + (new.payload_retention or self._retention),
            payload=new.payload,
            trace=trace,
        )
        return message, wanting


def _as_json(payload: Mapping[str, Json]) -> bytes:
    """Errors: Invalid (NaN, infinity, half a character, or something JSON has no form for)."""
    try:
        body = msgspec.json.encode(payload)
    except (TypeError, UnicodeEncodeError, RecursionError) as error:
        raise _not_json(str(error)) from None
    # It writes null for numbers that are none. A real null costs this look.
    if b"null" in body and not _is_finite(payload):
        raise _not_json("NaN and infinity are not numbers there")
    return body


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(_is_finite(each) for each in cast("Mapping[str, object]", value).values())
    if isinstance(value, list | tuple):
        return all(_is_finite(each) for each in cast("Sequence[object]", value))
    return True


def _not_json(why: str) -> errors.Invalid:
    return errors.Invalid([errors.Problem(("body", "payload"), f"is not JSON: {why}")])


def spellings(text: str) -> tuple[str, ...]:
    """How `text` may stand in JSON: as it is, and with what encoders escape in a string."""
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    escaped = json.dumps(text)[1:-1]
    with_slashes = escaped.replace("/", r"\/")
    return tuple(dict.fromkeys((text, plain, escaped, with_slashes)))


def check_batch_size(count: int) -> None:
    """Errors: BadRequest."""
    if count > MAX_BATCH:
        message = f"a batch may have at most {MAX_BATCH:,} messages, this one has {count:,}"
        raise errors.BadRequest(message)


def _raise_unless_added(result: AddResult, new: NewMessage) -> None:
    match result.status:
        case AddStatus.ADDED | AddStatus.REPEATED:
            return
        case AddStatus.UID_TAKEN:
            message = f"a message with the uid {new.uid!r} exists already"
            raise errors.Conflict(message)
        case AddStatus.MISMATCH:
            message = "this idempotency key was used before, for another request body"
            raise errors.IdempotencyMismatch(message)


def _check(new: NewMessage, now: datetime) -> None:
    """Errors: Invalid, PayloadTooLarge."""
    if len(new.payload) > MAX_PAYLOAD_BYTES:
        message = (
            f"a payload may have at most {MAX_PAYLOAD_BYTES:,} bytes, this one has"
            f" {len(new.payload):,}"
        )
        raise errors.PayloadTooLarge(message)
    if (
        _PLAIN.fullmatch(new.event_type)
        and new.uid is None
        and not new.channels
        and not new.tags
        and new.deliver_at is None
        and new.payload_retention is None
    ):
        return
    found = fields.Findings()
    found.word(new.event_type, "event_type")
    found.uid(new.uid, prefix=ids.MESSAGE)
    found.channels(new.channels, limit=fields.MAX_MESSAGE_CHANNELS)
    if len(new.tags) > MAX_TAGS:
        found.add(f"may have at most {MAX_TAGS}", "tags")
    for place, tag in enumerate(new.tags):
        found.word(tag, "tags", place)
    if new.deliver_at is not None and new.deliver_at > now + MAX_DELAY:
        found.add(f"may be at most {MAX_DELAY.days} days ahead", "deliver_at")
    kept = new.payload_retention
    if kept is not None and not MIN_RETENTION <= kept <= MAX_RETENTION:
        found.add(f"must be 1 to {MAX_RETENTION.days:,} days", "payload_retention_period")
    found.close()
