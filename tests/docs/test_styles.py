"""The page for receivers shows the bodies that are sent, and the limits that hold."""

from __future__ import annotations

import re
from pathlib import Path

import making
from docs.conftest import DOCS, text_of
from stafett import bodies, retry
from stafett.engine.attempts import MAX_OWN_TIMEOUT, MIN_OWN_TIMEOUT
from stafett.ids import EndpointId, MessageId
from stafett.model import PayloadStyle
from stafett.services.fields import MAX_CONCURRENCY

RECEIVING: Path = DOCS / "receiving.md"
CONCEPTS: Path = DOCS / "concepts.md"


def test_each_style_is_shown_as_it_is_sent() -> None:
    page = text_of(RECEIVING)
    payload = re.findall(r"for the payload `(.+?)`", page)
    source = bodies.Source(
        event_type="payment_received",
        message_id=MessageId("msg_1"),
        endpoint_id=EndpointId("ep_1"),
        accepted_at=making.NOW,
    )
    shown = dict(re.findall(r"^\| `(\w+)` \| `(\{.+\})` \|$", page, re.MULTILINE))
    made = {
        each.value: bodies.body(each, payload[0].encode(), source).decode() for each in PayloadStyle
    }
    assert shown == made
    assert f"`{bodies.STYLE_HEADER}` names it" in page


def test_the_limits_are_those_of_the_code() -> None:
    page = text_of(CONCEPTS)
    longest = retry.MAX_OWN_WAIT.days
    assert f"| at most {retry.MAX_OWN_WAITS}, each at most {longest} days |" in page
    assert f"| {MIN_OWN_TIMEOUT.seconds} to {MAX_OWN_TIMEOUT.seconds} |" in page
    assert f"| 1 to {MAX_CONCURRENCY} |" in page
