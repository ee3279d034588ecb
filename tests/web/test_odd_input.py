"""Strange but possible input is refused as the caller's mistake, and never crashes a handler."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import Any

import httpx
import pytest

HUGE = 10**15
OVER_64_BITS = 10**25
FAR = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
_numbers = itertools.count()


def refused(answer: httpx.Response) -> None:
    """A mistake of the caller's, in the shape every client reads."""
    assert 400 <= answer.status_code < 500, answer.text
    body = answer.json()
    assert isinstance(body["detail"], list if answer.status_code == 422 else str)


@pytest.fixture(scope="module")
def hook(api: httpx.Client) -> str:
    """The path of an endpoint."""
    app = api.post("app", json={"name": "Odd"}).json()["id"]
    made = api.post(f"app/{app}/endpoint", json={"url": "http://127.0.0.1:59999/"})
    assert made.status_code == 201, made.text
    return f"app/{app}/endpoint/{made.json()['id']}"


@pytest.mark.parametrize("number", [-1, -HUGE, HUGE, OVER_64_BITS])
@pytest.mark.parametrize("field", ["payloadRetentionPeriod", "payloadRetentionHours"])
def test_an_impossible_retention_is_refused(
    api: httpx.Client, app: str, field: str, number: int
) -> None:
    message = {"eventType": "payment_received", "payload": {}, field: number}
    refused(api.post(f"app/{app}/msg", json=message))


@pytest.mark.parametrize("number", [-1, HUGE, OVER_64_BITS])
def test_an_impossible_grace_period_is_refused(api: httpx.Client, hook: str, number: int) -> None:
    refused(api.post(f"{hook}/secret/rotate", json={"gracePeriodSeconds": number}))


@pytest.mark.parametrize("number", [-1, HUGE, OVER_64_BITS])
@pytest.mark.parametrize("field", ["throttleRate", "rateLimit"])
def test_an_impossible_rate_is_refused(
    api: httpx.Client, hook: str, field: str, number: int
) -> None:
    refused(api.patch(hook, json={field: number}))


@pytest.mark.parametrize("at", FAR)
def test_a_time_that_no_calendar_has_in_utc_is_refused(
    api: httpx.Client, app: str, hook: str, at: str
) -> None:
    message = {"eventType": "payment_received", "payload": {}, "deliverAt": at}
    refused(api.post(f"app/{app}/msg", json=message))
    refused(api.post(f"{hook}/recover", json={"since": at}))
    refused(api.post(f"{hook}/recover", json={"since": "2026-01-01T00:00:00Z", "until": at}))
    refused(api.post("token", json={"name": "t", "expiresAt": at}))
    refused(api.get(f"app/{app}/msg", params={"before": at}))


def test_a_batch_refuses_such_messages_one_by_one(api: httpx.Client, app: str) -> None:
    good: dict[str, Any] = {"eventType": "payment_received", "payload": {}}
    bad = [good | {"payloadRetentionPeriod": HUGE}, good | {"deliverAt": FAR[1]}]
    answer = api.post(f"app/{app}/msg/batch", json={"messages": [good, *bad, good]})
    assert answer.status_code == 200, answer.text
    assert [each["status"] for each in answer.json()["data"]] == [202, 422, 422, 202]


@pytest.mark.parametrize(
    "payload",
    [b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'{"\xc3":1}', b'{"a":"\xf4\x90\x80\x80"}'],
    ids=["not UTF-8", "a surrogate", "in a name", "above the last character"],
)
def test_a_payload_that_is_not_utf_8_is_refused(
    api: httpx.Client, app: str, payload: bytes
) -> None:
    body = b'{"eventType":"payment_received","payload":' + payload + b"}"
    refused(api.post(f"app/{app}/msg", content=body))
    whole = b'{"messages":[' + body + b"]}"
    answer = api.post(f"app/{app}/msg/batch", content=whole)
    if answer.status_code == 200:
        assert answer.json()["data"][0]["status"] == 422
    else:
        refused(answer)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"1", b'"x"', b"{", b"{}x", b"\xff", b"[" * 100_000, b'{"a":' * 100_000],
    ids=range(10),
)
@pytest.mark.parametrize("path", ["app", "token", "event-type", "app/default/endpoint"])
def test_what_is_not_an_object_is_refused(api: httpx.Client, path: str, body: bytes) -> None:
    answer = api.post(path, content=body)
    refused(answer)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize("number", [HUGE, OVER_64_BITS, "-1", "x", "٣", "1.5"])
def test_a_place_in_a_bin_that_cannot_be(api: httpx.Client, number: object) -> None:
    made = api.post("bin", json={}).json()["id"]
    answer = api.get(f"bin/{made}/capture", params={"iterator": str(number)})
    assert answer.status_code in {200, 400, 404, 422}, answer.text
    if number != HUGE:  # that one may come some day
        refused(api.get(f"bin/{made}/tail", params={"after": str(number)}))


@pytest.mark.parametrize(
    "reply",
    [
        {"delayMs": OVER_64_BITS},
        {"delayMs": HUGE},
        {"delayMs": -1},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 1000},
        {"headers": [["x", "a\r\nb: c"]]},
        {"headers": [["a b", "c"]]},
        {"headers": [["x", "\u20ac"]]},
        {"headers": [["\u20ac", "x"]]},
        {"headers": [["content-length", "5"]]},
        {"headers": [["transfer-encoding", "chunked"]]},
        {"headers": [["content-security-policy", "default-src *"]]},
    ],
    ids=json.dumps,
)
def test_a_reply_that_cannot_be_sent_is_refused(api: httpx.Client, reply: dict[str, Any]) -> None:
    made = api.post("bin", json={}).json()["id"]
    refused(api.put(f"bin/{made}/reply", json=reply))


@pytest.mark.parametrize(
    "text", ["%00", "a%00b", "%ff", "%2e%2e", "x" * 5000, "a%2Fb", "%F0%9F%90%98"], ids=range(7)
)
def test_odd_names_in_addresses_are_not_found(api: httpx.Client, app: str, text: str) -> None:
    for path in (
        f"app/{text}",
        f"app/{app}/endpoint/{text}",
        f"app/{app}/msg/{text}",
        f"event-type/{text}",
        f"bin/{text}",
        f"app/{app}/attempt/msg/{text}",
        f"app/{app}/attempt/endpoint/{text}",
    ):
        assert api.get(path).status_code == 404, path


@pytest.mark.parametrize("text", ["%00", "%ff", "-", "--", "x" * 5000, "%F0%9F%90%98"])
@pytest.mark.parametrize("path", ["app", "event-type", "app/default/msg", "token", "bin"])
def test_odd_iterators_do_no_harm(api: httpx.Client, path: str, text: str) -> None:
    answer = api.get(f"{path}?iterator={text}&limit=1")
    assert answer.status_code in {200, 400, 404, 422}, answer.text


@pytest.mark.parametrize("url", ["http://u:secret@127.0.0.1/", "http://u@127.0.0.1/"])
def test_a_name_made_from_a_url_shows_no_credentials(api: httpx.Client, app: str, url: str) -> None:
    answer = api.post(f"app/{app}/endpoint", json={"url": url})
    if answer.status_code == 201:
        assert "@" not in answer.json()["name"]
    else:
        refused(answer)


@pytest.mark.parametrize("name", ["name", "description", "metadata"])
def test_text_with_nul_does_no_harm(api: httpx.Client, name: str) -> None:
    text: Any = {"a": "x\0y"} if name == "metadata" else "x\0y"
    answer = api.post("app", json={"name": "A"} | {name: text})
    assert answer.status_code in {201, 422}, answer.text


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"name": "\\ud800"}', "surrogate"),
        (b'{"name": "a', "truncated"),
        (b'{"name": "a", "metadata": {"a": NaN}}', "invalid character"),
    ],
)
def test_a_body_that_is_no_json_is_told_why(api: httpx.Client, body: bytes, word: str) -> None:
    answer = api.post("app", content=body)
    refused(answer)
    assert word in answer.json()["detail"][0]["msg"]


def test_a_body_that_was_pressed_together_is_told_so(api: httpx.Client) -> None:
    pressed = gzip.compress(b'{"name": "a"}')
    answer = api.post("app", content=pressed, headers={"content-encoding": "gzip"})
    refused(answer)
    assert "gzip" in answer.json()["detail"]
    plain = {"content-encoding": "identity"}
    assert api.post("app", content=b'{"name": "a"}', headers=plain).status_code == 201
