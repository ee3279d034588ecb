"""What a caller may take before anybody knows who it is: bytes of a head, time, connections.

uvicorn takes a head of any size for any length of time, and keeps a connection that sends nothing.
Here every connection ends by itself once its caller owes it something for too long, and what is
held for one that was not answered yet has an upper limit.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, ClassVar, Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None

MAX_HEAD: Final = 131_072
"""Bytes of request line and headers, give or take one read; trailers and chunk heads likewise."""
MAX_HEADERS: Final = 1_000
"""More than a bin takes, which says so in words of its own."""
MAX_VALUE: Final = 16_384
"""Bytes of one header: to read cookies out of more would take the better part of a second."""
MAX_CONNECTIONS: Final = 10_000
"""Some 7 KB each while nothing is asked of them."""

_WIRE_PER_BODY: Final = 8
"""How many bytes on the wire one byte of body may cost: chunks of one byte cost six."""
_KEPT_FREE: Final = 2_048
"""Descriptors for receivers, the database and its files: half of all where there are fewer."""
_TELL_EVERY: Final = 60.0

_NOT_HTTP: Final = b'{"code":"bad_request","detail":"this is no request that HTTP knows"}'
_HEAD_TOO_LARGE: Final = (
    b'{"code":"head_too_large","detail":"the headers are too many or too long"}'
)

_log = logging.getLogger("stafett.web")


def raise_descriptors() -> None:
    """Let this process open as many files as it may: the usual first limit is meant for others."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _KEPT_FREE
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def most_connections() -> int:
    """How many callers may be connected: what the descriptors allow, and what must stay free."""
    if resource is None:
        return MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(soft - _KEPT_FREE, soft // 2))


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Anybody can send what is no request, as often as they like; they are told so themselves."""
    return record.msg != "Invalid HTTP request received."


class _TooLarge(Exception):
    """Of a head, thrown through the parser."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol within bounds."""

    patience: ClassVar[float] = 30.0
    """Seconds for a head, from the connection or its first byte on; for what is still to come of a
    body that nobody waits for; and for a caller to take some of its answer."""

    _told_at: ClassVar[float] = float("-inf")

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.logger.addFilter(_is_worth_a_line)  # which does nothing the second time
        self._owed_since: float | None = None
        """Since when the caller has not gone on; None while it is our turn."""
        self._untaken = 0
        """Bytes of answers that had not gone out when it was looked at last."""
        self._untaken_since = 0.0
        self._has_taken = False
        self._watch: asyncio.TimerHandle | None = None
        self._in_head = False
        self._is_too_large = False
        self._began = 0
        self._wire_size = 0
        self._body_size = 0

    # --- how much -----------------------------------------------------------------------------

    @override
    def data_received(self, data: bytes) -> None:
        began = self._began
        super().data_received(data)
        if self._began == began:  # or most of it belongs to what was before
            self._wire_size += len(data)
            if self._wire_size > MAX_HEAD + _WIRE_PER_BODY * self._body_size:
                self._refuse()
        if self._owed_since is None and not self._is_answering:
            self._owed_since = self.loop.time()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._began += 1
        self._in_head = True
        self._wire_size = self._body_size = 0

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: nobody may pass it off as a header (RFC 9110 section 6.5.1)
        headers = self.headers
        if len(headers) >= MAX_HEADERS or len(value) > MAX_VALUE:
            self._is_too_large = True
            raise _TooLarge
        # As uvicorn does: to call it for each header would cost as much again.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        self._owed_since = None
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        super().on_body(body)

    @override
    def send_400_response(self, msg: str) -> None:
        if self._is_too_large:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            body = _HEAD_TOO_LARGE
        else:
            status, body = HTTPStatus.BAD_REQUEST, _NOT_HTTP
        lines = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + lines % len(body) + body)
        self.transport.close()

    @override
    def _unsupported_upgrade_warning(self) -> None:
        """Not worth a line of the log: anybody can ask, and is answered as if they had not."""

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_head and not self._is_answering:
            self._is_too_large = True
            self.send_400_response("")
        else:
            self.transport.close()

    # --- how long, and how many ---------------------------------------------------------------

    @property
    def _is_answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        return cycle is not None and not cycle.response_complete

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._tell_of_too_many()
            transport.abort()
            return
        self._owed_since = self.loop.time()
        self._watch = self.loop.call_later(self.patience, self._look)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    @override
    def resume_writing(self) -> None:
        self._has_taken = True
        super().resume_writing()

    def _look(self) -> None:
        """End a connection whose caller has not gone on for `patience`; look again later."""
        now = self.loop.time()
        since = now if self._owed_since is None else self._owed_since
        if now - since >= self.patience or self._takes_nothing(now):
            self.transport.abort()
            return
        self._watch = self.loop.call_later(since + self.patience - now, self._look)

    def _takes_nothing(self, now: float) -> bool:
        """Whether bytes have lain here for `patience` without one of them going out."""
        left = self.transport.get_write_buffer_size()
        if not self._untaken or left < self._untaken or self._has_taken:
            self._untaken, self._untaken_since, self._has_taken = left, now, False
        return now - self._untaken_since >= self.patience

    def _tell_of_too_many(self) -> None:
        now = self.loop.time()
        if now - BoundedProtocol._told_at >= _TELL_EVERY:
            BoundedProtocol._told_at = now
            _log.warning("event=connection.refused open=%s", len(self.connections) - 1)
