"""Deliveries on the wire: where one stands, as its message and as its endpoint show it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from stafett.model import (
    Delivery,
    DeliveryState,
    DeliveryStats,
    Endpoint,
    HeaderFamily,
    Message,
    PayloadStyle,
)
from stafett.web.wire.base import In
from stafett.web.wire.endpoints import EndpointOut, endpoint_fields
from stafett.web.wire.messages import MessageOut, message_fields


class StatsOut(msgspec.Struct, rename="camel", kw_only=True):
    """Deliveries by state."""

    success: int
    pending: int
    sending: int
    fail: int
    canceled: int


class AttemptStatsOut(msgspec.Struct, rename="camel", kw_only=True):
    """Deliveries that came to an end, by how."""

    success: int
    fail: int
    canceled: int


def attempt_stats_out(stats: DeliveryStats) -> AttemptStatsOut:
    """`stats` without what is still under way."""
    return AttemptStatsOut(success=stats.succeeded, fail=stats.failed, canceled=stats.canceled)


def stats_out(stats: DeliveryStats) -> StatsOut:
    """`stats` as the wire shows them."""
    return StatsOut(
        success=stats.succeeded,
        pending=stats.pending,
        sending=stats.sending,
        fail=stats.failed,
        canceled=stats.canceled,
    )


class RecoverIn(In):
    """The range whose messages are to be sent."""

    since: datetime
    until: datetime | None = None


class BulkReplayIn(RecoverIn):
    """Which of the messages that were sent are to be sent again: all, or what all of this fits."""

    event_types: list[str] | None = None
    channel: str | None = None
    tag: str | None = None
    status: int | str | None = None
    """A number or a word, as the format has both."""
    status_code_class: Literal[0, 100, 200, 300, 400, 500] | None = None


class AttemptedMessageOut(MessageOut, kw_only=True):
    """A message, and where its delivery to one endpoint stands."""

    status: int
    status_text: str
    attempt_count: int
    next_attempt: datetime | None = None
    note: str | None = None


class DestinationOut(EndpointOut, kw_only=True):
    """An endpoint, and where one message's delivery to it stands."""

    status: int
    status_text: str
    attempt_count: int
    next_attempt: datetime | None = None
    note: str | None = None


class CanceledOut(msgspec.Struct):
    """Whether there was something to cancel."""

    canceled: bool


_STATUS = {
    DeliveryState.SUCCEEDED: (0, "success"),
    DeliveryState.PENDING: (1, "pending"),
    DeliveryState.FAILED: (2, "fail"),
    DeliveryState.SENDING: (3, "sending"),
    DeliveryState.CANCELED: (4, "canceled"),
}
STATES = {text: state for state, (code, name) in _STATUS.items() for text in (str(code), name)} | {
    "failed": DeliveryState.FAILED
}
"""What a `status` in a query may say."""


def _standing(delivery: Delivery) -> dict[str, Any]:  # the fields that both below share
    code, text = _STATUS[delivery.state]
    if delivery.state is DeliveryState.PENDING and delivery.attempt_count:
        # The format calls a delivery that waits for its next attempt "sending".
        code, text = _STATUS[DeliveryState.SENDING]
    return {
        "status": code,
        "status_text": text,
        "attempt_count": delivery.attempt_count,
        "next_attempt": delivery.due_at,
        "note": delivery.note,
    }


def attempted_message_out(
    message: Message, delivery: Delivery, *, with_content: bool
) -> AttemptedMessageOut:
    """One row of an endpoint's messages."""
    return AttemptedMessageOut(
        **message_fields(message, with_content=with_content), **_standing(delivery)
    )


def destination_out(delivery: Delivery, endpoint: Endpoint | None) -> DestinationOut:
    """One row of a message's endpoints; of a deleted endpoint only the id is left."""
    if endpoint is None:
        shown: dict[str, Any] = {
            "id": delivery.endpoint_id,
            "url": "",
            "name": "(deleted)",
            "description": "",
            "disabled": True,
            "version": 1,
            "created_at": delivery.created_at,
            "updated_at": delivery.updated_at,
            "metadata": {},
            "integration": "",
            "event_count": 0,
            "header_family": HeaderFamily.WEBHOOK,
            "payload_style": PayloadStyle.ACCEPTED,
        }
    else:
        shown = endpoint_fields(endpoint)
    return DestinationOut(**shown, **_standing(delivery))
