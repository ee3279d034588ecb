"""Event types in the reader's language.

What the built-in catalogue says is translated. What an owner has written instead stays as it is,
and so do names, schemas and samples, which are for programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Final

from stafett import catalog
from stafett.model import EventType
from stafett.web.admin.languages import Language
from stafett.web.admin.schema_fields import Field, fields_of

_ANY_TIME: Final = datetime.fromtimestamp(0, UTC)


def event_type(known: EventType, language: Language) -> EventType:
    """As its reader reads it: not for saving."""
    built_in = built_in_texts().get(known.name, frozenset())

    def told(text: str) -> str:
        return language.event_text(text) if text in built_in else text

    return replace(
        known,
        label=told(known.label),
        # A group is one for all its members, whoever made them.
        group=language.event_text(known.group) if known.group in built_in_groups() else known.group,
        description=told(known.description),
        fires_when=told(known.fires_when),
    )


def event_types(known: Iterable[EventType], language: Language) -> list[EventType]:
    """Several, in the order they come."""
    return [event_type(each, language) for each in known]


def fields(known: EventType, language: Language) -> list[Field]:
    """The rows of its table."""
    built_in = built_in_texts().get(known.name, frozenset())
    return [
        replace(each, meaning=language.event_text(each.meaning))
        if each.meaning in built_in
        else each
        for each in fields_of(known)
    ]


@cache
def built_in_texts() -> dict[str, frozenset[str]]:
    """What each built-in event type says of itself and of its fields, by its name."""
    return {
        each.name: frozenset(
            [
                *(each.label, each.description, each.fires_when),
                *(row.meaning for row in fields_of(each)),
            ]
        )
        for each in _built_in()
    }


@cache
def built_in_groups() -> frozenset[str]:
    """The groups of the built-in event types."""
    return frozenset(each.group for each in _built_in() if each.group)


def _built_in() -> list[EventType]:
    return [each for name in catalog.CATALOGS for each in catalog.load(name, now=_ANY_TIME)]
