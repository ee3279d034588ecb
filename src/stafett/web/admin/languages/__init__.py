"""The admin's languages: English stands in the code, each other language is one file beside this.

A file is named after its language (BCP 47) and has three tables: `[language]` says what it is
called and how it writes numbers and dates, `[events]` maps what the built-in event types say, and
`[texts]` maps each text of the pages. Numbers and names in a text stand as `{name}`. What services
say (problems with a field, causes) is translated by the same table: a text with `{}` in it matches
whatever stands there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

from stafett.model import FailureCause, Role

ENGLISH: Final = "en"
_GROUP: Final = 3  # digits between two separators
_FILES: Final = resources.files(__name__)
_DURATION: Final = re.compile(r"[\d.,]+ (?:ms|s|min|h|d)(?: \d+ (?:ms|s|min|h|d))*")
_NUMBER: Final = re.compile(r"\d{1,3}(?:,\d{3})+|\d+\.\d+")
_QUANTITY: Final = re.compile(r"([\d.,]+)(?: (ms|s|min|h|d))?")
_WORDS: Final = frozenset(each.value for enum in (FailureCause, Role) for each in enum)
"""Single words of ours that stand within a sentence; any other may be somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """What a language is called, and how it writes numbers and dates: the table `[language]`."""

    name: str
    also: tuple[str, ...] = ()
    """Other languages whose readers read this one."""
    decimal: str = "."
    thousands: str = ","
    months: tuple[str, ...] = (
        *("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    )
    date: str = "{day} {month} {year}, {time}"
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    """Short names of units of time, where they differ from ours."""


class Language:
    """One language."""

    def __init__(
        self, code: str, forms: Forms, *, texts: Mapping[str, str], events: Mapping[str, str]
    ) -> None:
        self.code = code
        self.forms = forms
        self._texts = texts
        self._events = events
        # A sentence may fit several: the one that has the most of it is meant.
        patterns = sorted((text for text in texts if "{}" in text), key=_literal_length)
        self._patterns = [
            (re.compile(re.escape(text).replace(r"\{\}", "(.*)")), texts[text])
            for text in reversed(patterns)
        ]

    # --- texts --------------------------------------------------------------------------------

    def text(self, english: str, /, **values: Any) -> str:
        """`english` in this language, with `values` in their places."""
        own = self._texts.get(english, english)
        if not values:
            return own
        return own.format(**{name: self._put(each) for name, each in values.items()})

    def said(self, sentence: str) -> str:
        """What a service said, in this language; as it is where nobody has translated it."""
        own = self._texts.get(sentence)
        if own is not None:
            return own
        for pattern, translated in self._patterns:
            found = pattern.fullmatch(sentence)
            if found is not None:
                return translated.format(*map(self._within, found.groups()))
        return sentence

    def event_text(self, english: str) -> str:
        """What a built-in event type says, in this language."""
        return self._events.get(english, english)

    def _put(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return self.number(value)

    def _within(self, part: str) -> str:
        """What stands within a sentence: words and quantities of ours in this language's form."""
        if part in _WORDS or " " in part:
            part = self.said(part)
        return self.quantity(part)

    def _one_quantity(self, found: re.Match[str]) -> str:
        number, unit = found.groups()
        return self._written(number) + (f" {self._unit(unit)}" if unit else "")

    # --- numbers and dates --------------------------------------------------------------------

    def quantity(self, text: str) -> str:
        """A duration (`2 h 10 min`) or a number (`1,234`, `0.5`) of ours, as this language has it.

        Anything else as it is: also a number that may be a name, such as `8080`.
        """
        if _DURATION.fullmatch(text) or _NUMBER.fullmatch(text):
            return _QUANTITY.sub(self._one_quantity, text)
        return text

    def number(self, value: float, *, places: int = 0) -> str:
        """`1,234.5` as it is written in this language; whole numbers as they are."""
        return self._written(f"{value:,.{0 if isinstance(value, int) else places}f}")

    def moment(self, at: datetime) -> str:
        """A time, to the second, in UTC."""
        return self.forms.date.format(
            day=at.day,
            month=self.forms.months[at.month - 1],
            year=at.year,
            time=at.strftime("%H:%M:%S UTC"),
        )

    def milliseconds(self, duration: timedelta) -> str:
        """`12 ms`, `12.4 s`."""
        ms = duration / timedelta(milliseconds=1)
        if ms >= 10_000:
            return f"{self.number(ms / 1000, places=1)} {self._unit('s')}"
        return f"{self.number(ms)} {self._unit('ms')}"

    def span(self, duration: timedelta) -> str:
        """The largest unit that fits: `5 s`, `12 min`, `3 h`, `2 d`."""
        seconds = duration.total_seconds()
        for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
            if seconds >= size:
                return f"{self.number(seconds / size)} {self._unit(unit)}"
        return f"{self.number(seconds)} {self._unit('s')}"

    def read_number(self, text: str) -> float:
        """A number as it is written in this language. Errors: ValueError."""
        whole, point, part = "".join(text.split()).partition(self.forms.decimal)
        first, *groups = whole.split(self.forms.thousands)
        if any(len(each) != _GROUP for each in groups):
            message = f"{text!r} is not a number"
            raise ValueError(message)
        return float("".join([first, *groups]) + (f".{part}" if point else ""))

    def _written(self, number: str) -> str:
        """A number as Python writes it, with this language's separators."""
        whole, point, part = number.partition(".")
        written = whole.replace(",", self.forms.thousands)
        return f"{written}{self.forms.decimal}{part}" if point else written

    def _unit(self, unit: str) -> str:
        return self.forms.units.get(unit, unit)


def _literal_length(pattern: str) -> int:
    return len(pattern.replace("{}", ""))


# --- which there are --------------------------------------------------------------------------


@cache
def names() -> dict[str, str]:
    """Every language, by its code, as it calls itself: English, then those that have a file."""
    files = sorted(each.name for each in _FILES.iterdir() if each.name.endswith(".toml"))
    codes = [ENGLISH, *(each.removesuffix(".toml") for each in files)]
    return {code: language(code).forms.name for code in codes}


@cache
def language(code: str) -> Language:
    """One of `names()`."""
    if code == ENGLISH:
        return Language(code, Forms(name="English"), texts={}, events={})
    document = tomllib.loads((_FILES / f"{code}.toml").read_text(encoding="utf-8"))
    forms = msgspec.convert(document["language"], Forms)
    return Language(code, forms, texts=document["texts"], events=document["events"])


@cache
def _by_any_code() -> dict[str, str]:
    """Each language by its own code, and by those of who reads it too."""
    also = {other: code for code in names() for other in language(code).forms.also}
    return also | {code: code for code in names()}


def chosen(cookie: str, accepted: str) -> Language:
    """The language of a cookie, else of an `Accept-Language` header, else English."""
    if cookie in names():
        return language(cookie)
    for code in _by_weight(accepted.split(",")):
        known = _by_any_code().get(code.partition("-")[0])
        if known is not None:
            return language(known)
    return language(ENGLISH)


def _by_weight(parts: Iterable[str]) -> list[str]:
    weighed: list[tuple[float, str]] = []
    for part in parts:
        code, _, weight = part.strip().lower().partition(";q=")
        try:
            weighed.append((-float(weight or 1), code))
        except ValueError:
            continue
    return [code for _, code in sorted(weighed, key=lambda each: each[0])]
