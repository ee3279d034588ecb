"""Messages on the wire, one or a batch of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from stafett.model import Json, Message
from stafett.web.wire.applications import ApplicationIn
from stafett.web.wire.base import In, Out, text_of


class TransformationsParams(In):
    """A body to send just as it is, in place of `payload`."""

    raw_payload: str | None = None


class MessageIn(In):
    """A new message. `payload` is kept as the very bytes it was sent with."""

    event_type: str
    payload: Raw
    event_id: str | None = None
    channels: list[str] | None = None
    tags: list[str] | None = None
    deliver_at: datetime | None = None
    payload_retention_period: int | None = None
    payload_retention_hours: int | None = None
    transformations_params: TransformationsParams | None = None
    application: ApplicationIn | None = None
    """Made first, where the one in the path does not exist yet."""


class BatchIn(In):
    """Up to 1,000 messages for one application."""

    messages: list[MessageIn]


class PrecheckIn(In):
    """A kind of message that somebody thinks of sending."""

    event_type: str
    channels: list[str] | None = None


class PrecheckOut(Out):
    """Whether anybody would get it."""

    active: bool


class ExpungeIn(In):
    """Messages, by id or event id."""

    ids: list[str] = msgspec.field(default_factory=list[str])


class ExpungeOut(Out):
    """What became of each: `expunged` or `not-found`."""

    results: dict[str, str]


class UnreadBatchIn(In):
    """As `BatchIn`, its messages not looked into."""

    messages: list[Raw]


class MessageOut(Out):
    """An accepted message."""

    id: str
    event_type: str
    payload: Raw
    timestamp: datetime
    test: bool
    problems: list[str]
    endpoint_count: int
    event_id: str | None = None
    channels: list[str] | None = None
    tags: list[str] | None = None
    deliver_at: datetime | None = None


class BatchItemOut(Out):
    """What became of one message of a batch: a message, or an error with its HTTP status."""

    status: int
    message: MessageOut | None = None
    error: Json = None


class BatchOut(Out):
    """The answers, in order."""

    data: list[BatchItemOut]


_NO_PAYLOAD = Raw(b"{}")


_EXPIRED = Raw(b'{"expired":true}')


def payload_out(message: Message, *, with_content: bool) -> Raw:
    """The payload as a JSON object, which clients of the format insist on."""
    if not with_content:
        return _NO_PAYLOAD
    if message.payload is None:
        return _EXPIRED if message.payload_gone else _NO_PAYLOAD
    if message.payload.lstrip()[:1] == b"{":
        return Raw(message.payload)
    return Raw(msgspec.json.encode({"rawPayload": text_of(message.payload)}))


def message_fields(message: Message, *, with_content: bool) -> dict[str, Any]:  # of MessageOut
    """What every answer tells of `message`."""
    return {
        "id": message.id,
        "event_type": message.event_type,
        "payload": payload_out(message, with_content=with_content),
        "timestamp": message.created_at,
        "test": message.test,
        "problems": list(message.problems),
        "endpoint_count": message.endpoint_count,
        "event_id": message.uid,
        "channels": list(message.channels) or None,
        "tags": list(message.tags) or None,
        "deliver_at": message.deliver_at,
    }


def message_out(message: Message, *, with_content: bool) -> MessageOut:
    """`message` as the wire shows it."""
    return MessageOut(**message_fields(message, with_content=with_content))
