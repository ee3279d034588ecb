"""What is sent for a payload in each style. Oracle: the standard library's JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import making
from stafett import bodies
from stafett.ids import EndpointId, MessageId
from stafett.model import PayloadStyle

SOURCE = bodies.Source(
    event_type="payment_received",
    message_id=MessageId("msg_1"),
    endpoint_id=EndpointId("ep_1"),
    accepted_at=making.NOW,
)
AT = "2026-11-24T12:00:00Z"
FACTS = {"_event": "payment_received", "_id": "msg_1", "_created": AT}
NOT_JSON = [b"", b"plain", b"{", b"{}x", b"NaN", b"\xff", b'{"a":"\xff"}', b"[" * 100_000]

payloads = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=10,
)


def sent(style: PayloadStyle, payload: bytes) -> Any:
    return json.loads(bodies.body(style, payload, SOURCE), parse_float=Decimal)


@pytest.mark.parametrize("payload", [making.PAYLOAD, b"[1]", b'{"a": 1e400}', *NOT_JSON])
def test_as_accepted_the_bytes_are_the_payloads_own(payload: bytes) -> None:
    assert bodies.body(PayloadStyle.ACCEPTED, payload, SOURCE) is payload


def test_each_style_has_its_fields_around_the_payload() -> None:
    payload = {"payment_id": "31", "total": 100}
    written = making.PAYLOAD
    assert sent(PayloadStyle.ENVELOPE, written) == {
        "type": "payment_received",
        "timestamp": AT,
        "data": payload,
    }
    assert sent(PayloadStyle.FLAT, written) == payload | FACTS
    assert sent(PayloadStyle.LEGACY, written) == {
        "webhook_id": "ep_1",
        "type": "payment_received",
        "data": payload,
    }


@given(payloads)
def test_the_payload_comes_through_whatever_it_is(payload: object) -> None:
    written = json.dumps(payload, ensure_ascii=False).encode(errors="replace")
    plain = json.loads(written, parse_float=Decimal)
    assert sent(PayloadStyle.ENVELOPE, written)["data"] == plain
    assert sent(PayloadStyle.LEGACY, written)["data"] == plain
    flat = plain | FACTS if isinstance(plain, dict) else {"data": plain} | FACTS
    assert sent(PayloadStyle.FLAT, written) == flat


@pytest.mark.parametrize("style", [PayloadStyle.ENVELOPE, PayloadStyle.LEGACY, PayloadStyle.FLAT])
@pytest.mark.parametrize("number", ["1.10", "1e400", "12345678901234567890.5", "-0"])
def test_a_number_keeps_its_digits(style: PayloadStyle, number: str) -> None:
    made = bodies.body(style, b'{"total": %b}' % number.encode(), SOURCE)
    assert number.encode() in made


@pytest.mark.parametrize("payload", NOT_JSON)
def test_what_is_no_json_becomes_a_string(payload: bytes) -> None:
    text = payload.decode(errors="replace")
    assert sent(PayloadStyle.ENVELOPE, payload)["data"] == text
    assert sent(PayloadStyle.LEGACY, payload)["data"] == text
    assert sent(PayloadStyle.FLAT, payload) == {"data": text} | FACTS


def test_a_field_that_has_one_of_our_names_gives_way() -> None:
    assert sent(PayloadStyle.FLAT, b'{"_id": 7, "id": 8}') == {"id": 8} | FACTS


def test_no_field_comes_twice() -> None:
    made = bodies.body(PayloadStyle.FLAT, b'{"_event": 1, "a": 1, "a": 2}', SOURCE)
    names = [name for name, _ in json.loads(made, object_pairs_hook=list)]
    assert sorted(names) == sorted({"a", *FACTS})


def test_the_time_is_exact() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    body = bodies.body(
        PayloadStyle.ENVELOPE,
        b"{}",
        bodies.Source(
            event_type="a", message_id=MessageId("m"), endpoint_id=EndpointId("e"), accepted_at=at
        ),
    )
    assert datetime.fromisoformat(json.loads(body)["timestamp"]) - at == timedelta(0)


@pytest.mark.parametrize("style", list(PayloadStyle))
def test_the_headers_of_a_request_say_its_style(style: PayloadStyle) -> None:
    headers = (("a", "b"), (bodies.STYLE_HEADER, style.value))
    assert bodies.style_of(headers) is style
    assert bodies.style_of((("a", "b"),)) is PayloadStyle.ACCEPTED
