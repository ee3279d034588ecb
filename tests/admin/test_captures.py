"""Readings of a caught request; for curl the oracle is a shell, for differences both bodies."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import making
from stafett.model import Capture
from stafett.web.admin import captures, curl, differences, har, render

BOX = making.a_bin()
BASE = "http://127.0.0.1:8071"


def a_capture(**wanted: Any) -> Capture:
    defaults: dict[str, Any] = {"headers": (), "body": b"", "target": b"/in/x"}
    return making.a_capture(BOX, **defaults | wanted)


# --- headers, query, form ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("Authorization", True),
        ("cookie", True),
        ("Proxy-Authorization", True),
        ("X-Api-Key", True),
        ("X-My-Token", True),
        ("webhook-secret", True),
        ("x-password", True),
        ("webhook-signature", False),
        ("webhook-id", False),
        ("content-type", False),
    ],
)
def test_what_may_be_a_credential_is_hidden(name: str, hidden: bool) -> None:
    capture = a_capture(headers=((name.encode(), b"value"),))
    [(_, shown)] = captures.headers(capture, reveal=False)
    assert shown == (captures.MASK if hidden else "value")
    assert captures.has_secrets(capture) == hidden
    assert captures.headers(capture, reveal=True) == [(name, "value")]


def test_headers_keep_their_order_and_repeats() -> None:
    capture = a_capture(headers=((b"X-B", b"1"), (b"x-a", b"\xe6"), (b"x-b", b"2")))
    assert captures.headers(capture, reveal=False) == [("X-B", "1"), ("x-a", "æ"), ("x-b", "2")]


def test_a_query_is_read_and_its_path_stays_as_sent() -> None:
    capture = a_capture(target=b"/in/x/a%20b?q=1&q=a+b&empty=&alone&%C3%B8=%ff&raw=\xff")
    path, query = captures.path_and_query(capture)
    assert path == "/in/x/a%20b"
    assert query == [
        ("q", "1"),
        ("q", "a b"),
        ("empty", ""),
        ("alone", ""),
        ("ø", "\\xff"),
        ("raw", "\\xff"),
    ]


def test_only_so_many_fields_are_read_and_only_so_much_of_each() -> None:
    many = a_capture(target=b"/in/x?" + b"&".join(b"a=%d" % n for n in range(100_000)))
    query = captures.path_and_query(many)[1]
    assert len(query) == 200
    assert query[-1] == ("a", "199")
    long = a_capture(target=b"/in/x?a=" + b"%C3%A6" * 3_000)
    assert captures.path_and_query(long)[1] == [("a", "æ" * 2_000 + " …")]


PARTS = (
    b"preamble\r\n--b\r\n"
    b'Content-Disposition: form-data; name="word"\r\n\r\ntext\r\nof two lines\r\n--b\r\n'
    b'content-disposition: form-data; filename="a \\"b\\".txt"; name=file\r\n'
    b"Content-Type: text/plain\r\n\r\n\x00\xff\r\n--b\r\n"
    b"x-other: 1\r\n\r\nnameless\r\n--b\r\n"
    b'content-disposition: form-data; name="cut off'
)


@pytest.mark.parametrize(
    ("kind", "body", "fields"),
    [
        (b"application/x-www-form-urlencoded; charset=utf-8", b"a=1&b=x+y", ["a=1", "b=x y"]),
        (
            b'Multipart/Form-Data; boundary="b"',
            PARTS,
            ["word=text\r\nof two lines", 'file=a "b".txt (2 bytes)'],
        ),
        (b"multipart/form-data; boundary=b", PARTS.replace(b"--b", b"--c"), []),
        (b"multipart/form-data", PARTS, []),
        (b"multipart/form-data; boundary=b", b"--b--\r\n", []),
        (b"application/json", b"a=1", []),
    ],
)
def test_a_form_is_read(kind: bytes, body: bytes, fields: list[str]) -> None:
    capture = a_capture(headers=((b"Content-Type", kind),), body=body)
    assert [f"{name}={value}" for name, value in captures.form(capture)] == fields


def test_parts_within_parts_are_text_and_only_so_many_are_read() -> None:
    kind = b"multipart/form-data; boundary=b"
    part = b"\r\n--b\r\ncontent-disposition: form-data; name=a\r\ncontent-type: %b\r\n\r\n" % kind
    capture = a_capture(headers=((b"content-type", kind),), body=part * 5_000)
    assert captures.form(capture) == [("a", "")] * 200


# --- body -------------------------------------------------------------------------------------


def test_hex_shows_the_beginning_in_rows() -> None:
    assert captures.hexadecimal(b"") == ""
    assert captures.hexadecimal(b"\x00\xffbody~\x7f").split("\n") == [
        "00000000  00 ff 62 6f 64 79 7e 7f" + " " * 24 + "  ..body~."
    ]
    rows = captures.hexadecimal(bytes(256) * 17).split("\n")
    assert len(rows) == captures.HEX_BYTES // 16
    assert rows[-1].startswith("00000ff0  00 00")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"[" * 33 + b"]" * 33,
        b'["' + b"x" * captures.TEXT_BYTES + b'"]',
    ],
)
def test_what_is_no_json_or_too_much_of_it_is_not_indented(body: bytes) -> None:
    assert render.indented(body) is None


def test_json_is_indented() -> None:
    assert render.indented(b'{"a": "]]]\\"[[["}') == '{\n  "a": "]]]\\"[[["\n}'
    assert render.indented(b"[" * 32 + b"]" * 32) is not None


# --- curl -------------------------------------------------------------------------------------

_SHOW = """curl() {
  for word; do
    printf '%s\\0' "$word"
    if [ "$word" = @- ]; then stdin=$(od -An -v -tx1); fi
  done
  printf '%s' "$stdin"
}
"""
"""A curl that tells its words, and what it is given to read."""


def run(command: curl.Command, folder: Path, body: bytes) -> tuple[list[bytes], bytes]:
    """The words that curl gets, and what it reads."""
    (folder / "body.bin").write_bytes(body)
    done = subprocess.run(
        ("/bin/sh", "-c", _SHOW + command.text), cwd=folder, capture_output=True, check=True
    )
    assert done.stderr == b""
    *words, read = done.stdout.split(b"\0")
    return words, bytes.fromhex(read.decode())


def after(words: list[bytes], option: bytes) -> list[bytes]:
    """What follows each `option`."""
    return [value for each, value in pairwise(words) if each == option]


BODIES = st.binary(max_size=40) | st.text(max_size=40).map(str.encode)
VALUES = st.binary(min_size=1, max_size=20).map(lambda raw: raw.translate(None, b"\0\r\n"))


@settings(max_examples=60, deadline=None)
@example(value=b'it\'s $HOME `id` \\ % ! "x"', body=b'it\'s $HOME `id` \\ %s ! "x"\n\n')
@example(value=b"\xff'\\'!%s\"$(id)\"", body=b"@/etc/passwd")
@example(value=b"-", body="\u202eabc".encode())
@given(value=VALUES, body=BODIES)
def test_curl_gets_every_byte(
    tmp_path_factory: pytest.TempPathFactory, value: bytes, body: bytes
) -> None:
    capture = a_capture(headers=((b"X-A", value), (b"host", b"h"), (b"-x", b"")), body=body)
    command = curl.command(capture, BASE, reveal=True)
    words, read = run(command, tmp_path_factory.mktemp("curl"), body)
    assert words[:2] == [b"-X", b"POST"]
    own = after(words, b"-H")
    assert own[0] == (b"X-A: " + value if value else b"X-A;")
    assert own[1] == b"-x;"
    assert b"host: h" not in own
    assert command.needs_file == (b"@-" in words)
    if command.needs_file:
        assert (after(words, b"--data-binary"), read) == ([b"@-"], body)
    else:
        assert after(words, b"--data-raw") == ([body] if body else [])


@example("\u202eabc".encode())
@example(b"a\r\nb\tc")
@given(BODIES)
def test_a_command_is_what_it_looks_like(raw: bytes) -> None:
    capture = a_capture(headers=((b"x-a", raw),), body=raw, target=b"/" + raw)
    text = curl.command(capture, BASE, reveal=True).text
    assert render.visible(text) == text
    assert not {"\r", "\t"} & set(text)


def test_curl_adds_nothing_of_its_own() -> None:
    bare = curl.command(a_capture(body=b"x"), BASE, reveal=False).text
    for name in ("accept", "user-agent", "content-type"):
        assert f"-H {name}:" in bare
    headers = ((b"Accept", b"*/*"), (b"User-Agent", b"a"), (b"Content-Type", b"b"))
    given = curl.command(a_capture(body=b"x", headers=headers), BASE, reveal=False).text
    assert "accept:" not in given
    assert "'Content-Type: b'" in given


@pytest.mark.parametrize(
    ("target", "shown", "options"),
    [
        (b"/in/x?a=1&b=%20", "/in/x?a=1&b=%20", ""),
        (b"/in/x/{a,b}[1-3]", "/in/x/{a,b}[1-3]", " --globoff"),
        (b"/in/../x", "/in/../x", " --path-as-is"),
        (b'/in/x#"<\xff', "/in/x%23%22%3C%FF", ""),
    ],
)
def test_a_target_stays_what_it_is(target: bytes, shown: str, options: str) -> None:
    text = curl.command(a_capture(target=target), BASE, reveal=False).text
    first = text.split(" \\\n")[0]
    assert first.replace("'", "") == f"curl -X POST{options} {BASE}{shown}"


def test_a_head_request_waits_for_no_body() -> None:
    command = curl.command(a_capture(method="HEAD"), BASE, reveal=False)
    assert command.text.startswith("curl --head http")


def test_credentials_are_left_out_of_a_command_until_they_are_shown() -> None:
    capture = a_capture(headers=((b"authorization", b"Bearer abc"),))
    assert "abc" not in curl.command(capture, BASE, reveal=False).text
    assert "'authorization: Bearer abc'" in curl.command(capture, BASE, reveal=True).text


def test_a_long_body_is_no_word_of_a_command() -> None:
    long = a_capture(body=b"x" * captures.TEXT_BYTES)
    assert curl.command(long, BASE, reveal=True).needs_file


# --- two of them ------------------------------------------------------------------------------


def test_headers_are_compared_by_name() -> None:
    before = [("A", "1"), ("b", "2"), ("c", "3"), ("c", "4"), ("x-token", "5")]
    after = [("a", "1"), ("B", "9"), ("C", "3, 4"), ("d", "6"), ("x-token", "7")]
    found = differences.of_headers(before, after, reveal=False)
    assert [(each.name, each.before, each.after, each.word) for each in found] == [
        ("a", "1", "1", "same"),
        ("b", "2", "9", "changed"),
        ("c", "3, 4", "3, 4", "same"),
        ("x-token", captures.MASK, captures.MASK, "changed"),
        ("d", "", "6", "added"),
    ]
    [*_, gone] = differences.of_headers(before, after[:4], reveal=True)
    assert gone == differences.Difference("d", "", "6", "added")
    [token] = differences.of_headers(before[4:], [], reveal=True)
    assert token == differences.Difference("x-token", "5", "", "missing")


def lines(before: bytes, after: bytes) -> list[str]:
    signs = {"same": " ", "added": "+", "missing": "-", "skipped": "…"}
    return [
        signs[each.word] + (str(each.count) if each.word == "skipped" else each.text)
        for each in differences.of_bodies(before, after)
    ]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (b"a", b"a", []),
        (b'{"a":1,"b":2}', b'{"a":1,"b":3}', [" {", '   "a": 1,', '-  "b": 2', '+  "b": 3', " }"]),
        (b'{"a":1}', b'{"a": 1}', ['-{"a":1}', '+{"a": 1}']),
        (b"a\nb\nc", b"a\nc\nd", [" a", "-b", " c", "+d"]),
        (b"", b"a", ["-", "+a"]),
        ("\u200b".encode(), b"\\u200b", None),
        (b"a", b"\xff", None),
    ],
)
def test_bodies_are_compared_in_the_reading_that_tells(
    before: bytes, after: bytes, shown: list[str] | None
) -> None:
    if shown is None:  # no text tells them apart: bytes do
        rows = (captures.hexadecimal(before), captures.hexadecimal(after))
        shown = [f"-{rows[0]}", f"+{rows[1]}"]
    assert lines(before, after) == shown


def test_what_is_far_from_a_difference_is_left_out() -> None:
    before = "\n".join(map(str, range(20))).encode()
    after = before.replace(b"\n9\n", b"\nnine\n")
    assert lines(before, after) == [
        *("…6", " 6", " 7", " 8", "-9", "+nine", " 10", " 11", " 12", "…7")
    ]


SMALL = st.lists(st.sampled_from("abc"), max_size=12).map("\n".join).map(str.encode)


@given(SMALL, SMALL)
def test_the_lines_of_both_bodies_are_in_a_difference(before: bytes, after: bytes) -> None:
    found = differences.of_bodies(before, after)
    if before == after:
        assert found == []
        return
    for body, other in ((before, "added"), (after, "missing")):
        left = body.decode().split("\n")
        for each in found:
            if each.word == other:
                continue
            taken, left = left[: each.count], left[each.count :]
            assert each.word == "skipped" or taken == [each.text]
        assert left == []


def test_bodies_with_too_many_lines_are_told_apart_without_being_aligned() -> None:
    before, after = b"a\n" * 2_000 + b"x", b"b\n" * 2_000 + b"x"
    found = differences.of_bodies(before, after)
    assert [each.word for each in found] == ["missing"] * 2_000 + ["added"] * 2_000 + ["same"]


def test_bodies_that_differ_behind_every_limit_show_nothing() -> None:
    body = b"x" * captures.TEXT_BYTES
    assert differences.of_bodies(body + b"1", body + b"2") == []


# --- downloads --------------------------------------------------------------------------------


def test_an_archive_has_what_came_in() -> None:
    text = a_capture(
        target=b"/in/x?a=1",
        headers=((b"content-type", b"text/plain"), (b"Authorization", b"abc")),
        body="ø".encode(),
        status_code=599,
    )
    raw = a_capture(method="PUT", body=b"\xff")
    archive: Any = har.archive([text, raw, a_capture(method="GET")], BASE, complete=True)
    found = archive["log"]
    assert found["version"] == "1.2"
    first, second, third = (each["request"] for each in found["entries"])
    assert first["url"] == f"{BASE}/in/x?a=1"
    assert first["queryString"] == [{"name": "a", "value": "1"}]
    assert first["headers"] == [
        {"name": "content-type", "value": "text/plain"},
        {"name": "Authorization", "value": captures.MASK},
    ]
    assert first["postData"] == {"mimeType": "text/plain", "params": [], "text": "ø"}
    assert (second["method"], second["postData"]["text"]) == ("PUT", "/w==")
    assert second["postData"]["_encoding"] == "base64"
    assert (third["bodySize"], "postData" in third) == (0, False)
    answers = [each["response"] for each in found["entries"]]
    assert [(each["status"], each["statusText"]) for each in answers] == [
        *((599, ""), (200, "OK"), (200, "OK"))
    ]
    assert json.dumps(found)


@pytest.mark.parametrize("complete", [True, False])
def test_an_archive_says_when_it_is_not_all(complete: bool) -> None:
    archive: Any = har.archive([], BASE, complete=complete)
    assert ("comment" not in archive["log"]) == complete
