"""Reads the bytes of HTTP replies, one reply after another, whatever they are.

Invariant: every reply ends in one of three ways (read, cut, problem), and never holds more of a
stranger's bytes than the limits below. The grammar is llhttp's, by way of httptools; here are the
limits, and what it leaves to its caller: where a reply begins, and when its end is the end of the
connection.
"""

from __future__ import annotations

from typing import Final, final

import httptools

MAX_HEAD: Final = 65_536
"""Bytes of status line and headers, interim replies included."""
MAX_HEADERS: Final = 256
MAX_INTERIM: Final = 5
"""1xx replies in front of the real one."""

_PIECE = 16_384
"""Bytes judged at a time: how far past a limit one read can go."""
_WIRE_PER_BODY = 4
"""How many bytes on the wire one byte of body may cost before it is a drip of chunk heads."""
_START = b"HTTP/1."
_UNFRAMED = frozenset({204, 304})

RawHeaders = list[tuple[bytes, bytes]]


@final
class ReplyReader:
    """One connection's replies. Feed it until it says the reply is over, look, `restart`."""

    __slots__ = (
        "_beginning",
        "_body",
        "_body_size",
        "_interim_count",
        "_is_interim",
        "_max_body",
        "_over",
        "_pairs",
        "_parser",
        "_started",
        "_until_close",
        "headers",
        "problem",
        "reusable",
        "status",
        "truncated",
        "wire_size",
    )

    def __init__(self, *, max_body: int) -> None:
        """`max_body` counts bytes of body; one more and the reply is cut there."""
        self._max_body = max_body
        self._parser = httptools.HttpResponseParser(self)
        # A bare LF ends a header line for curl and browsers too; with one reply a connection at a
        # time there is nobody to smuggle anything past.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        self.restart()

    def restart(self) -> None:
        """Be ready for the next reply of the same connection."""
        self.status = 0
        """0 until the final reply's head is there."""
        self.headers: RawHeaders = []
        self.problem = ""
        """Why this is no usable reply, in words; empty for a good one."""
        self.truncated = False
        self.reusable = False
        """The peer keeps the connection, and nothing but this reply came."""
        self.wire_size = 0
        """Bytes fed since the start of this reply."""
        self._pairs: RawHeaders = []
        self._body: list[bytes] = []
        self._body_size = 0
        self._beginning = b""
        self._started = False
        self._over = False
        self._is_interim = False
        self._interim_count = 0
        self._until_close = False

    @property
    def body(self) -> bytes:
        """Raw, at most `max_body` bytes."""
        pieces = self._body
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # --- bytes come in ------------------------------------------------------------------------

    def feed(self, data: bytes) -> bool:
        """Take bytes as they arrive, in any portions; True once the reply is over."""
        size = len(data)
        if size > _PIECE:
            return self._feed_pieces(data)
        self.wire_size += size
        if not self._started:
            data = self._begin(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"the reply is not proper HTTP: {error}")
        if self.wire_size > MAX_HEAD:
            self._judge_size()
        return self._over

    def end(self) -> None:
        """The peer will send no more: the reply is over, one way or the other."""
        if self._over:
            return
        if self._until_close and self.status:
            self._over = True
        else:
            self._fail("the connection was closed in the middle of the reply")

    def _feed_pieces(self, data: bytes) -> bool:
        for start in range(0, len(data), _PIECE):
            if self.feed(data[start : start + _PIECE]):
                self.reusable = self.reusable and start + _PIECE >= len(data)
                break
        return self._over

    def _begin(self, data: bytes) -> bytes:
        """What can go to the parser: llhttp would take a reply of RTSP, ICE or HTTP/2.0 as well."""
        if data.startswith(_START):
            self._started = True
            return data
        if self._beginning:
            data, self._beginning = self._beginning + data, b""
            return self._begin(data)
        self._beginning = data
        if not _START.startswith(data):
            self._fail("the reply does not begin as HTTP/1")
        return b""

    def _judge_size(self) -> None:
        if self._over:
            return
        if not self.status:
            self._fail(f"the reply's head is larger than {MAX_HEAD} bytes")
        elif self.wire_size > MAX_HEAD + _WIRE_PER_BODY * self._max_body:
            self._cut()

    def _fail(self, problem: str) -> None:
        """End the reply as unusable; once it is over, only the connection can still be spoilt."""
        self.reusable = False
        if not self._over:
            self.problem = problem
            self._over = True

    def _cut(self) -> None:
        self.truncated = True
        self.reusable = False
        self._over = True

    # --- llhttp calls back --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Something after the end is no part of any reply that was asked for."""
        if self._over:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or after the body a trailer, which nobody looks at."""
        self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there: judge it."""
        if self._over:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._count_interim(status)
            return
        if len(self._pairs) > MAX_HEADERS:
            self._fail(f"the reply has more than {MAX_HEADERS} headers")
            return
        self.status = status
        self.headers, self._pairs = self._pairs, []
        self.reusable = self._parser.should_keep_alive()
        if not self.reusable:
            self._judge_framing()

    def on_body(self, data: bytes) -> None:
        """Keep the piece, or what of it fits."""
        if self._over:
            return
        self._body_size += len(data)
        if self._body_size > self._max_body:
            data = data[: len(data) - (self._body_size - self._max_body)]
            self._cut()
        self._body.append(data)

    def on_message_complete(self) -> None:
        """An interim reply is forgotten, any other is the reply."""
        if self._is_interim:
            self._is_interim = False
        else:
            self._over = True

    def _count_interim(self, status: int) -> None:
        self._is_interim = True
        self._pairs = []
        self._interim_count += 1
        if status < 100:
            self._fail(f"{status:03} is no HTTP status")
        elif status == 101:
            self._fail("the reply switches to a protocol that nobody asked for")
        elif self._interim_count > MAX_INTERIM:
            self._fail(f"the reply has more than {MAX_INTERIM} interim replies in front")

    def _judge_framing(self) -> None:
        """Find out whether only the end of the connection ends this reply."""
        if self.status in _UNFRAMED:
            return
        names = {name.lower(): value for name, value in self.headers}
        encoding = names.get(b"transfer-encoding")
        if encoding is None:
            self._until_close = b"content-length" not in names
        elif encoding.rpartition(b",")[2].strip().lower() != b"chunked":
            self._fail("the reply has an unknown transfer encoding")
