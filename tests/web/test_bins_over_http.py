"""Request bins over real sockets: what is caught, what is answered, and who follows."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from stafett.services import bins
from web.conftest import settled


@pytest.fixture
def made(api: httpx.Client) -> dict[str, Any]:
    """A bin."""
    answer = api.post("bin", json={"name": "B"})
    assert answer.status_code == 201, answer.text
    return answer.json()


def newest(api: httpx.Client, made: dict[str, Any]) -> dict[str, Any]:
    return api.get(f"bin/{made['id']}/capture", params={"limit": 1}).json()["data"][0]


def raw(url: str, request: bytes) -> bytes:
    """The whole answer to bytes that no client library would send."""
    where = urlsplit(url)
    assert where.port is not None
    with socket.create_connection(("127.0.0.1", where.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


def test_every_byte_is_kept(api: httpx.Client, made: dict[str, Any]) -> None:
    path = urlsplit(made["url"]).path.encode()
    request = (
        b"PROPFIND "
        + path
        + b"/a%2Fb//c%20?x=1&x=2;y HTTP/1.1\r\nHost: h\r\nX-A: one\r\nx-a: two\r\n"
        b"X-Latin: \xe9\r\nConnection: close\r\nContent-Length: 4\r\n\r\n\x00\xff\r\n"
    )
    assert raw(made["url"], request).startswith(b"HTTP/1.1 200")
    found = newest(api, made)
    assert (found["method"], found["httpVersion"]) == ("PROPFIND", "1.1")
    assert found["target"] == path.decode() + "/a%2Fb//c%20?x=1&x=2;y"
    named = [value for name, value in found["headers"] if name.lower() == "x-a"]
    assert named == ["one", "two"]
    assert [value for name, value in found["headers"] if name.lower() == "x-latin"] == ["é"]
    assert base64.b64decode(found["bodyBase64"]) == b"\x00\xff\r\n"
    assert (found["body"], found["bodySize"], found["truncated"]) == (None, 4, False)
    assert found["peer"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a=1; stafett_session=s3cr3t; b=2", "a=1; stafett_session=(masked); b=2"),
        ("__Host-stafett_session=s3cr3t", "__Host-stafett_session=(masked)"),
        ("a=1;stafett_session = s3cr3t", "a=1;stafett_session = (masked)"),
        ("my_stafett_session=1; x=stafett_session", "my_stafett_session=1; x=stafett_session"),
    ],
)
def test_the_session_of_whoever_is_signed_in_is_not_kept(
    api: httpx.Client, made: dict[str, Any], sent: str, kept: str
) -> None:
    assert httpx.get(made["url"], headers={"cookie": sent}).status_code == 200
    assert ["cookie", kept] in newest(api, made)["headers"]


def test_a_body_over_a_mebibyte_is_cut_and_marked(api: httpx.Client, made: dict[str, Any]) -> None:
    assert httpx.post(made["url"], content=b"x" * (2**20 + 1), timeout=20).status_code == 200
    found = newest(api, made)
    assert (found["bodySize"], found["truncated"]) == (2**20, True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_the_scripted_reply_and_its_policy(
    api: httpx.Client, made: dict[str, Any], method: str
) -> None:
    reply = {
        "statusCode": 418,
        "headers": [["content-type", "text/html"], ["x-a", "1"], ["x-a", "2"]],
        "body": "<script>1</script>",
        "delayMs": 100,
        "mode": "whole",
        "dripMs": 1_000,
        "times": 0,
    }
    answer = api.put(f"bin/{made['id']}/reply", json=reply)
    assert answer.json()["reply"].items() >= reply.items()
    began = time.monotonic()
    caught = httpx.request(method, made["url"] + "/sub")
    assert time.monotonic() - began >= 0.1
    assert caught.status_code == 418
    assert caught.text == ("" if method == "HEAD" else "<script>1</script>")
    assert caught.headers.get_list("x-a") == ["1", "2"]
    assert "sandbox" in caught.headers["content-security-policy"]
    assert caught.headers["x-content-type-options"] == "nosniff"
    assert newest(api, made)["statusCode"] == 418


def test_the_newest_500_are_kept(api: httpx.Client, made: dict[str, Any]) -> None:
    with httpx.Client() as client:
        for number in range(503):
            client.post(made["url"], content=str(number))
    found: list[str] = []
    iterator = ""
    while True:
        asked = {"limit": 250} | ({"iterator": iterator} if iterator else {})
        page = api.get(f"bin/{made['id']}/capture", params=asked).json()
        found += [each["body"] for each in page["data"]]
        if page["done"]:
            break
        iterator = page["iterator"]
    assert found == [str(number) for number in range(502, 2, -1)]
    assert api.delete(f"bin/{made['id']}/capture").json() == {"deleted": 500}
    assert api.get(f"bin/{made['id']}/capture").json()["data"] == []


def test_a_capture_of_our_own_message_is_linked(
    api: httpx.Client, app: str, made: dict[str, Any]
) -> None:
    api.post(f"app/{app}/endpoint", json={"url": made["url"]})
    sent = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}})
    message = sent.json()["id"]
    settled(api, app, message)
    found = newest(api, made)
    (attempt,) = api.get(f"app/{app}/attempt/msg/{message}").json()["data"]
    assert (found["messageId"], found["attemptId"]) == (message, attempt["id"])


def events(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Id and capture of one event after another."""
    number = ""
    for line in response.iter_lines():
        if line.startswith("id: "):
            number = line[4:]
        elif line.startswith("data: "):
            yield number, json.loads(line[6:])


def test_a_tail_goes_on_where_it_broke_off(api: httpx.Client, made: dict[str, Any]) -> None:
    address = f"bin/{made['id']}/tail"
    for body in ("a", "b", "c"):
        httpx.post(made["url"], content=body)
    with api.stream("GET", address, headers={"last-event-id": "1"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        following = events(response)
        assert [next(following)[1]["body"] for _ in range(2)] == ["b", "c"]
        httpx.post(made["url"], content="d\n\ndata: x")
        number, capture = next(following)
        assert (number, capture["body"], capture["number"]) == ("4", "d\n\ndata: x", 4)
    with api.stream("GET", address, params={"after": number}) as response:
        httpx.post(made["url"], content="e")
        assert next(events(response))[1]["body"] == "e"


def test_the_catch_token_reads_nothing_and_a_deleted_bin_catches_nothing(
    api: httpx.Client, made: dict[str, Any]
) -> None:
    catch = made["url"].rpartition("/")[2]
    assert made["readToken"] != catch
    for token in (catch, made["readToken"]):
        headers = {"authorization": f"Bearer {token}"}
        assert api.get("bin", headers=headers).status_code == 401
    assert "readToken" not in api.get(f"bin/{made['id']}").json()
    assert api.delete(f"bin/{made['id']}").status_code == 204
    assert httpx.post(made["url"]).status_code == 404


def test_where_there_is_no_bin_nothing_is_waited_for(made: dict[str, Any]) -> None:
    path = urlsplit(made["url"]).path.encode() + b"x"
    begun = b"POST " + path + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"
    where = urlsplit(made["url"])
    assert where.port is not None
    with socket.create_connection(("127.0.0.1", where.port), timeout=20) as connection:
        connection.sendall(begun)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")


# --- pins and timelines -----------------------------------------------------------------------


def captures(api: httpx.Client, made: dict[str, Any]) -> list[dict[str, Any]]:
    """Newest first."""
    return api.get(f"bin/{made['id']}/capture").json()["data"]


def test_a_pinned_capture_outlives_the_ring_and_the_clearing(
    api: httpx.Client, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bins, "KEEP_CAPTURES", 2)
    httpx.post(made["url"], content="first")
    (first,) = captures(api, made)
    pin = f"bin/{made['id']}/capture/{first['id']}/pin"
    assert first["pinned"] is False
    assert api.put(pin).status_code == 204
    for number in range(3):
        httpx.post(made["url"], content=str(number))
    assert [(each["body"], each["pinned"]) for each in captures(api, made)] == [
        ("2", False),
        ("1", False),
        ("first", True),
    ]
    assert api.delete(f"bin/{made['id']}/capture").json() == {"deleted": 2}
    assert [each["body"] for each in captures(api, made)] == ["first"]
    assert api.delete(pin).status_code == 204
    assert api.delete(f"bin/{made['id']}/capture").json() == {"deleted": 1}
    assert api.put(pin).status_code == 404


def test_the_tries_of_our_own_message_stand_beside_their_schedule(
    api: httpx.Client, app: str, made: dict[str, Any]
) -> None:
    api.put(f"bin/{made['id']}/reply", json={"statusCode": 503, "times": 1})
    api.post(f"app/{app}/endpoint", json={"url": made["url"]})
    sent = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}})
    settled(api, app, sent.json()["id"], attempts=2)
    httpx.post(made["url"])  # of another message: not there
    capture = captures(api, made)[1]
    address = f"bin/{made['id']}/capture/{capture['id']}/timeline"
    first, second = api.get(address).json()["data"]
    assert (first["verdict"], first["gap"], first["promised"]) == ("first", None, None)
    assert (first["statusCode"], second["statusCode"]) == (503, 200)
    assert second["verdict"] == "in_time"
    low, high = second["promised"]
    assert 0.05 <= low <= second["gap"] + 0.1
    assert high - low == pytest.approx(0.05)  # the jitter of so short a wait
    assert (second["captureId"], second["attemptId"]) == (capture["id"], capture["attemptId"])


def test_the_tries_of_anybody_stand_beside_our_schedule(
    api: httpx.Client, made: dict[str, Any]
) -> None:
    reply = {"statusCode": 429, "headers": [["Retry-After", "30"]], "times": 1}
    api.put(f"bin/{made['id']}/reply", json=reply)
    for webhook_id in ("a", "b", "a", "a"):
        httpx.post(made["url"], headers={"svix-id": webhook_id})
    httpx.post(made["url"])
    nameless, newest = captures(api, made)[:2]
    timeline = api.get(f"bin/{made['id']}/capture/{newest['id']}/timeline").json()["data"]
    assert [(each["number"], each["verdict"]) for each in timeline] == [
        (1, "first"),
        (3, "early"),
        (4, "unasked"),
    ]
    assert timeline[1]["promised"] == [30, 30.05 + 1]  # the jitter, and the attempt timeout
    address = f"bin/{made['id']}/capture/{nameless['id']}/timeline"
    assert api.get(address).json() == {"data": []}
    assert nameless["webhookId"] is None
    assert newest["webhookId"] == "a"
