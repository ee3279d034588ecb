"""The event types of a whole installation over HTTP, out of one and into another."""

from __future__ import annotations

from dataclasses import replace

from stafett import errors
from stafett.services.event_types import NewEventType, check_new
from stafett.web.api_event_types import new_event_type
from stafett.web.calls import Call, Reply
from stafett.web.wire.environment import EnvironmentIn, EnvironmentOut
from stafett.web.wire.event_types import EventTypeIn, event_type_out


async def export_environment(call: Call) -> Reply:
    """Every event type with its schemas, archived ones too."""
    known = await call.stafett.event_types.all()
    types = [event_type_out(each, with_content=True) for each in known]
    return Reply(200, EnvironmentOut(created_at=call.stafett.now(), event_types=types))


async def import_environment(call: Call) -> Reply:
    """Add these event types, or replace those of the same names; none where one is wrong."""
    body = call.read(EnvironmentIn)
    for name, unknown in (("settings", body.settings), ("connectors", body.connectors)):
        if unknown:
            message = "Stafett has none; leave them out"
            raise errors.Invalid([errors.Problem(("body", name), message)])
    news = [_checked(each, place) for place, each in enumerate(body.event_types or ())]
    for new in news:
        await call.stafett.event_types.upsert(new.name, new)
    return Reply(204)


def _checked(body: EventTypeIn, place: int) -> NewEventType:
    """Errors: Invalid, which says in which of them."""
    try:
        new = new_event_type(body)
        check_new(new)
    except errors.Invalid as error:
        raise errors.Invalid(
            [
                replace(problem, loc=("body", "eventTypes", place, *problem.loc[1:]))
                for problem in error.problems
            ]
        ) from None
    return new
