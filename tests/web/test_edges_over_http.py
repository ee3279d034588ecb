"""What lies around the operations: refusals that come early, the end, and who may read what."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import svix.api

from stafett.app import Stafett
from stafett.model import Secret
from stafett.settings import Settings
from stafett.web import bins
from stafett.web.not_offered import is_not_offered
from stafett.web.routes import PREFIX, ROUTES
from stafett.web.tree import Tree
from web.conftest import TOKEN, Running

EVENT = {"eventType": "payment_received", "payload": {}}


def connected(server: Running) -> socket.socket:
    port = urlsplit(server.url).port
    assert port is not None
    return socket.create_connection(("127.0.0.1", port), timeout=20)


# --- before a body is read --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "status"), [("wrong", b"401"), (TOKEN, b"413")], ids=["no token", "too large"]
)
def test_a_refusal_does_not_wait_for_the_body(server: Running, token: str, status: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(
            b"POST /api/v1/app/default/msg HTTP/1.1\r\nhost: h\r\ncontent-length: 60000000\r\n"
            b"authorization: Bearer " + token.encode() + b"\r\n\r\n"
        )
        assert connection.recv(65_536).split(b" ")[1] == status


def test_a_caller_that_waits_to_be_asked_for_the_body_is_asked(server: Running) -> None:
    body = b'{"eventType":"payment_received","payload":{}}'
    with connected(server) as connection:
        connection.sendall(
            b"POST /api/v1/app/default/msg HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n"
            b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (TOKEN.encode(), len(body))
        )
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 202 ")


def test_a_large_batch_arrives_in_one_piece(api: httpx.Client, app: str) -> None:
    message = EVENT | {"payload": {"a": "x" * 60_000}}
    answer = api.post(f"app/{app}/msg/batch", json={"messages": [message] * 200})  # 12 MB
    assert answer.status_code == 200, answer.text
    assert {each["status"] for each in answer.json()["data"]} == {202}


# --- bins -------------------------------------------------------------------------------------


@pytest.fixture
def made(api: httpx.Client) -> dict[str, Any]:
    """A bin with one capture."""
    made = api.post("bin", json={}).json()
    assert httpx.post(made["url"], content=b"one").status_code == 200
    return made


def test_a_read_token_reads_its_own_bin_and_nothing_else(
    api: httpx.Client, made: dict[str, Any]
) -> None:
    headers = {"authorization": f"Bearer {made['readToken']}"}
    own = f"bin/{made['id']}"
    (caught,) = api.get(f"{own}/capture", headers=headers).json()["data"]
    assert caught["body"] == "one"
    assert api.get(own, headers=headers).json()["id"] == made["id"]
    one = f"{own}/capture/{caught['id']}"
    assert api.get(one, headers=headers).json() == caught
    with api.stream("GET", f"{own}/tail", params={"after": 0}, headers=headers) as following:
        assert following.status_code == 200
        assert any('"body":"one"' in line for line in following.iter_lines())
    for method, path in (("DELETE", own), ("DELETE", one), ("PUT", f"{own}/reply"), ("GET", "app")):
        assert api.request(method, path, headers=headers, json={}).status_code == 401, path
    other = api.post("bin", json={}).json()["id"]
    for unknown in (other, "bin_nothing"):
        assert api.get(f"bin/{unknown}/capture", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [[(f"x-{n}", "1") for n in range(101)], [("x", "y" * 9_000)], [("x", "y" * 7_000)] * 10],
    ids=["too many", "one too long", "too long together"],
)
def test_headers_beyond_measure_are_not_caught(
    api: httpx.Client, made: dict[str, Any], headers: list[tuple[str, str]]
) -> None:
    answer = httpx.post(made["url"], headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (431, "headers_too_large")
    assert api.get(f"bin/{made['id']}").json()["captureCount"] == 1


async def test_a_body_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bins, "_BODY_SECONDS", 0.01)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: Any) -> None:
        sent.append(event)

    async with Stafett(Settings(data=tmp_path)) as stafett:
        made, _ = await stafett.bins.create("slow")
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/in/{made.catch_token}",
            "query_string": b"",
            "http_version": "1.1",
            "headers": [(b"content-length", b"5")],
        }
        await stafett.asgi()(scope, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


# --- the end ----------------------------------------------------------------------------------


async def test_what_has_ended_does_not_begin_again(tmp_path: Path) -> None:
    stafett = Stafett(Settings(data=tmp_path, bootstrap_token=Secret(TOKEN)))
    transport = httpx.ASGITransport(stafett.asgi())
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=headers
    ) as api:
        assert (await api.get("/api/v1/app")).status_code == 200
        await stafett.stop()
        answer = await api.post("/api/v1/app/default/msg", json=EVENT)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        for path in ("/in/x", "/docs", "/api/v1/app", "/api/v1/health"):
            assert (await api.get(path)).status_code == 503, path
        for path in ("/health", "/metrics"):
            assert (await api.get(path)).status_code == 200, path
        ready = await api.get("/ready")
        assert (ready.status_code, ready.json()["reasons"]) == (503, ["stopping"])
    assert not stafett.started


# --- what is shown only once ------------------------------------------------------------------


def on_disk(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir() if each.is_file())


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [("token", {"name": "t"}, "token"), ("bin", {}, "readToken")],
    ids=["token", "read token"],
)
async def test_a_kept_answer_is_no_place_to_find_a_secret(
    tmp_path: Path, path: str, body: dict[str, Any], field: str
) -> None:
    stafett = Stafett(Settings(data=tmp_path, bootstrap_token=Secret(TOKEN)))
    transport = httpx.ASGITransport(stafett.asgi())
    headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": "k"}
    async with (
        stafett,
        httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as api,
    ):
        first, second = [await api.post(f"/api/v1/{path}", json=body) for _ in range(2)]
        assert first.json() == second.json()
        text = first.json()[field].encode()
        stored = on_disk(tmp_path)
        assert first.json()["id"].encode() in stored
        assert text not in stored


def test_answers_to_reading_are_not_kept_by_browsers(api: httpx.Client) -> None:
    assert api.get("app").headers["cache-control"] == "no-store"


# --- what there is ----------------------------------------------------------------------------


def operations() -> Iterator[tuple[str, str]]:
    """Method and path of every operation that the official package knows."""
    for file in Path(svix.api.__file__).parent.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        yield from re.findall(r'method="(\w+)",\s*path="([^"]+)"', source)


def test_every_operation_of_the_official_package_is_answered_on_purpose() -> None:
    tree = Tree(ROUTES)
    known = sorted({(method.upper(), path) for method, path in operations()})
    assert len(known) > 100
    for method, path in known:
        filled = re.sub(r"\{\w+\}", "x", path)
        if filled.startswith("/ingest/"):
            continue  # see the next test
        below = filled.removeprefix(PREFIX + "/")
        routes, _ = tree.find(below) or ({}, [])
        assert method in routes or is_not_offered(below), (method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/app/x/poller/sink"),
        ("POST", "/api/v1/app/x/endpoint/y/cancel-msgs/"),
        ("GET", "/api/v1/app/x/stream/sink"),
        ("POST", "/api/v1/auth/app-portal-access/x"),
        ("GET", "/api/v1/stream"),
        ("GET", "/ingest/api/v1/source"),
    ],
)
def test_what_is_not_offered_says_so(server: Running, method: str, path: str) -> None:
    answer = httpx.request(method, server.url + path)
    assert (answer.status_code, answer.json()["code"]) == (501, "not_implemented")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/docs", "/openapi.json"])
def test_pages_are_for_reading(server: Running, path: str) -> None:
    assert httpx.head(server.url + path).status_code == 200
    answer = httpx.post(server.url + path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json()["code"] == "method_not_allowed"


# --- messages and attempts --------------------------------------------------------------------


def test_an_application_comes_into_being_with_its_first_message(
    api: httpx.Client, app: str
) -> None:
    uid = f"fresh-{app}"
    wish = EVENT | {"application": {"name": "Fresh", "uid": uid}}
    assert api.post(f"app/{uid}/msg", json=wish).status_code == 202
    assert api.get(f"app/{uid}").json()["name"] == "Fresh"
    again = EVENT | {"application": {"name": "Other", "uid": uid}}
    assert api.post(f"app/{uid}/msg", json=again).status_code == 202
    assert api.get(f"app/{uid}").json()["name"] == "Fresh"


@pytest.mark.parametrize(
    ("application", "kind"),
    [
        ({"name": "A"}, "application_uid_missing"),
        ({"name": "A", "uid": "another"}, "application_uid_mismatch"),
    ],
)
def test_an_application_beside_a_message_must_be_the_one_in_the_path(
    api: httpx.Client, application: dict[str, str], kind: str
) -> None:
    answer = api.post("app/not-there/msg", json=EVENT | {"application": application})
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["body", "application", "uid"], kind)
    assert api.get("app/not-there").status_code == 404


@pytest.mark.parametrize("status", ["pending", "success"])
@pytest.mark.parametrize("path", ["attempt/endpoint/nothing", "attempt/msg/nothing"])
def test_attempts_of_what_does_not_exist(
    api: httpx.Client, app: str, path: str, status: str
) -> None:
    assert api.get(f"app/{app}/{path}", params={"status": status}).status_code == 404
