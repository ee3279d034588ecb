"""Makes a sample payload out of a JSON Schema, for event types that have none of their own.

Pure and without chance: the same schema gives the same sample, and any schema gives one, however
odd: what cannot be satisfied is filled with the nearest plain value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from stafett.model import Json

# Deep enough for real payloads, and large enough; the rest of a monstrous schema is left empty.
_MAX_DEPTH: Final = 24
_MAX_VALUES: Final = 2_000

_Path = tuple[str, ...]
"""The way down from the root: one entry a level, references among them under their own text."""

_BY_FORMAT: Final[Mapping[str, str]] = {
    "date-time": "2026-03-14T09:26:53Z",
    "date": "2026-03-14",
    "time": "09:26:53Z",
    "duration": "PT15M",
    "email": "ada@example.com",
    "idn-email": "ada@example.com",
    "hostname": "www.example.com",
    "idn-hostname": "www.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "iri": "https://example.com/",
    "uuid": "0b3f6b62-3f0e-4b52-9d0a-6c1d4c8f2a17",
    "json-pointer": "/a",
    "regex": ".*",
}

# What the end of a field's name says about a text that has no format; the first match counts.
_BY_NAME: Final[tuple[tuple[str, str], ...]] = (
    ("email", _BY_FORMAT["email"]),
    ("url", _BY_FORMAT["uri"]),
    ("_at", _BY_FORMAT["date-time"]),
    ("date", _BY_FORMAT["date"]),
    ("currency", "USD"),
    ("country", "NO"),
    ("phone", "+4755500100"),
    ("domain", "example.com"),
    ("first_name", "Ada"),
    ("last_name", "Lovelace"),
    ("name", "Ada Lovelace"),
    ("title", "Example"),
    ("status", "active"),
)

_EMPTY: Final[Mapping[str, Json]] = {
    "object": {},
    "array": [],
    "string": "",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
}


def generate(schema: Json) -> Json:
    """A sample for `schema`: its examples, default, const or enum, otherwise by type and format."""
    return _Generator(schema).value(schema, name="", path=("#",))


class _Generator:
    """Walks one schema; keeps the whole for local references."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._values = 0

    def value(self, schema: Json, *, name: str, path: _Path) -> Json:
        if not isinstance(schema, Mapping):
            return {} if len(path) == 1 else None
        stated, path = self._flat(cast("Mapping[str, Json]", schema), path)
        shown = _stated(stated)
        if shown is not None:
            return shown
        kind = _kind(stated)
        self._values += 1
        if self._values > _MAX_VALUES or len(path) > _MAX_DEPTH:
            return _EMPTY[kind]
        match kind:
            case "object":
                return self._object(stated, path)
            case "array":
                return self._array(stated, name=name, path=path)
            case "string":
                return _text(stated, name)
            case "integer" | "number":
                return _number(stated, whole=kind == "integer")
            case _:
                return _EMPTY[kind]

    def _flat(self, schema: Mapping[str, Json], path: _Path) -> tuple[Mapping[str, Json], _Path]:
        """`schema` with its reference, all of `allOf` and the first choice folded in.

        With the path that is then below: references on it are not followed again.
        """
        parts: list[Json] = _listed(schema, "allOf")
        for choice in ("oneOf", "anyOf"):
            parts = [*parts, *_listed(schema, choice)[:1]]
        ref = schema.get("$ref")
        if isinstance(ref, str) and ref not in path:
            path = (*path, ref)
            parts = [self._referred(ref), *parts]
        flat = dict(schema)
        for part in parts:
            if isinstance(part, Mapping) and len(path) <= _MAX_DEPTH:
                folded, below = self._flat(cast("Mapping[str, Json]", part), (*path, ""))
                _fold(flat, folded)
                path = (*path, *filter(None, below[len(path) :]))
        return flat, path

    def _referred(self, ref: str) -> Json:
        """What a reference within this schema points to; None for any other."""
        if not ref.startswith("#"):
            return None
        found = self._root
        for step in ref[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping):
                return None
            found = cast("Mapping[str, Json]", found).get(key)
        return found

    def _object(self, schema: Mapping[str, Json], path: _Path) -> Json:
        properties: Json = schema.get("properties")
        if not isinstance(properties, Mapping):
            return {}
        required = _listed(schema, "required")
        return {
            name: self.value(each, name=name, path=(*path, ""))
            for name, each in cast("Mapping[str, Json]", properties).items()
            if each is not False and (name in required or not _leads_back(each, path))
        }

    def _array(self, schema: Mapping[str, Json], *, name: str, path: _Path) -> Json:
        first = _listed(schema, "prefixItems")
        items = [self.value(each, name=name, path=(*path, "")) for each in first]
        wanted = max(_whole(schema.get("minItems")), 0 if first else 1)
        rest = schema.get("items")
        if isinstance(rest, Mapping) and not _leads_back(rest, path):
            one = self.value(rest, name=name, path=(*path, ""))
            # A wish for a million items is a wish for a sample that helps nobody.
            items += [one] * min(wanted - len(items), 10)
        return items


def _leads_back(schema: Json, path: _Path) -> bool:
    """Whether this is a reference to something around it, which would never end."""
    if not isinstance(schema, Mapping):
        return False
    return cast("Mapping[str, Json]", schema).get("$ref") in path


def _stated(schema: Mapping[str, Json]) -> Json:
    """The value the schema shows or names outright; None where it does neither."""
    if "const" in schema:
        return schema["const"]
    examples = _listed(schema, "examples")
    shown = examples[0] if examples else schema.get("example", schema.get("default"))
    if shown is not None:
        return shown
    return next((each for each in _listed(schema, "enum") if each is not None), None)


def _kind(schema: Mapping[str, Json]) -> str:
    """The type to make: the first that is not null, guessed from the keywords without `type`."""
    stated = schema.get("type")
    kinds = cast("list[Json]", stated if isinstance(stated, list) else [stated])
    known = [kind for kind in kinds if isinstance(kind, str) and kind in _EMPTY]
    if known:
        return next((kind for kind in known if kind != "null"), "null")
    if "properties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if "minimum" in schema or "maximum" in schema:
        return "number"
    return "string" if {"format", "minLength", "maxLength", "pattern"} & schema.keys() else "object"


def _listed(schema: Mapping[str, Json], keyword: str) -> list[Json]:
    stated = schema.get(keyword)
    return cast("list[Json]", stated) if isinstance(stated, list) else []


def _fold(flat: dict[str, Json], part: Mapping[str, Json]) -> None:
    """Adds to `flat` what `part` says beyond it; properties and required names are joined."""
    joined: Json = part.get("properties")
    own: Json = flat.get("properties")
    required = [*_listed(flat, "required"), *_listed(part, "required")]
    for keyword, stated in part.items():
        flat.setdefault(keyword, stated)
    if isinstance(joined, Mapping) and isinstance(own, Mapping):
        flat["properties"] = {**joined, **own}
    if required:
        flat["required"] = required


def _text(schema: Mapping[str, Json], name: str) -> str:
    text = _BY_FORMAT.get(str(schema.get("format")))
    if text is None:
        lower = name.lower()
        text = next((shown for end, shown in _BY_NAME if lower.endswith(end)), "text")
    shortest = min(_whole(schema.get("minLength")), 1_000)
    longest = schema.get("maxLength")
    padded = text.ljust(shortest, "x")
    return padded[: int(longest)] if isinstance(longest, int) else padded


def _number(schema: Mapping[str, Json], *, whole: bool) -> int | float:
    step = schema.get("multipleOf")
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    size = step if isinstance(step, int | float) and step > 0 else 1
    plain = size if whole or step else 1.5
    if isinstance(low, int | float) and low >= plain:
        plain = (low // size + 1) * size if _excluded(schema, "Minimum") else -(-low // size) * size
    elif isinstance(high, int | float) and high <= plain:
        plain = (
            (-(-high // size) - 1) * size if _excluded(schema, "Maximum") else high // size * size
        )
    return int(plain) if whole else plain


def _excluded(schema: Mapping[str, Json], edge: str) -> bool:
    return f"exclusive{edge}" in schema


def _whole(stated: Json) -> int:
    return stated if isinstance(stated, int) and stated > 0 else 0
