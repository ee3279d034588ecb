"""Event types: the catalogue of what can happen, and the check of a payload against it.

A change is in the directory's memory no later than it is answered, so the next message is checked
against it. Schemas are judged without ever fetching anything: a reference that leads outside is
refused when the event type is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate, chain
from typing import Any, Final, Protocol, cast

import msgspec

from stafett import errors, model
from stafett.engine.directory import Directory
from stafett.model import EventType, EventTypeChanges, Json, Page, PageQuery, PayloadCheck
from stafett.services import effort, fields, samples, tangles
from stafett.store import Store

MAX_PROBLEMS: Final = 10
PING: Final = "svix.ping"
"""Known to every client of the wire format without being in the catalogue."""
_MAX_SHOWN: Final = 60
_decode = msgspec.json.Decoder().decode
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
# Stands where the validator would print the value, so that we choose whether it is shown.
_VALUE: Final = "\0"
_UNNAMED: Final = "does not fit the schema, in so many ways that to name them would take too long"
# With lookarounds a pattern can take exponential time; this many steps are about 0.1 ms.
_MAX_REGEX_STEPS: Final = 10_000
_MAX_REGEX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEventType:
    """What makes an event type.

    None in `label`, `fires_when`, `sample`, `reference_sample`, `sensitive_fields` and `check`
    means the usual one for a new event type, and "leave it" where one is replaced.
    """

    name: str
    description: str
    label: str | None = None
    group: str | None = None
    fires_when: str | None = None
    schemas: Mapping[str, Json] | None = None
    sample: Json = None
    reference_sample: Json = None
    sensitive_fields: Sequence[str] | None = None
    check: PayloadCheck | None = None
    archived: bool = False
    deprecated: bool = False
    feature_flags: Sequence[str] = ()


class Validator(Protocol):
    """A compiled schema, as far as we use it."""

    def is_valid(self, instance: Any) -> bool: ...  # any JSON value

    def iter_errors(self, instance: Any) -> Any: ...  # foreign: ValidationError, one by one


def schema_in_force(event_type: EventType) -> Json:
    """The schema with the highest version number; None where there is none."""
    if not event_type.schemas:
        return None
    return event_type.schemas[max(event_type.schemas, key=int)]


def with_newest(known: EventType | None, schema: Json) -> dict[str, Json]:
    """All versions of the schema that `known` has, `schema` in place of the one in force."""
    versions = dict(known.schemas or {}) if known is not None else {}
    versions[max(versions, key=int) if versions else "1"] = schema
    return versions


def compiled(schema: Mapping[str, Json]) -> Validator:
    """A validator that fetches nothing. Errors: ValueError for what is not a usable schema."""
    tangles.check(schema)
    import jsonschema_rs  # noqa: PLC0415 - 15 MB that `stafett --help` need not load

    return jsonschema_rs.validator_for(
        dict(schema),
        retriever=_refuse,
        mask=_VALUE,
        pattern_options=jsonschema_rs.FancyRegexOptions(
            backtrack_limit=_MAX_REGEX_STEPS,
            size_limit=_MAX_REGEX_BYTES,
            dfa_size_limit=_MAX_REGEX_BYTES,
        ),
    )


class _Unusable:
    """Stands for a stored schema that no longer compiles: its events are flagged, not lost."""

    def is_valid(self, instance: Json) -> bool:
        message = "the schema in force cannot be used"
        raise ValueError(message)

    iter_errors = is_valid


def _compiled_again(schema: Mapping[str, Json]) -> Validator:
    try:
        return compiled(schema)
    except ValueError:
        return _Unusable()


def _refuse(uri: str) -> Json:
    message = f"a schema may only refer to itself, not to {uri}"
    raise ValueError(message)


class _Checker:
    """One event type's check, compiled once."""

    __slots__ = ("_sensitive", "_strict", "_validator", "_weighed", "event_type")

    def __init__(self, event_type: EventType) -> None:
        self.event_type = event_type
        self._strict = event_type.check is PayloadCheck.STRICT
        self._sensitive = frozenset(event_type.sensitive_fields)
        schema = None if event_type.check is PayloadCheck.OFF else schema_in_force(event_type)
        self._weighed = None if schema is None else effort.to_weigh(schema)
        self._validator = None if schema is None else _compiled_again(schema)

    def __call__(self, payload: bytes) -> tuple[str, ...]:
        if self._validator is None:
            return ()
        try:
            value = _decode(payload)
            problems = found_problems(
                self._validator, value, schema=self._weighed, sensitive=self._sensitive
            )
            if not problems:
                return ()
        except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
            problems = [errors.Problem((), f"cannot be checked: {exc}")]
        if self._strict:
            raise errors.Invalid(
                [replace(each, loc=("body", "payload", *each.loc)) for each in problems]
            )
        return tuple(map(_sentence, problems))


def found_problems(
    validator: Validator,
    value: Json,
    *,
    schema: Mapping[str, Json] | None,
    sensitive: frozenset[str],
) -> list[errors.Problem]:
    """The first 10 things wrong with `value`, each with the path of the field.

    A short plain value is shown, unless its field, or one around it, is sensitive. Only that it
    does not fit, where to find out more would take too long by this `schema`; None: it never does
    (see `effort.to_weigh`).
    """
    if validator.is_valid(value):
        return []
    if schema is not None and not effort.is_small(schema, value):
        return [errors.Problem((), _UNNAMED)]
    problems: list[errors.Problem] = []
    for error in validator.iter_errors(value):
        problems += _named(error, sensitive)
        if len(problems) >= MAX_PROBLEMS:
            return problems[:MAX_PROBLEMS]
    return problems


def _named(error: Any, sensitive: frozenset[str]) -> list[errors.Problem]:
    """Problems at the field they are about: a missing or surplus field is named itself."""
    path: tuple[str | int, ...] = tuple(error.instance_path)
    match error.kind.name:
        case "required":
            return [errors.Problem((*path, error.kind.property), "is required", "missing")]
        case "additionalProperties" | "unevaluatedProperties":
            return [
                errors.Problem((*path, name), "is not in the schema", "surplus")
                for name in error.kind.unexpected
            ]
        case kind:
            text: str = error.message.replace('"', "") if kind == "type" else error.message
            shown = "the value" if is_hidden(path, sensitive) else _shown(error.instance)
            return [errors.Problem(path, text.replace(_VALUE, shown), kind)]


def is_hidden(path: Sequence[str | int], sensitive: frozenset[str]) -> bool:
    """Whether the field at `path`, or one around it, is sensitive.

    A plain name is meant wherever it stands; a dotted one from the top, places in lists left out
    or not.
    """
    names = [each for each in path if isinstance(each, str)]
    dotted = (accumulate(map(str, way), "{}.{}".format) for way in (names, path))
    return not sensitive.isdisjoint(chain(path, *dotted))


def _shown(value: Json) -> str:
    if isinstance(value, dict | list):
        return "the value"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_SHOWN else "the value"


def _sentence(problem: errors.Problem) -> str:
    field = ".".join(map(str, problem.loc)) or "payload"
    return f"{field}: {problem.msg}"


class EventTypes:
    """The verbs. An event type is known by its name."""

    def __init__(self, *, store: Store, directory: Directory, clock: model.Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._checkers: dict[str, _Checker] = {}

    async def create(self, new: NewEventType) -> EventType:
        """In the catalogue at once. One that is archived comes back with what `new` says.

        Errors: Invalid, EventTypeExists.
        """
        check_new(new)
        known = await self._store.get_event_type(new.name)
        if known is not None:
            if not known.archived:
                raise _taken(new.name)
            return await self.update(new.name, _replacing(new))
        event_type = made(new, now=self._clock())
        added = await self._store.add_event_types([event_type])
        if not added[0]:
            raise _taken(new.name)
        self._directory.forget_event_types()
        return event_type

    async def get(self, name: str) -> EventType:
        """Archived ones too. Errors: NotFound."""
        found = await self._store.get_event_type(name)
        if found is None:
            message = f"there is no event type {name!r}"
            raise errors.NotFound(message)
        return found

    async def list(self, page: PageQuery, *, include_archived: bool = False) -> Page[EventType]:
        """In order of name."""
        return await self._store.list_event_types(page, include_archived=include_archived)

    async def all(self) -> list[EventType]:
        """The whole catalogue in order of name, archived ones too."""
        return list((await self._directory.event_types()).values())

    async def update(self, name: str, changes: EventTypeChanges) -> EventType:
        """Change what `changes` names. Errors: NotFound, Invalid."""
        known = await self.get(name)
        check_changes(changes, known)
        if not changes:
            return known
        await self._store.update_event_type(name, changes, now=self._clock())
        self._directory.forget_event_types()
        return await self.get(name)

    async def upsert(self, name: str, new: NewEventType) -> tuple[EventType, bool]:
        """Replace the one called `name`, or create it. Errors: Invalid (also for another name)."""
        check_new(new)
        if new.name != name:
            raise errors.Invalid(
                [errors.Problem(("body", "name"), "must be the same as in the address")]
            )
        if await self._store.get_event_type(name) is None:
            try:
                return await self.create(new), True
            except errors.EventTypeExists:  # somebody was faster: it is there to be replaced
                pass
        return await self.update(name, _replacing(new)), False

    async def delete(self, name: str, *, expunge: bool = False) -> None:
        """Archive it: webhooks that have it keep it, none can choose it any more.

        With `expunge` it is gone altogether. Errors: NotFound.
        """
        known = await self.get(name)
        if expunge:
            await self._store.delete_event_type(name)
        elif not known.archived:
            changes = EventTypeChanges(archived=True)
            await self._store.update_event_type(name, changes, now=self._clock())
        self._directory.forget_event_types()

    async def seed(self, entries: Sequence[EventType]) -> int:
        """Add those whose name is free (the built-in catalogue at start); answers how many."""
        if not entries:
            return 0
        added = await self._store.add_event_types(entries)
        self._directory.forget_event_types()
        return sum(added)

    async def check(self, name: str, payload: bytes) -> tuple[str, ...]:
        """What in `payload` does not fit the schema in force, at most 10 sentences.

        Nothing for an unknown event type, for one without schema, and where the check is off.
        Errors: Invalid where the check is strict. About 5 us for a payload of 2 KB that fits.
        """
        event_type = (await self._directory.event_types()).get(name)
        if event_type is None:
            return ()
        checker = self._checkers.get(name)
        if checker is None or checker.event_type is not event_type:
            checker = self._checkers[name] = _Checker(event_type)
        return checker(payload)

    async def sample(self, name: str) -> Json:
        """A realistic payload: its own sample, else one out of its schema, else `{}`.

        Errors: NotFound.
        """
        event_type = (await self._directory.event_types()).get(name)
        if event_type is None:
            if name == PING:
                return {"success": True}
            event_type = await self.get(name)
        if event_type.sample is not None:
            return event_type.sample
        schema = schema_in_force(event_type)
        made: Json = None if schema is None else samples.generate(schema)
        return cast("Json", made) if isinstance(made, dict) else {}


def made(new: NewEventType, *, now: datetime) -> EventType:
    """The event type that `new` makes."""
    return EventType(
        name=new.name,
        label=new.label or _label(new.name),
        group=new.group,
        description=new.description,
        fires_when=new.fires_when or "",
        schemas=new.schemas or None,
        sample=new.sample,
        reference_sample=new.reference_sample,
        sensitive_fields=tuple(new.sensitive_fields or ()),
        check=new.check or PayloadCheck.WARN,
        archived=new.archived,
        deprecated=new.deprecated,
        feature_flags=tuple(new.feature_flags),
        created_at=now,
        updated_at=now,
    )


def _label(name: str) -> str:
    """`payment_received` as people read it."""
    return re.sub(r"[._-]+", " ", name).strip().capitalize() or name


def _taken(name: str) -> errors.EventTypeExists:
    return errors.EventTypeExists(f"an event type {name!r} exists already")


def _replacing(new: NewEventType) -> EventTypeChanges:
    """All that `new` says; what only Stafett knows of (label, samples, check) where it says it."""
    changes = EventTypeChanges(
        group=new.group,
        description=new.description,
        schemas=new.schemas or None,
        archived=new.archived,
        deprecated=new.deprecated,
        feature_flags=tuple(new.feature_flags),
    )
    if new.label is not None:
        changes["label"] = new.label
    if new.fires_when is not None:
        changes["fires_when"] = new.fires_when
    if new.sample is not None:
        changes["sample"] = new.sample
    if new.reference_sample is not None:
        changes["reference_sample"] = new.reference_sample
    if new.sensitive_fields is not None:
        changes["sensitive_fields"] = tuple(new.sensitive_fields)
    if new.check is not None:
        changes["check"] = new.check
    return changes


def check_new(new: NewEventType) -> None:
    """Errors: Invalid, where there cannot be such an event type."""
    found = fields.Findings()
    found.word(new.name, "name")
    _check_fields(found, _replacing(new))
    _check_sample(found, new.sample, schemas=new.schemas, check=new.check)
    found.close()


def check_changes(changes: EventTypeChanges, known: EventType) -> None:
    """Errors: Invalid, where `known` cannot become like that."""
    found = fields.Findings()
    _check_fields(found, changes)
    _check_sample(
        found,
        changes.get("sample"),
        schemas=changes.get("schemas", known.schemas),
        check=changes.get("check", known.check),
    )
    found.close()


def _check_fields(found: fields.Findings, changes: EventTypeChanges) -> None:
    if "label" in changes:
        found.name(changes["label"], "label")
    if (group := changes.get("group")) is not None:
        found.name(group, "group")
    found.text(changes.get("description", ""), "description")
    found.text(changes.get("fires_when", ""), "fires_when")
    for place, flag in enumerate(changes.get("feature_flags", ())):
        found.word(flag, "feature_flags", place)
    for place, name in enumerate(changes.get("sensitive_fields", ())):
        if not name or "," in name:
            found.add("must be the name of a field, without a comma", "sensitive_fields", place)
    for version, schema in (changes.get("schemas") or {}).items():
        _check_schema(found, version, schema)
    if not isinstance(changes.get("reference_sample"), dict | None):
        found.add("must be a JSON object", "reference_sample")


def _check_schema(found: fields.Findings, version: str, schema: Json) -> None:
    if not _VERSION.fullmatch(version):
        found.add("a schema's version must be a whole number from 1", "schemas", version)
    elif not isinstance(schema, dict):
        found.add("must be a JSON object", "schemas", version)
    elif (reason := _unusable(cast("Mapping[str, Json]", schema))) is not None:
        found.add(reason, "schemas", version)


def _unusable(schema: Mapping[str, Json]) -> str | None:
    try:
        compiled(schema)
    except (ValueError, RecursionError) as exc:
        reason = str(getattr(exc, "message", exc)).replace(_VALUE, "the value")
        return f"cannot be used as a JSON Schema: {reason}"
    return None


def _check_sample(
    found: fields.Findings,
    sample: Json,
    *,
    schemas: Mapping[str, Json] | None,
    check: PayloadCheck | None,
) -> None:
    """A sample that is given with this request has to fit: it is what test events carry."""
    if sample is None:
        return
    if not isinstance(sample, dict):
        found.add("must be a JSON object", "sample")
        return
    if not schemas or check is PayloadCheck.OFF or found.problems:
        return
    schema = schemas[max(schemas, key=int)]
    judged = found_problems(
        compiled(schema),
        cast("Json", sample),
        schema=effort.to_weigh(schema),
        sensitive=frozenset(),
    )
    for problem in judged:
        found.add(problem.msg, "sample", *problem.loc, kind=problem.kind)
