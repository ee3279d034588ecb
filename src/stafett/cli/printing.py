"""Prints for people: plain lines and aligned tables, and JSON as the server sent it.

What strangers wrote (bodies, headers, names) reaches a terminal only without control characters.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, cast

import click

from stafett.model import Json

_GAP: Final = "  "
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that move the cursor, reorder text, or show nothing."""


def safe(text: object) -> str:
    """`text` on one line, with everything that could steer a terminal shown as an escape."""
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(map(_visible, shown))


def safe_lines(text: str) -> str:
    """Like `safe`, but line breaks and tabs stay."""
    return "\n".join(safe(line.expandtabs(4)) for line in text.replace("\r\n", "\n").split("\n"))


def _visible(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape").decode("ascii")


def line(text: str = "", *, err: bool = False) -> None:
    """Print one line that is ours; a stranger's text in it has been through `safe`."""
    click.echo(text, err=err)


def raw_json(body: bytes) -> None:
    """Print the server's JSON; nothing where it sent nothing.

    As it came, but that what could steer a terminal is escaped, which any reader undoes.
    """
    if body:
        click.echo(json_safe(body.decode(errors="replace")).encode())


def json_safe(text: str) -> str:
    """JSON that says the same, on as many lines, in characters that all can be seen."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    """JSON lets all from U+007F on stand; below U+0020 only what is between its values."""
    if char in "\n\r\t" or unicodedata.category(char) not in _HIDDEN:
        return char
    return json.dumps(char)[1:-1]


def pretty(value: Json) -> str:
    """JSON to be read by a person."""
    return safe_lines(json.dumps(value, indent=2, ensure_ascii=False))


def table(names: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their names, each column as wide as its widest cell; or say `empty`."""
    cells = [[safe(cell) for cell in row] for row in rows]
    if not cells:
        line(empty)
        return
    heads = [name.upper() for name in names]
    widths = [max(map(width, column)) for column in zip(heads, *cells, strict=True)]
    for row in (heads, *cells):
        padded = [cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths, strict=True)]
        line(_GAP.join(padded).rstrip())


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print a name and a value a line, aligned; what is None or empty is left out."""
    shown = [(name, safe(value)) for name, value in pairs if value not in {None, ""}]
    wide = max((width(name) for name, _ in shown), default=0)
    for name, value in shown:
        line(f"{name}{' ' * (wide - width(name))}{_GAP}{value}")


def width(text: str) -> int:
    """Columns that `text` takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def moment(text: object) -> str:
    """A time of the API to the second: `2026-11-24 12:00:00Z`."""
    if not isinstance(text, str):
        return ""
    day, _, clock = text.partition("T")
    return f"{day} {clock[:8]}Z"


def yes(value: object) -> str:
    """A fact in a table."""
    return "yes" if value else "no"


def joined(value: Json, *, otherwise: str) -> str:
    """A list in a table cell, or what an absent one means."""
    if not value:
        return otherwise
    return ", ".join(str(each) for each in cast("list[Json]", value))
