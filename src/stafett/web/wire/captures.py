"""Caught requests on the wire."""

from __future__ import annotations

import base64
from datetime import datetime

import msgspec

from stafett.model import Capture


class CaptureOut(msgspec.Struct, rename="camel", kw_only=True):
    """One caught request: text where it is text, and every byte in base64."""

    id: str
    number: int
    method: str
    target: str
    http_version: str
    headers: list[tuple[str, str]]
    body: str | None
    body_base64: str
    body_size: int
    truncated: bool
    peer: str
    received_at: datetime
    status_code: int
    message_id: str | None
    attempt_id: str | None
    webhook_id: str | None
    pinned: bool


def capture_out(capture: Capture) -> CaptureOut:
    """`capture` as the wire shows it; header bytes as Latin-1 text."""
    return CaptureOut(
        id=capture.id,
        number=capture.number,
        method=capture.method,
        target=capture.target.decode("latin-1"),
        http_version=capture.http_version,
        headers=[(n.decode("latin-1"), v.decode("latin-1")) for n, v in capture.headers],
        body=_utf8(capture.body),
        body_base64=base64.b64encode(capture.body).decode(),
        body_size=len(capture.body),
        truncated=capture.body_truncated,
        peer=capture.peer,
        received_at=capture.received_at,
        status_code=capture.status_code,
        message_id=capture.message_id,
        attempt_id=capture.attempt_id,
        webhook_id=capture.webhook_id,
        pinned=capture.pinned,
    )


def _utf8(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


class DeletedOut(msgspec.Struct, rename="camel", kw_only=True):
    """How many were deleted."""

    deleted: int
