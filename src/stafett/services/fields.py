"""What may stand in the fields that several nouns share: uids, names, words, metadata.

A `Findings` gathers every problem of one input and raises them together, so that a caller mends
all of them at once. `loc` is ("body", field) with the field's Python name; the web room spells it
as on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from stafett import errors

MAX_WORD: Final = 256
MAX_NAME: Final = 512
MAX_TEXT: Final = 65_536
MAX_METADATA_BYTES: Final = 4_096
MAX_RATE_LIMIT: Final = 65_535
MAX_CONCURRENCY: Final = 64
MAX_MESSAGE_CHANNELS: Final = 5
MAX_ENDPOINT_CHANNELS: Final = 10

_WORD = re.compile(r"[a-zA-Z0-9\-_.]+")
_CHANNEL = re.compile(r"[a-zA-Z0-9\-_.:+]+")
# Newline and tab are text; the rest of these has no business in one and upsets terminals.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Findings:
    """The problems of one input. `close()` raises them all, or nothing when there is none."""

    __slots__ = ("problems",)

    def __init__(self) -> None:
        self.problems: list[errors.Problem] = []

    def add(self, msg: str, *path: str | int, kind: str = "value_error") -> None:
        """Note that the field at `path` within the body breaks a rule."""
        self.problems.append(errors.Problem(("body", *path), msg, kind))

    def take(self, problems: Iterable[errors.Problem], *path: str | int) -> None:
        """Note at `path` what a rule found that does not know where its input came from."""
        for problem in problems:
            self.add(problem.msg, *path, kind=problem.kind)

    def close(self) -> None:
        """Errors: Invalid with everything noted."""
        if self.problems:
            raise errors.Invalid(self.problems)

    def name(self, value: str, *path: str | int) -> None:
        """1 to 512 characters of one line, not only blanks."""
        if not value.strip():
            self.add("must not be empty", *path)
        elif len(value) > MAX_NAME:
            self.add(f"may have at most {MAX_NAME} characters", *path)
        elif "\n" in value or _UNPRINTABLE.search(value):
            self.add("must be one line without control characters", *path)

    def text(self, value: str, *path: str | int) -> None:
        """At most 65,536 characters; empty is fine."""
        if len(value) > MAX_TEXT:
            self.add(f"may have at most {MAX_TEXT:,} characters", *path)
        elif _UNPRINTABLE.search(value):
            self.add("must not have control characters", *path)

    def word(self, value: str, *path: str | int) -> None:
        """1 to 256 of letters, digits, `-`, `_` and `.`: event type names, feature flags."""
        self._matches(_WORD, value, path, allowed="- _ .")

    def uid(self, value: str | None, *, prefix: str) -> None:
        """A word that cannot be mistaken for an id of the same noun; None is fine."""
        if value is None:
            return
        self.word(value, "uid")
        if value.startswith(prefix):
            self.add(f"must not start with {prefix!r}, so that it cannot look like an id", "uid")

    def channels(self, values: Collection[str] | None, *, limit: int) -> None:
        """At most `limit` channels; each a word that may also have `:` and `+`."""
        if values is None:
            return
        if len(values) > limit:
            self.add(f"may have at most {limit}", "channels")
        for place, value in enumerate(sorted(values)):
            self._matches(_CHANNEL, value, ("channels", place), allowed="- _ . : +")

    def rate_limit(self, value: int | None) -> None:
        """1 to 65,535 messages a second; None: no limit."""
        if value is not None and not 1 <= value <= MAX_RATE_LIMIT:
            self.add(f"must be between 1 and {MAX_RATE_LIMIT:,}", "rate_limit")

    def concurrency(self, value: int | None) -> None:
        """1 to 64 requests at once; None: as many as it stands."""
        if value is not None and not 1 <= value <= MAX_CONCURRENCY:
            self.add(f"must be between 1 and {MAX_CONCURRENCY}", "concurrency")

    def metadata(self, value: Mapping[str, str]) -> None:
        """At most 4,096 bytes as JSON."""
        if len(msgspec.json.encode(dict(value))) > MAX_METADATA_BYTES:
            self.add(f"may have at most {MAX_METADATA_BYTES:,} bytes as JSON", "metadata")

    def _matches(
        self, pattern: re.Pattern[str], value: str, path: tuple[str | int, ...], *, allowed: str
    ) -> None:
        if not value:
            self.add("must not be empty", *path)
        elif len(value) > MAX_WORD:
            self.add(f"may have at most {MAX_WORD} characters", *path)
        elif not pattern.fullmatch(value):
            self.add(f"may have only letters, digits and {allowed}", *path)
