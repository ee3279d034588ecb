"""What is seen in a caught request: its bytes in several readings. Pure.

All of it is a stranger's, up to a mebibyte: whatever is read here is read in linear time, without
recursion, and is shown up to a limit.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

import stafett
from stafett import egress
from stafett.model import Capture, Json
from stafett.web.admin import render

HEX_BYTES: Final = 4_096
"""How much of a body the hex view shows."""
TEXT_BYTES: Final = 128 * 1024
"""How much of a body is shown as text, or put into a command line; the download has all of it."""
MASK: Final = render.MASK
_ROW: Final = 16
_MAX_FIELDS: Final = 200
_MAX_FIELD: Final = 2_000
_MAX_PART_HEAD: Final = 1_024
_SENT_BY_CURL: Final = frozenset(
    {b"content-length", b"host", b"transfer-encoding", b"connection", b"expect"}
)
_ADDED_BY_CURL: Final = (b"accept", b"user-agent")
_MAX_DEPTH: Final = 32
"""Of JSON that is indented: each level makes every line of it longer."""
_BRACKET_OR_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_QUOTE: Final = ord('"')
_PLAIN_IN_URL: Final = re.compile(rb"[!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z{|}~]")

Pairs = list[tuple[str, str]]


# --- headers, query, form ---------------------------------------------------------------------


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
    return _header(capture, b"content-type").partition(";")[0].strip().lower()


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
    boundary = _parameter(_header(capture, b"content-type"), "boundary")
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


def _header(capture: Capture, wanted: bytes) -> str:
    for name, value in capture.headers:
        if name.lower() == wanted:
            return value.decode("latin-1")
    return ""


# --- body -------------------------------------------------------------------------------------


def pretty(body: bytes) -> str | None:
    """JSON, indented; None for what is none, and for what would grow too much."""
    if len(body) > TEXT_BYTES:
        return None
    try:
        json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return render.pretty(body) if _depth(body) <= _MAX_DEPTH else None


def _depth(valid: bytes) -> int:
    """How deep lists and objects lie in each other."""
    depth = deepest = 0
    for found in _BRACKET_OR_STRING.finditer(valid):
        first = valid[found.start()]
        if first != _QUOTE:
            depth += 1 if first in b"[{" else -1
            deepest = max(deepest, depth)
    return deepest


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


# --- curl -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a POSIX shell."""

    text: str
    needs_file: bool
    """It reads the body from `body.bin`, which has to be saved first."""


def curl(capture: Capture, base_url: str, *, reveal: bool) -> Command:
    """Sends the same again, whatever its bytes are; without `reveal` credentials are left out."""
    path = capture.target.partition(b"?")[0]
    options = ["--globoff"] if re.search(rb"[\[\]{}]", capture.target) else []
    if b"/." in path:
        options.append("--path-as-is")
    bare = capture.method == "HEAD" and not capture.body
    method = "--head" if bare else f"-X {shlex.quote(capture.method)}"
    lines = [" ".join(["curl", method, *options, shlex.quote(base_url + _in_url(capture.target))])]
    lines += [f"-H {_word(header)}" for header in _headers_for_curl(capture, reveal=reveal)]
    needs_file = bool(capture.body) and not _fits_a_command(capture.body)
    if needs_file:
        lines.append("--data-binary @- < body.bin")
    elif capture.body:
        lines.append(f"--data-raw {shlex.quote(capture.body.decode())}")
    return Command(" \\\n  ".join(lines), needs_file)


def _headers_for_curl(capture: Capture, *, reveal: bool) -> Iterator[bytes]:
    """What was sent, and a word against what curl would add to it."""
    kept = (capture if reveal else masked(capture)).headers
    names = {name.lower() for name, _ in kept}
    for name, value in kept:
        if name.lower() not in _SENT_BY_CURL:
            yield name + b": " + value if value else name + b";"
    for name in (*_ADDED_BY_CURL, *([b"content-type"] if capture.body else [])):
        if name not in names:
            yield name + b":"


def _in_url(target: bytes) -> str:
    """As it is, except for bytes that curl would not send or would read as something else."""
    return "".join(
        chr(byte) if _PLAIN_IN_URL.match(bytes([byte])) else f"%{byte:02X}" for byte in target
    )


def _word(text: bytes) -> str:
    """One word of a command; what is not printable ASCII comes from printf."""
    if all(0x20 <= byte < 0x7F for byte in text):
        return shlex.quote(text.decode())
    # Besides what printf and quotes read, no "!": an interactive shell looks for it in "…" too.
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\%'!" else f"\\{byte:03o}"
        for byte in text
    )
    return f"\"$(printf -- '{escaped}')\""


def _fits_a_command(body: bytes) -> bool:
    """Whether it is text of which every character survives being shown, copied and pasted."""
    if len(body) >= TEXT_BYTES or b"\r" in body or b"\t" in body:
        return False
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return render.visible(text) == text


# --- two of them ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A header, or a line of a body, at one end and at the other."""

    name: str
    before: str
    after: str
    word: str
    """`same`, `changed`, `added` or `missing`."""


def header_differences(before: Pairs, after: Pairs, *, reveal: bool) -> list[Difference]:
    """By name, repeats joined; that a hidden value was changed is told, but not its values."""
    one, two = _by_name(before), _by_name(after)
    found: list[Difference] = []
    for name in [*one, *(each for each in two if each not in one)]:
        first, second = one.get(name), two.get(name)
        word = _word_for(first, second)
        if not reveal and is_secret(name):
            first, second = first and MASK, second and MASK
        found.append(Difference(name, first or "", second or "", word))
    return found


def _word_for(first: str | None, second: str | None) -> str:
    if first is None:
        return "added"
    if second is None:
        return "missing"
    return "same" if first == second else "changed"


def _by_name(pairs: Pairs) -> dict[str, str]:
    joined: dict[str, list[str]] = {}
    for name, value in pairs:
        joined.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(values) for name, values in joined.items()}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of either body, or of both."""

    word: str
    """`same`, `added`, `missing`; `skipped` for many that are the same."""
    text: str
    count: int = 1


def body_differences(before: bytes, after: bytes) -> list[Line]:
    """Line by line, in the first reading that shows a difference: JSON, text, bytes.

    Nothing for equal bodies, and nothing where only what lies behind the limits differs.
    """
    if before == after:
        return []
    for reading in (_as_json, _as_text, _as_bytes):
        one, two = reading(before), reading(after)
        if one is not None and two is not None and one != two:
            return _folded(_aligned(one, two))
    return []


def _as_json(body: bytes) -> list[str] | None:
    shown = pretty(body)
    return None if shown is None else shown.split("\n")


def _as_text(body: bytes) -> list[str] | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return render.visible(text).split("\n") if len(body) <= TEXT_BYTES else None


def _as_bytes(body: bytes) -> list[str]:
    return hexadecimal(body).split("\n")


_MAX_CELLS: Final = 250_000
"""Of the table of all pairs of lines: about 50 ms of work."""


def _aligned(one: list[str], two: list[str]) -> list[Line]:
    """The lines of both, those that they share only once."""
    start = _shared(one, two)
    end = _shared(one[start:][::-1], two[start:][::-1])
    head = [Line("same", text) for text in one[:start]]
    tail = [Line("same", text) for text in one[len(one) - end :]]
    first, second = one[start : len(one) - end], two[start : len(two) - end]
    if len(first) * len(second) > _MAX_CELLS:
        middle = [*(Line("missing", each) for each in first)]
        middle += [Line("added", each) for each in second]
    else:
        middle = _merged(first, second)
    return [*head, *middle, *tail]


def _shared(one: Sequence[str], two: Sequence[str]) -> int:
    count = 0
    for first, second in zip(one, two, strict=False):
        if first != second:
            break
        count += 1
    return count


def _merged(one: list[str], two: list[str]) -> list[Line]:
    """By their longest common subsequence."""
    lengths = [[0] * (len(two) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one) - 1, -1, -1):
        row, below = lengths[i], lengths[i + 1]
        for j in range(len(two) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if one[i] == two[j] else max(below[j], row[j + 1])
    merged: list[Line] = []
    i = j = 0
    while i < len(one) or j < len(two):
        if i < len(one) and j < len(two) and one[i] == two[j]:
            merged.append(Line("same", one[i]))
            i, j = i + 1, j + 1
        elif i < len(one) and (j == len(two) or lengths[i + 1][j] >= lengths[i][j + 1]):
            merged.append(Line("missing", one[i]))
            i += 1
        else:
            merged.append(Line("added", two[j]))
            j += 1
    return merged


_AROUND: Final = 3


def _folded(lines: list[Line]) -> list[Line]:
    """Without what is far from any difference."""
    near = [False] * len(lines)
    for place, line in enumerate(lines):
        if line.word != "same":
            for each in range(max(0, place - _AROUND), min(len(lines), place + _AROUND + 1)):
                near[each] = True
    folded: list[Line] = []
    for line, shown in zip(lines, near, strict=True):
        if shown:
            folded.append(line)
        elif folded and folded[-1].word == "skipped":
            folded[-1] = Line("skipped", "", folded[-1].count + 1)
        else:
            folded.append(Line("skipped", ""))
    return folded


# --- downloads --------------------------------------------------------------------------------


def har(captures: Sequence[Capture], base_url: str, *, complete: bool) -> Json:
    """An HTTP archive (HAR 1.2) of them, oldest first; what was answered only as its status."""
    entries: list[Json] = [_entry(each, base_url) for each in captures]
    creator: Json = {"name": "Stafett", "version": stafett.__version__}
    log: dict[str, Json] = {"version": "1.2", "creator": creator, "entries": entries}
    if not complete:
        log["comment"] = "the bin has older requests that are not in this file"
    return {"log": log}


def _entry(capture: Capture, base_url: str) -> Json:
    request: dict[str, Json] = {
        "method": capture.method,
        "url": base_url + _in_url(capture.target),
        "httpVersion": f"HTTP/{capture.http_version}",
        "cookies": [],
        "headers": _named(headers(capture, reveal=False)),
        "queryString": _named(path_and_query(capture)[1]),
        "headersSize": -1,
        "bodySize": len(capture.body),
    }
    if capture.body:
        request["postData"] = _post_data(capture)
    return {
        "startedDateTime": capture.received_at.isoformat(),
        "time": 0,
        "request": request,
        "response": _response(capture.status_code),
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": 0},
        "comment": f"{capture.id} from {capture.peer}",
    }


def _post_data(capture: Capture) -> Json:
    """HAR has text alone; bytes are base64, and say so as browsers do."""
    kind = _header(capture, b"content-type")
    try:
        return {"mimeType": kind, "params": [], "text": capture.body.decode()}
    except UnicodeDecodeError:
        text = base64.b64encode(capture.body).decode()
        return {"mimeType": kind, "params": [], "text": text, "_encoding": "base64"}


def _response(status: int) -> Json:
    known = status in {each.value for each in HTTPStatus}
    return {
        "status": status,
        "statusText": HTTPStatus(status).phrase if known else "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": "x-unknown"},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
    }


def _named(pairs: Pairs) -> list[Json]:
    return [{"name": name, "value": value} for name, value in pairs]
