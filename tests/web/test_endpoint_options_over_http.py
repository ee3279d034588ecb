"""A webhook's own options over HTTP: set, changed, refused, and what a receiver gets."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

import making
from stafett import signing
from web.conftest import Recorder, settled

OPTIONS: dict[str, Any] = {
    "payloadStyle": "envelope",
    "retrySchedule": [0.5, 60, 3600],
    "timeout": 2.5,
    "concurrency": 3,
}


def own(answer: httpx.Response) -> dict[str, Any]:
    content = answer.json()
    return {name: content[name] for name in OPTIONS if name in content}


def test_they_are_set_read_changed_and_taken_back(api: httpx.Client, app: str) -> None:
    made = api.post(f"app/{app}/endpoint", json={"url": "https://a.example/x", **OPTIONS})
    assert made.status_code == 201, made.text
    path = f"app/{app}/endpoint/{made.json()['id']}"
    assert own(made) == own(api.get(path)) == OPTIONS
    assert "60.0" not in made.text  # whole seconds are written as such

    changed = api.patch(path, json={"retrySchedule": [], "payloadStyle": "flat"})
    assert own(changed) == OPTIONS | {"retrySchedule": [], "payloadStyle": "flat"}
    taken_back = api.patch(path, json={"retrySchedule": None, "timeout": None, "concurrency": None})
    assert own(taken_back) == {"payloadStyle": "flat"}


def test_who_does_not_know_of_them_changes_none(api: httpx.Client, app: str) -> None:
    """A client of the Svix format replaces an endpoint without these fields."""
    body = {"url": "https://a.example/x"}
    assert own(api.post(f"app/{app}/endpoint", json=body)) == {"payloadStyle": "accepted"}
    api.put(f"app/{app}/endpoint/hook", json=body | OPTIONS)
    replaced = api.put(f"app/{app}/endpoint/hook", json=body | {"description": "new"})
    assert own(replaced) == OPTIONS
    reset = api.put(f"app/{app}/endpoint/hook", json=body | {"timeout": None})
    assert "timeout" not in reset.json()


@pytest.mark.parametrize(
    ("field", "value", "loc"),
    [
        ("payloadStyle", "xml", ["body", "payloadStyle"]),
        ("payloadStyle", None, ["body", "payloadStyle"]),
        ("retrySchedule", [1] * 21, ["body", "retrySchedule"]),
        ("retrySchedule", [1, 0], ["body", "retrySchedule", 1]),
        ("retrySchedule", [604_801], ["body", "retrySchedule", 0]),
        ("retrySchedule", [1e300], ["body", "retrySchedule"]),
        ("retrySchedule", "5s", ["body", "retrySchedule"]),
        ("timeout", 0.5, ["body", "timeout"]),
        ("timeout", 61, ["body", "timeout"]),
        ("timeout", 1e300, ["body", "timeout"]),
        ("timeout", "5", ["body", "timeout"]),
        ("concurrency", 0, ["body", "concurrency"]),
        ("concurrency", 65, ["body", "concurrency"]),
        ("concurrency", 1.5, ["body", "concurrency"]),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(
    api: httpx.Client, app: str, field: str, value: object, loc: list[object]
) -> None:
    body = {"url": "https://a.example/x", field: value}
    for answer in (
        api.post(f"app/{app}/endpoint", json=body),
        api.put(f"app/{app}/endpoint/hook", json=body),
    ):
        assert answer.status_code == 422, answer.text
        assert [each["loc"] for each in answer.json()["detail"]] == [loc]
    assert api.get(f"app/{app}/endpoint").json()["data"] == []


def send(api: httpx.Client, app: str, url: str, **options: Any) -> tuple[str, str, str]:
    """A message to a new endpoint; the ids of both, and its secret."""
    made = api.post(
        f"app/{app}/endpoint", json={"url": url, "secret": making.SECRET, **options}
    ).json()
    message = api.post(
        f"app/{app}/msg", json={"eventType": "order.paid", "payload": {"total": 10.50}}
    ).json()
    return message["id"], made["id"], making.SECRET


@pytest.mark.parametrize("style", ["envelope", "flat", "legacy"])
def test_a_receiver_gets_the_style_it_asked_for_and_can_verify_it(
    api: httpx.Client, app: str, receiver: Recorder, style: str
) -> None:
    path = f"/style/{app}/{style}"
    receiver.script[path] = [(500, {}), (200, {})]
    message, endpoint, secret = send(
        api, app, receiver.url(path), payloadStyle=style, retrySchedule=[0.05]
    )
    first, second = receiver.next(path), receiver.next(path)
    assert first.body == second.body
    shown = api.get(f"app/{app}/msg/{message}").json()
    assert shown["payload"] == {"total": 10.5}
    at, name = shown["timestamp"], "order.paid"
    assert (
        json.loads(first.body)
        == {
            "envelope": {"type": name, "timestamp": at, "data": {"total": 10.5}},
            "flat": {"total": 10.5, "_event": name, "_id": message, "_created": at},
            "legacy": {"webhook_id": endpoint, "type": name, "data": {"total": 10.5}},
        }[style]
    )
    for each in (first, second):
        now = datetime.fromtimestamp(int(each.headers["webhook-timestamp"]), UTC)
        assert signing.verify([secret], each.headers, each.body, now=now).ok
        assert each.headers["stafett-payload-style"] == style


def test_one_attempt_is_all_where_the_schedule_is_empty(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/once/{app}"
    receiver.script[path] = [(500, {})]
    message, _, _ = send(api, app, receiver.url(path), retrySchedule=[])
    found = settled(api, app, message)
    assert (found["status"], found["attemptCount"]) == (2, 1)


def test_the_public_key_of_a_private_one_is_told_and_a_shared_secret_has_none(
    api: httpx.Client, app: str
) -> None:
    seed = "whsk_" + base64.b64encode(bytes(range(32))).decode()
    url = "https://example.com/hook"
    private = api.post(f"app/{app}/endpoint", json={"url": url, "secret": seed}).json()["id"]
    shared = api.post(f"app/{app}/endpoint", json={"url": url}).json()["id"]

    told = api.get(f"app/{app}/endpoint/{private}/secret").json()

    assert told == {"key": seed, "publicKey": signing.public_key(seed)}
    assert list(api.get(f"app/{app}/endpoint/{shared}/secret").json()) == ["key"]
