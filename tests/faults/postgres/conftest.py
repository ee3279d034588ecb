"""Several nodes on one PostgreSQL, senders that go from one to another, and an audit over them all.

The oracles are those of `faults.conftest`: what a 202 promised, what the receiver saw, and what the
API tells after the fault.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faults.conftest import (
    POST_PATH,
    WITHIN,
    Answer,
    Books,
    Connection,
    Count,
    Receiver,
    Server,
    _check_messages,
    balance,
    envelope,
    until,
)
from postgres_server import PostgresServer

ROUNDS = int(os.environ.get("STAFETT_TEST_ROUNDS", "5"))
"""How often each fault is made."""
REAL_LEASES = os.environ.get("STAFETT_TEST_REAL_LEASES") == "1"
"""Wait until leases end by themselves. No lease is shorter than 80 s, as a webhook may have a
timeout of a minute of its own; so otherwise the test moves their ends in the database.
"""
SETTINGS = {"STAFETT_ATTEMPT_TIMEOUT": "2s", "STAFETT_RETRY_SCHEDULE": "0.2s,0.2s,0.2s"}
CLIENTS = 8
_PAUSE = 0.05
_UNDER_WAY = re.compile(r"^stafett_in_flight (\S+)$", re.MULTILINE)


# --- the installation -------------------------------------------------------------------------


@dataclass
class Database:
    """One database of a server, as the tests look at it and meddle with it."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    async def sql(self, statement: str) -> str:
        return await asyncio.to_thread(self.server.sql, statement, self.name)

    async def claims(self) -> int:
        """Deliveries that some node has claimed, or had when it ended."""
        return int(await self.sql("SELECT count(*) FROM queue WHERE claim_id IS NOT NULL"))

    async def end_leases(self) -> int:
        """Everything claimed is due, as if the time of its lease had passed; how many there were.

        Call it when no living node has anything in hand.
        """
        held = await self.claims()
        if REAL_LEASES:
            nothing_ahead = (
                "SELECT count(*) FROM queue WHERE claim_id IS NOT NULL"
                " AND due_at > extract(epoch FROM clock_timestamp()) * 1000000"
            )

            async def are_over() -> bool:
                return await self.sql(nothing_ahead) == "0"

            await until(are_over, seconds=100)
            return held
        await self.sql("UPDATE queue SET due_at = 1 WHERE claim_id IS NOT NULL")
        return held


class Nodes:
    """Processes that share one database."""

    def __init__(self, folder: Path, compiled: Path, url: str) -> None:
        self._folder = folder
        self._compiled = compiled
        self._url = url
        self.made: list[Server] = []

    async def start(self, *words: str, url: str | None = None) -> Server:
        """One more, that answers; `words` are the verb, else `serve`."""
        settings = {**SETTINGS, "STAFETT_DATABASE_URL": url or self._url}
        folder = self._folder / f"node-{len(self.made)}"
        node = Server(folder, self._compiled, settings, words or ("serve",))
        self.made.append(node)
        await node.start()
        return node

    async def close(self) -> None:
        for each in self.made:
            await each.close()


async def under_way(node: Server) -> int:
    """Requests to receivers that it has begun."""
    if "--no-dispatch" in node.words:
        return 0
    answer = await node.call("GET", "/metrics")
    found = _UNDER_WAY.search(answer.text.decode())
    assert found is not None, answer
    return int(float(found[1]))


async def are_idle(database: Database, *living: Server) -> None:
    """Return when these nodes have nothing in hand: all claims that are left are those of others.

    Nobody may be posting.
    """
    before = -1
    busy: list[int] = []

    async def nothing_moves() -> bool:
        nonlocal before, busy
        pending = int(await database.sql("SELECT count(*) FROM queue WHERE claim_id IS NULL"))
        claims = await database.claims()
        same, before = claims == before, claims
        busy = [await under_way(each) for each in living]
        await asyncio.sleep(0.1)  # between two looks
        return same and not pending and not any(busy)

    await until(nothing_moves, tell=lambda: f"{before} claims are left; busy: {busy}")


# --- load -------------------------------------------------------------------------------------


@dataclass
class Senders:
    """Clients that post one message after another to any node that answers.

    Every other client repeats what was not answered, or with 503, under its idempotency key until
    it is accepted. The others leave it at one try: whether that one was stored nobody knows.
    """

    nodes: Sequence[Server]
    name: str = "load"
    clients: int = CLIENTS
    accepted: dict[str, bytes] = field(default_factory=dict[str, bytes])
    unsure: set[bytes] = field(default_factory=set[bytes])
    refused: Counter[int] = field(default_factory=Counter[int])
    broken: int = 0
    repeated: int = 0
    """Keys that were posted more than once."""
    without_retry_after: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    _told: bool = False

    def start(self) -> None:
        self._tasks = [self.nodes[0].spawn(self._client(n)) for n in range(self.clients)]

    async def some(self, count: int) -> None:
        """Return when so many more were accepted."""
        wanted = len(self.accepted) + count
        await until(self._enough(wanted), tell=lambda: f"{len(self.accepted)} of {wanted}")

    def _enough(self, wanted: int) -> Callable[[], bool]:
        def enough() -> bool:
            for each in self._tasks:
                if each.done():
                    each.result()
            return len(self.accepted) >= wanted

        return enough

    async def stop(self) -> None:
        """Have every client end after its next answer."""
        self._told = True
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*self._tasks)

    async def _client(self, number: int) -> None:
        turn = 0
        client = _Client(self, number)
        try:
            while not self._told:
                turn += 1
                await self._post(client, f"{self.name}-{number}-{turn}", keyed=number % 2 == 0)
        finally:
            client.leave()

    async def _post(self, client: _Client, who: str, *, keyed: bool) -> None:
        payload = b'{"who": "%b",  "total": 100.00, "pad": "%b"}' % (who.encode(), b"x" * 200)
        tries = 0
        while True:
            tries += 1
            answer = await client.try_once(payload, key=who if keyed else None)
            if answer is not None and answer.status == 202:
                self.accepted[answer.body["id"]] = payload
                self.repeated += tries > 1
                return
            self._note(answer)
            await asyncio.sleep(_PAUSE)  # a client that is refused does not ask again at once
            if not keyed:
                self.unsure.add(payload)
                return

    def _note(self, answer: Answer | None) -> None:
        if answer is None:
            self.broken += 1
            return
        assert answer.status == 503, answer
        self.refused[answer.status] += 1
        self.without_retry_after += "retry-after" not in answer.headers


class _Client:
    """One connection to one node; to the next one when that breaks."""

    def __init__(self, senders: Senders, number: int) -> None:
        self._nodes = senders.nodes
        self._turn = number
        self._connection: Connection | None = None

    async def try_once(self, payload: bytes, *, key: str | None) -> Answer | None:
        """None: nobody answered."""
        headers = {} if key is None else {"idempotency_key": key}
        try:
            if self._connection is None:
                self._connection = await self._nodes[self._turn % len(self._nodes)].connect()
            return await self._connection.call("POST", POST_PATH, envelope(payload), **headers)
        except (ConnectionError, TimeoutError):
            self.leave()
            self._turn += 1
            return None

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


# --- the audit --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Audit:
    """What a fault did not break, in numbers."""

    count: Count
    unrecorded: int
    """Requests that the receiver got and whose attempt nobody recorded."""
    answerless: int
    """Messages that are there although nobody was told so."""


async def audit(node: Server, receiver: Receiver, endpoint_id: str, *loads: Senders) -> Audit:
    """Wait until the one webhook has got everything; fail where a promise was broken."""
    books = Books()
    for load in loads:
        books.accepted |= load.accepted
        books.cut_off |= load.unsure

    def tell() -> str:
        return f"not everything has arrived: {balance(books.accepted, receiver.seen)}"

    await until(lambda: books.accepted.keys() <= receiver.bodies.keys(), tell=tell)
    await until(node.is_quiet, tell=tell)
    count = balance(books.accepted, receiver.seen)
    await _check_messages(node, receiver, books, count)
    unrecorded = await _check_attempts(node, receiver, endpoint_id, count)
    return Audit(
        count=count,
        unrecorded=unrecorded,
        answerless=len(receiver.bodies.keys() - books.accepted.keys()),
    )


async def _check_attempts(node: Server, receiver: Receiver, endpoint_id: str, count: Count) -> int:
    """Each delivery ended with one attempt that succeeded, and that attempt was really made."""
    attempts = await node.attempts(endpoint_id)
    assert {each["statusText"] for each in attempts} <= {"success"}, f"{count}: {attempts[0]}"
    recorded = {each["id"]: each["msgId"] for each in attempts}
    assert len(recorded) == len(attempts), f"{count}: recorded twice"
    assert sorted(recorded.values()) == sorted(receiver.bodies), f"{count}: not one for each"
    sent = {each.attempt_id for each in receiver.seen}
    assert len(sent) == len(receiver.seen), f"{count}: two requests of one attempt"
    assert recorded.keys() <= sent, f"{count}: recorded what was never sent"
    return len(sent - recorded.keys())


def moment(chance: random.Random, longest: float) -> float:
    """A random moment: it is the point of a fault that it comes at any."""
    return chance.uniform(0, longest)


# --- fixtures ---------------------------------------------------------------------------------


@pytest.fixture
def database(postgres_server: PostgresServer, postgres_url: str) -> Database:
    return Database(postgres_server, postgres_url.rpartition("/")[2])


@pytest.fixture
def safe_server() -> Iterator[PostgresServer]:
    """One of the test's own, which syncs as in production."""
    with tempfile.TemporaryDirectory(prefix="stafett-postgresql-") as folder:
        made = PostgresServer(Path(folder) / "server", safe=True)
        made.start()
        yield made
        made.stop(at_once=True)


@pytest.fixture
async def nodes(tmp_path: Path, compiled: Path, database: Database) -> AsyncIterator[Nodes]:
    made = Nodes(tmp_path, compiled, database.url)
    yield made
    await made.close()
