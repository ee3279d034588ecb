"""The admin's languages: English stands in the templates, each other language is one file.

A file is named after its language (BCP 47), and maps each English text to its own. Numbers and
names in a text stand as `{name}`. What services say (problems with a field, causes) is translated
by the same table: a text with `{}` in it matches whatever stands there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any, Final

ENGLISH: Final = "en"
NAMES: Final = {ENGLISH: "English", "nb": "Norsk bokmål"}
_ALIASES: Final = {"no": "nb", "nn": "nb"}  # who reads Nynorsk or plain "Norwegian" reads this


class Language:
    """One language."""

    def __init__(self, code: str, texts: dict[str, str]) -> None:
        self.code = code
        self._texts = texts
        self._patterns = [
            (re.compile(re.escape(text).replace(r"\{\}", "(.*)")), own)
            for text, own in texts.items()
            if "{}" in text
        ]

    def text(self, english: str, /, **values: Any) -> str:
        """`english` in this language, with `values` in their places."""
        own = self._texts.get(english, english)
        return own.format(**values) if values else own

    def said(self, sentence: str) -> str:
        """What a service said, in this language; as it is where nobody has translated it."""
        own = self._texts.get(sentence)
        if own is not None:
            return own
        for pattern, translated in self._patterns:
            found = pattern.fullmatch(sentence)
            if found is not None:
                return translated.format(*found.groups())
        return sentence


@cache
def language(code: str) -> Language:
    """One of `NAMES`."""
    if code == ENGLISH:
        return Language(code, {})
    file = resources.files(__name__) / f"{code}.toml"
    return Language(code, tomllib.loads(file.read_text(encoding="utf-8")))


def chosen(cookie: str, accepted: str) -> Language:
    """The language of a cookie, else of an `Accept-Language` header, else English."""
    if cookie in NAMES:
        return language(cookie)
    for code in _by_weight(accepted.split(",")):
        base = code.partition("-")[0]
        known = _ALIASES.get(base, base)
        if known in NAMES:
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
