"""A real server process that can be killed, a receiver that notes what it saw, and load."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TOKEN = "a-token-that-the-fault-tests-know-0123456789"
WITHIN = 60.0
"""Seconds that anything may take on a slow machine before a test gives up."""
_HEAD = re.compile(rb"(?i)content-length: *(\d+)")


async def until(ready: Callable[[], bool], *, seconds: float = WITHIN) -> None:
    """Return when `ready`, looked at as often as the loop turns and something happens."""
    async with asyncio.timeout(seconds):
        while not ready():
            await asyncio.sleep(0.01)


# --- the receiving end ------------------------------------------------------------------------


@dataclass
class Seen:
    """One request that the receiver got whole."""

    message_id: str
    body: bytes
    path: str


class Receiver:
    """Answers 204 to everything, or nothing at all below `/hang`, and keeps what came."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 21)

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def bodies(self) -> dict[str, list[bytes]]:
        """What came, by message."""
        found: dict[str, list[bytes]] = {}
        for each in self.seen:
            found.setdefault(each.message_id, []).append(each.body)
        return found

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self.connections:
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = _HEAD.search(head)
                body = await reader.readexactly(int(size[1]) if size else 0)
                found = re.search(rb"(?i)webhook-id: *(\S+)", head)
                path = head.split(b" ", 2)[1].decode()
                self.seen.append(Seen(found[1].decode() if found else "", body, path))
                if path.startswith("/hang"):
                    await reader.read()
                    return
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            self.connections.discard(task)
            writer.close()


# --- the server -------------------------------------------------------------------------------


@dataclass
class Answer:
    """What an API call brought."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Server:
    """One folder, and the server process that is running on it, if any."""

    data: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])
    process: asyncio.subprocess.Process | None = None
    port: int = 0

    async def start(self) -> None:
        """Return when it answers."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("STAFETT_")}
        known = {"STAFETT_BOOTSTRAP_TOKEN": TOKEN, "STAFETT_ALLOW_NETWORKS": "127.0.0.0/8"}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stafett", "serve", "--port", "0", "--data", str(self.data)),
            env=kept | known | self.settings,
            cwd=self.data.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN):
            line = (await self.process.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found is not None, line
        self.port = int(found[1])

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        async with asyncio.timeout(WITHIN):
            # Its output is read to the end: a full pipe would hold it back.
            await self.process.communicate()
        code = self.process.returncode
        self.process = None
        assert code is not None
        return code

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await self.end(signal.SIGKILL)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own. Raises ConnectionError when it breaks."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request(method, path, body, **headers))
            return await answer(reader)
        finally:
            writer.close()

    async def webhook(self, url: str, **more: Any) -> str:
        """A webhook for everything; its id."""
        made = await self.call("POST", "/api/v1/app/default/endpoint", {"url": url, **more})
        assert made.status == 201, made
        return made.body["id"]


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """The bytes of an API call."""
    content = b"" if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {TOKEN}",
        f"content-length: {len(content)}",
        *(f"{name}: {text}" for name, text in named.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer. Raises ConnectionError when the connection ends before it does."""
    try:
        async with asyncio.timeout(WITHIN):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.strip().split("\r\n")
            headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
            text = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError as error:
        raise ConnectionError from error
    return Answer(int(status_line.split()[1]), headers, json.loads(text) if text else None)


class Load:
    """Clients that post one message after another, each with a body of its own, until told."""

    def __init__(self, server: Server, *, clients: int = 16, name: str = "load") -> None:
        self._server = server
        self._name = name
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []
        self.accepted: dict[str, bytes] = {}
        """Payloads by the id that a 202 told."""
        self.posted: set[bytes] = set()
        """Payloads that left, answered or not."""
        self.refused: list[Answer] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._client(n)) for n in range(self._clients)]

    async def stop(self) -> None:
        for each in self._tasks:
            each.cancel()
        await self.ended()

    async def ended(self) -> None:
        """Return when every client has ended: told to, or its connection broke."""
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in results:
            if isinstance(each, Exception) and not isinstance(each, ConnectionError):
                raise each

    async def _client(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            turn = 0
            while True:
                turn += 1
                payload = {"who": f"{self._name}-{number}-{turn}", "pad": "x" * 200}
                text = json.dumps(payload).encode()
                body = {"eventType": "payment_received", "payload": payload}
                self.posted.add(text)
                writer.write(request("POST", "/api/v1/app/default/msg", body))
                got = await answer(reader)
                if got.status == 202:
                    self.accepted[got.body["id"]] = text
                else:
                    self.refused.append(got)
                    await asyncio.sleep(0.05)
        finally:
            writer.close()


@dataclass(frozen=True)
class Count:
    """The balance of a run."""

    accepted: int
    delivered: int
    duplicated: int
    lost: int


def balance(accepted: dict[str, bytes], receiver: Receiver) -> Count:
    """What became of what was accepted. Fails where other bytes arrived than were accepted."""
    bodies = receiver.bodies()
    wrong = [key for key, body in accepted.items() if any(b != body for b in bodies.get(key, []))]
    assert wrong == []
    return Count(
        accepted=len(accepted),
        delivered=sum(1 for key in accepted if key in bodies),
        duplicated=sum(len(each) - 1 for each in bodies.values()),
        lost=sum(1 for key in accepted if key not in bodies),
    )


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path / "data")
    yield made
    await made.close()
