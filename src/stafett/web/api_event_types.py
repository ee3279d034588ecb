"""Event types over HTTP."""

from __future__ import annotations

from msgspec import UNSET

from stafett import errors
from stafett.model import EventTypeChanges
from stafett.services.event_types import NewEventType
from stafett.web import paging
from stafett.web.calls import Call, Reply
from stafett.web.wire.event_types import EventTypeIn, EventTypePatch, event_type_out
from stafett.web.wire.imports import OpenApiImportIn, openapi_import_out


def _name(call: Call) -> str:
    return call.params["event_type"]


def _flags(flags: list[str] | None, flag: str | None) -> list[str]:
    """Newer clients send a list, older ones a single flag."""
    return flags if flags is not None else [flag] if flag else []


def new_event_type(body: EventTypeIn, name: str | None = None) -> NewEventType:
    """What a body asks for; `name` is the one in the path. Errors: Invalid."""
    wanted = body.name or name
    if wanted is None:
        raise errors.Invalid([errors.Problem(("body", "name"), "is required")])
    return NewEventType(
        name=wanted,
        description=body.description,
        label=body.label,
        group=body.group_name,
        fires_when=body.fires_when,
        schemas=body.schemas,
        sample=body.sample,
        reference_sample=body.reference_sample,
        sensitive_fields=body.sensitive_fields,
        check=body.check,
        archived=body.archived,
        deprecated=body.deprecated,
        feature_flags=_flags(body.feature_flags, body.feature_flag),
    )


def _changes(body: EventTypePatch) -> EventTypeChanges:
    changes = EventTypeChanges()
    if body.description is not UNSET:
        changes["description"] = body.description
    if body.archived is not UNSET:
        changes["archived"] = body.archived
    if body.deprecated is not UNSET:
        changes["deprecated"] = body.deprecated
    if body.schemas is not UNSET:
        changes["schemas"] = body.schemas
    if body.group_name is not UNSET:
        changes["group"] = body.group_name
    if body.feature_flag is not UNSET:
        changes["feature_flags"] = tuple(_flags(None, body.feature_flag))
    if body.feature_flags is not UNSET:
        changes["feature_flags"] = tuple(body.feature_flags or ())
    return _own_changes(body, changes)


def _own_changes(body: EventTypePatch, changes: EventTypeChanges) -> EventTypeChanges:
    """What the format does not know and Stafett does."""
    if body.label is not UNSET:
        changes["label"] = body.label
    if body.fires_when is not UNSET:
        changes["fires_when"] = body.fires_when
    if body.sample is not UNSET:
        changes["sample"] = body.sample
    if body.reference_sample is not UNSET:
        changes["reference_sample"] = body.reference_sample
    if body.sensitive_fields is not UNSET:
        changes["sensitive_fields"] = tuple(body.sensitive_fields)
    if body.check is not UNSET:
        changes["check"] = body.check
    return changes


async def list_event_types(call: Call) -> Reply:
    """The catalogue, in order of name."""
    asked = paging.query(call, ascending=True)
    content = call.flag("with_content", default=False)
    page = await call.stafett.event_types.list(
        asked, include_archived=call.flag("include_archived", default=False)
    )
    return Reply(
        200,
        paging.answer(
            page,
            asked,
            key=lambda each: each.name,
            out=lambda each: event_type_out(each, with_content=content),
        ),
    )


async def create_event_type(call: Call) -> Reply:
    """A new event type; an archived one of that name comes back."""
    event_type = await call.stafett.event_types.create(new_event_type(call.read(EventTypeIn)))
    return Reply(201, event_type_out(event_type, with_content=True))


async def get_event_type(call: Call) -> Reply:
    """One event type, with schemas and samples."""
    event_type = await call.stafett.event_types.get(_name(call))
    return Reply(200, event_type_out(event_type, with_content=True))


async def put_event_type(call: Call) -> Reply:
    """Replace one, or create it."""
    new = new_event_type(call.read(EventTypeIn), _name(call))
    event_type, created = await call.stafett.event_types.upsert(_name(call), new)
    return Reply(201 if created else 200, event_type_out(event_type, with_content=True))


async def patch_event_type(call: Call) -> Reply:
    """Change what the body names."""
    changes = _changes(call.read(EventTypePatch))
    event_type = await call.stafett.event_types.update(_name(call), changes)
    return Reply(200, event_type_out(event_type, with_content=True))


async def delete_event_type(call: Call) -> Reply:
    """Archive one; with `expunge` it is gone for good."""
    await call.stafett.event_types.delete(_name(call), expunge=call.flag("expunge", default=False))
    return Reply(204)


async def import_openapi(call: Call) -> Reply:
    """Bring in the webhooks of an OpenAPI document; `dryRun` tells what that would change."""
    body = call.read(OpenApiImportIn)
    steps = await call.stafett.imports.openapi(
        _document(body), replace_all=body.replace_all, dry_run=body.dry_run
    )
    return Reply(200, openapi_import_out(steps, dry_run=body.dry_run))


def _document(body: OpenApiImportIn) -> bytes:
    """Errors: BadRequest."""
    spec = bytes(body.spec)
    if (spec == b"null") == (body.spec_raw is None):
        message = "give the document as spec or as specRaw, one of them"
        raise errors.BadRequest(message)
    return spec if body.spec_raw is None else body.spec_raw.encode()
