"""The body of a request, in the style that its webhook asks for. Pure: no clock, no I/O.

What it is made of never changes, so every attempt of a message sends the same bytes.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from stafett.ids import EndpointId, MessageId
from stafett.model import Headers, PayloadStyle

STYLE_HEADER = "stafett-payload-style"
"""Names the style to the receiver, unless the body is as accepted."""
_encode = msgspec.json.encode


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a body may tell beside the payload."""

    event_type: str
    message_id: MessageId
    endpoint_id: EndpointId
    accepted_at: datetime


def body(style: PayloadStyle, payload: bytes, source: Source) -> bytes:
    """The bytes that are sent for `payload`.

    Values within it stay as they were written, numbers digit by digit. Text that is no JSON becomes
    a JSON string, except as accepted.
    """
    match style:
        case PayloadStyle.ACCEPTED:
            return payload
        case PayloadStyle.ENVELOPE:
            return _encode(
                {
                    "type": source.event_type,
                    "timestamp": source.accepted_at,
                    "data": _value(payload),
                }
            )
        case PayloadStyle.FLAT:
            return _encode(
                _fields(payload)
                | {
                    "_event": source.event_type,
                    "_id": source.message_id,
                    "_created": source.accepted_at,
                }
            )
        case PayloadStyle.LEGACY:
            return _encode(
                {
                    "webhook_id": source.endpoint_id,
                    "type": source.event_type,
                    "data": _value(payload),
                }
            )


def style_of(headers: Headers) -> PayloadStyle:
    """In which style a request was sent that had these headers, whatever its webhook has now."""
    return PayloadStyle(dict(headers).get(STYLE_HEADER, PayloadStyle.ACCEPTED))


_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _value(payload: bytes) -> msgspec.Raw:
    """The payload as one JSON value."""
    try:
        return msgspec.json.decode(payload.decode(), type=msgspec.Raw)
    except _NO_JSON:
        return msgspec.Raw(_encode(payload.decode(errors="replace")))


def _fields(payload: bytes) -> dict[str, msgspec.Raw]:
    """The payload's own fields; what is no object is one field, `data`."""
    try:
        return msgspec.json.decode(payload.decode(), type=dict[str, msgspec.Raw])
    except _NO_JSON:
        return {"data": _value(payload)}
