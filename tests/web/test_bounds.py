"""What a caller can take of the server before it says who it is, over raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvloop

from stafett.web import bounds, uploads
from stafett.web.bounds import MAX_HEAD, BoundedProtocol
from web.conftest import TOKEN, WAIT
from web.test_deliveries_over_http import serving, settings_in
from web.test_keep_alive import MESSAGES, PLAIN, Line, event, payload_of, request

PATIENCE = 1.0
_PIECE = b"a: b\r\n" * 4_096
_OPEN = b"GET /health HTTP/1.1\r\nhost: h\r\n"
_CHUNKED = b"POST /in/none HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a server listens that is patient for a second."""
    before, BoundedProtocol.patience = BoundedProtocol.patience, PATIENCE
    try:
        with serving(
            settings_in(tmp_path_factory.mktemp("data")), loop_factory=request.param, **PLAIN
        ) as running:
            found = urlsplit(running.url).port
            assert found is not None
            yield found
    finally:
        BoundedProtocol.patience = before


@pytest.fixture
def line(port: int) -> Iterator[Line]:
    with Line(port) as opened:
        yield opened


def sent_until_closed(line: Line, piece: bytes, *, most: int) -> int:
    """How many bytes of `piece`, again and again, the server takes before it closes."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < most:
            line.send(piece)
            sent += len(piece)
    return sent


# --- how much ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (_OPEN, _PIECE),
        (_OPEN + b"a: ", b"b" * 16_384),
        (b"GET /", b"a" * 16_384),
        (b"", b"\r\n" * 8_192),
        (_CHUNKED + b"0\r\n", _PIECE),
        (_CHUNKED + b"0\r\na: ", b"b" * 16_384),
        (_CHUNKED + b"1;", b"e" * 16_384),
        (request("GET", "/health"), b"\r\n" * 8_192),
    ],
    ids=["headers", "a value", "a path", "line ends", "trailers", "one", "an extension", "behind"],
)
def test_nobody_sends_a_head_without_end(line: Line, start: bytes, piece: bytes) -> None:
    line.send(start)
    most = 32 * 1024 * 1024  # beyond what lies in the sockets
    assert sent_until_closed(line, piece, most=most) < most


def test_a_head_that_is_too_large_is_told_so(line: Line) -> None:
    line.send(_OPEN)
    line.until_read()
    line.send(b"a: ".ljust(MAX_HEAD + 1, b"b"))  # not a byte more, or the answer may be lost
    answer = line.answer()
    assert (answer.status, answer.headers["connection"]) == (431, "close")


def test_a_thousand_headers_are_enough(line: Line) -> None:
    line.send(_OPEN + b"a: b\r\n" * 1_001 + b"\r\n")
    assert line.answer().status == 431


def test_what_is_no_request_is_told_so_in_json_and_not_logged(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    line.send(b"FOO /in/x HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = line.answer()
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert json.loads(answer.body)["code"] == "bad_request"
    assert "Invalid HTTP request" not in caplog.text


@pytest.mark.parametrize(("size", "status"), [(16_384, 200), (16_385, 431)])
def test_one_header_may_be_so_large(line: Line, size: int, status: int) -> None:
    line.send(_OPEN + b"cookie: " + b"a" * size + b"\r\n\r\n")
    assert line.answer().status == status


def test_a_large_body_is_no_large_head(line: Line) -> None:
    data = request("POST", MESSAGES, event(900_000))
    for _ in range(2):
        assert payload_of(line.asked(data)) == "x" * 900_000


def test_a_body_in_chunks_of_one_byte_is_taken(line: Line) -> None:
    body = event(100_000)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = request("POST", MESSAGES, more="transfer-encoding: chunked\r\n")
    assert payload_of(line.asked(head.replace(b"content-length: 0\r\n", b"") + chunks))


def test_a_trailer_is_no_header(line: Line) -> None:
    head = b"POST /api/v1/app HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    trailer = f"authorization: Bearer {TOKEN}\r\n\r\n".encode()
    assert line.asked(head + b"2\r\n{}\r\n0\r\n" + trailer).status == 401
    assert line.asked(request("GET", "/api/v1/app")).status == 200


def test_a_wish_for_another_protocol_is_not_logged(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    more = "connection: upgrade\r\nupgrade: websocket\r\n"
    with caplog.at_level(logging.WARNING):
        assert line.asked(request("GET", "/health", more=more)).status == 200
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


# --- how long ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [b"", b"GET /health HT", _OPEN, request("GET", "/health") + b"GET"],
    ids=["nothing", "half a line", "half a head", "half of a second one"],
)
def test_who_does_not_go_on_is_left(port: int, start: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as caller:
        caller.sendall(start)
        assert seconds_until_closed(caller) > PATIENCE * 0.9


def seconds_until_closed(caller: socket.socket, *, drip: bytes = b"") -> float:
    """While the caller sends `drip` several times in the patience of the server."""
    began = time.monotonic()
    while True:
        assert time.monotonic() - began < WAIT
        readable, _, _ = select.select([caller], [], [], PATIENCE / 10)
        try:
            if readable and not caller.recv(65_536):
                break
            caller.sendall(drip)
        except ConnectionError:
            break
    return time.monotonic() - began


def test_who_goes_on_slowly_with_a_head_is_left_too(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as caller:
        caller.sendall(_OPEN)
        assert seconds_until_closed(caller, drip=b"a") > PATIENCE * 0.9


def test_who_goes_on_slowly_with_a_body_that_nobody_wants_is_left_too(port: int) -> None:
    data = request("POST", MESSAGES, event(1_000)).replace(TOKEN.encode(), b"wrong")
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as caller:
        caller.sendall(data[: data.index(b"\r\n\r\n") + 4])
        assert seconds_until_closed(caller, drip=b"a") > PATIENCE * 0.9


def test_who_takes_nothing_of_an_answer_is_left(port: int) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", headers=headers) as api:
        for _ in range(12):
            assert api.post("app/default/msg", content=event(900_000)).status_code == 202
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        caller.connect(("127.0.0.1", port))
        caller.sendall(request("GET", f"{MESSAGES}?limit=12"))
        deadline = time.monotonic() + WAIT
        while not is_reset(caller):
            assert time.monotonic() < deadline


def is_reset(caller: socket.socket) -> bool:
    """Whether the other side has closed in the middle, without anything being read."""
    try:
        caller.sendall(b"\r\n")
    except OSError:
        return True
    return False


def test_an_answer_that_takes_its_time_is_waited_for(port: int, line: Line) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", headers=headers) as api:
        made: dict[str, Any] = api.post("bin", json={}).json()
        reply = {"delayMs": int(PATIENCE * 2_500), "body": "late"}
        assert api.put(f"bin/{made['id']}/reply", json=reply).status_code == 200
    assert line.asked(request("GET", urlsplit(made["url"]).path)).body == b"late"


def test_a_body_has_to_come_in_time(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_SECONDS", 0)
    monkeypatch.setattr(uploads, "_SPEED", 1 << 30)
    data = request("POST", MESSAGES, event(1_000))
    line.send(data[:-10])
    answer = line.answer()
    assert (answer.status, b"did not come within 0 seconds" in answer.body) == (400, True)


# --- how many ---------------------------------------------------------------------------------


@contextlib.contextmanager
def at_most(count: int) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "most_connections", lambda: count)
        yield


def test_one_caller_too_many_is_left_and_the_others_are_served(
    port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "patience", WAIT)
    monkeypatch.setattr(BoundedProtocol, "_told_at", float("-inf"))
    with Line(port) as line:
        assert line.asked(request("GET", "/health")).status == 200
        with at_most(0), Line(port) as surplus, contextlib.suppress(ConnectionError):
            assert surplus.rest() == b""
        assert line.asked(request("GET", "/health")).status == 200
    assert "event=connection.refused open=" in caplog.text


@pytest.mark.parametrize(
    ("descriptors", "callers"), [(300, 150), (4_096, 2_048), (5_000, 2_952), (20_000, 10_000)]
)
def test_some_descriptors_are_kept_free_of_callers(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, callers: int
) -> None:
    def getrlimit(_: int) -> tuple[int, int]:
        return descriptors, descriptors

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    assert bounds.most_connections() == callers


def test_a_server_opens_as_many_files_as_it_may() -> None:
    """In a process of its own, whose limits are lowered first."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200));"
        "from stafett.web import bounds; bounds.raise_descriptors();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=WAIT
    )
    assert done.stdout.strip() == "(200, 200)"
