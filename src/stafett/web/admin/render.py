"""Writes pages: the templates, what they can call, and the headers that every page carries."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, Final

import jinja2
from markupsafe import Markup

from stafett import egress, errors
from stafett.model import Headers, Json
from stafett.web.calls import Reply

_PACKAGE: Final = "stafett.web.admin"
MASK: Final = "(hidden)"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
TEXT_BYTES: Final = 128 * 1024
"""How much of a body is shown as text; the download has all of it."""
_MAX_DEPTH: Final = 32
"""Of JSON that is indented: each level makes every line of it longer."""
_PART: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_UNSEEN: Final = frozenset(
    {0xAD, 0x61C, 0xFEFF, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070)}
)
"""What has no look of its own: it could hide text, or turn it round."""
_FOREVER: Final = (b"cache-control", b"public, max-age=31536000, immutable")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = [
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]


@cache
def environment() -> jinja2.Environment:
    """The templates; everything that is put into one is escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = made.filters
    filters["moment"] = moment
    filters["milliseconds"] = milliseconds
    filters["span"] = span
    filters["pretty"] = pretty
    filters["visible"] = visible
    filters["masked"] = masked
    filters["as_json"] = as_json
    made.globals["static"] = static_path
    return made


def page(template: str, /, **values: Any) -> bytes:
    """A template with `values`."""
    return environment().get_template(template).render(**values).encode()


def moment(at: datetime | None) -> Markup:
    """A time; a browser with script shows it in its reader's own form."""
    if at is None:
        return Markup("<span class=none>-</span>")
    text = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), text)


def milliseconds(duration: timedelta) -> str:
    """`12 ms`, `3.4 s`."""
    ms = duration / timedelta(milliseconds=1)
    return f"{ms / 1000:.1f} s" if ms >= 10_000 else f"{ms:.0f} ms"


def span(duration: timedelta) -> str:
    """The largest unit that fits: `5 s`, `12 min`, `3 h`, `2 d`."""
    seconds = duration.total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def masked(pairs: Headers) -> Headers:
    """Headers, the values of those that hold credentials hidden."""
    return tuple((name, MASK if egress.is_sensitive(name) else value) for name, value in pairs)


def as_json(value: Json) -> str:
    """A value as indented JSON."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return "(nested too deep to be shown)"


def pretty(body: bytes | str) -> str:
    """`indented` where it can be; anything else as `visible` shows it."""
    shown = indented(body)
    return visible(body) if shown is None else shown


def indented(body: bytes | str) -> str | None:
    """JSON with line breaks, numbers and order as they are.

    None for what is none, what is longer than is shown as text, and what lies deeper than 32.
    """
    if len(body) > TEXT_BYTES:
        return None
    try:
        text = body.decode() if isinstance(body, bytes) else body
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    broken = _reindented(text)
    return None if broken is None else visible(broken)


def _reindented(text: str) -> str | None:
    """Valid JSON with line breaks; every number and string stays as it was written.

    None where it lies so deep in itself that the spaces in front would be most of it.
    """
    pieces: list[str] = []
    depth = 0
    before = ""
    for part in _PART.findall(text):
        closes = part in {"}", "]"}
        opened = before in {"{", "["}
        depth -= closes
        if closes != opened or before == ",":  # an empty object or list stays on its line
            pieces.append("\n" + "  " * depth if closes or opened or before == "," else "")
        pieces.append(": " if part == ":" else part)
        depth += part in {"{", "["}
        if depth > _MAX_DEPTH:
            return None
        before = part
    return "".join(pieces)


def visible(body: bytes | str) -> str:
    """Bytes as text; what is not text, and what could hide or turn text round, as its code."""
    text = body.decode(errors="backslashreplace") if isinstance(body, bytes) else body
    return "".join(each if _is_plain(each) else f"\\u{ord(each):04x}" for each in text)


def _is_plain(character: str) -> bool:
    if character in "\n\t\r":
        return True
    code = ord(character)
    if code < 0x20 or 0x7F <= code < 0xA0:
        return False
    return code not in _UNSEEN


# --- static files -----------------------------------------------------------------------------


@cache
def static_file(name: str) -> bytes | None:
    """The bytes of a file in `static/`; None where there is none of that name."""
    if "/" in name or name.startswith("."):
        return None
    file = resources.files(_PACKAGE) / "static" / name
    return file.read_bytes() if file.is_file() else None


def static_reply(path: str, *more: tuple[bytes, bytes]) -> Reply:
    """The file that the last part of `path` names; it may be kept for ever. Errors: NotFound."""
    name = path.rpartition("/")[2]
    content = static_file(name)
    kind = _TYPES.get("." + name.rpartition(".")[2])
    if content is None or kind is None:
        message = "there is no such file"
        raise errors.NotFound(message)
    return Reply(200, content, [(b"content-type", kind.encode()), _FOREVER, *more])


@cache
def static_path(name: str) -> str:
    """Its path below the admin, with its content's hash: it may be kept for ever."""
    content = static_file(name)
    assert content is not None, name  # noqa: S101 - templates name files that are there
    return f"-/static/{hashlib.sha256(content).hexdigest()[:12]}/{name}"
