"""Messages over HTTP: the way in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from msgspec import Raw

from stafett import errors
from stafett.model import Message, MessageFilter
from stafett.services.messages import NewMessage, check_batch_size
from stafett.store import Idempotency
from stafett.web import paging
from stafett.web.api_applications import new_application
from stafett.web.calls import Call, Reply, aware, decoded, span
from stafett.web.errors import body_of, status_of
from stafett.web.wire.applications import ApplicationIn
from stafett.web.wire.messages import (
    BatchIn,
    BatchItemOut,
    BatchOut,
    ExpungeIn,
    ExpungeOut,
    MessageIn,
    PrecheckIn,
    PrecheckOut,
    UnreadBatchIn,
    message_out,
)

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def object_of(payload: Raw) -> bytes:
    """The very bytes of a payload that is a JSON object. Errors: Invalid.

    The decoder steps over it without a look at its text, so that is looked at here.
    """
    body = bytes(payload)
    if body[:1] != b"{":
        raise errors.Invalid([errors.Problem(("body", "payload"), "must be a JSON object")])
    try:
        body.decode()
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 (byte {error.start:,})"
        kind = "value_error.jsondecode"
        raise errors.Invalid([errors.Problem(("body", "payload"), message, kind)]) from None
    return body


def _new(body: MessageIn) -> NewMessage:
    params = body.transformations_params
    if params is not None and params.raw_payload is not None:
        payload = params.raw_payload.encode()
    else:
        payload = object_of(body.payload)
    return NewMessage(
        event_type=body.event_type,
        payload=payload,
        uid=body.event_id,
        channels=tuple(body.channels or ()),
        tags=tuple(body.tags or ()),
        deliver_at=None if body.deliver_at is None else aware(body.deliver_at, field="deliver_at"),
        payload_retention=_retention(body),
    )


def _retention(body: MessageIn) -> timedelta | None:
    if body.payload_retention_hours is not None:
        hours = body.payload_retention_hours
        return span(hours, unit=_HOUR, field="payload_retention_hours")
    if body.payload_retention_period is not None:
        days = body.payload_retention_period
        return span(days, unit=_DAY, field="payload_retention_period")
    return None


def idempotency(call: Call) -> Idempotency | None:
    """The caller's promise, bound to its token and to the path and query."""
    key = call.header(b"idempotency-key")
    if key is None:
        return None
    owner = "" if call.token is None else call.token.id
    route = call.scope["path"].rstrip("/")
    text = f"{owner}\n{route}\n{call.scope['query_string']!r}\n{key}"
    return Idempotency(
        key=hashlib.sha256(text.encode()).digest(), body_hash=hashlib.sha256(call.body).digest()
    )


async def create_message(call: Call) -> Reply:
    """Accept one message: 202 once it and its deliveries are on disk."""
    body = call.read(MessageIn)
    new, promise = _new(body), idempotency(call)
    try:
        message = await _accepted(call, new, promise)
    except errors.NotFound:
        if body.application is None:
            raise
        await _make_application(call, body.application)
        message = await _accepted(call, new, promise)
    content = not call.scope["query_string"] or call.flag("with_content", default=True)
    return Reply(202, message_out(message, with_content=content))


async def _accepted(call: Call, new: NewMessage, promise: Idempotency | None) -> Message:
    """Errors: as `Messages.accept`."""
    caller = call.header(b"traceparent")
    try:
        return await call.stafett.messages.accept(call.app, new, idempotency=promise, caller=caller)
    except errors.Invalid as error:
        raise _as_sent(error) from None


async def _make_application(call: Call, body: ApplicationIn) -> None:
    """The application that the path names. Errors: Invalid."""
    if body.uid != call.app:
        kind = "application_uid_missing" if body.uid is None else "application_uid_mismatch"
        where = ("body", "application", "uid")
        raise errors.Invalid([errors.Problem(where, "must be the uid in the path", kind)])
    await call.stafett.applications.get_or_create(new_application(body))


async def create_batch(call: Call) -> Reply:
    """Accept up to 1,000 messages in one commit; the answers are one for each."""
    news: list[NewMessage] = []
    answers: dict[int, BatchItemOut] = {}
    bodies = _bodies(call)
    check_batch_size(len(bodies))  # the ones that are wrong count as well
    for place, body in enumerate(bodies):
        try:
            news.append(_new(decoded(body, MessageIn) if isinstance(body, Raw) else body))
        except errors.Invalid as error:
            answers[place] = _answer(error)
    caller = call.header(b"traceparent")
    accepted = iter(await call.stafett.messages.accept_batch(call.app, news, caller=caller))
    count = len(news) + len(answers)
    data = [answers.get(place) or _answer(next(accepted)) for place in range(count)]
    return Reply(200, BatchOut(data=data))


def _bodies(call: Call) -> Sequence[MessageIn | Raw]:
    """The messages of a batch; unread where some has the wrong shape, as the others have not."""
    try:
        return call.read(BatchIn).messages
    except errors.Invalid:
        return call.read(UnreadBatchIn).messages


def _answer(result: Message | errors.StafettError) -> BatchItemOut:
    if isinstance(result, Message):
        return BatchItemOut(status=202, message=message_out(result, with_content=False))
    told = _as_sent(result) if isinstance(result, errors.Invalid) else result
    return BatchItemOut(status=status_of(told), error=body_of(told))


def _as_sent(error: errors.Invalid) -> errors.Invalid:
    """With the name that a message's uid has in its body, which only here is another one."""
    return errors.Invalid(
        [
            errors.Problem(("body", "eventId"), each.msg, each.kind)
            if each.loc == ("body", "uid")
            else each
            for each in error.problems
        ]
    )


def message_filter(call: Call) -> MessageFilter:
    """What the query says about messages."""
    event_types = call.many("event_types")
    return MessageFilter(
        event_types=frozenset(event_types) if event_types else None,
        channel=call.one("channel"),
        tag=call.one("tag"),
        before=call.moment("before"),
        after=call.moment("after"),
    )


async def list_messages(call: Call) -> Reply:
    """An application's messages, newest first."""
    asked = paging.query(call)
    content = call.flag("with_content", default=True)
    page = await call.stafett.messages.list(
        call.app, asked, where=message_filter(call), with_payload=content
    )
    return Reply(
        200,
        paging.answer(
            page,
            asked,
            key=lambda each: each.id,
            out=lambda each: message_out(each, with_content=content),
        ),
    )


async def get_message(call: Call) -> Reply:
    """One message, by id or event id."""
    content = call.flag("with_content", default=True)
    message = await call.stafett.messages.get(
        call.app, call.params["message"], with_payload=content
    )
    return Reply(200, message_out(message, with_content=content))


async def expunge_message(call: Call) -> Reply:
    """Delete a message's payload for good."""
    await call.stafett.messages.expunge(call.app, call.params["message"])
    return Reply(204)


async def expunge_messages(call: Call) -> Reply:
    """Delete the payloads of many messages for good."""
    expunged = await call.stafett.messages.expunge_all(call.app, call.read(ExpungeIn).ids)
    results = {ref: "expunged" if done else "not-found" for ref, done in expunged.items()}
    return Reply(200, ExpungeOut(results=results))


async def precheck(call: Call) -> Reply:
    """Whether some endpoint would get such a message."""
    body = call.read(PrecheckIn)
    channels = body.channels or ()
    active = await call.stafett.messages.is_wanted(call.app, body.event_type, channels=channels)
    return Reply(200, PrecheckOut(active=active))
