"""What differs between two requests, or between what was sent and what was caught. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stafett.web.admin import captures, render

_MAX_CELLS: Final = 250_000
"""Of the table of all pairs of lines: about 50 ms of work."""
_AROUND: Final = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """A header, or a line of a body, at one end and at the other."""

    name: str
    before: str
    after: str
    word: str
    """`same`, `changed`, `added` or `missing`."""


def of_headers(before: captures.Pairs, after: captures.Pairs, *, reveal: bool) -> list[Difference]:
    """By name, repeats joined; that a hidden value was changed is told, but not its values."""
    one, two = _by_name(before), _by_name(after)
    found: list[Difference] = []
    for name in [*one, *(each for each in two if each not in one)]:
        first, second = one.get(name), two.get(name)
        word = _word_for(first, second)
        if not reveal and captures.is_secret(name):
            first, second = first and render.MASK, second and render.MASK
        found.append(Difference(name, first or "", second or "", word))
    return found


def _word_for(first: str | None, second: str | None) -> str:
    if first is None:
        return "added"
    if second is None:
        return "missing"
    return "same" if first == second else "changed"


def _by_name(pairs: captures.Pairs) -> dict[str, str]:
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


def of_bodies(before: bytes, after: bytes) -> list[Line]:
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
    shown = render.indented(body)
    return None if shown is None else shown.split("\n")


def _as_text(body: bytes) -> list[str] | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return render.visible(text).split("\n") if len(body) <= render.TEXT_BYTES else None


def _as_bytes(body: bytes) -> list[str]:
    return captures.hexadecimal(body).split("\n")


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
