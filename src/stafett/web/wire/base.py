"""What the structs of the wire are made on: bodies, pages, text and durations."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

T = TypeVar("T")


class In(msgspec.Struct, rename="camel", kw_only=True):
    """A request body."""


class Out(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """A response body; what is not there is left out."""


class ListOut(msgspec.Struct, Generic[T], rename="camel", kw_only=True):
    """One page: `iterator` leads on, `prevIterator` back."""

    data: list[T]
    iterator: str | None
    done: bool
    prev_iterator: str | UnsetType = UNSET


def seconds(duration: timedelta) -> float:
    """Whole ones without a fraction."""
    exact = duration.total_seconds()
    return int(exact) if exact.is_integer() else exact


def text_of(body: bytes) -> str:
    """Bytes as text: what is not UTF-8 shows as replacement characters, and NUL as its symbol."""
    return body.decode(errors="replace").replace("\0", "\u2400")
