"""Whether all that is wrong with a value can be named in good time. Pure.

To judge a value takes a moment, as the first way that fits is enough. To say what is wrong with
it, every way is gone to its end, at each step again: a filter of "and" and "or", fifteen deep and
of 340 bytes, takes half a minute in which nothing else runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from stafett.model import Json
from stafett.services import subschemas, tangles
from stafett.services.subschemas import Schema

MAX_STEPS: Final = 1_000
"""Schemas that judge something, each as often as there are ways to it; some 50 ms at the worst."""
_MAX_PAIRS: Final = 10_000
"""Of a schema and a value that are looked at here, about 5 us each."""

_BRANCHING: Final = frozenset(
    {"$dynamicRef", "$recursiveRef", "allOf", "anyOf", "contains", "dependencies"}
    | {"dependentSchemas", "if", "not", "oneOf", "patternProperties"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)


def branches(root: Schema) -> bool:
    """Whether one value can be judged twice; where none can, the size of the value is all."""
    return any(not _BRANCHING.isdisjoint(each) for each, _ in subschemas.every(cast("Json", root)))


def to_weigh(root: Schema) -> Schema | None:
    """`root`, where each value has to be asked about by `is_small`; None where none has to.

    Looks at all of the schema: once for each schema, not for each value.
    """
    return root if branches(root) else None


def is_small(root: Schema, value: Json) -> bool:
    """Whether it takes at most `MAX_STEPS`, or about as many as there are pairs to be judged."""
    try:
        _Steps(root).of(root, value)
    except (_TooMuch, RecursionError):
        return False
    return True


class _TooMuch(Exception):
    """It is not small."""


class _Steps:
    """Counts, without going any way twice."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}

    def of(self, schema: Schema, value: Json) -> int:
        """Errors: _TooMuch."""
        pair = (id(schema), id(value))
        known = self._known.get(pair)
        if known is not None:
            return known
        self._known[pair] = 0  # what leads back to itself is not judged again
        steps = 1
        for each in tangles.together(self._root, schema):
            steps += self.of(each, value)
        for each, part in _below(schema, value):
            steps += self.of(each, part)
        pairs = len(self._known)
        if pairs > _MAX_PAIRS or steps > max(MAX_STEPS, 2 * pairs):
            raise _TooMuch
        self._known[pair] = steps
        return steps


def _below(schema: Schema, value: Json) -> Iterator[tuple[Schema, Json]]:
    """What `schema` has judged of the parts of `value`, and by which of its schemas."""
    pairs: Iterator[tuple[Json, Json]] = iter(())
    if isinstance(value, dict):
        pairs = _of_fields(schema, cast("dict[str, Json]", value))
    elif isinstance(value, list):
        pairs = _of_items(schema, cast("list[Json]", value))
    return ((cast("Schema", each), part) for each, part in pairs if isinstance(each, dict))


def _of_fields(schema: Schema, value: Mapping[str, Json]) -> Iterator[tuple[Json, Json]]:
    named = _mapping(schema.get("properties"))
    patterns = _mapping(schema.get("patternProperties")).values()
    rest = (schema.get("additionalProperties"), schema.get("unevaluatedProperties"))
    for name, part in value.items():
        yield named.get(name), part
        for each in patterns:  # as if every pattern matched
            yield each, part
        for each in rest if name not in named else ():
            yield each, part


def _of_items(schema: Schema, value: list[Json]) -> Iterator[tuple[Json, Json]]:
    for key in ("items", "prefixItems"):
        listed = schema.get(key)
        if isinstance(listed, list):
            yield from zip(cast("list[Json]", listed), value, strict=False)
    for key in ("items", "additionalItems", "contains", "unevaluatedItems"):
        each = schema.get(key)
        for part in value if isinstance(each, dict) else ():
            yield each, part


def _mapping(value: Json) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", value) if isinstance(value, dict) else {}
