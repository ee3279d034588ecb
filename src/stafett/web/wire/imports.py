"""Imports of event types on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from stafett.model import EventType, Json
from stafett.services.event_types import schema_in_force
from stafett.services.imports import Action, Step, changed
from stafett.web.wire.base import In, Out

_FIELDS: Final = {
    "feature_flags": "featureFlags",
    "fires_when": "firesWhen",
    "group": "groupName",
    "sensitive_fields": "sensitiveFields",
}


def _nothing() -> Raw:
    return Raw(b"null")


class OpenApiImportIn(In):
    """An OpenAPI document with webhooks: `spec` as JSON, or `specRaw` as a text that is JSON.

    With `replaceAll`, event types that it does not have are archived.
    """

    spec: Raw = msgspec.field(default_factory=_nothing)
    spec_raw: str | None = None
    dry_run: bool = False
    replace_all: bool = False


class ImportedEventTypeOut(Out):
    """An event type as an import makes it."""

    name: str
    description: str
    deprecated: bool
    label: str
    schemas: Json = None
    group_name: str | None = None
    feature_flags: list[str] | None = None


class ImportStepOut(Out):
    """What an import does to one event type; `fields` are those that change."""

    name: str
    action: Action
    fields: list[str]


class OpenApiImportData(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`modified` was changed, or `to_modify` would be; `steps` tells of all, also what stays."""

    modified: list[str]
    steps: list[ImportStepOut]
    to_modify: list[ImportedEventTypeOut] | None = None


class OpenApiImportOut(Out):
    """What an import did, or would do."""

    data: OpenApiImportData


def openapi_import_out(steps: Sequence[Step], *, dry_run: bool) -> OpenApiImportOut:
    """`steps` as the wire shows them."""
    acting = list(changed(steps))
    return OpenApiImportOut(
        data=OpenApiImportData(
            modified=[] if dry_run else [each.name for each in acting],
            steps=[_step_out(each) for each in steps],
            to_modify=[_imported_out(each.becomes) for each in acting] if dry_run else None,
        )
    )


def _step_out(step: Step) -> ImportStepOut:
    fields = [_FIELDS.get(name, name) for name in step.changes]
    return ImportStepOut(name=step.name, action=step.action, fields=fields)


def _imported_out(event_type: EventType) -> ImportedEventTypeOut:
    return ImportedEventTypeOut(
        name=event_type.name,
        description=event_type.description,
        deprecated=event_type.deprecated,
        label=event_type.label,
        schemas=schema_in_force(event_type),
        group_name=event_type.group,
        feature_flags=list(event_type.feature_flags) or None,
    )
