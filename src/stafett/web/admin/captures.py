"""What is seen in a caught request: its bytes in several readings. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final
from urllib.parse import parse_qsl

from stafett.model import Capture

HEX_BYTES: Final = 4_096
"""How much of a body the hex view shows."""
_ROW: Final = 16
_SECRET_WORDS: Final = ("token", "secret", "key", "password")
_SECRET_NAMES: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
_SENT_BY_CURL: Final = frozenset({b"content-length", b"host", b"transfer-encoding", b"connection"})
MASK: Final = "••••••"

Pairs = list[tuple[str, str]]


def is_secret(name: bytes) -> bool:
    """Whether a header's value is shown only when somebody asks for it."""
    lower = name.lower()
    return lower in _SECRET_NAMES or any(
        word in lower.decode("latin-1") and not lower.startswith(b"webhook")
        for word in _SECRET_WORDS
    )


def headers(capture: Capture, *, reveal: bool) -> Pairs:
    """All headers in their order; what may be a credential only with `reveal`."""
    return [
        (
            name.decode("latin-1"),
            value.decode("latin-1") if reveal or not is_secret(name) else MASK,
        )
        for name, value in capture.headers
    ]


def path_and_query(capture: Capture) -> tuple[str, Pairs]:
    """The path as sent, and what the query says."""
    path, _, query = capture.target.decode("latin-1").partition("?")
    return path, parse_qsl(query, keep_blank_values=True, errors="replace")


def content_type(capture: Capture) -> str:
    """The media type, without parameters, in lower case."""
    return _header(capture, b"content-type").partition(";")[0].strip().lower()


def form(capture: Capture) -> Pairs:
    """The fields of a form, urlencoded or in parts; nothing for any other body."""
    kind = content_type(capture)
    if kind == "application/x-www-form-urlencoded":
        text = capture.body.decode("latin-1")
        return parse_qsl(text, keep_blank_values=True, errors="replace")
    if kind == "multipart/form-data":
        return list(_parts(capture))
    return []


def _parts(capture: Capture) -> Iterable[tuple[str, str]]:
    head = b"content-type: " + _header(capture, b"content-type").encode("latin-1") + b"\r\n\r\n"
    parsed: Message = BytesParser(policy=HTTP).parsebytes(head + capture.body)
    for part in parsed.walk():
        name = part.get_param("name", header="content-disposition")
        if part.is_multipart() or not isinstance(name, str):
            continue
        content = part.get_payload(decode=True)
        body = content if isinstance(content, bytes) else b""
        file = part.get_filename()
        shown = body.decode("utf-8", errors="backslashreplace")
        yield name, f"{file} ({len(body)} bytes)" if file else shown


def hexadecimal(body: bytes) -> str:
    """Rows of offset, bytes and what of them is printable ASCII."""
    rows: list[str] = []
    for start in range(0, min(len(body), HEX_BYTES), _ROW):
        row = body[start : start + _ROW]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start:08x}  {row.hex(' '):<47}  {text}")
    return "\n".join(rows)


def curl(capture: Capture, base_url: str) -> str:
    """A command for a POSIX shell that sends the same again, whatever its bytes are.

    A body that is no text is read from a file, as no command line can hold it.
    """
    words = ["curl", "-X", capture.method, base_url + capture.target.decode("latin-1")]
    for name, value in capture.headers:
        if name.lower() in _SENT_BY_CURL:
            continue
        text = MASK if is_secret(name) else value.decode("latin-1")
        words += ["-H", f"{name.decode('latin-1')}: {text}"]
    if not capture.body:
        return shlex.join(words)
    try:
        text = capture.body.decode()
    except UnicodeDecodeError:
        text = "\0"
    words += ["--data-binary", "@body.bin" if "\0" in text or text.startswith("@") else text]
    return shlex.join(words)


def differences(sent: Pairs, arrived: Pairs) -> list[tuple[str, str, str, str]]:
    """Name, value sent, value arrived, and `same`, `changed`, `added` or `missing`; by name."""
    before, after = _by_name(sent), _by_name(arrived)
    found: list[tuple[str, str, str, str]] = []
    for name in [*before, *(each for each in after if each not in before)]:
        one, two = before.get(name), after.get(name)
        if one is None:
            word = "added"
        elif two is None:
            word = "missing"
        else:
            word = "same" if one == two else "changed"
        found.append((name, one or "", two or "", word))
    return found


def _by_name(pairs: Pairs) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        joined[lower] = f"{joined[lower]}, {value}" if lower in joined else value
    return joined


def _header(capture: Capture, wanted: bytes) -> str:
    for name, value in capture.headers:
        if name.lower() == wanted:
            return value.decode("latin-1")
    return ""
