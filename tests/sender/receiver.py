"""A receiver on loopback that records what it gets and can misbehave."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from stafett import egress, settings
from stafett.engine import sending
from stafett.model import Headers

Behaviour = Callable[["Visit"], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOOPBACK = egress.Policy(allow_networks=settings.parse_networks("127.0.0.0/8,::1/128"))


class Visit:
    """One connection at the receiver, in the hands of its behaviour."""

    def __init__(
        self, receiver: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.receiver = receiver
        self.reader = reader
        self.writer = writer
        self.dripped = 0

    async def request(self) -> bytes:
        """The next request, recorded; raises IncompleteReadError when there is none."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        request = head + await self.reader.readexactly(length)
        self.receiver.requests.append(request)
        self.receiver.arrived.set()
        return request

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End with a RST rather than a goodbye."""
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Say nothing until the other side goes; what still comes is read and dropped."""
        while await self.reader.read(65_536):
            pass


class Receiver:
    """What arrived, and how to reach it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connection_count = 0
        self.port = 0
        self.scheme = "http"
        self.visited = asyncio.Event()
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        """Set whenever a connection has ended."""

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


async def answer_ok(visit: Visit) -> None:
    """Answer every request, keep the connection."""
    while True:
        await visit.request()
        await visit.say(OK)


def answering(*replies: bytes, then_close: bool = False) -> Behaviour:
    """Answer one request after another with these bytes, whatever they are."""

    async def behave(visit: Visit) -> None:
        for data in replies:
            await visit.request()
            await visit.say(data)
        if not then_close:
            await visit.hang()

    return behave


@asynccontextmanager
async def receiving(
    behaviour: Behaviour = answer_ok, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncGenerator[Receiver]:
    """A receiver on a free port; at the end every connection is closed."""
    receiver = Receiver()
    receiver.scheme = "https" if tls else "http"
    tasks: set[asyncio.Task[None]] = set()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connection_count += 1
        receiver.visited.set()
        try:
            await behaviour(Visit(receiver, reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            receiver.left.set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(visit(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield receiver
        finally:
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def a_request(
    url: str, *, body: bytes = b"{}", headers: Headers = (), seconds: float = 5.0
) -> sending.Request:
    return sending.Request(
        target=egress.parse(url), headers=headers, body=body, timeout=timedelta(seconds=seconds)
    )
