"""A real server process that can be killed, a receiver that notes what it saw, load, and an audit.

The oracles: what a 202 promised, what the receiver saw, and what the API tells after the fault. The
three must agree; `audit` says in what.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TOKEN = "a-token-that-the-fault-tests-know-0123456789"
WITHIN = 60.0
"""Seconds that anything may take on a slow machine before a test gives up."""
CLIENTS = 16
POST_PATH = "/api/v1/app/default/msg"
_LOOK_EVERY = 0.01
_QUESTIONS_AT_ONCE = 8
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_MESSAGE_ID = re.compile(rb"(?i)\r\nwebhook-id: *(\S+)")
_ATTEMPT_ID = re.compile(rb"(?i)\r\nstafett-attempt: *(\S+)")
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_SETTLED = "/settled"


async def until(
    ready: Callable[[], bool | Awaitable[bool]],
    *,
    tell: Callable[[], object] = str,
    seconds: float = WITHIN,
) -> None:
    """Return when `ready`; fail with what `tell` says when it takes longer than `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        found = ready()
        if await found if inspect.isawaitable(found) else found:
            return
        if loop.time() > deadline:
            pytest.fail(f"not within {seconds:g} s; {tell()}")
        await asyncio.sleep(_LOOK_EVERY)


# --- the receiving end ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request that the receiver got whole."""

    message_id: str
    attempt_id: str
    body: bytes
    path: str
    run: int
    """Of the server: how often it had ended before this was sent."""


class Receiver:
    """Answers 204 to everything, or nothing at all below `/hang`, and keeps what came."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.bodies: dict[str, set[bytes]] = {}
        """What came, by message."""
        self._run = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Seen]:
        """What came to this path and below it."""
        return [each for each in self.seen if each.path.startswith(path)]

    async def settle(self) -> None:
        """Read what a server that has ended still sent; what comes from now on is another run's."""
        # Connections are taken in the order they were made: when this one has been answered, none
        # of the dead server's waits to be taken.
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {_SETTLED} HTTP/1.1\r\n\r\n".encode())
        await reader.readexactly(len(_NO_CONTENT))
        writer.close()
        await until(lambda: not self._connections, tell=lambda: "a connection stays open")
        self._run += 1

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                await self._take(reader)
                writer.write(_NO_CONTENT)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        """Note one request; return when it may be answered."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        if path == _SETTLED:
            return
        size, message_id, attempt_id = (
            each.search(head) for each in (_LENGTH, _MESSAGE_ID, _ATTEMPT_ID)
        )
        assert size is not None, head
        body = await reader.readexactly(int(size[1]))
        assert message_id is not None, head
        assert attempt_id is not None, head
        seen = Seen(
            message_id=message_id[1].decode(),
            attempt_id=attempt_id[1].decode(),
            body=body,
            path=path,
            run=self._run,
        )
        self.seen.append(seen)
        self.bodies.setdefault(seen.message_id, set()).add(body)
        if path.startswith("/hang"):
            await reader.read()
            raise ConnectionError  # the sender gave up


# --- the server -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What an API call brought."""

    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass
class Connection:
    """One connection to the API, for one call after another."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def call(self, method: str, path: str, content: bytes = b"", **headers: str) -> Answer:
        """Raises ConnectionError when the server ends before it has answered."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        lines = [
            f"{method} {path} HTTP/1.1",
            "host: 127.0.0.1",
            f"authorization: Bearer {TOKEN}",
            f"content-length: {len(content)}",
            *(f"{name}: {text}" for name, text in named.items()),
        ]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        try:
            async with asyncio.timeout(WITHIN):
                return await self._answer()
        except asyncio.IncompleteReadError as error:
            raise ConnectionError from error

    async def _answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.strip().split("\r\n")
        headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
        text = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(status_line.split()[1]), headers, text)

    def close(self) -> None:
        self.writer.close()


@dataclass
class Server:
    """One folder, and the server process that is running on it, if any."""

    data: Path
    compiled: Path
    """Where Python keeps what it compiles; it is most of a start if every start does it anew."""
    settings: dict[str, str] = field(default_factory=dict[str, str])
    words: tuple[str, ...] = ("serve",)
    """What it is to do."""
    process: asyncio.subprocess.Process | None = None
    port: int = 0
    clients: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def start(self) -> None:
        """Return when it answers."""
        log = self.data.with_suffix(".log")
        with log.open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "stafett", *self.words),
                *("--port", "0", "--data", str(self.data)),
                env=self._environment(),
                cwd=self.data.parent,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN):
            line = (await self.process.stdout.readline()).decode()
        found = re.match(r"Stafett se.* at http://127\.0\.0\.1:(\d+)", line)
        if found is None:
            pytest.fail(f"it did not start: {line}{log.read_text()[-2000:]}")
        self.port = int(found[1])

    def _environment(self) -> dict[str, str]:
        unwanted = re.compile("STAFETT_.*|PYTHONDONTWRITEBYTECODE")
        kept = {name: text for name, text in os.environ.items() if not unwanted.fullmatch(name)}
        known = {
            "STAFETT_BOOTSTRAP_TOKEN": TOKEN,
            "STAFETT_ALLOW_NETWORKS": "127.0.0.0/8",
            "PYTHONPYCACHEPREFIX": str(self.compiled),
        }
        return kept | known | self.settings

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

    def spawn(self, client: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have a client run; it is ended with the server at the latest."""
        task = asyncio.create_task(client)
        self.clients.append(task)
        return task

    async def close(self) -> None:
        """End what is left of a test, however it ended."""
        for each in self.clients:
            each.cancel()
        await asyncio.gather(*self.clients, return_exceptions=True)
        if self.process is not None and self.process.returncode is None:
            await self.end(signal.SIGKILL)

    async def connect(self) -> Connection:
        """Raises ConnectionError when nobody listens."""
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        made = await self.connect()
        try:
            yield made
        finally:
            made.close()

    # --- what the API says --------------------------------------------------------------------

    async def call(self, method: str, path: str, content: bytes = b"", **headers: str) -> Answer:
        """One request on a connection of its own."""
        async with self.connection() as connection:
            return await connection.call(method, path, content, **headers)

    async def webhook(self, url: str, *event_types: str) -> str:
        """A webhook for everything, or for these event types; its id."""
        body = {"url": url, "eventTypes": list(event_types) or None}
        made = await self.call("POST", "/api/v1/app/default/endpoint", json.dumps(body).encode())
        assert made.status == 201, made
        return made.body["id"]

    async def post(self, payload: bytes, event_type: str = "payment_received") -> str:
        """The id of a message that must be accepted."""
        made = await self.call("POST", POST_PATH, envelope(payload, event_type))
        assert made.status == 202, made
        return made.body["id"]

    async def get_all(self, paths: Iterable[str]) -> dict[str, Answer]:
        """The answer at each path, over a few connections."""
        left = iter(list(paths))
        answers: dict[str, Answer] = {}

        async def ask(left: Iterator[str]) -> None:
            async with self.connection() as connection:
                for path in left:
                    answers[path] = await connection.call("GET", path)

        async with asyncio.TaskGroup() as group:
            for _ in range(_QUESTIONS_AT_ONCE):
                group.create_task(ask(left))
        return answers

    async def listed(self, path: str) -> list[dict[str, Any]]:
        """Everything in a list, page after page."""
        found: list[dict[str, Any]] = []
        iterator = ""
        async with self.connection() as connection:
            while True:
                page = await connection.call("GET", f"{path}?limit=250&iterator={iterator}")
                assert page.status == 200, page
                found += page.body["data"]
                if page.body["done"]:
                    return found
                iterator = page.body["iterator"]

    async def message_ids(self) -> list[str]:
        """Of every message that there is."""
        return [each["id"] for each in await self.listed(POST_PATH)]

    async def attempts(self, endpoint_id: str) -> list[dict[str, Any]]:
        """Every attempt at one webhook that was recorded."""
        return await self.listed(f"/api/v1/app/default/attempt/endpoint/{endpoint_id}")

    async def waiting(self) -> int:
        """How many deliveries have not come to their end."""
        answer = await self.call("GET", "/metrics")
        assert answer.status == 200, answer
        lines = answer.text.decode().splitlines()
        counts = [each for each in lines if each.startswith("stafett_backlog{")]
        assert len(counts) == 3, lines  # pending, due and sending
        return sum(int(float(each.rpartition(" ")[2])) for each in counts)

    async def is_quiet(self) -> bool:
        """Whether every delivery has come to its end."""
        return not await self.waiting()


def envelope(payload: bytes, event_type: str = "payment_received") -> bytes:
    """The body of a post whose payload is these very bytes."""
    return b'{"eventType": "%b", "payload": %b}' % (event_type.encode(), payload)


# --- load -------------------------------------------------------------------------------------


class Load:
    """Clients that post one message after another, each with a payload of its own, until told."""

    def __init__(self, server: Server, *, clients: int = CLIENTS, name: str = "load") -> None:
        self._server = server
        self._name = name
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []
        self._told = False
        self.under_way: dict[int, bytes] = {}
        """By client: the payload that it has posted and has no answer for."""
        self.accepted: dict[str, bytes] = {}
        """Payloads by the id that a 202 told."""
        self.refused: list[Answer] = []

    def start(self) -> None:
        self._tasks = [self._server.spawn(self._client(n)) for n in range(self._clients)]

    async def stop(self) -> None:
        """Have every client end after its next answer."""
        self._told = True
        await self.ended()

    async def ended(self) -> None:
        """Return when every client has ended: told to, or its connection broke."""
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in results:
            if isinstance(each, BaseException) and not isinstance(each, ConnectionError):
                raise each

    async def _client(self, number: int) -> None:
        async with self._server.connection() as connection:
            turn = 0
            while not self._told:
                turn += 1
                await self._post(connection, number, self._payload(f"{number}-{turn}"))

    async def _post(self, connection: Connection, number: int, payload: bytes) -> None:
        self.under_way[number] = payload
        got = await connection.call("POST", POST_PATH, envelope(payload))
        del self.under_way[number]
        if got.status == 202:
            self.accepted[got.body["id"]] = payload
        else:
            self.refused.append(got)
            await asyncio.sleep(0.05)  # a client that is refused does not ask again at once

    def _payload(self, who: str) -> bytes:
        """Odd spacing and numbers, so that a test sees whether bytes are kept as they came."""
        return b'{"who": "%b-%b",  "total": 100.00, "pad": "%b"}' % (
            self._name.encode(),
            who.encode(),
            b"x" * 200,
        )


# --- the audit --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """The balance of a run."""

    accepted: int
    delivered: int
    duplicated: int
    lost: int


@dataclass
class Books:
    """What was promised, over all runs of a server."""

    accepted: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Payloads by the id that a 202 told."""
    cut_off: set[bytes] = field(default_factory=set[bytes])
    """Payloads that were posted, and whose client was never answered: stored or not."""

    def add(self, load: Load) -> None:
        """Enter a load that has ended."""
        self.accepted |= load.accepted
        self.cut_off |= set(load.under_way.values())


def balance(accepted: Iterable[str], seen: Iterable[Seen]) -> Count:
    """What became of what was accepted."""
    accepted = set(accepted)
    times = Counter(each.message_id for each in seen)
    return Count(
        accepted=len(accepted),
        delivered=len(accepted & times.keys()),
        duplicated=times.total() - len(times),
        lost=len(accepted - times.keys()),
    )


@dataclass(frozen=True)
class Audit:
    """What a fault did not break, in numbers."""

    count: Count
    unrecorded: Counter[int]
    """By run: requests that the receiver got and whose attempt the run did not record."""
    answerless: int
    """Messages that are there although nobody was told so."""


async def audit(server: Server, receiver: Receiver, books: Books, endpoint_id: str) -> Audit:
    """Wait until the one webhook has got everything; fail where a promise was broken."""

    def tell(what: str) -> str:
        return f"{what}: {balance(books.accepted, receiver.seen)}"

    await until(
        lambda: books.accepted.keys() <= receiver.bodies.keys(),
        tell=lambda: tell("not everything has arrived"),
    )
    await until(server.is_quiet, tell=lambda: tell("some deliveries have not come to an end"))
    count = balance(books.accepted, receiver.seen)
    print(count)
    await _check_messages(server, receiver, books, count)
    unrecorded = await _check_attempts(server, receiver, endpoint_id, count)
    return Audit(
        count=count,
        unrecorded=unrecorded,
        answerless=len(receiver.bodies.keys() - books.accepted.keys()),
    )


async def _check_messages(server: Server, receiver: Receiver, books: Books, count: Count) -> None:
    """Accepted, stored and received are the same messages with the same bytes; none is made up."""
    paths = {f"{POST_PATH}/{each}": payload for each, payload in books.accepted.items()}
    answers = await server.get_all(paths)
    missing = [path for path, each in answers.items() if each.status != 200]
    assert not missing, f"{count}: not found: {missing[:5]}"
    changed = [path for path, payload in paths.items() if payload not in answers[path].text]
    assert not changed, f"{count}: stored with other bytes: {changed[:5]}"

    garbled = [
        message_id
        for message_id, payload in books.accepted.items()
        if receiver.bodies[message_id] != {payload}
    ]
    assert not garbled, f"{count}: delivered with other bytes: {garbled[:5]}"

    stored = await server.message_ids()
    assert len(stored) == len(set(stored)), f"{count}: listed twice"
    assert set(stored) == receiver.bodies.keys(), f"{count}: stored is not what was received"
    # What was stored although its answer never left is real, too. It can only be what a client
    # waited for when the server ended, and each such payload became one message at most.
    answerless = [receiver.bodies[each] for each in stored if each not in books.accepted]
    payloads = [payload for each in answerless for payload in each]
    assert set(payloads) <= books.cut_off, f"{count}: received what nobody had posted"
    assert len(payloads) == len(set(payloads)) == len(answerless), (
        f"{count}: posted once, sent as two"
    )


async def _check_attempts(
    server: Server, receiver: Receiver, endpoint_id: str, count: Count
) -> Counter[int]:
    """Each delivery ended with one attempt that succeeded, and was not sent again after that."""
    attempts = await server.attempts(endpoint_id)
    assert {each["statusText"] for each in attempts} <= {"success"}, f"{count}: {attempts[0]}"
    recorded = {each["id"]: each["msgId"] for each in attempts}
    assert len(recorded) == len(attempts), f"{count}: recorded twice"
    assert sorted(recorded.values()) == sorted(receiver.bodies), f"{count}: not one for each"

    sent = {each.attempt_id: each for each in receiver.seen}
    assert len(sent) == len(receiver.seen), f"{count}: two requests of one attempt"
    assert recorded.keys() <= sent.keys(), f"{count}: recorded what was never sent"
    last_sent = {each.message_id: each.attempt_id for each in receiver.seen}
    assert set(last_sent.values()) == recorded.keys(), f"{count}: sent after it had succeeded"
    in_one_run = Counter((each.message_id, each.run) for each in receiver.seen)
    assert set(in_one_run.values()) <= {1}, f"{count}: sent twice by one run"
    return Counter(each.run for each in receiver.seen if each.attempt_id not in recorded)


# --- fixtures ---------------------------------------------------------------------------------


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def settings() -> dict[str, str]:
    """What the server is set to beside the usual; a test file has its own."""
    return {}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
async def server(tmp_path: Path, compiled: Path, settings: dict[str, str]) -> AsyncIterator[Server]:
    """Not started yet."""
    made = Server(tmp_path / "data", compiled, settings)
    yield made
    await made.close()
