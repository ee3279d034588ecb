"""Brings event types in from a document: first what would change, then all of it or nothing.

What the document does not state stays as it is, and what nobody else states (check, reference
sample) is never touched.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, cast

import msgspec

from stafett import errors, model
from stafett.engine.directory import Directory
from stafett.model import EventType, EventTypeChanges, Json, PayloadCheck
from stafett.services import event_types, openapi_import
from stafett.services.openapi_import import Found
from stafett.store import Store

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Action(enum.StrEnum):
    """What becomes of one event type."""

    ADDED = "added"
    CHANGED = "changed"
    RESTORED = "restored"
    """Out of the archive, and changed where the document says otherwise."""
    ARCHIVED = "archived"
    """The document does not have it, and is to replace everything."""
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What an import does to one event type."""

    action: Action
    event_type: EventType
    """As it is, or as it is made."""
    changes: EventTypeChanges

    @property
    def name(self) -> str:
        """Whose step it is."""
        return self.event_type.name

    @property
    def becomes(self) -> EventType:
        """As it is afterwards."""
        return replace(self.event_type, **self.changes)


def digest(steps: Sequence[Step]) -> str:
    """The same for the same steps: whether what was shown is still what would be done."""
    # A new one is made anew for each look; when that was does not count.
    told = [
        (each.action, replace(each.becomes, created_at=_EVER, updated_at=_EVER)) for each in steps
    ]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def plan(
    known: Mapping[str, EventType], found: Sequence[Found], *, replace_all: bool, now: datetime
) -> list[Step]:
    """One step for each event type of the document, in its order; then those that it ends.

    Errors: Invalid, for a sample that does not fit the schema that stays.
    """
    steps = [_step(known.get(each.new.name), each, now=now) for each in found]
    if replace_all:
        named = {each.new.name for each in found}
        steps += [
            Step(action=Action.ARCHIVED, event_type=each, changes=EventTypeChanges(archived=True))
            for name, each in known.items()
            if name not in named and not each.archived
        ]
    return steps


def _step(known: EventType | None, found: Found, *, now: datetime) -> Step:
    if known is None:
        made = event_types.made(found.new, now=now)
        return Step(action=Action.ADDED, event_type=made, changes=EventTypeChanges())
    changes = _changes(known, found)
    if known.archived:
        changes["archived"] = False
        return Step(action=Action.RESTORED, event_type=known, changes=changes)
    action = Action.CHANGED if changes else Action.UNCHANGED
    return Step(action=action, event_type=known, changes=changes)


def _changes(known: EventType, found: Found) -> EventTypeChanges:
    """What the document states, where that is something else. Errors: Invalid."""
    stated = EventTypeChanges(deprecated=found.new.deprecated)
    _state_words(stated, found.new)
    changes = cast(
        "EventTypeChanges",
        {name: value for name, value in stated.items() if value != getattr(known, name)},
    )
    _change_content(changes, known, found)
    return changes


def _state_words(stated: EventTypeChanges, new: event_types.NewEventType) -> None:
    if new.label:
        stated["label"] = new.label
    if new.description:
        stated["description"] = new.description
    if new.group:
        stated["group"] = new.group
    if new.fires_when:
        stated["fires_when"] = new.fires_when
    if new.sensitive_fields is not None:
        stated["sensitive_fields"] = tuple(new.sensitive_fields)
    if new.feature_flags:
        stated["feature_flags"] = tuple(new.feature_flags)


def _change_content(changes: EventTypeChanges, known: EventType, found: Found) -> None:
    """Schema and sample. Errors: Invalid."""
    schema = None if found.new.schemas is None else found.new.schemas["1"]
    sample = found.new.sample
    has_new_schema = schema is not None and not _same(schema, event_types.schema_in_force(known))
    if has_new_schema:
        changes["schemas"] = event_types.with_newest(known, schema)
    if sample is not None and not _same(sample, known.sample):
        changes["sample"] = sample
        _check_sample(known, found)
    elif has_new_schema and not _fits(known, schema):
        changes["sample"] = None  # one that is made of the schema does; this one would be refused


def _same(one: Json, other: Json) -> bool:
    """Whether they are the same JSON, whatever the order of fields; `1` is not `true`."""
    encoded = [msgspec.json.encode(each, order="sorted") for each in (one, other)]
    return encoded[0] == encoded[1]


def _fits(known: EventType, schema: Json) -> bool:
    if known.sample is None or known.check is PayloadCheck.OFF:
        return True
    return event_types.compiled(cast("Mapping[str, Json]", schema)).is_valid(known.sample)


def _check_sample(known: EventType, found: Found) -> None:
    """One that comes without a schema of its own has to fit the one that stays. Errors: Invalid."""
    if found.new.schemas is not None:
        return
    try:
        event_types.check_changes(EventTypeChanges(sample=found.new.sample), known)
    except errors.Invalid as error:
        raise errors.Invalid([found.moved(each) for each in error.problems]) from None


class Imports:
    """The verbs."""

    def __init__(self, *, store: Store, directory: Directory, clock: model.Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock

    async def openapi(
        self,
        document: bytes,
        *,
        replace_all: bool = False,
        dry_run: bool = False,
        shown: str | None = None,
    ) -> list[Step]:
        """Bring in the webhooks of an OpenAPI document in JSON; `dry_run` only tells.

        With `replace_all`, event types that it does not have are archived. All of it is in one
        transaction. `shown` is the digest of the steps that somebody agreed to. Errors: Invalid,
        with the place in the document; Conflict, where it would be other steps by now.
        """
        known = {each.name: each for each in await self._store.all_event_types()}
        now = self._clock()

        def work() -> list[Step]:
            found = openapi_import.read(document)
            return plan(known, found, replace_all=replace_all, now=now)

        # Up to seconds for the largest document there may be, and nobody else waits for it.
        steps = await asyncio.to_thread(work)
        if shown is not None and shown != digest(steps):
            message = "the catalogue has changed meanwhile; look again"
            raise errors.Conflict(message)
        if not dry_run:
            await self._carry_out(steps, now=now)
        return steps

    async def _carry_out(self, steps: Sequence[Step], *, now: datetime) -> None:
        added = [each.event_type for each in steps if each.action is Action.ADDED]
        changes = {each.name: each.changes for each in steps if each.changes}
        if not added and not changes:
            return
        await self._store.save_event_types(added, changes, now=now)
        self._directory.forget_event_types()


def changed(steps: Sequence[Step]) -> Iterator[Step]:
    """Those that do something."""
    return (each for each in steps if each.action is not Action.UNCHANGED)
