"""A real server on a real socket, and a receiver that records: what the tests of the API use."""

from __future__ import annotations

import asyncio
import queue
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import uvicorn
from typing_extensions import override

from postgres_server import PostgresServer
from stafett.app import Stafett
from stafett.model import Secret
from stafett.settings import Settings, parse_networks
from stafett.web.protocol import RestingProtocol

TOKEN = "sk_test_" + "0123456789abcdef" * 2
WAIT = 20.0  # seconds; longer than anything here takes


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """One request at the receiver."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Recorder:
    """A receiver: each path answers as `script` says (200 otherwise), and has its own queue."""

    port: int = 0
    script: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    """By path: the answers in turn; the last one stays."""
    hold: threading.Event = field(default_factory=threading.Event)
    """What requests to paths that begin with /slow wait for."""
    _arrived: dict[str, queue.Queue[Arrived]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> queue.Queue[Arrived]:
        with self._lock:
            return self._arrived.setdefault(path, queue.Queue())

    def next(self, path: str) -> Arrived:
        """The next request that arrives at `path`; raises queue.Empty when none does."""
        return self.at(path).get(timeout=WAIT)

    def answer(self, path: str) -> tuple[int, dict[str, str]]:
        with self._lock:
            answers = self.script.get(path, [(200, {})])
            return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture(scope="session")
def receiver() -> Iterator[Recorder]:
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if self.path.startswith("/slow"):
                recorder.hold.wait(WAIT)
            recorder.at(self.path).put(Arrived(path=self.path, headers=headers, body=body))
            status, more = recorder.answer(self.path)
            try:
                self.send_response(status)
                for name, value in {"content-length": "2", **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                if status != 204:
                    self.wfile.write(b"ok")
            except OSError:
                self.close_connection = True  # the sender gave up waiting

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        recorder.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield recorder
        recorder.hold.set()
        listening.shutdown()
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server under way."""

    url: str
    token: str


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Secret | None:
    """Where the server keeps what it has; None: a file in its data folder."""
    if request.param == "sqlite":
        return None
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"served_{secrets.token_hex(6)}"
    postgres.sql(f"CREATE DATABASE {name}")
    return Secret(postgres.url(name))


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, database_url: Secret | None
) -> Iterator[Running]:
    """A whole Stafett in a thread of its own: three attempts 50 ms apart, one second each."""
    settings = Settings(
        data=tmp_path_factory.mktemp("data"),
        database_url=database_url,
        bootstrap_token=Secret(TOKEN),
        allow_networks=parse_networks("127.0.0.0/8"),
        retry_schedule=(timedelta(milliseconds=50), timedelta(milliseconds=50)),
        attempt_timeout=timedelta(seconds=1),
    )
    ports: queue.Queue[int] = queue.Queue()
    stops: list[uvicorn.Server] = []

    async def serve() -> None:
        config = uvicorn.Config(
            Stafett(settings).asgi(),
            host="127.0.0.1",
            port=0,
            http=RestingProtocol,
            log_config=None,
            lifespan="on",
        )
        serving = uvicorn.Server(config)
        stops.append(serving)
        task = asyncio.create_task(serving.serve())
        while not serving.started:  # uvicorn tells it in no other way
            if task.done():
                await task
            await asyncio.sleep(0.01)
        ports.put(serving.servers[0].sockets[0].getsockname()[1])
        await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    port = ports.get(timeout=WAIT)
    yield Running(url=f"http://127.0.0.1:{port}", token=TOKEN)
    stops[0].should_exit = True
    thread.join(WAIT)


@pytest.fixture(scope="session")
def api(server: Running) -> Iterator[httpx.Client]:
    """A client with the owner's token; paths are below /api/v1."""
    headers = {"authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url + "/api/v1/", headers=headers, timeout=WAIT) as client:
        yield client


def settled(api: httpx.Client, app: str, message: str, attempts: int = 1) -> dict[str, Any]:
    """The one destination of a message, once it had so many attempts and nothing is under way."""
    ticks = threading.Event()
    found: dict[str, Any] = {}
    for _ in range(int(WAIT / 0.02)):
        answer = api.get(f"app/{app}/msg/{message}/endpoint")
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()["data"]
        if found["attemptCount"] >= attempts and found["status"] not in {1, 3}:
            return found
        ticks.wait(0.02)  # another thread's work, seen only over HTTP
    raise AssertionError(found)


_numbers = iter(range(1_000_000))


@pytest.fixture
def app(api: httpx.Client) -> str:
    """A fresh application's id."""
    answer = api.post("app", json={"name": "A", "uid": f"app-{next(_numbers)}"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def refs(node: Any) -> Iterator[str]:
    """Every `$ref` in an OpenAPI document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from refs(each)
    elif isinstance(node, list):
        for each in node:
            yield from refs(each)
