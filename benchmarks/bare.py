"""The bare path: what is left of Stafett when everything it is for is taken away.

uvicorn, msgspec, one writer (synced commits, everything that waits in one transaction), HMAC, a
POST on a kept connection, one row for the attempt. No routes, ids, schemas, egress, turns, retries
or headers kept. It shows what this machine allows; started by `end_to_end.py`:

    python benchmarks/bare.py PORT RECEIVER_PORT DATABASE    a file, or postgresql://...
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import queue
import sqlite3
import sys
import threading
import time
from typing import Any

import asyncpg
import msgspec
import uvicorn
from typing_extensions import override

import ends

_SWITCH_SECONDS = 0.0005
_TABLES = (
    "CREATE TABLE messages (id TEXT PRIMARY KEY, event_type TEXT, body BLOB) WITHOUT ROWID",
    "CREATE TABLE deliveries (id TEXT PRIMARY KEY, state INT, due_at INT) WITHOUT ROWID",
    "CREATE TABLE attempts (id TEXT PRIMARY KEY, message_id TEXT, status INT) WITHOUT ROWID",
)
_ACCEPT = (
    ("INSERT INTO messages VALUES (?, ?, ?)", slice(0, 3)),
    ("INSERT INTO deliveries VALUES (?, 1, 0)", slice(0, 1)),
)
_RECORD = (
    ("INSERT INTO attempts VALUES (?, ?, ?)", slice(0, 3)),
    ("UPDATE deliveries SET state = 2 WHERE id = ?", slice(1, 2)),
)
Statements = tuple[tuple[str, slice], ...]


class Accepted(msgspec.Struct, rename="camel"):
    """What comes in."""

    event_type: str
    payload: msgspec.Raw


class Writer:
    """One thread; a row is answered after the commit that holds it."""

    def __init__(self, database: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Statements, tuple[Any, ...], Any]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._run, args=[database], daemon=True).start()

    def write(self, statements: Statements, row: tuple[Any, ...]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((statements, row, done))
        return done

    def _run(self, database: str) -> None:
        raw = sqlite3.connect(database, isolation_level=None)
        for text in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
            raw.execute(f"PRAGMA {text}")
        for text in _TABLES:
            raw.execute(text)
        while True:
            jobs = [self._queue.get()]
            while not self._queue.empty():
                jobs.append(self._queue.get())
            raw.execute("BEGIN")
            for statements in (_ACCEPT, _RECORD):
                rows = [row for kind, row, _ in jobs if kind is statements]
                for text, part in statements:
                    raw.executemany(text, [row[part] for row in rows])
            raw.execute("COMMIT")
            self._loop.call_soon_threadsafe(_answer, [done for _, _, done in jobs])


_UNNESTED = (
    (
        _ACCEPT,
        (
            (
                "INSERT INTO messages SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])",
                0,
                3,
            ),
            ("INSERT INTO deliveries SELECT id, 1, 0 FROM unnest($1::text[]) AS t(id)", 0, 1),
        ),
    ),
    (
        _RECORD,
        (
            ("INSERT INTO attempts SELECT * FROM unnest($1::text[], $2::text[], $3::int[])", 0, 3),
            ("UPDATE deliveries SET state = 2 WHERE id = ANY($1::text[])", 1, 2),
        ),
    ),
)


class PostgresWriter:
    """One connection; a row is answered after the commit that holds it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._jobs: list[tuple[Statements, tuple[Any, ...], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def write(self, statements: Statements, row: tuple[Any, ...]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.append((statements, row, done))
        self._wake.set()
        return done

    async def _run(self) -> None:
        connection = await asyncpg.connect(self._url)
        for text in _TABLES:
            plain = text.replace("BLOB", "bytea").removesuffix(" WITHOUT ROWID")
            await connection.execute(plain)
        while True:
            await self._wake.wait()
            self._wake.clear()
            jobs, self._jobs = self._jobs, []
            async with connection.transaction():
                for kind, statements in _UNNESTED:
                    rows = [row for each, row, _ in jobs if each is kind]
                    columns = [list(column) for column in zip(*rows, strict=True)]
                    for text, first, end in statements if rows else ():
                        await connection.execute(text, *columns[first:end])
            _answer([done for _, _, done in jobs])


def _answer(futures: list[asyncio.Future[None]]) -> None:
    for each in futures:
        each.set_result(None)


class Connection(asyncio.Protocol):
    """One kept connection to the receiver."""

    status: asyncio.Future[int]
    transport: Any

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self.status.set_result(int(data[9:12]))


class App:
    """Accepts and sends."""

    def __init__(self, receiver: int, database: str) -> None:
        self._receiver = receiver
        self._database = database
        self._writer: Writer | PostgresWriter | None = None
        self._idle: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._decoder = msgspec.json.Decoder(Accepted)
        self._token = hashlib.sha256(f"Bearer {ends.TOKEN}".encode()).digest()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        sent = dict(scope["headers"])[b"authorization"]
        if hashlib.sha256(sent).digest() != self._token:
            raise PermissionError
        writer = self._writer = self._writer or self._make_writer()
        message = self._decoder.decode((await receive())["body"])
        message_id = f"{time.time_ns():x}{os.urandom(6).hex()}"
        body = bytes(message.payload)
        await writer.write(_ACCEPT, (message_id, message.event_type, body))
        task = asyncio.get_running_loop().create_task(self._deliver(writer, message_id, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        answer = msgspec.json.encode({"id": message_id, "payload": message.payload})
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _make_writer(self) -> Writer | PostgresWriter:
        return (PostgresWriter if "://" in self._database else Writer)(self._database)

    async def _deliver(self, writer: Writer | PostgresWriter, message_id: str, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        stamp = int(time.time())  # noqa: TID251 - a benchmark
        signed = f"{message_id}.{stamp}.".encode() + body
        signature = base64.b64encode(hmac.digest(b"k" * 24, signed, "sha256")).decode()
        head = (
            f"POST /hook HTTP/1.1\r\nhost: receiver\r\nwebhook-id: {message_id}\r\n"
            f"webhook-timestamp: {stamp}\r\nwebhook-signature: v1,{signature}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        if self._idle:
            connection = self._idle.pop()
        else:
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self._receiver)
        connection.status = loop.create_future()
        connection.transport.write(head.encode() + body)
        status = await connection.status
        self._idle.append(connection)
        await writer.write(_RECORD, (os.urandom(8).hex(), message_id, status))


if __name__ == "__main__":
    _, port, receiver_port, path = sys.argv
    sys.setswitchinterval(_SWITCH_SECONDS)
    uvicorn.run(
        App(int(receiver_port), path),
        port=int(port),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
    )
