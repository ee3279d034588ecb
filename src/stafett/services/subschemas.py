"""Where in a JSON Schema its own schemas lie, so that what is mere data is never taken for one.

A field may be called `$ref`, and an example may hold anything: only a keyword's place tells. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

from stafett.model import Json

Schema = Mapping[str, Json]
Path = tuple[str, ...]
Visit = Callable[[Schema, Path], Json]

_ONE: Final = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LIST: Final = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_BY_NAME: Final = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)


def mapped(schema: Schema, visit: Visit, path: Path = ()) -> dict[str, Json]:
    """`schema` with each schema directly in it as `visit` gives it; all else as it is.

    `visit` gets the place of what it visits: `path`, and the way down from `schema`.
    """
    return {key: _value(value, visit, (*path, key)) for key, value in schema.items()}


def every(schema: Json, path: Path = ()) -> Iterator[tuple[Schema, Path]]:
    """`schema` and all schemas in it, each with its place; `true` and `false` are left out."""
    waiting: list[tuple[Json, Path]] = [(schema, path)]
    while waiting:
        value, place = waiting.pop()
        if not isinstance(value, dict):
            continue
        one = cast("Schema", value)
        yield one, place

        def note(inner: Schema, below: Path) -> Json:
            waiting.append((inner, below))
            return inner

        mapped(one, note, place)


def _value(value: Json, visit: Visit, path: Path) -> Json:
    key = path[-1]
    if key in _BY_NAME and isinstance(value, dict):
        named = cast("dict[str, Json]", value)
        return {name: _visited(each, visit, (*path, name)) for name, each in named.items()}
    if key in _LIST and isinstance(value, list):
        listed = cast("list[Json]", value)
        return [_visited(each, visit, (*path, str(n))) for n, each in enumerate(listed)]
    return _visited(value, visit, path) if key in _ONE else value


def _visited(value: Json, visit: Visit, path: Path) -> Json:
    return visit(cast("Schema", value), path) if isinstance(value, dict) else value
