"""Answers that no server should give, byte for byte as they come over a real socket.

What Stafett's own sender makes of them is tried in `cli/test_cli_bin_breaks.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from stafett.app import Stafett
from stafett.engine.clock import SystemClock
from stafett.model import ReplyMode, ScriptedReply
from stafett.services import answers, replies
from stafett.settings import Settings
from stafett.web.protocol import RestingProtocol
from web.conftest import WAIT
from web.test_bin_replies import SOON, a_bin, asking, caught, statuses, until

MIB = 1 << 20


def everything(connection: socket.socket) -> bytes:
    """What comes until the connection ends."""
    parts: list[bytes] = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def head_and_body(url: str, method: str = "POST") -> tuple[dict[str, str], bytes]:
    """Headers by name, and what comes behind them until the connection ends."""
    with asking(url, method) as connection:
        head, _, body = everything(connection).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines), body


# --- the connection is broken -----------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_a_reset_is_one(api: httpx.Client, method: str) -> None:
    made = a_bin(api, mode="reset")
    with asking(made["url"], method) as connection, pytest.raises(ConnectionResetError):
        everything(connection)
    assert statuses(api, made) == [0]


def test_a_reset_can_be_late_and_a_server_lives_on(api: httpx.Client) -> None:
    made = a_bin(api, mode="reset", delayMs=50, times=1)
    with asking(made["url"]) as connection, pytest.raises(ConnectionResetError):
        everything(connection)
    assert httpx.post(made["url"]).status_code == 200


def test_half_of_a_body_comes(api: httpx.Client) -> None:
    made = a_bin(api, mode="truncated", body="halves", statusCode=201)
    headers, body = head_and_body(made["url"])
    assert (headers["content-length"], body) == ("6", b"hal")
    assert "sandbox" in headers["content-security-policy"]
    assert statuses(api, made) == [201]


def test_a_chunk_has_no_length(api: httpx.Client) -> None:
    made = a_bin(api, mode="bad_chunk", body="first")
    headers, body = head_and_body(made["url"])
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    assert body == b"5\r\nfirst\r\nas long as it takes\r\n"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(made["url"])


@pytest.mark.parametrize("mode", ["truncated", "bad_chunk"])
def test_a_head_has_nothing_to_break(api: httpx.Client, mode: str) -> None:
    made = a_bin(api, mode=mode, body="halves")
    answer = httpx.head(made["url"], timeout=SOON)
    assert (answer.status_code, answer.headers["content-length"]) == (200, "6")


@pytest.mark.parametrize("mode", ["reset", "truncated", "bad_chunk"])
def test_what_was_asked_behind_it_is_not_answered(api: httpx.Client, mode: str) -> None:
    made = a_bin(api, mode=mode, body="xx", times=1)
    where = urlsplit(made["url"])
    assert where.port is not None
    request = f"POST {where.path} HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n".encode()
    came = b""
    with socket.create_connection(("127.0.0.1", where.port), timeout=WAIT) as connection:
        connection.sendall(request * 2)
        with contextlib.suppress(ConnectionResetError):
            came = everything(connection)
    assert came.count(b"HTTP/1.1 200") == (0 if mode == "reset" else 1)
    assert len(statuses(api, made)) == 1
    assert httpx.post(made["url"]).status_code == 200


# --- proper answers that are too much ---------------------------------------------------------


def test_a_loop_leads_back_to_itself(api: httpx.Client) -> None:
    made = a_bin(api, mode="loop", statusCode=307)
    path = urlsplit(made["url"]).path + "/a%20b?c=%0D%0Ad&e="
    url = made["url"] + "/a%20b?c=%0D%0Ad&e="
    answer = httpx.post(url)
    assert (answer.status_code, answer.headers["location"]) == (307, path)
    with httpx.Client(follow_redirects=True) as client, pytest.raises(httpx.TooManyRedirects):
        client.post(url)


@pytest.mark.parametrize("size", [MIB, 3 * MIB + 1])
def test_an_oversized_body_is_as_large_as_it_says(api: httpx.Client, size: int) -> None:
    made = a_bin(api, mode="oversized", size=size, body="x")
    came = 0
    with httpx.stream("POST", made["url"], timeout=WAIT) as answer:
        assert answer.headers["content-length"] == str(size)
        for each in answer.iter_raw():
            came += len(each)
    assert came == size
    head = httpx.head(made["url"], timeout=SOON)
    assert (head.headers["content-length"], head.content) == (str(size), b"")


def test_who_does_not_read_an_oversized_body_holds_a_place_for_so_long(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_HELD", 1)
    made = a_bin(api, mode="oversized", size=100 * MIB)
    with asking(made["url"]):
        caught(api, made, 1)
        assert httpx.post(made["url"], timeout=SOON).status_code == 503
    api.put(f"bin/{made['id']}/reply", json={"delayMs": 1, "statusCode": 201})
    until(lambda: httpx.post(made["url"], timeout=SOON).status_code == 201)
    monkeypatch.setattr(replies, "MAX_HELD", timedelta(milliseconds=200))
    made = a_bin(api, mode="oversized", size=100 * MIB)
    with asking(made["url"]) as connection:
        caught(api, made, 1)
        until(lambda: reset_by_now(connection))


def reset_by_now(connection: socket.socket) -> bool:
    """Whether the other side has reset it; reads nothing."""
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


@pytest.mark.parametrize(("size", "count"), [(32 << 10, 512), (MIB, 16_384)])
def test_a_flood_has_as_many_headers_as_it_says(api: httpx.Client, size: int, count: int) -> None:
    made = a_bin(api, mode="flood", size=size, body="dry", headers=[["x-own", "1"]])
    with asking(made["url"]) as connection:
        came = b""
        while not came.endswith(b"\r\n\r\ndry"):
            came += connection.recv(65_536)
    lines = [each + b"\r\n" for each in came.split(b"\r\n") if each.startswith(b"x-flood-")]
    assert len({each.partition(b":")[0] for each in lines}) == count
    assert sum(map(len, lines)) == size
    assert b"\r\nx-own: 1\r\n" in came


def test_a_date_to_come_back_at_is_so_far_away(api: httpx.Client) -> None:
    made = a_bin(api, statusCode=429, retryDateMs=60_000)
    now = SystemClock().now
    asked = now()
    until_when = parsedate_to_datetime(httpx.post(made["url"]).headers["retry-after"])
    answered = now()
    minute, second = timedelta(minutes=1), timedelta(seconds=1)
    assert asked + minute <= until_when <= answered + minute + second


# --- other servers ----------------------------------------------------------------------------


BROKEN: dict[str, Any] = {
    "reset": ScriptedReply(mode=ReplyMode.RESET),
    "truncated": ScriptedReply(mode=ReplyMode.TRUNCATED, body=b"xx"),
    "bad_chunk": ScriptedReply(mode=ReplyMode.BAD_CHUNK, body=b"xx"),
}


@pytest.mark.parametrize("mode", BROKEN)
async def test_a_server_that_cannot_break_a_connection_says_so(tmp_path: Path, mode: str) -> None:
    async with Stafett(Settings(data=tmp_path), dispatch=False) as stafett:
        box, _ = await stafett.bins.create("box", reply=BROKEN[mode])
        transport = httpx.ASGITransport(app=stafett.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
            answer = await client.post(f"/in/{box.catch_token}")
    assert answer.status_code == 501
    assert "stafett serve" in answer.text


@pytest.fixture
async def serving(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Stafett, uvicorn.Server, str]]:
    """On a server of this test's own, and its address."""
    stafett = Stafett(Settings(data=tmp_path), dispatch=False)
    config = uvicorn.Config(
        stafett.asgi(), port=0, http=request.param, log_config=None, lifespan="on"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(WAIT):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
            await asyncio.sleep(0.01)
    yield stafett, server, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


@pytest.mark.parametrize("serving", [RestingProtocol], indirect=True)
async def test_the_end_of_the_server_waits_for_no_reader(
    serving: tuple[Stafett, uvicorn.Server, str], caplog: pytest.LogCaptureFixture
) -> None:
    stafett, server, url = serving
    reply = ScriptedReply(mode=ReplyMode.OVERSIZED, size=100 * MIB)
    box, _ = await stafett.bins.create("large", reply=reply)
    address = f"{url}/in/{box.catch_token}"
    async with (
        asyncio.timeout(WAIT),
        httpx.AsyncClient() as client,
        client.stream("POST", address) as answer,
    ):
        assert answer.status_code == 200
        stafett.begin_stop()
        server.should_exit = True
        with pytest.raises(httpx.ReadError):
            async for _ in answer.aiter_raw():
                pass
    assert [each for each in caplog.records if each.name.startswith("uvicorn")] == []
