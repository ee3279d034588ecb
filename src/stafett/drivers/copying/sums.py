"""How the two sides of a copy are compared: their rows counted, and the hashes of them added up."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec

Row = Sequence[Any]

FETCH: Final = 1_000
"""Rows that are read at a time to be compared."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows of a table, whatever their order: how many, and their hashes added up."""

    row_count: int = 0
    checksum: int = 0

    def plus(self, rows: Iterable[Row]) -> Sum:
        """With these rows, of which flags are 0 and 1."""
        encode = msgspec.msgpack.encode
        hashes = [blake2b(encode(row), digest_size=8).digest() for row in rows]
        added = sum(struct.unpack(f">{len(hashes)}Q", b"".join(hashes)))
        return Sum(self.row_count + len(hashes), (self.checksum + added) % (1 << 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A table as it is on both sides."""

    part: str
    source: Sum
    target: Sum

    @property
    def equal(self) -> bool:
        """Whether all arrived, as it was."""
        return self.source == self.target
