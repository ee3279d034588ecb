"""Bins that fail on purpose, over real sockets; and our own sender in front of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from stafett.app import Stafett
from stafett.model import ReplyMode, ScriptedReply
from stafett.services import answers, replies
from stafett.settings import Settings
from stafett.web.protocol import RestingProtocol
from web.conftest import WAIT, settled

SOON = 5.0
"""Seconds: far less than any hang or drip in here would last by itself."""


def a_bin(api: httpx.Client, **reply: Any) -> dict[str, Any]:
    answer = api.post("bin", json={"reply": reply})
    assert answer.status_code == 201, answer.text
    return answer.json()


def statuses(api: httpx.Client, made: dict[str, Any]) -> list[int]:
    """What it answered, oldest first."""
    asked = {"order": "ascending"}
    page = api.get(f"bin/{made['id']}/capture", params=asked).json()
    return [each["statusCode"] for each in page["data"]]


@contextlib.contextmanager
def asking(url: str, method: str = "POST") -> Generator[socket.socket]:
    """A request that is sent, and a connection on which nothing was read yet."""
    where = urlsplit(url)
    assert where.port is not None
    with socket.create_connection(("127.0.0.1", where.port), timeout=WAIT) as connection:
        head = f"{method} {where.path} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{}}"
        connection.sendall(head.encode())
        yield connection


def caught(api: httpx.Client, made: dict[str, Any], count: int) -> None:
    """Return once it has caught so many: only then are they being answered."""
    until(lambda: len(statuses(api, made)) >= count)


def until(true: Callable[[], bool]) -> None:
    ticks = threading.Event()
    for _ in range(int(WAIT / 0.02)):
        if true():
            return
        ticks.wait(0.02)  # the server is in a thread of its own
    raise AssertionError


# --- making them ------------------------------------------------------------------------------


def test_a_reply_comes_back_as_it_was_set(api: httpx.Client) -> None:
    reply = {
        "statusCode": 429,
        "headers": [["retry-after", "7"]],
        "body": "busy",
        "delayMs": 5,
        "mode": "drip",
        "dripMs": 20,
        "times": 3,
        "chance": 0.25,
        "seed": 7,
        "size": 5,
        "retryDateMs": 1_500,
    }
    made = a_bin(api, **reply)
    assert made["reply"] == reply
    assert api.get(f"bin/{made['id']}").json()["reply"] == reply
    bare = api.put(f"bin/{made['id']}/reply", json={}).json()["reply"]
    assert (bare["mode"], bare["dripMs"], bare["times"]) == ("whole", 1_000, 0)
    assert (bare["chance"], bare["seed"], bare["size"], bare["retryDateMs"]) == (1, None, 0, 0)


@pytest.mark.parametrize(
    ("reply", "field"),
    [
        ({"mode": "drip"}, "body"),
        ({"mode": "drip", "body": "x", "dripMs": 9}, "dripMs"),
        ({"mode": "drip", "body": "x", "dripMs": 10**18}, "dripMs"),
        ({"delayMs": 30_001}, "delayMs"),
        ({"times": 101}, "times"),
        ({"statusCode": 101}, "statusCode"),
        ({"mode": "explode"}, "mode"),
        ({"chance": 1.01}, "chance"),
        ({"chance": -0.1}, "chance"),
        ({"seed": 10**9}, "seed"),
        ({"retryDateMs": 7 * 86_400_000 + 1}, "retryDateMs"),
        ({"mode": "truncated"}, "body"),
        ({"mode": "bad_chunk", "statusCode": 204}, "statusCode"),
        ({"mode": "loop"}, "statusCode"),
        ({"mode": "loop", "statusCode": 302, "headers": [["Location", "/"]]}, "headers"),
        ({"mode": "oversized"}, "size"),
        ({"mode": "oversized", "size": (100 << 20) + 1}, "size"),
        ({"mode": "flood", "size": (1 << 20) + 1}, "size"),
    ],
)
def test_a_reply_that_cannot_be_is_named_by_its_field(
    api: httpx.Client, reply: dict[str, Any], field: str
) -> None:
    made = a_bin(api)
    changed = api.put(f"bin/{made['id']}/reply", json=reply)
    assert changed.status_code == 422
    assert [each["loc"] for each in changed.json()["detail"]] == [["body", field]]
    created = api.post("bin", json={"reply": reply})
    assert created.status_code == 422
    assert created.json()["detail"][0]["loc"] == ["body", "reply", field]


# --- failing ----------------------------------------------------------------------------------


def test_our_sender_tries_until_a_failing_bin_takes_it(api: httpx.Client, app: str) -> None:
    made = a_bin(api, statusCode=503, times=2)
    api.post(f"app/{app}/endpoint", json={"url": made["url"]})
    for _ in range(2):  # each message fails as often
        sent = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}})
        found = settled(api, app, sent.json()["id"], attempts=3)
        assert (found["status"], found["attemptCount"]) == (0, 3)
    assert sorted(statuses(api, made)) == [200, 200, 503, 503, 503, 503]


def test_a_bin_that_is_gone_switches_a_webhook_off(api: httpx.Client, app: str) -> None:
    made = a_bin(api, statusCode=410)
    endpoint = api.post(f"app/{app}/endpoint", json={"url": made["url"]}).json()["id"]
    sent = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}})
    settled(api, app, sent.json()["id"])
    assert api.get(f"app/{app}/endpoint/{endpoint}").json()["disabled"] is True


def test_a_busy_bin_is_left_alone_for_as_long_as_it_asks(api: httpx.Client, app: str) -> None:
    made = a_bin(api, statusCode=429, headers=[["retry-after", "1"]], times=1)
    api.post(f"app/{app}/endpoint", json={"url": made["url"]})
    sent = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}})
    settled(api, app, sent.json()["id"], attempts=2)
    attempts = api.get(f"app/{app}/attempt/msg/{sent.json()['id']}").json()["data"]
    first, second = sorted(datetime.fromisoformat(each["timestamp"]) for each in attempts)
    assert second - first >= timedelta(seconds=1)  # the schedule alone would say 50 ms
    assert statuses(api, made) == [429, 200]


def test_a_redirect_is_given_and_not_followed_by_our_sender(api: httpx.Client, app: str) -> None:
    made = a_bin(api, statusCode=307, headers=[["location", "https://example.com/else"]])
    answer = httpx.post(made["url"])
    assert (answer.status_code, answer.headers["location"]) == (307, "https://example.com/else")
    assert "sandbox" in answer.headers["content-security-policy"]
    api.post(f"app/{app}/endpoint", json={"url": made["url"]})
    sent = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}})
    settled(api, app, sent.json()["id"], attempts=3)
    attempts = api.get(f"app/{app}/attempt/msg/{sent.json()['id']}").json()["data"]
    assert {each["cause"] for each in attempts} == {"redirect"}


# --- hanging and dripping ---------------------------------------------------------------------


def test_a_hang_answers_nothing_and_the_others_are_answered_meanwhile(api: httpx.Client) -> None:
    made, other = a_bin(api, mode="hang"), a_bin(api)
    with asking(made["url"]) as connection:
        caught(api, made, 1)
        assert httpx.post(other["url"]).status_code == 200
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert statuses(api, made) == [0]


def test_our_sender_gives_a_hang_up(api: httpx.Client, app: str) -> None:
    made = a_bin(api, mode="hang", times=1)
    api.post(f"app/{app}/endpoint", json={"url": made["url"]})
    sent = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}})
    found = settled(api, app, sent.json()["id"], attempts=2)
    assert found["status"] == 0
    attempts = api.get(f"app/{app}/attempt/msg/{sent.json()['id']}").json()["data"]
    assert [each.get("cause") for each in attempts] == [None, "timeout"]
    assert statuses(api, made) == [0, 200]


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize(
    "reply",
    [{"mode": "hang"}, {"mode": "drip", "body": "xx", "dripMs": 30_000}, {"delayMs": 30_000}],
)
def test_a_caller_who_leaves_gives_its_place_back(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch, reply: dict[str, Any], method: str
) -> None:
    monkeypatch.setattr(answers, "MAX_HELD", 1)
    if method == "HEAD" and reply.get("mode") == "drip":
        reply = reply | {"delayMs": 30_000}  # it has no body that could drip
    made = a_bin(api, **reply)
    with asking(made["url"], method):
        caught(api, made, 1)
        refused = httpx.post(made["url"], timeout=SOON)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    api.put(f"bin/{made['id']}/reply", json={"delayMs": 1, "statusCode": 201})
    until(lambda: httpx.post(made["url"], timeout=SOON).status_code == 201)


def test_a_hang_has_an_end(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MAX_HELD", timedelta(milliseconds=50))
    answer = httpx.post(a_bin(api, mode="hang")["url"], timeout=SOON)
    assert answer.status_code == 503
    assert answer.headers["connection"] == "close"


def test_a_drip_comes_byte_by_byte(api: httpx.Client) -> None:
    made = a_bin(api, mode="drip", body="drop", dripMs=100, statusCode=202)
    moments: list[float] = []
    with httpx.stream("POST", made["url"], timeout=SOON) as answer:
        assert (answer.status_code, answer.headers["content-length"]) == (202, "4")
        parts: list[bytes] = []
        for each in answer.iter_raw():
            moments.append(time.monotonic())
            parts.append(each)
    assert parts == [b"d", b"r", b"o", b"p"]
    assert moments[-1] - moments[0] >= 0.3 * 0.9  # a byte may be read later than it came
    head = httpx.head(made["url"], timeout=SOON)
    assert (head.status_code, head.headers["content-length"], head.content) == (202, "4", b"")


# --- the end of the server --------------------------------------------------------------------


@pytest.fixture
async def stafett(tmp_path: Path) -> AsyncIterator[tuple[Stafett, uvicorn.Server, str]]:
    """One of this test's own, under way, and its address."""
    made = Stafett(Settings(data=tmp_path))
    config = uvicorn.Config(
        made.asgi(), host="127.0.0.1", port=0, http=RestingProtocol, log_config=None, lifespan="on"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(WAIT):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
            await asyncio.sleep(0.01)
    yield made, server, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


async def test_the_end_of_the_server_waits_for_none_of_them(
    stafett: tuple[Stafett, uvicorn.Server, str],
) -> None:
    made, server, url = stafett
    long = timedelta(seconds=30)
    wanted = {
        "hang": ScriptedReply(mode=ReplyMode.HANG),
        "drip": ScriptedReply(mode=ReplyMode.DRIP, body=b"to the end", drip_every=long),
        "slow": ScriptedReply(status_code=201, body=b"whole", delay=long),
    }
    async with httpx.AsyncClient(timeout=WAIT) as client:
        asked: dict[str, asyncio.Task[httpx.Response]] = {}
        for name, reply in wanted.items():
            box, _ = await made.bins.create(name, reply=reply)
            tail = await made.bins.tail(box.id)
            asked[name] = asyncio.create_task(client.post(f"{url}/in/{box.catch_token}"))
            await anext(tail)
        async with asyncio.timeout(SOON):
            made.begin_stop()
            server.should_exit = True
            answers = {name: await each for name, each in asked.items()}
    assert answers["hang"].status_code == 503
    assert answers["drip"].content == b"to the end"
    assert (answers["slow"].status_code, answers["slow"].content) == (201, b"whole")
