"""The reply reader against good, odd and hostile bytes. Oracle: RFC 9112, and our own limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.drivers.sender import reply

OK = b"HTTP/1.1 200 OK\r\n"
MAX_BODY = 1000


def read(data: bytes, *, portion: int = 1 << 20, closed: bool = False) -> reply.ReplyReader:
    """What a fresh reader makes of `data`, fed in portions as a connection would."""
    reader = reply.ReplyReader(max_body=MAX_BODY)
    for piece in portions(data, portion):
        if reader.feed(piece):
            return reader
    if closed:
        reader.end()
    return reader


def portions(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def is_over(reader: reply.ReplyReader) -> bool:
    return bool(reader.problem) or reader.truncated or reader.feed(b"")


GOOD: dict[str, tuple[bytes, int, bytes, bool]] = {
    "length": (OK + b"Content-Length: 2\r\n\r\nab", 200, b"ab", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        200,
        b"abc",
        True,
    ),
    "chunk extensions and trailers": (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nTrailer: t\r\nEmpty:\r\n\r\n",
        200,
        b"x",
        True,
    ),
    "no reason": (b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", 503, b"", True),
    "204 has no body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "204 to be closed": (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 204, b"", False),
    "304 has no body, whatever its length says": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
        304,
        b"",
        True,
    ),
    "interim replies": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 1\r\n\r\na",
        200,
        b"a",
        True,
    ),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, b"a", False),
    "1.0 kept alive": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
        200,
        b"a",
        True,
    ),
    "an upgrade on offer is no upgrade": (
        OK + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\na",
        200,
        b"a",
        True,
    ),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 1\n\na", 200, b"a", True),
    "a reply behind the reply": (
        OK + b"Content-Length: 1\r\n\r\na" + OK + b"Content-Length: 1\r\n\r\nb",
        200,
        b"a",
        False,
    ),
    "rubbish behind the reply": (OK + b"Content-Length: 1\r\n\r\na\0\0", 200, b"a", False),
    "rubbish behind the last reply": (
        OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nab",
        200,
        b"a",
        False,
    ),
    "a body where there is none": (
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nab",
        204,
        b"",
        False,
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_reply_is_read(name: str) -> None:
    data, status, body, reusable = GOOD[name]
    reader = read(data)
    assert (reader.problem, reader.status, reader.body) == ("", status, body)
    assert is_over(reader)
    assert reader.reusable is reusable
    assert not reader.truncated


@pytest.mark.parametrize("name", GOOD)
def test_a_good_reply_is_read_however_it_arrives(name: str) -> None:
    data, status, body, _ = GOOD[name]
    for portion in (1, 2, 3, 7):
        reader = read(data, portion=portion)
        assert (reader.problem, reader.status, reader.body) == ("", status, body)


def test_headers_keep_order_repeats_and_bytes() -> None:
    reader = read(OK + b"B: 1\r\na:\r\nB:  \xff two\r\nContent-Length: 0\r\n\r\n")
    assert reader.headers == [
        (b"B", b"1"),
        (b"a", b""),
        (b"B", b"\xff two"),
        (b"Content-Length", b"0"),
    ]


def test_trailers_and_interim_headers_are_no_headers() -> None:
    reader = read(
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Transfer-Encoding: chunked\r\n\r\n0\r\nLate: y\r\n\r\n"
    )
    assert reader.headers == [(b"Transfer-Encoding", b"chunked")]


@pytest.mark.parametrize("head", [OK, b"HTTP/1.0 200 OK\r\n", OK + b"Connection: close\r\n"])
def test_a_reply_without_length_ends_with_the_connection(head: bytes) -> None:
    reader = read(head + b"X: y\r\n\r\nto the end")
    assert not is_over(reader)
    reader.end()
    assert (reader.problem, reader.body, reader.reusable) == ("", b"to the end", False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HT",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        OK + b"Content-Length: 3\r\n\r\nab",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_an_end_in_the_middle_is_a_problem(data: bytes) -> None:
    assert "closed in the middle" in read(data, closed=True).problem


HOSTILE: dict[str, bytes] = {
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "http/0.9": b"<html>hello</html>",
    "http/2 preface": b"\0\0\x12\x04\0\0\0\0\0",
    "http/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "tls alert": b"\x15\x03\x01\0\x02\x02\x50",
    "rtsp": b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "icecast": b"ICE/1.0 200 OK\r\n\r\n",
    "version": b"HTTP/1.2 200 OK\r\n\r\n",
    "empty lines in front": b"\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "negative": b"HTTP/1.1 -20 OK\r\n\r\n",
    "below 100": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nfoo",
    "switching without a word": b"HTTP/1.1 101 Switching\r\n\r\nfoo",
    "nul in name": OK + b"A\0: b\r\n\r\n",
    "nul in value": OK + b"A: b\0c\r\n\r\n",
    "nul in status line": b"HTTP/1.1 200 O\0K\r\n\0\r\n",
    "no colon": OK + b"NoColon\r\n\r\n",
    "no name": OK + b": x\r\n\r\n",
    "space before colon": OK + b"Content-Length : 1\r\n\r\na",
    "folded": OK + b"A: b\r\n c\r\n\r\n",
    "both lengths": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "both lengths, other order": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nab",
    "signed length": OK + b"Content-Length: +2\r\n\r\nab",
    "hex length": OK + b"Content-Length: 0x2\r\n\r\nab",
    "huge length": OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "empty length": OK + b"Content-Length: \r\n\r\n",
    "unknown encoding": OK + b"Transfer-Encoding: gzip\r\n\r\nab",
    "chunked not last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "negative chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "huge chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    "chunk without end": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    "length as trailer": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    "endless interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "endless interim headers": b"HTTP/1.1 103 Early\r\nLink: <" + b"x" * 100_000 + b">\r\n\r\n",
    "10k headers": OK + b"".join(b"H%d: v\r\n" % n for n in range(10_000)) + b"\r\n",
    "257 headers": OK + b"H: v\r\n" * 257 + b"\r\n",
    "endless name": OK + b"N" * 100_000,
    "endless value": OK + b"N: " + b"v" * 100_000,
    "endless reason": b"HTTP/1.1 200 " + b"R" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("portion", [1 << 20, 1000, 7])
def test_a_hostile_reply_is_a_problem_and_never_read_on(name: str, portion: int) -> None:
    reader = read(HOSTILE[name], portion=portion)
    assert reader.problem
    assert not reader.reusable
    assert reader.wire_size <= reply.MAX_HEAD + 16_384
    assert "\0" not in reader.problem


def test_256_headers_are_not_too_many() -> None:
    assert read(OK + b"H: v\r\n" * 255 + b"Content-Length: 0\r\n\r\n").status == 200


def test_five_interim_replies_are_not_too_many() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert read(interim * 5 + OK + b"Content-Length: 0\r\n\r\n").status == 200
    assert read(interim * 6 + OK + b"Content-Length: 0\r\n\r\n").problem


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 1000\r\n\r\n" + b"x" * 1000, b"\r\n" + b"x" * 1000],
    ids=["length", "close"],
)
def test_a_body_of_exactly_the_limit_is_whole(framing: bytes) -> None:
    reader = read(OK + framing, closed=True)
    assert (reader.problem, reader.truncated, len(reader.body)) == ("", False, MAX_BODY)


LONG: dict[str, bytes] = {
    "length": OK + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001,
    "a promise of a terabyte": OK + b"Content-Length: 1000000000000\r\n\r\n" + b"x" * 5000,
    "until close": OK + b"\r\n" + b"x" * 100_000,
    "endless chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nxx\r\n" * 10_000,
    "one chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFF\r\n" + b"x" * 0xFFFF,
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("portion", [1 << 20, 999, 10])
def test_a_long_body_is_cut_at_the_limit_and_keeps_its_status(name: str, portion: int) -> None:
    reader = read(LONG[name], portion=portion)
    assert (reader.problem, reader.status, reader.truncated) == ("", 200, True)
    assert reader.body == b"x" * MAX_BODY
    assert not reader.reusable


@pytest.mark.parametrize(
    "endless",
    [b"1;" + b"e" * 200_000, b"0\r\n" + b"T: x\r\n" * 40_000, b"0\r\nT: " + b"x" * 200_000],
    ids=["extension", "trailers", "trailer"],
)
def test_what_surrounds_chunks_is_cut_as_well(endless: bytes) -> None:
    reader = read(OK + b"Transfer-Encoding: chunked\r\n\r\n" + endless, portion=1000)
    assert is_over(reader)
    assert (reader.body, reader.reusable) == (b"", False)
    assert reader.wire_size < 100_000


def test_a_reader_reads_one_reply_after_another() -> None:
    reader = reply.ReplyReader(max_body=MAX_BODY)
    for number in range(3):
        assert reader.feed(b"HTTP/1.1 20%d OK\r\nContent-Length: 1\r\n\r\n%d" % (number, number))
        assert (reader.status, reader.body) == (200 + number, b"%d" % number)
        assert reader.headers == [(b"Content-Length", b"1")]
        reader.restart()
        assert (reader.status, reader.body, reader.wire_size) == (0, b"", 0)


@given(st.binary(max_size=300), st.integers(1, 50), st.booleans())
def test_any_bytes_end_in_one_of_three_ways(data: bytes, portion: int, promising: bool) -> None:
    reader = read((OK if promising else b"") + data, portion=portion, closed=True)
    assert is_over(reader)
    assert reader.problem or reader.status >= 200
    assert len(reader.body) <= MAX_BODY
