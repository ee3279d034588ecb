"""One connection, many requests: what `RestingProtocol` changes about uvicorn's, over raw sockets.

On both event loops, as their transports write and close in ways of their own.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
import uvloop

from stafett.app import Stafett
from stafett.cli.serving import Server
from stafett.web import api_bins
from stafett.web.protocol import RestingProtocol
from web.conftest import TOKEN, WAIT
from web.test_deliveries_over_http import serving, settings_in

REST = 1
"""Seconds that a connection may rest here."""
MESSAGES = "/api/v1/app/default/msg"
# As the product's own server has it: nothing is added to an answer, so it may go the short way.
PLAIN: dict[str, Any] = {"date_header": False, "server_header": False, "access_log": False}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer off the wire."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Line:
    """A connection, and the answers that come along it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def until_read(self) -> None:
        """Return when the server has taken what was sent: it reads in order of arrival."""
        with Line(self._port) as other:
            for _ in range(2):
                other.send(request("GET", "/api/v1/health"))
                assert other.answer().status == 200

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer; `to_head`: one that has no body whatever it says."""
        status = int(self._file.readline().split(b" ")[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode().partition(": ")
            assert name not in headers
            headers[name] = value
        size = 0 if to_head else int(headers.get("content-length", "0"))
        return Answer(status=status, headers=headers, body=self._file.read(size))

    def asked(self, data: bytes, *, to_head: bool = False) -> Answer:
        self.send(data)
        return self.answer(to_head=to_head)

    def give_up_after(self, seconds: float) -> None:
        """Raise TimeoutError when an answer takes longer."""
        self._socket.settimeout(seconds)

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return self._file.read()


def request(method: str, path: str, body: bytes = b"", *, more: str = "") -> bytes:
    """A request with the owner's token; `more` is header lines, each with its end."""
    head = f"{method} {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {TOKEN}\r\n{more}"
    if body or method == "POST":
        head += f"content-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def event(size: int = 0) -> bytes:
    """The body of a message, with a payload of about so many bytes."""
    return json.dumps({"eventType": "payment_received", "payload": {"a": "x" * size}}).encode()


def payload_of(answer: Answer) -> str:
    """What was in the payload of an accepted message."""
    assert answer.status == 202, answer.body
    return json.loads(answer.body)["payload"]["a"]


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a server listens that lets connections rest for a second."""
    with serving(
        settings_in(tmp_path_factory.mktemp("data")),
        loop_factory=request.param,
        timeout_keep_alive=REST,
        timeout_graceful_shutdown=1,
        **PLAIN,
    ) as running:
        found = urlsplit(running.url).port
        assert found is not None
        yield found


@pytest.fixture
def line(port: int) -> Iterator[Line]:
    with Line(port) as opened:
        yield opened


@pytest.fixture
def slow(port: int) -> str:
    """The path of a bin that answers after 0.7 s."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", headers=headers) as api:
        made: dict[str, Any] = api.post("bin", json={}).json()
        reply = {"delayMs": 700, "body": "slow"}
        assert api.put(f"bin/{made['id']}/reply", json=reply).status_code == 200
    return urlsplit(made["url"]).path


# --- how long it lives ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [request("POST", MESSAGES, event()), request("GET", "/api/v1/app")],
    ids=["answered the short way", "answered the long way"],
)
def test_a_connection_at_rest_is_closed_by_the_server(line: Line, data: bytes) -> None:
    began = time.monotonic()
    line.asked(data)
    assert line.rest() == b""
    assert time.monotonic() - began >= REST


def test_each_answer_starts_the_rest_anew(line: Line, slow: str) -> None:
    began = 0.0
    for _ in range(2):  # longer together than a connection may rest
        began = time.monotonic()
        assert line.asked(request("GET", slow)).body == b"slow"
    assert line.rest() == b""
    assert time.monotonic() - began >= 0.7 + REST


def test_a_connection_at_work_is_not_at_rest(line: Line, slow: str) -> None:
    """The timer of the first answer runs out while the pair behind it is under way."""
    assert payload_of(line.asked(request("POST", MESSAGES, event(1)))) == "x"
    line.send(request("GET", slow) + request("GET", slow))
    assert [line.answer().body for _ in range(2)] == [b"slow", b"slow"]
    assert payload_of(line.asked(request("POST", MESSAGES, event(2)))) == "xx"


@pytest.mark.parametrize("path", [MESSAGES, "/api/v1/app/nobody/msg"], ids=["taken", "refused"])
def test_a_caller_that_wants_no_more_is_left_at_once(line: Line, path: str) -> None:
    began = time.monotonic()
    answer = line.asked(request("POST", path, event(), more="connection: close\r\n"))
    assert answer.headers["connection"] == "close"
    assert line.rest() == b""
    assert time.monotonic() - began < REST


def test_a_caller_of_the_old_version_is_left_at_once(line: Line) -> None:
    answer = line.asked(request("POST", MESSAGES, event(3)).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert payload_of(answer) == "xxx"
    assert answer.headers["connection"] == "close"
    assert line.rest() == b""


def test_a_connection_rests_also_after_an_early_refusal(line: Line) -> None:
    data = request("POST", MESSAGES, event()).replace(TOKEN.encode(), b"wrong")
    head = data.index(b"\r\n\r\n") + 4
    assert line.asked(data[:head]).status == 401
    line.send(data[head:])
    line.give_up_after(REST * 2)
    assert line.rest() == b""


# --- in order ---------------------------------------------------------------------------------


def test_what_is_sent_in_one_go_is_answered_in_order(line: Line) -> None:
    line.send(b"".join(request("POST", MESSAGES, event(size)) for size in (1, 2, 3)))
    assert [payload_of(line.answer()) for _ in range(3)] == ["x", "xx", "xxx"]


def test_a_quick_answer_waits_for_the_slow_one_before_it(line: Line, slow: str) -> None:
    line.send(request("GET", slow) + request("POST", MESSAGES, event(1)))
    line.send(request("GET", "/api/v1/app"))
    assert line.answer().body == b"slow"
    assert payload_of(line.answer()) == "x"
    assert "data" in json.loads(line.answer().body)


def test_a_refusal_in_between_leaves_the_others_alone(line: Line) -> None:
    wrong = request("POST", MESSAGES, b'{"eventType": 1}')
    line.send(request("POST", MESSAGES, event(1)) + wrong + request("POST", MESSAGES, event(2)))
    assert payload_of(line.answer()) == "x"
    assert line.answer().status == 422
    assert payload_of(line.answer()) == "xx"


# --- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [60_000, 65_536, 200_000, 1_000_000])
def test_a_large_body_is_taken_whole(line: Line, size: int) -> None:
    for _ in range(2):
        assert payload_of(line.asked(request("POST", MESSAGES, event(size)))) == "x" * size


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
@pytest.mark.parametrize("place", ["in the head", "at its end", "in the body", "before the end"])
def test_a_request_may_come_in_two_pieces(line: Line, place: str, size: int) -> None:
    data = request("POST", MESSAGES, event(size))
    head = data.index(b"\r\n\r\n") + 4
    cut = {
        "in the head": 20,
        "at its end": head,
        "in the body": head + 5,
        "before the end": len(data) - 1,
    }[place]
    line.send(data[:cut])
    line.until_read()
    line.send(data[cut:])
    assert payload_of(line.answer()) == "x" * size
    assert payload_of(line.asked(request("POST", MESSAGES, event(1)))) == "x"


def test_a_body_in_chunks_is_taken(line: Line) -> None:
    body = event(100_000)
    pieces = [body[at : at + 30_000] for at in range(0, len(body), 30_000)]
    head = request("POST", MESSAGES, more="transfer-encoding: chunked\r\n")
    line.send(head.replace(b"content-length: 0\r\n", b""))
    for piece in pieces:
        line.until_read()
        line.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    line.send(b"0\r\n\r\n")
    assert payload_of(line.answer()) == "x" * 100_000


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
def test_a_caller_that_asks_before_it_sends_is_told_to(line: Line, size: int) -> None:
    assert payload_of(line.asked(request("POST", MESSAGES, event(1)))) == "x"
    data = request("POST", MESSAGES, event(size), more="expect: 100-continue\r\n")
    head = data.index(b"\r\n\r\n") + 4
    assert line.asked(data[:head]).status == 100
    line.send(data[head:-1])
    line.until_read()
    line.send(data[-1:])
    assert payload_of(line.answer()) == "x" * size
    assert payload_of(line.asked(request("POST", MESSAGES, event(2)))) == "xx"


def test_a_caller_that_asks_but_sends_at_once_is_answered_all_the_same(line: Line) -> None:
    line.send(request("POST", MESSAGES, event(4), more="expect: 100-continue\r\n"))
    answer = line.answer()
    assert payload_of(line.answer() if answer.status == 100 else answer) == "xxxx"


# --- after a POST -----------------------------------------------------------------------------


def test_other_methods_work_after_a_post(line: Line) -> None:
    made = line.asked(request("POST", MESSAGES, event(5)))
    one = f"{MESSAGES}/{json.loads(made.body)['id']}"
    head = line.asked(request("HEAD", one), to_head=True)
    assert (head.status, head.body) == (200, b"")
    read = line.asked(request("GET", one))
    assert read.body == made.body
    assert head.headers["content-length"] == str(len(read.body))
    assert line.asked(request("DELETE", f"{one}/content")).status == 204
    assert line.asked(request("OPTIONS", one)).status == 204
    assert payload_of(line.asked(request("POST", MESSAGES, event(6)))) == "x" * 6


def test_the_head_of_a_stream_is_all_that_is_sent(line: Line, port: int) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", headers=headers) as api:
        made = api.post("bin", json={}).json()["id"]
    head = line.asked(request("HEAD", f"/api/v1/bin/{made}/tail"), to_head=True)
    assert head.headers["content-type"].startswith("text/event-stream")
    line.give_up_after(REST * 2)
    assert line.asked(request("GET", "/api/v1/app")).status == 200


async def test_a_stream_ends_with_its_caller_whatever_waits_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_bins, "_HEARTBEAT_SECONDS", 0.02)
    async with Stafett(settings_in(tmp_path)) as stafett:
        made, _ = await stafett.bins.create("followed")
        config = uvicorn.Config(
            stafett.asgi(),
            http=RestingProtocol,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = Server(config)  # the product's own: it leaves the signals of this process alone
        with socket.create_server(("127.0.0.1", 0)) as listener:
            under_way = asyncio.create_task(server.serve(sockets=[listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            tail = request("GET", f"/api/v1/bin/{made.id}/tail")
            writer.write(tail + request("GET", "/api/v1/app"))
            await reader.readuntil(b"following")
            writer.transport.abort()
            _, left = await asyncio.wait(set(server.server_state.tasks), timeout=2)
            stafett.begin_stop()
            server.should_exit = True
            await under_way
    assert left == set()


def test_what_uvicorn_is_told_to_add_is_on_every_answer(tmp_path: Path) -> None:
    added = ("strict-transport-security", "max-age=31536000")
    with (
        serving(settings_in(tmp_path), headers=[added]) as running,
        httpx.Client(headers={"authorization": f"Bearer {TOKEN}"}) as client,
    ):
        for method, path in (("GET", "/api/v1/app"), ("POST", MESSAGES)):
            answer = client.request(method, running.url + path, content=event())
            assert answer.headers[added[0]] == added[1], method
            assert "date" in answer.headers, method


def test_an_answer_the_short_way_says_what_any_other_does(line: Line) -> None:
    short = line.asked(request("POST", MESSAGES, event()))
    long = line.asked(request("POST", MESSAGES, event(), more="origin: https://a.example\r\n"))
    assert short.headers["content-type"] == "application/json"
    assert short.headers["x-content-type-options"] == "nosniff"
    allowed = long.headers.pop("access-control-allow-origin")
    assert allowed == "*"
    assert short.headers == long.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", MESSAGES, 202),
        ("POST", "/api/v1/app/nobody/msg", 404),
        ("GET", "/api/v1/app", 200),
        ("GET", "/api/v1/app/nobody", 404),
        ("OPTIONS", "/api/v1/app", 204),
    ],
)
def test_a_page_elsewhere_may_read_the_answer(
    line: Line, method: str, path: str, status: int
) -> None:
    allow = "access-control-allow-origin"
    plain = line.asked(request(method, path, event()))
    asked = line.asked(request(method, path, event(), more="origin: https://a.example\r\n"))
    assert plain.status == asked.status == status
    assert allow not in plain.headers
    assert asked.headers[allow] == "*"
