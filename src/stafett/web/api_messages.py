"""Messages over HTTP: the way in."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from stafett import errors
from stafett.model import Message, MessageFilter
from stafett.services.messages import NewMessage
from stafett.store import Idempotency
from stafett.web import paging
from stafett.web.calls import Call, Reply, aware
from stafett.web.errors import body_of, status_of
from stafett.web.wire import (
    BatchIn,
    BatchItemOut,
    BatchOut,
    MessageIn,
    message_out,
)


def _new(body: MessageIn) -> NewMessage:
    params = body.transformations_params
    if params is not None and params.raw_payload is not None:
        payload = params.raw_payload.encode()
    else:
        payload = bytes(body.payload)
        if payload[:1] != b"{":
            raise errors.Invalid([errors.Problem(("body", "payload"), "must be a JSON object")])
    return NewMessage(
        event_type=body.event_type,
        payload=payload,
        uid=body.event_id,
        channels=tuple(body.channels or ()),
        tags=tuple(body.tags or ()),
        deliver_at=None if body.deliver_at is None else aware(body.deliver_at),
        payload_retention=_retention(body),
    )


def _retention(body: MessageIn) -> timedelta | None:
    if body.payload_retention_hours is not None:
        return timedelta(hours=body.payload_retention_hours)
    if body.payload_retention_period is not None:
        return timedelta(days=body.payload_retention_period)
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
    message = await call.stafett.messages.accept(
        call.app, _new(call.read(MessageIn)), idempotency=idempotency(call)
    )
    content = not call.scope["query_string"] or call.flag("with_content", default=True)
    return Reply(202, message_out(message, with_content=content))


async def create_batch(call: Call) -> Reply:
    """Accept up to 1,000 messages in one commit; the answers are one for each."""
    news: list[NewMessage] = []
    answers: dict[int, BatchItemOut] = {}
    for place, body in enumerate(call.read(BatchIn).messages):
        try:
            news.append(_new(body))
        except errors.Invalid as error:
            answers[place] = _answer(error)
    accepted = iter(await call.stafett.messages.accept_batch(call.app, news))
    count = len(news) + len(answers)
    data = [answers.get(place) or _answer(next(accepted)) for place in range(count)]
    return Reply(200, BatchOut(data=data))


def _answer(result: Message | errors.StafettError) -> BatchItemOut:
    if isinstance(result, Message):
        return BatchItemOut(status=202, message=message_out(result, with_content=False))
    return BatchItemOut(status=status_of(result), error=body_of(result))


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
