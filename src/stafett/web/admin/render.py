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
from jinja2.runtime import Context
from markupsafe import Markup

from stafett import egress, errors
from stafett.model import Headers, Json
from stafett.web.admin import languages
from stafett.web.admin.languages import Language
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
    filters["moment_text"] = moment_text
    filters["number"] = number
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


@jinja2.pass_context
def moment(context: Context, at: datetime | None) -> Markup:
    """A time; a browser with script shows it in its reader's own form and zone."""
    if at is None:
        return Markup("<span class=none>-</span>")
    text = _language(context).moment(at)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), text)


@jinja2.pass_context
def moment_text(context: Context, at: datetime) -> str:
    """A time where no element can stand, such as in a choice."""
    return _language(context).moment(at)


@jinja2.pass_context
def number(context: Context, value: float) -> str:
    """A whole number in the reader's form."""
    return _language(context).number(value)


@jinja2.pass_context
def milliseconds(context: Context, duration: timedelta) -> str:
    """`12 ms`, `12.4 s` in the reader's form."""
    return _language(context).milliseconds(duration)


@jinja2.pass_context
def span(context: Context, duration: timedelta) -> str:
    """`5 s`, `12 min`, `3 h`, `2 d` in the reader's form."""
    return _language(context).span(duration)


def _language(context: Context) -> Language:
    """The page's."""
    return languages.language(context["language"])


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
def _static_files() -> dict[str, bytes]:
    """What is in `static/` and in its `vendor/`: no name that anybody asks for is a path."""
    own = resources.files(_PACKAGE) / "static"
    folders = (("", own), ("vendor/", own / "vendor"))
    return {
        prefix + file.name: file.read_bytes()
        for prefix, folder in folders
        for file in folder.iterdir()
        if file.is_file()
    }


def static_file(name: str) -> bytes | None:
    """The bytes of a file in `static/`; None where there is none."""
    return _static_files().get(name)


def static_reply(path: str, *more: tuple[bytes, bytes]) -> Reply:
    """The file that `path` names behind its hash; it may be kept for ever. Errors: NotFound."""
    name = path.partition("-/static/")[2].partition("/")[2]
    content = static_file(name)
    kind = _TYPES.get("." + name.rpartition(".")[2])
    if content is None or kind is None:
        message = "there is no such file"
        raise errors.NotFound(message)
    return Reply(200, content, [(b"content-type", kind.encode()), _FOREVER, *more])


@cache
def static_path(name: str) -> str:
    """Its path below the admin, with its content's hash: it may be kept for ever."""
    content = _static_files()[name]
    return f"-/static/{hashlib.sha256(content).hexdigest()[:12]}/{name}"
