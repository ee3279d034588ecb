"""What is seen in a caught request: its bytes in several readings. Pure.

All of it is a stranger's, up to a mebibyte: whatever is read here is read in linear time, without
recursion, and is shown up to a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import unquote_to_bytes

from stafett import egress
from stafett.model import Capture
from stafett.web.admin import render

HEX_BYTES: Final = 4_096
"""How much of a body the hex view shows."""
TEXT_BYTES: Final = render.TEXT_BYTES
MASK: Final = render.MASK
_ROW: Final = 16
_MAX_FIELDS: Final = 200
_MAX_FIELD: Final = 2_000
_MAX_PART_HEAD: Final = 1_024
_PLAIN_IN_URL: Final = re.compile(rb"[!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z{|}~]")

Pairs = list[tuple[str, str]]


def is_secret(name: str) -> bool:
    """Whether a header's value is shown only when somebody asks for it."""
    return egress.is_sensitive(name) or "key" in name.lower()


def headers(capture: Capture, *, reveal: bool) -> Pairs:
    """All headers in their order; what may be a credential only with `reveal`."""
    kept = capture if reveal else masked(capture)
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in kept.headers]


def masked(capture: Capture) -> Capture:
    """The same without what may be a credential in its headers."""
    kept = tuple(
        (name, MASK.encode() if is_secret(name.decode("latin-1")) else value)
        for name, value in capture.headers
    )
    return replace(capture, headers=kept)


def has_secrets(capture: Capture) -> bool:
    """Whether there is anything to hide."""
    return any(is_secret(name.decode("latin-1")) for name, _ in capture.headers)


def path_and_query(capture: Capture) -> tuple[str, Pairs]:
    """The path as sent, and what the query says."""
    path, _, query = capture.target.partition(b"?")
    return path.decode("latin-1"), _fields(query)


def content_type(capture: Capture) -> str:
    """The media type, without parameters, in lower case."""
    return header(capture, b"content-type").partition(";")[0].strip().lower()


def form(capture: Capture) -> Pairs:
    """The fields of a form, urlencoded or in parts; nothing for any other body."""
    kind = content_type(capture)
    if kind == "application/x-www-form-urlencoded":
        return _fields(capture.body)
    if kind == "multipart/form-data":
        return list(_parts(capture))
    return []


def _fields(encoded: bytes) -> Pairs:
    found: Pairs = []
    for part in encoded.split(b"&", _MAX_FIELDS)[:_MAX_FIELDS]:
        name, _, value = part.partition(b"=")
        if part:
            found.append((_decoded(name), _decoded(value)))
    return found


def _decoded(encoded: bytes) -> str:
    return _short(unquote_to_bytes(encoded.replace(b"+", b" ")))


def _short(value: bytes) -> str:
    text = value[: 4 * _MAX_FIELD + 4].decode(errors="backslashreplace")
    return text if len(text) <= _MAX_FIELD else text[:_MAX_FIELD] + " …"


def _parts(capture: Capture) -> Iterator[tuple[str, str]]:
    """RFC 7578, one level: parts within a part stay text."""
    boundary = _parameter(header(capture, b"content-type"), "boundary")
    if not boundary:
        return
    line = b"\r\n--" + boundary.encode("latin-1")
    parts = (b"\r\n" + capture.body).split(line, _MAX_FIELDS + 1)
    for part in parts[1 : _MAX_FIELDS + 1]:
        if part.startswith(b"--"):
            return
        head, gap, content = part.partition(b"\r\n\r\n")
        disposition = _disposition(head[:_MAX_PART_HEAD])
        name = _parameter(disposition, "name")
        if gap and name is not None:
            file = _parameter(disposition, "filename")
            yield name, _short(content) if file is None else f"{file} ({len(content)} bytes)"


def _disposition(head: bytes) -> str:
    for line in head.decode(errors="backslashreplace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return value
    return ""


def _parameter(header: str, name: str) -> str | None:
    """A parameter of a header's value, with or without quotes."""
    pattern = rf';\s*{name}=(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))'
    found = re.search(pattern, header, re.IGNORECASE)
    if found is None:
        return None
    quoted, plain = found.groups()
    return plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)


def beginning(body: bytes) -> str:
    """As text, up to the limit."""
    return render.visible(body[:TEXT_BYTES])


def hexadecimal(body: bytes) -> str:
    """Rows of offset, bytes and what of them is printable ASCII."""
    rows: list[str] = []
    for start in range(0, min(len(body), HEX_BYTES), _ROW):
        row = body[start : min(start + _ROW, HEX_BYTES)]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start:08x}  {row.hex(' '):<47}  {text}")
    return "\n".join(rows)


def header(capture: Capture, wanted: bytes) -> str:
    """The value of the first header of that name (in lower case); nothing where there is none."""
    for name, value in capture.headers:
        if name.lower() == wanted:
            return value.decode("latin-1")
    return ""


def in_url(target: bytes) -> str:
    """As it is, except for bytes that curl would not send or would read as something else."""
    return "".join(
        chr(byte) if _PLAIN_IN_URL.match(bytes([byte])) else f"%{byte:02X}" for byte in target
    )
