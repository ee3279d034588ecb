"""Event types out of an OpenAPI document: its `webhooks`, and the `x-webhooks` of before 3.1.

Pure: nothing is fetched, and nothing is read but the document. Each event type gets a schema that
stands alone: what it refers to comes along in `$defs`. Every problem names its place in the
document as a JSON pointer, and one problem refuses the whole of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, cast
from urllib.parse import quote, unquote

import msgspec

from stafett import errors
from stafett.model import Json
from stafett.services import event_types, subschemas
from stafett.services.event_types import NewEventType

BOM: Final = b"\xef\xbb\xbf"
"""What some editors put in front of a text."""
MAX_BYTES: Final = 1 << 20
MAX_WEBHOOKS: Final = 1_000
MAX_DEPTH: Final = 64
MAX_DEFINITIONS: Final = 1_000
MAX_SCHEMA_BYTES: Final = 8 << 20
"""Of all schemas together: each event type has its own copy of what it refers to."""
MAX_PROBLEMS: Final = 20

FIRES_WHEN: Final = "x-stafett-fires-when"
SENSITIVE_FIELDS: Final = "x-stafett-sensitive-fields"
GROUP: Final = "x-svix-group-name"
FEATURE_FLAGS: Final = "x-svix-feature-flags"
_FEATURE_FLAG: Final = "x-svix-feature-flag"
_SECTIONS: Final = ("webhooks", "x-webhooks")
_VERSION: Final = re.compile(r"3\.(\d{1,3})(\.\d{1,3})?(-\S*)?")
_PLACE_IN_LIST: Final = re.compile(r"[0-9]{1,8}")
_ANY_JSON: Final = ("+json", "*/*", "application/*")
_OWN_BASE: Final = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef")
_DIALECT: Final = "https://spec.openapis.org/"
"""Where the dialects of OpenAPI are; beyond JSON Schema they have only words about words."""

Place = tuple[str, ...]
"""The way down from the root of the document."""
Object = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One event type of a document. What it does not state is None, empty or False."""

    new: NewEventType
    places: Mapping[str, Place]
    """Where the document has each field of it; `name` always."""

    def moved(self, problem: errors.Problem) -> errors.Problem:
        """A problem with a field of the event type, told at its place in the document."""
        name = problem.loc[1] if len(problem.loc) > 1 else "name"
        place = self.places.get(str(name), self.places["name"])
        # A version of the schemas is nothing that the document knows.
        below = () if name == "schemas" else tuple(map(str, problem.loc[2:]))
        return problem_at((*place, *below), problem.msg, problem.kind)


def pointer(place: Place) -> str:
    """A place as a reference would name it: `#/webhooks/order.paid/post`."""
    return "#" + "".join(f"/{each.replace('~', '~0').replace('/', '~1')}" for each in place)


def problem_at(place: Place, message: str, kind: str = "value_error") -> errors.Problem:
    """What is wrong at a place of the document."""
    return errors.Problem(("body", "spec", pointer(place)), message, kind)


def read(text: bytes) -> list[Found]:
    """The event types of a document in JSON, in its order. Errors: Invalid, at most 20 problems."""
    return _Reader(_parsed(text)).all()


def _wrong(place: Place, message: str) -> errors.Invalid:
    return errors.Invalid([problem_at(place, message)])


def _parsed(text: bytes) -> Object:
    """Errors: Invalid."""
    if len(text) > MAX_BYTES:
        raise _wrong((), f"may have at most {MAX_BYTES:,} bytes")
    try:
        document = msgspec.json.decode(text.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        message = f"is not JSON: {exc}; YAML is not read, turn it into JSON first"
        raise _wrong((), message) from None
    except RecursionError:
        raise _wrong((), f"may be nested at most {MAX_DEPTH} deep") from None
    if not isinstance(document, dict):
        raise _wrong((), "must be a JSON object")
    _check_depth(cast("Json", document))
    return cast("Object", document)


def _check_depth(value: Json, place: Place = ()) -> None:
    """Errors: Invalid."""
    if len(place) > MAX_DEPTH:
        raise _wrong(place, f"may be nested at most {MAX_DEPTH} deep")
    named = cast("dict[str, Json]", value) if isinstance(value, dict) else {}
    listed = cast("list[Json]", value) if isinstance(value, list) else []
    for name, each in chain(named.items(), enumerate(listed)):
        if isinstance(each, dict | list):
            _check_depth(cast("Json", each), (*place, str(name)))


class _Reader:
    """Goes through one document."""

    def __init__(self, document: Object) -> None:
        self._root = document
        self._problems: list[errors.Problem] = []
        self._bytes = 0

    def all(self) -> list[Found]:
        """Errors: Invalid."""
        old = self._is_old()
        found: list[Found] = []
        for name, place in self._webhooks():
            try:
                found.append(self._one(name, place, old=old))
            except errors.Invalid as error:
                self._problems += error.problems
            if len(self._problems) >= MAX_PROBLEMS or self._bytes > MAX_SCHEMA_BYTES:
                break
        if self._problems:
            raise errors.Invalid(self._problems[:MAX_PROBLEMS])
        return found

    def _is_old(self) -> bool:
        """Whether its schemas are those of OpenAPI 3.0. Errors: Invalid."""
        if "swagger" in self._root:
            raise _wrong(("swagger",), "is a version before OpenAPI 3, which is not read")
        version = self._root.get("openapi")
        known = _VERSION.fullmatch(version) if isinstance(version, str) else None
        if known is None:
            raise _wrong(("openapi",), "must be a version of OpenAPI 3, such as 3.1.0")
        return known[1] == "0"

    def _webhooks(self) -> Iterator[tuple[str, Place]]:
        """Names and places. Errors: Invalid."""
        seen: set[str] = set()
        for section in _SECTIONS:
            for name in self._object(self._root.get(section) or {}, (section,)):
                if name in seen:
                    raise _wrong((section, name), "is among the webhooks already")
                seen.add(name)
                if len(seen) > MAX_WEBHOOKS:
                    raise _wrong((section,), f"may have at most {MAX_WEBHOOKS:,} webhooks")
                yield name, (section, name)
        if not seen:
            raise _wrong((), "has no webhooks")

    def _one(self, name: str, place: Place, *, old: bool) -> Found:
        """Errors: Invalid."""
        item, at = self._followed(place)
        if "post" not in item:
            raise _wrong(at, "has no operation post, which is how events are sent")
        operation, at = self._followed((*at, "post"))
        fields = _Fields(item, operation, at)
        media, media_at = self._media(operation, at)
        schema_at = (*media_at, "schema")
        schema = self._schema(schema_at, old=old) if "schema" in media else None
        sample, sample_at = self._sample(media, media_at)
        found = Found(
            new=NewEventType(
                name=name,
                label=fields.label(),
                group=fields.group(),
                description=fields.description(),
                fires_when=fields.text(FIRES_WHEN),
                schemas=None if schema is None else {"1": schema},
                sample=sample,
                sensitive_fields=fields.texts(SENSITIVE_FIELDS),
                deprecated=fields.is_true("deprecated"),
                feature_flags=fields.feature_flags(),
            ),
            places={**fields.places, "name": place, "schemas": schema_at, "sample": sample_at},
        )
        _check(found)
        return found

    # --- places -------------------------------------------------------------------------------

    def _object(self, value: Json, place: Place) -> Object:
        if not isinstance(value, dict):
            raise _wrong(place, "must be an object")
        return cast("Object", value)

    def _at(self, place: Place) -> Json:
        """What stands there. Errors: KeyError."""
        value: Json = self._root
        for step in place:
            if isinstance(value, dict):
                value = cast("Object", value)[step]
            elif isinstance(value, list) and _PLACE_IN_LIST.fullmatch(step):
                value = cast("list[Json]", value)[int(step)]
            else:
                raise KeyError(step)
        return value

    def target(self, ref: Json, place: Place) -> Place:
        """Where a reference leads. Errors: Invalid, also where that is out of the document."""
        if not isinstance(ref, str):
            raise _wrong(place, "must be a text")
        if not ref.startswith("#"):
            raise _wrong(place, f"leads to {ref!r}; only what is in the document itself is read")
        steps = unquote(ref[1:]).split("/")
        if steps[0] or len(steps) == 1:
            raise _wrong(place, f"is {ref!r}; write it as #/components/schemas/NAME")
        target = tuple(each.replace("~1", "/").replace("~0", "~") for each in steps[1:])
        try:
            self._at(target)
        except (KeyError, IndexError):
            raise _wrong(place, f"leads to {ref!r}, which is not in the document") from None
        return target

    def _followed(self, place: Place) -> tuple[Object, Place]:
        """The object there, or what it refers to in its stead. Errors: Invalid."""
        seen: set[Place] = set()
        while True:
            value = self._object(self._at(place), place)
            if "$ref" not in value:
                return value, place
            if place in seen:
                raise _wrong(place, "refers to itself")
            seen.add(place)
            place = self.target(value["$ref"], (*place, "$ref"))

    # --- what an operation carries ------------------------------------------------------------

    def _media(self, operation: Object, at: Place) -> tuple[Object, Place]:
        """The description of its JSON body; an empty one where it has no body. Errors: Invalid."""
        if "requestBody" not in operation:
            return {}, at
        body, at = self._followed((*at, "requestBody"))
        at = (*at, "content")
        content = self._object(body.get("content") or {}, at)
        kind = _json_kind(content)
        if kind is not None:
            return self._object(content[kind], (*at, kind)), (*at, kind)
        if content:
            raise _wrong(at, "has no application/json, which is what events are sent as")
        return {}, at

    def _sample(self, media: Object, at: Place) -> tuple[Json, Place]:
        """Its example, or the first of several. Errors: Invalid."""
        if "example" in media:
            return media["example"], (*at, "example")
        at = (*at, "examples")
        for name in self._object(media.get("examples") or {}, at):
            example, place = self._followed((*at, name))
            if "value" in example:
                return example["value"], (*place, "value")
        return None, at

    def _schema(self, place: Place, *, old: bool) -> Json:
        """The schema there, so that it stands alone. Errors: Invalid."""
        made = _Bundle(self, place, old=old).schema()
        self._bytes += len(msgspec.json.encode(made))
        if self._bytes > MAX_SCHEMA_BYTES:
            limit = f"{MAX_SCHEMA_BYTES:,}"
            raise _wrong(
                place, f"is too much: with what they refer to, schemas may have {limit} bytes"
            )
        return made

    def schema_at(self, place: Place) -> Object | bool:
        """A schema as it stands there. Errors: Invalid."""
        value = self._at(place)
        if not isinstance(value, dict | bool):
            raise _wrong(place, "must be a schema: an object, true or false")
        return cast("Object | bool", value)


def _json_kind(content: Object) -> str | None:
    """The media type among these that is JSON."""
    essences = {kind.partition(";")[0].strip().lower(): kind for kind in content}
    if "application/json" in essences:
        return essences["application/json"]
    return next((kind for plain, kind in essences.items() if plain.endswith(_ANY_JSON)), None)


def _check(found: Found) -> None:
    """Errors: Invalid, where it could not be an event type, or its sample does not fit."""
    try:
        event_types.check_new(found.new)
    except errors.Invalid as error:
        raise errors.Invalid([found.moved(each) for each in error.problems]) from None


class _Fields:
    """The texts of an operation, and where they stand. Errors of all: Invalid."""

    def __init__(self, item: Object, operation: Object, at: Place) -> None:
        self._item = item
        self._operation = operation
        self._at = at
        self.places: dict[str, Place] = {
            "label": (*at, "summary"),
            "description": (*at, "description"),
            "group": (*at, GROUP if GROUP in operation else "tags"),
            "fires_when": (*at, FIRES_WHEN),
            "feature_flags": (*at, FEATURE_FLAGS),
            "sensitive_fields": (*at, SENSITIVE_FIELDS),
        }

    def text(self, key: str) -> str | None:
        value = self._operation.get(key)
        if not isinstance(value, str | None):
            raise _wrong((*self._at, key), "must be a text")
        return value

    def texts(self, key: str) -> list[str] | None:
        value: Json = self._operation.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise _wrong((*self._at, key), "must be a list of texts")
        listed = cast("list[Json]", value)
        for number, each in enumerate(listed):
            if not isinstance(each, str):
                raise _wrong((*self._at, key, str(number)), "must be a text")
        return listed

    def is_true(self, key: str) -> bool:
        value = self._operation.get(key, False)
        if not isinstance(value, bool):
            raise _wrong((*self._at, key), "must be true or false")
        return value

    def _of_either(self, key: str) -> str:
        """The operation's, else that of all the operations there."""
        own = self.text(key)
        shared = self._item.get(key)
        return own or (shared if isinstance(shared, str) else "")

    def label(self) -> str | None:
        return re.sub(r"\s*\n\s*", " ", self._of_either("summary")).strip() or None

    def description(self) -> str:
        """Without the sentence that our own documents end with, which has a field of its own."""
        text = self._of_either("description")
        return text.removesuffix(self.text(FIRES_WHEN) or "").strip()

    def group(self) -> str | None:
        """The first tag, where nothing else says it."""
        return self.text(GROUP) or next(iter(self.texts("tags") or ()), None)

    def feature_flags(self) -> list[str]:
        flag = self.text(_FEATURE_FLAG)
        return self.texts(FEATURE_FLAGS) or ([flag] if flag else [])


class _Bundle:
    """One event type's schema: references lead within it, and what they lead to is in it."""

    def __init__(self, reader: _Reader, place: Place, *, old: bool) -> None:
        self._reader = reader
        self._old = old
        self._base = place
        self._names: dict[Place, str] = {}
        self._waiting: list[Place] = []
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def schema(self) -> Json:
        """Errors: Invalid."""
        given = self._root()
        if isinstance(given, bool):
            return given
        own = given.get("$defs")
        self._taken.update(cast("Object", own) if isinstance(own, dict) else ())
        made = self._rewritten(given, self._base)
        brought: dict[str, Json] = {}
        while self._waiting:
            place = self._waiting.pop()
            value = self._reader.schema_at(place)
            brought[self._names[place]] = (
                value if isinstance(value, bool) else self._rewritten(value, place)
            )
        if brought:
            own: Json = made.get("$defs") or {}
            if not isinstance(own, dict):
                raise _wrong((*self._base, "$defs"), "must be an object")
            made["$defs"] = {**cast("Object", own), **brought}
        return made

    def _root(self) -> Object | bool:
        """The schema itself, where what stands there only refers to it."""
        seen: set[Place] = set()
        while True:
            value = self._reader.schema_at(self._base)
            if isinstance(value, bool) or not self._only_refers(value):
                return value
            if self._base in seen:
                raise _wrong(self._base, "refers to itself")
            seen.add(self._base)
            place = (*self._base, "$ref")
            self._base = self._reader.target(value["$ref"], place)

    def _only_refers(self, schema: Object) -> bool:
        """In 3.0, what stands beside a reference counts for nothing."""
        return "$ref" in schema and (self._old or len(schema) == 1)

    def _rewritten(self, schema: Object, place: Place) -> dict[str, Json]:
        for keyword in _OWN_BASE:
            if keyword in schema:
                raise _wrong((*place, keyword), "is not supported in an imported schema")
        if self._only_refers(schema):
            return {"$ref": self._reference(schema["$ref"], (*place, "$ref"))}
        kept = {key: value for key, value in schema.items() if self._stays(key, value, place=place)}
        made = subschemas.mapped(kept, self._rewritten, place)
        if "$ref" in made:
            made["$ref"] = self._reference(made["$ref"], (*place, "$ref"))
        return _renewed(made, is_root=place == self._base) if self._old else made

    def _stays(self, key: str, value: Json, *, place: Place) -> bool:
        """Not what points out of the event type's schema, or may stand at its root alone."""
        if key == "$schema":
            return place == self._base and not str(value).startswith(_DIALECT)
        return key != "discriminator"

    def _reference(self, ref: Json, place: Place) -> str:
        target = self._reader.target(ref, place)
        size = len(self._base)
        if target == self._base or (not self._old and target[:size] == self._base):
            return quote(pointer(target[size:]), safe="#/~!$&'()*+,;=:@")
        self._reader.schema_at(target)
        name = self._names.get(target)
        if name is None:
            if len(self._names) >= MAX_DEFINITIONS:
                message = f"leads to more than {MAX_DEFINITIONS:,} schemas together with the others"
                raise _wrong(place, message)
            name = self._names[target] = self._free_name(target)
            self._waiting.append(target)
        return f"#/$defs/{name}"

    def _free_name(self, target: Place) -> str:
        is_named = target[:2] == ("components", "schemas") and len(target) == 3
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", target[2] if is_named else ".".join(target))
        name, number = plain, self._numbers.get(plain, 1)
        while name in self._taken:
            number += 1
            name = f"{plain}-{number}"
        self._numbers[plain] = number  # or a thousand of the same name take a million looks
        self._taken.add(name)
        return name


def _renewed(schema: dict[str, Json], *, is_root: bool) -> dict[str, Json]:
    """A schema of OpenAPI 3.0 as JSON Schema says it today."""
    for edge in ("Minimum", "Maximum"):
        excluded = schema.get(f"exclusive{edge}")
        if isinstance(excluded, bool):
            del schema[f"exclusive{edge}"]
            if excluded and edge.lower() in schema:
                schema[f"exclusive{edge}"] = schema.pop(edge.lower())
    nullable = schema.pop("nullable", False)
    if nullable is not True or is_root:  # an event's payload is never null
        return schema
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
        return schema
    return {"anyOf": [schema, {"type": "null"}]}
