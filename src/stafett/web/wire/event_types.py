"""Event types on the wire."""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET, UnsetType

from stafett.model import EventType, Json, PayloadCheck
from stafett.web.wire.base import In, Out


class EventTypeIn(In):
    """A new event type, or all of one. `name` may be left out where the path has it."""

    description: str
    name: str | None = None
    archived: bool = False
    deprecated: bool = False
    schemas: dict[str, Json] | None = None
    group_name: str | None = None
    feature_flags: list[str] | None = None
    feature_flag: str | None = None
    label: str | None = None
    fires_when: str | None = None
    sample: Json = None
    reference_sample: Json = None
    sensitive_fields: list[str] | None = None
    check: PayloadCheck | None = None


class EventTypePatch(In):
    """What is to change; null empties a field."""

    description: str | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    deprecated: bool | UnsetType = UNSET
    schemas: dict[str, Json] | UnsetType | None = UNSET
    group_name: str | UnsetType | None = UNSET
    feature_flags: list[str] | UnsetType | None = UNSET
    feature_flag: str | UnsetType | None = UNSET
    label: str | UnsetType = UNSET
    fires_when: str | UnsetType = UNSET
    sample: Json | UnsetType = UNSET
    reference_sample: Json | UnsetType = UNSET
    sensitive_fields: list[str] | UnsetType = UNSET
    check: PayloadCheck | UnsetType = UNSET


class EventTypeOut(Out):
    """A kind of happening."""

    name: str
    label: str
    description: str
    archived: bool
    deprecated: bool
    created_at: datetime
    updated_at: datetime
    fires_when: str
    check: str
    sensitive_fields: list[str]
    group_name: str | None = None
    feature_flags: list[str] | None = None
    feature_flag: str | None = None
    schemas: dict[str, Json] | None = None
    sample: Json = None
    reference_sample: Json = None


def event_type_out(event_type: EventType, *, with_content: bool) -> EventTypeOut:
    """`event_type` as the wire shows it; schemas and samples only `with_content`."""
    flags = list(event_type.feature_flags) or None
    schemas = event_type.schemas if with_content else None
    return EventTypeOut(
        name=event_type.name,
        label=event_type.label,
        description=event_type.description,
        archived=event_type.archived,
        deprecated=event_type.deprecated,
        created_at=event_type.created_at,
        updated_at=event_type.updated_at,
        fires_when=event_type.fires_when,
        check=event_type.check,
        sensitive_fields=list(event_type.sensitive_fields),
        group_name=event_type.group,
        feature_flags=flags,
        feature_flag=flags[0] if flags else None,
        schemas=None if schemas is None else dict(schemas),
        sample=event_type.sample if with_content else None,
        reference_sample=event_type.reference_sample if with_content else None,
    )
