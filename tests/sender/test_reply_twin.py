"""The reply reader beside h11, a parser of another family: same bytes, same reading.

Oracle: h11, pure Python and strict to RFC 9112.
"""

from __future__ import annotations

from dataclasses import dataclass

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stafett.drivers.sender import reply

MAX_BODY = 100_000


@dataclass(frozen=True)
class Reading:
    """What a parser made of a reply; None as status: no usable reply."""

    status: int | None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


NOTHING = Reading(None)


def ours(data: bytes, portion: int) -> Reading:
    reader = reply.ReplyReader(max_body=MAX_BODY)
    for start in range(0, len(data), portion):
        if reader.feed(data[start : start + portion]):
            break
    reader.end()
    if reader.problem:
        return NOTHING
    headers = tuple((name.lower(), value) for name, value in reader.headers)
    return Reading(reader.status, headers, reader.body)


def theirs(data: bytes) -> Reading:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    reading, body = NOTHING, b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                headers = tuple((bytes(name), bytes(value)) for name, value in event.headers)
                reading = Reading(event.status_code, headers)
            elif isinstance(event, h11.Data):
                body += event.data
            elif not isinstance(event, h11.InformationalResponse):
                return NOTHING
    except h11.RemoteProtocolError:
        return NOTHING
    return Reading(reading.status, reading.headers, body)


NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).filter(
    lambda name: (
        name.lower() not in {b"content-length", b"transfer-encoding", b"connection", b"upgrade"}
    )
)
VALUES = st.from_regex(
    rb"([!-~\x80-\xff]([ \t!-~\x80-\xff]{0,20}[!-~\x80-\xff])?)?", fullmatch=True
)
BODIES = st.binary(max_size=200)
CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """Valid replies of every framing, with interim ones in front."""
    status = draw(st.integers(200, 599))
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * draw(st.integers(0, 3))
    head = b"HTTP/1.%d %d Reason\r\n" % (draw(st.integers(0, 1)), status)
    for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=5)):
        head += name + b": " + value + b"\r\n"
    framing = draw(st.sampled_from(["length", "chunks", "close"]))
    if framing == "length" or status in {204, 304}:
        body = b"" if status in {204, 304} else draw(BODIES)
        return interim + head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if framing == "close":
        return interim + head + b"\r\n" + draw(BODIES)
    if head.startswith(b"HTTP/1.0"):
        head = head.replace(b"HTTP/1.0", b"HTTP/1.1", 1)
    extension = draw(st.sampled_from([b"", b";a", b";a=b"]))
    pieces = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in draw(CHUNKS))
    trailer = draw(st.sampled_from([b"", b"Trail: er\r\n"]))
    return (
        interim
        + head
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + pieces
        + b"0\r\n"
        + trailer
        + b"\r\n"
    )


@given(replies(), st.integers(1, 400))
def test_valid_replies_read_the_same_as_by_h11(data: bytes, portion: int) -> None:
    expected = theirs(data)
    assert expected.status is not None
    assert ours(data, portion) == expected


FRAGMENTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 404 No\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.1 99 Odd\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"X: y\r\n",
        b"X : y\r\n",
        b"X: a\r\n b\r\n",
        b"X: \0\r\n",
        b"\0",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"abc",
        b"3\r\nabc\r\n",
        b"3;x=y\r\nabc\r\n",
        b"0\r\n\r\n",
        b"0\r\nT: r\r\n\r\n",
        b"ffffffffffffffffffff\r\n",
    ]
)


@settings(max_examples=400)
@given(st.lists(FRAGMENTS, max_size=8), st.integers(1, 60))
@example([b"HTTP/1.1 200 OK\r\n", b"Content-Length: 3\r\n", b"\r\n", b"abc"], 5)
def test_where_both_read_a_reply_they_read_the_same(fragments: list[bytes], portion: int) -> None:
    """h11 may take what llhttp refuses (folded lines, repeated lengths) and the other way round
    (`gzip, chunked`): a refusal is safe. A different reading is not.
    """
    data = b"HTTP/1.1 " + b"".join(fragments).removeprefix(b"HTTP/1.1 ")
    mine, other = ours(data, portion), theirs(data)
    if mine != NOTHING and other != NOTHING:
        assert mine == other
