"""Events that happened (messages): the log, one event, and emitting one by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stafett import errors
from stafett.model import (
    Delivery,
    DeliveryState,
    EventType,
    Message,
    MessageFilter,
    PageQuery,
    Role,
)
from stafett.services.messages import NewMessage
from stafett.web.admin import payloads, render
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply, aware
from stafett.web.errors import status_of

_SHOWN: Final = 50
_DESTINATIONS: Final = 100
_UNDER_WAY: Final = frozenset({DeliveryState.PENDING, DeliveryState.SENDING})
SOON: Final = 2
_LATER: Final = 30
_A_MOMENT: Final = timedelta(seconds=60)


def look_again(deliveries: Iterable[Delivery], now: datetime) -> int | None:
    """In how many seconds to look what became of them; None where all have ended."""
    waiting = [each for each in deliveries if each.state in _UNDER_WAY]
    # What was due long ago has a webhook that is off or rests, and will not move soon.
    soon = any(each.due_at is None or abs(each.due_at - now) < _A_MOMENT for each in waiting)
    return (SOON if soon else _LATER) if waiting else None


def time_of(typed: Mapping[str, str], name: str, problems: list[errors.Problem]) -> datetime | None:
    """A field as a time, in UTC where it does not say otherwise; what is none is noted."""
    text = typed[name]
    if not text:
        return None
    try:
        return aware(datetime.fromisoformat(text), field=name)
    except errors.Invalid as error:
        problems += error.problems
    except ValueError:
        message = "must be a time such as 2026-11-24T12:00"
        problems.append(errors.Problem(("query", name), message))
    return None


# --- the log ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """Of the log: what is shown on one page."""

    messages: Sequence[Message]
    place: str | None
    """Where older ones follow."""
    until: datetime | None = None
    """How far back the text was looked for."""


async def show_list(visit: Visit) -> Reply:
    """What happened, newest first."""
    asked = {name: visit.one(name) or "" for name in ("event", "after", "before", "text")}
    problems: list[errors.Problem] = []
    where = MessageFilter(
        event_types=frozenset([asked["event"]]) if asked["event"] else None,
        after=time_of(asked, "after", problems),
        before=time_of(asked, "before", problems),
    )
    part = _Part((), None)
    if not problems:
        try:
            part = await _part(visit, asked["text"].strip(), where)
        except errors.Invalid as error:
            problems += error.problems
    endpoints = await visit.stafett.endpoints.all(visit.app_ref)
    return visit.page(
        "events.html",
        status=422 if problems else 200,
        part=part,
        destinations=await visit.stafett.deliveries.destinations_of(part.messages),
        names={each.id: each.name for each in endpoints},
        event_types=await visit.event_types(),
        asked=asked,
        problems=problems,
    )


async def _part(visit: Visit, text: str, where: MessageFilter) -> _Part:
    """Errors: NotFound, Invalid (the text)."""
    messages, place = visit.stafett.messages, visit.one("from")
    if text:
        found = await messages.search(visit.app_ref, text, where=where, after=place, limit=_SHOWN)
        return _Part(found.items, found.place, found.until)
    page = PageQuery(limit=_SHOWN, after=place)
    listed = await messages.list(visit.app_ref, page, where=where, with_payload=False)
    return _Part(listed.items, None if listed.done else listed.items[-1].id)


# --- one event --------------------------------------------------------------------------------


async def show_one(visit: Visit) -> Reply:
    """One event: its payload, who wanted it, and what became of that."""
    message = await visit.stafett.messages.get(visit.app_ref, visit.params["message"])
    destinations = await visit.stafett.deliveries.destinations(
        visit.app_ref, message.id, PageQuery(limit=_DESTINATIONS, after=visit.one("from"))
    )
    known = {each.name: each for each in await visit.event_types()}
    event_type = known.get(message.event_type)
    body = message.payload
    sensitive = event_type.sensitive_fields if event_type else ()
    return visit.page(
        "event.html",
        message=message,
        event_type=event_type,
        destinations=destinations,
        look_again=look_again((each for each, _ in destinations.items), visit.stafett.now()),
        tree=None if body is None else payloads.tree(body, sensitive=sensitive),
        raw=None if body is None else payloads.raw(body),
    )


async def download(visit: Visit) -> Reply:
    """The payload, byte for byte, to be saved and not to be shown."""
    message = await visit.stafett.messages.get(visit.app_ref, visit.params["message"])
    if message.payload is None:
        text = "the payload of this message is gone"
        raise errors.NotFound(text)
    return Reply(
        200,
        message.payload,
        [
            (b"content-type", b"application/octet-stream"),
            (b"content-disposition", f'attachment; filename="{message.id}.json"'.encode()),
            (b"content-security-policy", b"sandbox; default-src 'none'"),
        ],
    )


# --- emitting ---------------------------------------------------------------------------------


async def show_emit(visit: Visit) -> Reply:
    """A form with the sample of the chosen event, or of the first."""
    offered = await _offered(visit)
    name = visit.one("event") or (offered[0].name if offered else "")
    try:
        sample = await visit.stafett.event_types.sample(name)
    except errors.NotFound:
        sample = {}  # nobody has to add an event type before it happens
    return _emit_form(visit, offered, {"event": name, "payload": render.as_json(sample)})


async def emit(visit: Visit) -> Reply:
    """Accept the event for real, or show the form again with what is wrong."""
    typed = {name: visit.field(name) for name in ("event", "channels", "payload")}
    typed["payload"] = typed["payload"].replace("\r\n", "\n")  # as it was typed
    try:
        new = NewMessage(
            event_type=typed["event"],
            payload=payloads.object_of(typed["payload"]),
            channels=tuple(typed["channels"].replace(",", " ").split()),
        )
        message = await visit.stafett.messages.accept(visit.app_ref, new)
    except errors.Invalid as error:
        problems = [_at_its_field(visit, each) for each in error.problems]
        return _emit_form(visit, await _offered(visit), typed, problems=problems)
    except (errors.PayloadTooLarge, errors.Unavailable) as error:
        problems = [errors.Problem(("body", "payload"), error.detail)]
        return _emit_form(
            visit, await _offered(visit), typed, problems=problems, status=status_of(error)
        )
    await visit.note("event.emitted", target=message.id, detail=message.event_type)
    return visit.go(f"events/{message.id}", notice="emitted")


def _at_its_field(visit: Visit, problem: errors.Problem) -> errors.Problem:
    """A field within the payload is told at the payload, under its name."""
    name, *inside = map(str, problem.loc[1:])
    if name == "payload" and inside:
        said = visit.language.said(problem.msg)
        text = visit.t("'{field}' {problem}", field=".".join(inside), problem=said)
        return errors.Problem(("body", "payload"), render.visible(text))
    return errors.Problem(("body", {"event_type": "event"}.get(name, name)), problem.msg)


async def _offered(visit: Visit) -> list[EventType]:
    known = [each for each in await visit.event_types() if not each.archived]
    return sorted(known, key=lambda each: each.label.lower())


def _emit_form(
    visit: Visit,
    offered: list[EventType],
    typed: Mapping[str, str],
    *,
    problems: Sequence[errors.Problem] = (),
    status: int = 422,
) -> Reply:
    return visit.page(
        "emit.html",
        status=status if problems else 200,
        event_types=offered,
        event=typed["event"],
        channels=typed.get("channels", ""),
        payload=typed["payload"],
        problems=problems,
    )


PAGES: Final = (
    Page(method="GET", path="events", show=show_list, role=Role.VIEWER),
    Page(method="GET", path="events/{message}", show=show_one, role=Role.VIEWER),
    Page(method="GET", path="events/{message}/payload", show=download, role=Role.VIEWER),
    Page(method="GET", path="emit", show=show_emit, role=Role.DEVELOPER),
    Page(method="POST", path="emit", show=emit, role=Role.DEVELOPER),
)
