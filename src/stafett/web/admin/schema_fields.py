"""The fields of an event type's payload, as a schema and a sample tell of them. Pure.

For reading, not for judging: what a schema says in ways that no table can show is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

from stafett.model import EventType, Json
from stafett.services.event_types import is_hidden, schema_in_force

MAX_FIELDS: Final = 300
_MAX_DEPTH: Final = 6
_CHOICES: Final = ("anyOf", "oneOf")
_NOTHING: Final = object()

Schema = Mapping[str, Any]  # foreign JSON, looked at key by key


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One row of the table."""

    path: str
    """`customer.email`, `items[].price`."""
    types: tuple[str, ...]
    """Names of JSON types; the choices of an `enum` as JSON would be too long here."""
    required: bool
    meaning: str
    example: Json
    """From the sample; None where it has none."""
    has_example: bool
    sensitive: bool


def fields_of(event_type: EventType) -> list[Field]:
    """Every field that the schema in force names, in its order, at most 300."""
    schema = schema_in_force(event_type)
    if not isinstance(schema, dict):
        return []
    table = _Table(cast("Schema", schema), frozenset(event_type.sensitive_fields))
    return list(islice(table.rows(event_type.sample), MAX_FIELDS))


class _Table:
    def __init__(self, root: Schema, sensitive: frozenset[str]) -> None:
        self._root = root
        self._sensitive = sensitive

    def rows(self, sample: Json) -> Iterator[Field]:
        """All, from the root down."""
        return self._inside(self._root, (), sample)

    def _inside(self, schema: Schema, path: tuple[str, ...], sample: Json) -> Iterator[Field]:
        if len(path) >= _MAX_DEPTH:
            return
        schema = self._resolved(schema)
        required = schema.get("required")
        for name, given in _entries(schema.get("properties")):
            below = (*path, name)
            example = _at(sample, name)
            rule = self._resolved(given)
            yield Field(
                path=".".join(below).replace(".[]", "[]"),
                types=tuple(dict.fromkeys(self._types(rule))),
                required=isinstance(required, list) and name in required,
                meaning=_text(rule.get("description") or rule.get("title")),
                example=None if example is _NOTHING else example,
                has_example=example is not _NOTHING,
                sensitive=is_hidden([each for each in below if each != "[]"], self._sensitive),
            )
            yield from self._inside(rule, below, example)
        items = schema.get("items")
        if path and isinstance(items, dict):
            yield from self._inside(cast("Schema", items), (*path, "[]"), _first(sample))

    def _resolved(self, schema: Schema) -> Schema:
        """What a `$ref` within the same schema leads to, a few steps long."""
        for _ in range(_MAX_DEPTH):
            ref = schema.get("$ref")
            if not isinstance(ref, str) or not ref.startswith("#"):
                return schema
            found: Json = self._root
            for part in filter(None, ref[1:].split("/")):
                found = _at(found, part.replace("~1", "/").replace("~0", "~"))
            if not isinstance(found, dict):
                return schema
            schema = cast("Schema", found)
        return schema

    def _types(self, rule: Schema) -> Iterator[str]:
        named = rule.get("type")
        if isinstance(named, str):
            yield named
        elif isinstance(named, list):
            yield from map(str, cast("list[Json]", named))
        for choice in _CHOICES:
            options = rule.get(choice)
            for option in cast("list[Json]", options) if isinstance(options, list) else ():
                if isinstance(option, dict):
                    known = self._resolved(cast("Schema", option)).get("type")
                    yield from [known] if isinstance(known, str) else []


def _entries(properties: Json) -> Iterator[tuple[str, Schema]]:
    """Names and rules; `true` and `false` are rules that say nothing."""
    if isinstance(properties, dict):
        for name, rule in cast("dict[str, Json]", properties).items():
            yield name, cast("Schema", rule) if isinstance(rule, dict) else {}


def _at(value: Json, name: str) -> Json:
    """What stands at `name`; `_NOTHING` where there is none."""
    return cast("Schema", value).get(name, _NOTHING) if isinstance(value, dict) else _NOTHING


def _first(value: Json) -> Json:
    return cast("list[Json]", value)[0] if isinstance(value, list) and value else _NOTHING


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
