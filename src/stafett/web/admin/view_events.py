"""Events that happened (messages): the log, one event, and emitting one by hand."""

from __future__ import annotations

import json
from typing import Final

from stafett import errors
from stafett.model import MessageFilter, PageQuery, Role
from stafett.services.messages import NewMessage
from stafett.web.admin import render
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_SHOWN: Final = 50
_MANY: Final = 250


async def show_list(visit: Visit) -> Reply:
    """What happened, newest first."""
    event = visit.one("event")
    where = MessageFilter(
        event_types=frozenset([event]) if event else None,
        before=visit.moment("before") if visit.one("before") else None,
        after=visit.moment("after") if visit.one("after") else None,
    )
    page = await visit.stafett.messages.list(
        visit.app_ref,
        PageQuery(limit=_SHOWN, after=visit.one("from")),
        where=where,
        with_payload=False,
    )
    return visit.page(
        "events.html",
        messages=page.items,
        done=page.done,
        event_types=await visit.stafett.event_types.all(),
        asked={name: visit.one(name) or "" for name in ("event", "after", "before")},
    )


async def show_one(visit: Visit) -> Reply:
    """One event: its payload, who wanted it, and what became of that."""
    message = await visit.stafett.messages.get(visit.app_ref, visit.params["message"])
    destinations = await visit.stafett.deliveries.destinations(
        visit.app_ref, message.id, PageQuery(limit=_MANY)
    )
    return visit.page("event.html", message=message, destinations=destinations.items)


async def show_emit(visit: Visit) -> Reply:
    """A form with the chosen event's sample."""
    name = visit.one("event") or ""
    payload = "" if not name else render.as_json(await visit.stafett.event_types.sample(name))
    return await _emit_form(visit, event=name, payload=payload)


async def emit(visit: Visit) -> Reply:
    """Accept the event for real, or show the form again with what is wrong."""
    name, payload = visit.field("event"), visit.field("payload")
    try:
        new = NewMessage(event_type=name, payload=_object(payload))
        message = await visit.stafett.messages.accept(visit.app_ref, new)
    except errors.Invalid as error:
        return await _emit_form(visit, event=name, payload=payload, problems=error.problems)
    await visit.note("event.emitted", target=message.id, detail=name)
    return visit.go(f"events/{message.id}", notice="emitted")


def _object(text: str) -> bytes:
    """The text's bytes, if it is a JSON object. Errors: Invalid."""
    problem = ""
    try:
        if not isinstance(json.loads(text), dict):
            problem = "must be a JSON object"
    except json.JSONDecodeError as error:
        problem = f"is not JSON: line {error.lineno}, column {error.colno}"
    except RecursionError:
        problem = "is nested too deep"
    if problem:
        raise errors.Invalid([errors.Problem(("body", "payload"), problem)])
    return text.encode()


async def _emit_form(
    visit: Visit, *, event: str, payload: str, problems: tuple[errors.Problem, ...] = ()
) -> Reply:
    return visit.page(
        "emit.html",
        status=422 if problems else 200,
        event_types=[e for e in await visit.stafett.event_types.all() if not e.archived],
        event=event,
        payload=payload,
        problems=[
            # A field within the payload is told at the payload, under its name.
            errors.Problem(("body", "payload"), f"'{'.'.join(map(str, each.loc[2:]))}' {each.msg}")
            if each.loc[1:2] == ("payload",) and each.loc[2:]
            else each
            for each in problems
        ],
    )


PAGES: Final = (
    Page(method="GET", path="events", show=show_list, role=Role.VIEWER),
    Page(method="GET", path="events/{message}", show=show_one, role=Role.VIEWER),
    Page(method="GET", path="emit", show=show_emit, role=Role.DEVELOPER),
    Page(method="POST", path="emit", show=emit, role=Role.DEVELOPER),
)
