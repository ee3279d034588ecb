"""Makes one HTTP/1.1 POST and reports what came of it. The hot end of the product.

Invariant: one call of `send` is at most one request on the wire, under one total deadline, to an
address that egress allows; the outcome tells the tenant the cause and never an address.

No redirects, cookies, proxies or repeats: there is no code for them. Its parts: `composing` writes
the request, `dialling` opens a connection, `pool` keeps it, `connection` and `reply` speak on it,
`deadlines` ends what takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import time
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final, Protocol, final

from stafett import egress
from stafett.drivers.resolver import Resolver
from stafett.drivers.sender.composing import Sendable, compose, sent_headers
from stafett.drivers.sender.connection import Connection, Key
from stafett.drivers.sender.deadlines import Deadlines
from stafett.drivers.sender.dialling import Dialler, default_tls
from stafett.drivers.sender.failure import SendFailed
from stafett.drivers.sender.pool import Pool
from stafett.drivers.sender.reply import RawHeaders, ReplyReader
from stafett.model import FailureCause, Headers, Outcome

MAX_LOCATION: Final = 500
"""Characters of a redirect's location that the detail repeats."""


class Request(Sendable, Protocol):
    """What is sent; `engine.sending.Request` has this shape."""

    @property
    def timeout(self) -> timedelta:
        """For all of it, name to last byte."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one sender may hold at once."""

    max_reply: int = 65_536
    """Bytes of a reply's body that are read; then the connection is closed."""
    max_connections: int = 1024
    """Open at once, those at rest included."""
    max_idle_per_host: int = 64
    """Connections at rest; as many as the busiest host has attempts at once, or they are made anew
    for every burst."""
    idle_seconds: float = 4.0
    """How long one rests. Below 5, where many servers close: see `pool`."""


@final
class HttpSender:
    """An `engine.sending.Sender` over HTTP/1.1, with or without TLS, for one event loop."""

    def __init__(
        self,
        policy: egress.Policy,
        resolver: Resolver,
        *,
        limits: Limits | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """`tls_context` replaces the default, which trusts the system's authorities."""
        self._limits = limits or Limits()
        self._dialler = Dialler(policy, resolver, tls=tls_context or default_tls())
        self._pool = Pool(
            max_idle_per_host=self._limits.max_idle_per_host,
            idle_seconds=self._limits.idle_seconds,
        )
        self._deadlines = Deadlines()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(self._limits.max_connections)
        self._queue_length = 0
        self._standing: set[Connection] = set()
        self._all_gone = asyncio.Event()
        self._closed = False

    async def send(self, request: Request) -> Outcome:
        """Make the attempt. Never raises for a bad endpoint; see `engine.sending.Sender`."""
        # Kept, as asking for it is a system call on Python 3.11.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        started = time.perf_counter()  # uvloop's own clock counts whole milliseconds
        headers = sent_headers(request)
        try:
            data = compose(request, headers)
            connection = await self._exchange(request, data, loop.time())
        except SendFailed as failure:
            cause, detail = failure.cause, failure.detail
        except ValueError:
            cause, detail = FailureCause.INTERNAL, "a header or the path is not one line of ASCII"
        else:
            outcome = _judge(connection.reply, headers, time.perf_counter() - started)
            self._part_with(connection)
            return outcome
        return Outcome(
            cause=cause,
            detail=detail,
            request_headers=headers,
            duration=timedelta(seconds=time.perf_counter() - started),
        )

    async def close(self) -> None:
        """Close every connection and see them gone. Requests on their way end with a cause."""
        self._closed = True
        self._pool.close()
        self._deadlines.fail_all(_closed())
        while self._standing:
            self._all_gone.clear()
            await self._all_gone.wait()

    async def _exchange(self, request: Request, data: bytes, now: float) -> Connection:
        deadline = now + request.timeout.total_seconds()
        target = request.target
        key = (target.scheme, target.host, target.port)
        connection = self._pool.take(key, now) or await self._open(target, key, deadline)
        self._deadlines.watch(connection, deadline)
        try:
            await connection.exchange(data)
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            self._deadlines.forget(connection)
        return connection

    async def _open(self, target: egress.Target, key: Key, deadline: float) -> Connection:
        try:
            async with asyncio.timeout_at(deadline):
                await self._take_place()
                return await self._dial(target, key)
        except TimeoutError as error:
            raise SendFailed(FailureCause.TIMEOUT, "no connection within the timeout") from error

    async def _dial(self, target: egress.Target, key: Key) -> Connection:
        connection = Connection(
            key,
            max_body=self._limits.max_reply,
            on_lost=self._lost,
            loop=asyncio.get_running_loop(),
        )
        try:
            await self._dialler.dial(target, connection)
        except BaseException:
            # Given up in the middle, a loop may call `connection_lost` or not: never counted there.
            connection.abort()
            self._places.release()
            raise
        if connection.gone:
            self._places.release()
        else:
            self._standing.add(connection)
        if self._closed:
            connection.abort()
            raise _closed()
        return connection

    async def _take_place(self) -> None:
        """Wait until one more connection may be open; one at rest gives way."""
        if self._places.locked():
            self._pool.close_one()
        self._queue_length += 1
        try:
            await self._places.acquire()
        finally:
            self._queue_length -= 1

    def _part_with(self, connection: Connection) -> None:
        """The reply is read: the connection rests, or makes room."""
        if connection.reusable and not self._queue_length and not self._closed:
            self._pool.put(connection)
        else:
            connection.abort()

    def _lost(self, connection: Connection) -> None:
        if connection not in self._standing:
            return
        self._standing.discard(connection)
        self._places.release()
        if not self._standing:
            self._all_gone.set()


def _closed() -> SendFailed:
    return SendFailed(FailureCause.CONNECT_FAILED, "Stafett closed the connection: it is stopping")


def _judge(reply: ReplyReader, request_headers: Headers, seconds: float) -> Outcome:
    """The outcome of a whole reply: only 2xx is a success."""
    status = reply.status
    cause: FailureCause | None = None
    detail = ""
    headers = _decoded(reply.headers)
    if not 200 <= status < 300:
        cause = FailureCause.REDIRECT if status < 400 else FailureCause.STATUS
        detail = _status_detail(status, headers)
    return Outcome(
        status_code=status,
        cause=cause,
        detail=detail,
        request_headers=request_headers,
        response_headers=headers,
        response_body=reply.body,
        response_truncated=reply.truncated,
        duration=timedelta(seconds=seconds),
    )


def _decoded(headers: RawHeaders) -> Headers:
    """Names in lower case, values without space around: any byte has a place in Latin-1."""
    return tuple([(_lower_name(name), value.decode("latin-1").strip()) for name, value in headers])


@functools.lru_cache(maxsize=512)
def _lower_name(name: bytes) -> str:
    """Remembered: the world has few header names, and one text of each is enough in memory."""
    return name.decode("latin-1").lower()


def _status_detail(status: int, headers: Headers) -> str:
    words = f"the endpoint answered {status}"
    with contextlib.suppress(ValueError):
        words += f" {HTTPStatus(status).phrase}"
    if status >= 400:
        return words
    location = next((value for name, value in headers if name == "location"), "")
    to = f" to {location[:MAX_LOCATION]}" if location else ""
    return f"{words}{to}; redirects are not followed"
