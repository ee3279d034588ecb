"""Messages over real sockets: bytes, keys, batches, and what becomes of deliveries."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from web.conftest import Recorder, settled

EVENT = {"eventType": "payment_received", "payload": {}}


def hook(api: httpx.Client, app: str, url: str, **more: Any) -> str:
    answer = api.post(f"app/{app}/endpoint", json={"url": url} | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def send(api: httpx.Client, app: str, **more: Any) -> str:
    answer = api.post(f"app/{app}/msg", json=EVENT | more)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


ODD_BODIES = (
    b'{ "a" :\t1.0e5 ,\n"b":\r\n-0.0 }',
    b'{"a":1e400,"b":12345678901234567890123,"c":0.10}',
    rb'{"a":"\u00e9\/\ud83d\ude00","b":"\u0000"}',
    '{"a":"\N{SNOWMAN}","a":"\N{ELEPHANT}"}'.encode(),
    b"{}",
)


@pytest.mark.parametrize("payload", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_a_payload_arrives_byte_for_byte(
    api: httpx.Client, app: str, receiver: Recorder, payload: bytes
) -> None:
    path = f"/bytes/{app}"
    hook(api, app, receiver.url(path))
    answer = api.post(
        f"app/{app}/msg", content=b'{"payload": %b ,"eventType":"payment_received"}' % payload
    )
    assert answer.status_code == 202, answer.text
    assert receiver.next(path).body == payload
    assert payload in api.get(f"app/{app}/msg/{answer.json()['id']}").content


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    payload=st.dictionaries(st.text(), _json),
    indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(),
)
def test_whatever_is_accepted_reads_back_as_the_same_bytes(
    api: httpx.Client, app: str, payload: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(payload, indent=indent, ensure_ascii=ascii_only).encode()
    answer = api.post(
        f"app/{app}/msg", content=b'{"eventType":"payment_received","payload":%b}' % text
    )
    assert answer.status_code == 202, answer.text
    assert b'"payload":' + text in api.get(f"app/{app}/msg/{answer.json()['id']}").content


def test_a_raw_payload_is_sent_as_it_is(api: httpx.Client, app: str, receiver: Recorder) -> None:
    path = f"/raw/{app}"
    ep = hook(api, app, receiver.url(path))
    msg = send(api, app, transformationsParams={"rawPayload": "<é/>"})
    assert receiver.next(path).body == "<é/>".encode()
    assert "expired" not in api.get(f"app/{app}/msg/{msg}").json()["payload"]
    settled(api, app, msg)
    assert api.post(f"app/{app}/msg/{msg}/endpoint/{ep}/resend").status_code == 202
    assert receiver.next(path).body == "<é/>".encode()


# --- idempotency ------------------------------------------------------------------------------


def test_the_same_key_is_the_same_message(api: httpx.Client, app: str, receiver: Recorder) -> None:
    path = f"/once/{app}"
    hook(api, app, receiver.url(path))
    key = {"idempotency-key": f"k-{app}"}
    first, second = (api.post(f"app/{app}/msg", json=EVENT, headers=key) for _ in range(2))
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    settled(api, app, first.json()["id"])
    other = api.post(f"app/{app}/msg", json=EVENT | {"tags": ["t"]}, headers=key)
    assert other.status_code == 409
    assert len(api.get(f"app/{app}/msg").json()["data"]) == 1
    assert receiver.at(path).qsize() == 1


@pytest.mark.parametrize("noun", ["msg", "endpoint"])
def test_duplicates_at_the_same_moment_work_once(
    api: httpx.Client, app: str, receiver: Recorder, noun: str
) -> None:
    body = EVENT if noun == "msg" else {"url": receiver.url("/dup")}

    def post(_: int) -> httpx.Response:
        headers = {"idempotency-key": f"{noun}-{app}"}
        return api.post(f"app/{app}/{noun}", json=body, headers=headers)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(post, range(32)))
    good = [each for each in answers if each.status_code != 423]
    assert {each.status_code for each in good} == {202 if noun == "msg" else 201}
    assert len({each.json()["id"] for each in good}) == 1
    assert len(api.get(f"app/{app}/{noun}").json()["data"]) == 1


def test_a_key_of_something_else_keeps_its_first_answer(api: httpx.Client, app: str) -> None:
    key = {"idempotency-key": f"token-{app}"}
    first, second = (api.post("token", json={"name": "t"}, headers=key) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert api.post("token", json={"name": "u"}, headers=key).status_code == 409


# --- batches ----------------------------------------------------------------------------------


def test_a_batch_of_a_thousand_and_not_one_more(api: httpx.Client, app: str) -> None:
    answer = api.post(f"app/{app}/msg/batch", json={"messages": [EVENT] * 1000})
    assert answer.status_code == 200
    assert {each["status"] for each in answer.json()["data"]} == {202}
    more = api.post(f"app/{app}/msg/batch", json={"messages": [EVENT] * 1001})
    assert more.status_code in {400, 413, 422}
    bad = {"messages": [EVENT] * 1000 + [EVENT | {"payload": []}]}
    assert api.post(f"app/{app}/msg/batch", json=bad).status_code == more.status_code


def test_what_is_wrong_with_one_message_does_not_touch_the_others(
    api: httpx.Client, app: str
) -> None:
    send(api, app, eventId="taken")
    wishes = [
        EVENT,
        EVENT | {"payload": [1]},
        EVENT | {"eventId": "taken"},
        EVENT | {"eventId": "twice"},
        EVENT | {"eventId": "twice"},
        EVENT | {"eventType": "no spaces"},
        EVENT | {"payload": {"a": "x" * 1_100_000}},
        {"payload": {}},
        EVENT | {"channels": 5},
        31,
        EVENT,
    ]
    answer = api.post(f"app/{app}/msg/batch", json={"messages": wishes})
    statuses = [each["status"] for each in answer.json()["data"]]
    assert statuses == [202, 422, 409, 202, 409, 422, 413, 422, 422, 422, 202]
    assert len(api.get(f"app/{app}/msg").json()["data"]) == 4
    [missing] = answer.json()["data"][7]["error"]["detail"]
    assert "eventType" in str(missing)


def test_a_body_that_is_too_large_is_refused(api: httpx.Client, app: str) -> None:
    big = b"x" * (2 * 1024 * 1024 + 1)
    assert api.post(f"app/{app}/msg", content=big).status_code == 413
    chunked = api.post(f"app/{app}/msg", content=iter([big]))
    assert (chunked.status_code, chunked.json()["code"]) == (413, "payload_too_large")


# --- lists ------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 250])
def test_a_walk_meets_every_message_once_and_finds_its_way_back(
    api: httpx.Client, app: str, limit: int
) -> None:
    sent = [send(api, app) for _ in range(7)]
    seen: list[str] = []
    page: dict[str, Any] = {"iterator": None, "done": False}
    while not page["done"]:
        asked = {"limit": limit} | ({"iterator": page["iterator"]} if page["iterator"] else {})
        page = api.get(f"app/{app}/msg", params=asked).json()
        assert {"data", "iterator", "done"} <= set(page)
        seen += [each["id"] for each in page["data"]]
    assert sorted(seen) == sorted(sent)
    assert seen == sorted(seen, reverse=True)
    assert page["iterator"] == seen[-1]
    back: list[str] = []
    while not back or back[-limit:] != seen[: len(back[-limit:])]:
        before = api.get(
            f"app/{app}/msg", params={"limit": limit, "iterator": page["prevIterator"]}
        ).json()
        if not before["data"]:
            break
        back = [*(each["id"] for each in before["data"]), *back]
        page = before
    assert back == seen[: len(back)]
    assert len(back) >= len(seen) - limit


@pytest.mark.parametrize(("limit", "status"), [(250, 200), (251, 422), (0, 422), (-1, 422)])
def test_the_limit_of_a_page(api: httpx.Client, app: str, limit: int, status: int) -> None:
    assert api.get(f"app/{app}/msg", params={"limit": limit}).status_code == status


@pytest.mark.parametrize(
    "query",
    [
        "event_types=a,b",
        "event_types=a&event_types=b",
        "event_types[]=a&event_types[]=b",
        "event_types[0]=a&event_types[1]=b",
        "event_types%5B%5D=a&event_types%5B%5D=b",
    ],
)
def test_event_types_in_every_form(api: httpx.Client, app: str, query: str) -> None:
    for name in "abc":
        send(api, app, eventType=name)
    found = api.get(f"app/{app}/msg?{query}").json()["data"]
    assert {each["eventType"] for each in found} == {"a", "b"}


def test_both_slash_forms_and_unknown_query_keys(api: httpx.Client, app: str) -> None:
    assert api.get(f"app/{app}/").json() == api.get(f"app/{app}?expanded_statuses=true").json()


def test_a_wrong_method_says_which_are_right(api: httpx.Client, app: str) -> None:
    answer = api.post(f"app/{app}")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "PUT", "PATCH", "DELETE"}


@pytest.mark.parametrize("old", [True, False])
def test_both_spellings_of_fields(
    api: httpx.Client, app: str, receiver: Recorder, old: bool
) -> None:
    names = ("filterTypes", "rateLimit") if old else ("eventTypes", "throttleRate")
    wish = {"url": receiver.url("/s"), names[0]: ["payment_received"], names[1]: 3, "channels": []}
    made = api.post(f"app/{app}/endpoint", json=wish).json()
    assert made["eventTypes"] == made["filterTypes"] == ["payment_received"]
    assert made["throttleRate"] == made["rateLimit"] == 3
    assert made["version"] == 1
    emptied = api.patch(f"app/{app}/endpoint/{made['id']}", json={names[0]: []}).json()
    assert emptied.get("eventTypes") is None


# --- what becomes of deliveries ---------------------------------------------------------------


def test_a_failure_is_tried_again_with_the_same_id(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/again/{app}"
    receiver.script[path] = [(500, {}), (302, {"location": "/elsewhere"}), (204, {})]
    hook(api, app, receiver.url(path))
    msg = send(api, app)
    assert {receiver.next(path).headers["webhook-id"] for _ in range(3)} == {msg}
    assert settled(api, app, msg, attempts=3)["statusText"] == "success"
    tried = api.get(f"app/{app}/attempt/msg/{msg}").json()["data"]
    assert [each["responseStatusCode"] for each in tried] == [204, 302, 500]
    assert api.get(f"app/{app}/attempt/msg/{msg}?status=2").json()["data"] == tried[1:]
    assert (
        api.get(f"app/{app}/attempt/msg/{msg}?status_code_class=300").json()["data"] == tried[1:2]
    )


def test_a_410_switches_the_endpoint_off(api: httpx.Client, app: str, receiver: Recorder) -> None:
    path = f"/gone/{app}"
    receiver.script[path] = [(410, {})]
    ep = hook(api, app, receiver.url(path))
    msg = send(api, app)
    receiver.next(path)
    settled(api, app, msg)
    assert api.get(f"app/{app}/endpoint/{ep}").json()["disabled"] is True
    assert api.post(f"app/{app}/msg/{msg}/endpoint/{ep}/resend").status_code == 409


def test_recover_sends_what_failed_again(api: httpx.Client, app: str, receiver: Recorder) -> None:
    path = f"/recover/{app}"
    receiver.script[path] = [(500, {})] * 3 + [(200, {})]
    ep = hook(api, app, receiver.url(path))
    msg = send(api, app)
    assert settled(api, app, msg, attempts=3)["statusText"] == "fail"
    since = api.get(f"app/{app}").json()["createdAt"]
    answer = api.post(f"app/{app}/endpoint/{ep}/recover", json={"since": since})
    assert answer.status_code == 202
    for _ in range(4):
        assert receiver.next(path).headers["webhook-id"] == msg


def test_a_custom_header_cannot_stand_in_for_a_signature(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    for name in ("webhook-signature", "Svix-Id", "content-length", "host"):
        wish = {"url": receiver.url("/h"), "headers": {name: "x"}}
        assert api.post(f"app/{app}/endpoint", json=wish).status_code == 422, name


# --- tests ------------------------------------------------------------------------------------


def verdict(api: httpx.Client, app: str, url: str, **more: Any) -> dict[str, Any]:
    ep = hook(api, app, url, **more)
    began = time.monotonic()
    answer = api.post(f"app/{app}/endpoint/{ep}/test", json={})
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < 3  # timeout + 2 s
    stats = api.get(f"app/{app}/endpoint/{ep}/stats").json()
    assert set(stats.values()) == {0}  # a test is not real traffic
    return answer.json()


@pytest.mark.parametrize(("status", "ok"), [(200, True), (204, True), (302, False), (500, False)])
def test_the_verdict_on_an_answer(
    api: httpx.Client, app: str, receiver: Recorder, status: int, ok: bool
) -> None:
    path = f"/verdict/{app}"
    receiver.script[path] = [(status, {"content-length": "0"} if status == 204 else {})]
    found = verdict(api, app, receiver.url(path), eventTypes=["payment_failed"])
    assert (found["ok"], found["statusCode"]) == (ok, status)
    assert found["responseBody"] == ("" if status == 204 else "ok")
    assert receiver.next(path).headers["webhook-id"] == found["messageId"]


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://127.0.0.1:59999/", "refused"),
        ("https://127.0.0.1:{port}/", "tls"),
        ("http://127.0.0.1:{port}/slow/x", "timeout"),
        ("http://nowhere.invalid/", "dns"),
    ],
)
def test_the_verdict_names_the_cause(
    api: httpx.Client, app: str, receiver: Recorder, url: str, cause: str
) -> None:
    found = verdict(api, app, url.format(port=receiver.port))
    assert (found["ok"], found["statusCode"]) == (False, None)
    assert cause in found["cause"].lower()
    assert found["detail"]


def test_a_target_that_is_not_allowed_is_refused_with_a_hint(api: httpx.Client, app: str) -> None:
    answer = api.post(f"app/{app}/endpoint", json={"url": "http://10.0.0.1/"})
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert "STAFETT_ALLOW_NETWORKS" in problem["msg"]


def test_what_was_owed_to_a_deleted_webhook_is_still_told(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    endpoint = hook(api, app, receiver.url(f"/deleted/{app}"))
    message = send(api, app)
    receiver.next(f"/deleted/{app}")
    assert api.delete(f"app/{app}/endpoint/{endpoint}").status_code == 204

    answer = api.get(f"app/{app}/msg/{message}/endpoint")

    assert answer.status_code == 200, answer.text
    assert [(each["id"], each["name"]) for each in answer.json()["data"]] == [
        (endpoint, "(deleted)")
    ]


def test_an_event_id_that_is_wrong_is_named_as_it_was_sent(api: httpx.Client) -> None:
    api.post("app?get_if_exists=true", json={"name": "Named", "uid": "named-as-sent"})
    body = {"eventType": "a.b", "payload": {}, "eventId": "not a word"}
    alone = api.post("app/named-as-sent/msg", json=body)
    assert alone.status_code == 422, alone.text
    assert ["body", "eventId"] in [each["loc"] for each in alone.json()["detail"]]
    together = api.post("app/named-as-sent/msg/batch", json={"messages": [body]})
    assert '"eventId"' in together.text
    assert '"uid"' not in together.text
