"""The event types that are there from the start, and event types from files.

Data, one file an event type, in the shape of `event-type.schema.json`. A file that is not in that
shape is refused whole, with the fields that are wrong; judging it fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import resources
from typing import Any, Final, cast

import msgspec

from stafett import errors
from stafett.model import EventType, Json, PayloadCheck

CATALOGS: Final = ("multisite", "none")


def load(name: str, *, now: datetime) -> tuple[EventType, ...]:
    """The built-in catalogue of that name, in order of name. Errors: InvalidSettings."""
    if name not in CATALOGS:
        message = f"there is no catalogue {name!r}; there are: {', '.join(CATALOGS)}"
        raise errors.InvalidSettings(message)
    return tuple(_made(document, now) for document in _documents(name))


def parse(text: str, *, now: datetime) -> tuple[EventType, ...]:
    """The event types of a file: one, a list, or an object with a list `eventTypes`.

    Errors: Invalid, with the place of everything that is wrong.
    """
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise errors.Invalid([errors.Problem((), f"is not JSON: {exc}", "jsondecode")]) from None
    entries = document
    if isinstance(document, dict) and "eventTypes" in document:
        entries = cast("dict[str, Json]", document)["eventTypes"]
    if not isinstance(entries, list):
        entries = [entries]
    _check(cast("list[Json]", entries))
    return tuple(_made(entry, now) for entry in cast("list[Mapping[str, Json]]", entries))


def _documents(name: str) -> Iterator[Mapping[str, Json]]:
    folder = resources.files(__name__) / name
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        yield msgspec.json.decode(file.read_bytes())


def _check(entries: list[Json]) -> None:
    import jsonschema_rs  # noqa: PLC0415 - 15 MB that the built-in catalogue does without

    shape = (resources.files(__name__) / "event-type.schema.json").read_bytes()
    validator = jsonschema_rs.validator_for(msgspec.json.decode(shape))
    problems: list[errors.Problem] = []
    for place, entry in enumerate(entries):
        problems += [
            errors.Problem((place, *each.instance_path), each.message)
            for each in validator.iter_errors(entry)
        ]
        problems += _schema_problems(entry, place)
    problems += _repeated(entries)
    if problems:
        raise errors.Invalid(problems)


def _schema_problems(entry: Any, place: int) -> Iterator[errors.Problem]:  # any JSON
    import jsonschema_rs  # noqa: PLC0415 - see above

    schema = cast("dict[str, Json]", entry).get("schema") if isinstance(entry, dict) else None
    if isinstance(schema, dict):
        try:
            # Not meta.validate(): that one fetches whatever `$schema` names.
            jsonschema_rs.validator_for(cast("dict[str, Json]", schema), retriever=_refuse)
        except ValueError as exc:
            reason = str(getattr(exc, "message", exc))
            yield errors.Problem((place, "schema"), f"is not a JSON Schema: {reason}")


def _refuse(uri: str) -> Json:
    message = f"a schema may only refer to itself, not to {uri}"
    raise ValueError(message)


def _repeated(entries: list[Json]) -> Iterator[errors.Problem]:
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        name = cast("dict[str, Json]", entry).get("name") if isinstance(entry, dict) else None
        if isinstance(name, str):
            if name in seen:
                yield errors.Problem((place, "name"), f"{name!r} is in the file already")
            seen.add(name)


def _made(entry: Mapping[str, Json], now: datetime) -> EventType:
    name: str = entry["name"]
    schema = entry.get("schema")
    return EventType(
        name=name,
        label=entry.get("label") or _label_of(name),
        group=entry.get("group"),
        description=entry["description"],
        fires_when=entry.get("firesWhen", ""),
        schemas=None if schema is None else {"1": schema},
        sample=entry.get("sample"),
        reference_sample=entry.get("referenceSample"),
        sensitive_fields=tuple(entry.get("sensitiveFields", ())),
        check=PayloadCheck(entry.get("check", PayloadCheck.WARN)),
        archived=entry.get("archived", False),
        deprecated=entry.get("archived", False),
        feature_flags=(),
        created_at=now,
        updated_at=now,
    )


def _label_of(name: str) -> str:
    """`order.paid_late` reads as `Order Paid Late`."""
    return name.replace(".", " ").replace("_", " ").replace("-", " ").title()
