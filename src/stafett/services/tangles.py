"""Whether a JSON Schema can be judged at all in good time, which a small one need not be. Pure.

Schemas that lead to each other twice each double the work at every step, and while a value is
judged nothing else runs: thirty such steps, a schema of 3 KB, would be minutes for each message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final, cast
from urllib.parse import unquote

from stafett.model import Json
from stafett.services import subschemas
from stafett.services.subschemas import Schema

MAX_TOGETHER: Final = 2_000
"""Schemas that judge one and the same value, each as often as there are ways to it; about 30 ms."""
_MAX_DEEP: Final = 200

_ONE: Final = ("else", "if", "not", "then")
_LIST: Final = ("allOf", "anyOf", "oneOf")
_BY_NAME: Final = ("dependencies", "dependentSchemas")


def check(root: Schema) -> None:
    """Errors: ValueError, for a schema of which too much would judge one value."""
    count = _Counter(root).count
    waiting: list[Json] = [cast("Json", root)]
    seen: set[int] = set()
    while waiting:
        for one, _ in subschemas.every(waiting.pop()):
            if id(one) in seen:
                continue
            seen.add(id(one))
            if count(one) > MAX_TOGETHER:
                raise _tangled()
            waiting += _referred(root, one)


class _Counter:
    """Counts for each schema of one root those that judge the same value, itself among them."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[int, int] = {}

    def count(self, schema: Schema, deep: int = 0) -> int:
        """Errors: ValueError, for a way too long to be followed."""
        known = self._known.get(id(schema))
        if known is not None:
            return known
        if deep > _MAX_DEEP:
            raise _tangled()
        self._known[id(schema)] = 0  # what leads back to itself is not judged again
        found = 1
        for each in together(self._root, schema):
            found += self.count(each, deep + 1)
        self._known[id(schema)] = found
        return found


def together(root: Schema, schema: Schema) -> Iterator[Schema]:
    """Those that judge the value that `schema` judges, one step away from it."""
    return chain(_beside(schema), _referred(root, schema))


def _tangled() -> ValueError:
    return ValueError(f"more than {MAX_TOGETHER:,} of its schemas would judge the same value")


def _beside(schema: Schema) -> Iterator[Schema]:
    """Those within `schema` that judge the value it judges, and not a part of it."""
    found: list[Json] = [schema.get(key) for key in _ONE]
    for key in _LIST:
        listed = schema.get(key)
        found += cast("list[Json]", listed) if isinstance(listed, list) else []
    for key in _BY_NAME:
        named = schema.get(key)
        found += cast("dict[str, Json]", named).values() if isinstance(named, dict) else ()
    return (cast("Schema", each) for each in found if isinstance(each, dict))


def _referred(root: Schema, schema: Schema) -> list[Schema]:
    """What a reference of `schema` into `root` leads to: one, or none."""
    ref = schema.get("$ref")
    if not isinstance(ref, str) or not ref.startswith("#"):
        return []
    found: Json = cast("Json", root)
    for step in unquote(ref[1:]).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = cast("Schema", found).get(key)
        elif isinstance(found, list) and key.isdecimal() and len(key) < 9:
            found = next(iter(cast("list[Json]", found)[int(key) :]), None)
        else:
            return []
    return [cast("Schema", found)] if isinstance(found, dict) else []
