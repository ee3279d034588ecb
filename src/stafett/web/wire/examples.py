"""Test events on the wire: which one to send, and the verdict."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from stafett.model import Attempt, Message
from stafett.web.wire.base import In, text_of

_SHOWN_BYTES = 2_048


class ExampleIn(In):
    """Which event a test carries; a payload of one's own."""

    event_type: str | None = None
    payload: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))
    """Null: the event's own sample. (`Raw | None` would take nothing but null.)"""


class TestOut(msgspec.Struct, rename="camel", kw_only=True):
    """The verdict on a test event."""

    __test__ = False  # a noun of ours, not a test case

    ok: bool
    status_code: int | None
    cause: str | None
    detail: str
    duration_ms: float
    response_body: str
    response_headers: list[tuple[str, str]]
    message_id: str
    attempt_id: str
    event_type: str


def test_out(message: Message, attempt: Attempt) -> TestOut:
    """What became of a test event; the reply's first bytes as text."""
    outcome = attempt.outcome
    return TestOut(
        ok=outcome.succeeded,
        status_code=outcome.status_code,
        cause=outcome.cause,
        detail=outcome.detail,
        duration_ms=outcome.duration.total_seconds() * 1e3,
        response_body=text_of(outcome.response_body[:_SHOWN_BYTES]),
        response_headers=list(outcome.response_headers),
        message_id=message.id,
        attempt_id=attempt.id,
        event_type=message.event_type,
    )
