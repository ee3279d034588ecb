"""Attempts on the wire."""

from __future__ import annotations

from datetime import datetime

from stafett.model import Attempt, Message, Trigger
from stafett.web.wire.base import Out, text_of
from stafett.web.wire.messages import MessageOut, message_out


class AttemptOut(Out):
    """One request that was made."""

    id: str
    msg_id: str
    endpoint_id: str
    url: str
    status: int
    status_text: str
    trigger_type: int
    timestamp: datetime
    response: str
    response_status_code: int
    response_duration_ms: int
    test: bool
    note: str
    detail: str
    cause: str | None = None
    request_headers: list[tuple[str, str]] | None = None
    response_headers: list[tuple[str, str]] | None = None
    msg: MessageOut | None = None


class AttemptHeadersOut(Out):
    """What went over the line around the bodies."""

    sent_headers: dict[str, str]
    sensitive: list[str]
    response_headers: list[tuple[str, str]] | None = None


def attempt_headers_out(attempt: Attempt) -> AttemptHeadersOut:
    """Of `attempt`; a header that was sent twice has its values joined, as HTTP allows."""
    sent: dict[str, str] = {}
    for name, value in attempt.outcome.request_headers:
        sent[name] = f"{sent[name]}, {value}" if name in sent else value
    answered = attempt.outcome.response_headers
    return AttemptHeadersOut(
        sent_headers=sent, sensitive=[], response_headers=list(answered) if answered else None
    )


def attempt_out(
    attempt: Attempt, *, message: Message | None = None, with_content: bool = True
) -> AttemptOut:
    """`attempt` as the wire shows it, `message` inside when it is given."""
    outcome = attempt.outcome
    ok = outcome.succeeded
    response = "EXPUNGED" if attempt.content_gone else text_of(outcome.response_body)
    if not with_content:
        response = "{}"
    elif outcome.status_code is None and not response:
        response = outcome.detail
    return AttemptOut(
        id=attempt.id,
        msg_id=attempt.message_id,
        endpoint_id=attempt.endpoint_id,
        url=attempt.url,
        status=0 if ok else 2,
        status_text="success" if ok else "fail",
        trigger_type=1 if attempt.trigger is Trigger.MANUAL else 0,
        timestamp=attempt.created_at,
        response=response,
        response_status_code=outcome.status_code or 0,
        response_duration_ms=round(outcome.duration.total_seconds() * 1e3),
        test=attempt.test,
        note=attempt.note,
        detail=outcome.detail,
        cause=outcome.cause,
        request_headers=list(outcome.request_headers) if with_content else None,
        response_headers=list(outcome.response_headers) if with_content else None,
        msg=None if message is None else message_out(message, with_content=with_content),
    )
