"""Event types: the catalogue, and changing it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec

from stafett import errors
from stafett.model import EventType, EventTypeChanges, Json, PayloadCheck, PayloadStyle, Role
from stafett.services import samples
from stafett.services.event_types import NewEventType, schema_in_force, with_newest
from stafett.web.admin import payloads, render
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_MAX_CARDS: Final = 20


async def show_list(visit: Visit) -> Reply:
    """By group; archived ones where they are asked for."""
    archived, text = visit.one("archived") == "yes", (visit.one("text") or "").strip()
    known = await visit.stafett.event_types.all()
    groups: dict[str, list[EventType]] = {}
    for each in known:
        told = visit.told(each)
        found = text.lower() in _words(each) or text.lower() in _words(told)
        if found and (archived or not each.archived):
            groups.setdefault(told.group or visit.t("Other"), []).append(told)
    return visit.page(
        "event_types.html",
        groups=sorted(groups.items()),
        total=len(known),
        asked={"text": text, "archived": archived},
    )


def _words(known: EventType) -> str:
    return f"{known.name} {known.label} {known.group} {known.description}".lower()


async def show_one(visit: Visit) -> Reply:
    """One, with its fields, its samples and the webhooks that want it."""
    event_type = await visit.stafett.event_types.get(visit.params["name"])
    endpoints = [
        each
        for each in await visit.stafett.endpoints.all(visit.app_ref)
        if each.event_types is None or event_type.name in each.event_types
    ]
    return visit.page(
        "event_type.html",
        event_type=visit.told(event_type),
        rows=visit.fields_of(event_type),
        schema=schema_in_force(event_type),
        endpoints=endpoints,
    )


async def show_card(visit: Visit) -> Reply:
    """Fields and sample alone, for parts of other pages; `event_types` may come several times.

    `payload_style` and `webhook` say how, and to whom, the sample would be sent.
    """
    names = visit.many("event_types")[:_MAX_CARDS]
    if not names:
        message = "name an event type"
        raise errors.NotFound(message)
    found = [await visit.stafett.event_types.get(each) for each in names]
    asked = visit.one("payload_style")
    style = PayloadStyle(asked) if asked in set(PayloadStyle) else PayloadStyle.ACCEPTED
    webhook, now = visit.one("webhook") or "", visit.stafett.now()
    return visit.page(
        "event_type_card.html",
        cards=[(visit.told(each), visit.fields_of(each)) for each in found],
        webhook=webhook,
        previews={
            each.name: payloads.preview(each, style, endpoint_id=webhook, now=now) for each in found
        },
    )


# --- changing it ------------------------------------------------------------------------------


@dataclass(slots=True)
class Form:
    """What stands in the fields."""

    name: str = ""
    label: str = ""
    group: str = ""
    description: str = ""
    fires_when: str = ""
    schema: str = ""
    sample: str = ""
    sensitive_fields: str = ""
    check: str = PayloadCheck.WARN.value
    problems: list[errors.Problem] = field(default_factory=list[errors.Problem])

    @classmethod
    def of(cls, event_type: EventType) -> Form:
        """As it is."""
        schema = schema_in_force(event_type)
        return cls(
            name=event_type.name,
            label=event_type.label,
            group=event_type.group or "",
            description=event_type.description,
            fires_when=event_type.fires_when,
            schema="" if schema is None else render.as_json(schema),
            sample="" if event_type.sample is None else render.as_json(event_type.sample),
            sensitive_fields=", ".join(event_type.sensitive_fields),
            check=event_type.check.value,
        )

    @classmethod
    def sent(cls, visit: Visit) -> Form:
        """As the visitor filled it in."""
        return cls(
            name=visit.field("name"),
            label=visit.field("label"),
            group=visit.field("group"),
            description=visit.field("description"),
            fires_when=visit.field("fires_when"),
            schema=visit.field("schema"),
            sample=visit.field("sample"),
            sensitive_fields=visit.field("sensitive_fields"),
            check=visit.field("check"),
        )

    def read(self, known: EventType | None) -> NewEventType:
        """What the form says. Errors: Invalid."""
        schema = self.json("schema", self.schema)
        sample = self.json("sample", self.sample)
        if self.check not in set(PayloadCheck):
            self.note("check", "is not one of the choices")
        if self.problems:
            raise errors.Invalid(self.problems)
        return NewEventType(
            name=self.name,
            label=self.label or None,
            group=self.group or None,
            description=self.description,
            fires_when=self.fires_when,
            schemas=None if schema is None else with_newest(known, schema),
            sample=sample,
            sensitive_fields=self.sensitive_fields.replace(",", " ").split(),
            check=PayloadCheck(self.check),
        )

    def json(self, name: str, text: str) -> Json:
        """A field that is JSON; None where it is empty or is not, which is noted."""
        if not text:
            return None
        try:
            return msgspec.json.decode(text)  # as the API reads it
        except (msgspec.DecodeError, UnicodeError) as error:
            self.note(name, _where_broken(text) or f"is not JSON: {error}")
        except RecursionError:
            self.note(name, "is nested too deep")
        return None

    def note(self, name: str, message: str) -> None:
        """A field cannot stay as it is."""
        self.problems.append(errors.Problem(("body", name), message))


def _where_broken(text: str) -> str:
    """Where JSON ends to be JSON, in the terms of an editor."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"is not JSON: line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        pass  # JSON by its grammar, but with a number or a depth that nobody takes
    return ""


async def show_new(visit: Visit) -> Reply:
    """An empty form."""
    return _form(visit, Form(), None)


async def show_edit(visit: Visit) -> Reply:
    """The form of one."""
    known = await visit.stafett.event_types.get(visit.params["name"])
    return _form(visit, Form.of(known), known)


async def create(visit: Visit) -> Reply:
    """Add it, or show the form again with what is wrong."""
    return await _save(visit, None)


async def save(visit: Visit) -> Reply:
    """Save it, or show the form again with what is wrong."""
    return await _save(visit, await visit.stafett.event_types.get(visit.params["name"]))


async def _save(visit: Visit, known: EventType | None) -> Reply:
    form = Form.sent(visit)
    if visit.ticked("make_sample"):
        return _form(visit, _with_sample(form), known, status=422 if form.problems else 200)
    try:
        saved = await _stored(visit, form, known)
    except errors.Invalid as error:
        form.problems = [_at_its_field(each) for each in error.problems]
        return _form(visit, form, known, status=422)
    except errors.EventTypeExists as error:
        form.note("name", error.detail)
        return _form(visit, form, known, status=422)
    verb = "created" if known is None else "changed"
    await visit.note(f"event_type.{verb}", target=saved.name)
    return visit.go(f"event-types/{saved.name}", notice="event-type-saved")


async def _stored(visit: Visit, form: Form, known: EventType | None) -> EventType:
    """Errors: Invalid, EventTypeExists."""
    read = form.read(known)
    if known is None:
        return await visit.stafett.event_types.create(read)
    changes = EventTypeChanges(
        label=form.label if visit.ticked("label") else known.label,
        group=read.group,
        description=form.description,
        fires_when=form.fires_when,
        schemas=read.schemas,
        sample=read.sample,
        sensitive_fields=tuple(read.sensitive_fields or ()),
        check=PayloadCheck(form.check),
    )
    return await visit.stafett.event_types.update(known.name, changes)


def _with_sample(form: Form) -> Form:
    """The form with a sample made of its schema; what is typed in vain is noted."""
    schema = form.json("schema", form.schema)
    if isinstance(schema, dict):
        form.sample = render.as_json(samples.generate(cast("dict[str, Json]", schema)))
    elif not form.problems:
        form.note("schema", "must be a JSON object")
    return form


def _at_its_field(problem: errors.Problem) -> errors.Problem:
    """What is wrong with a version of the schemas, or within the sample, is told there."""
    if problem.loc[1:2] == ("schemas",):
        return errors.Problem(("body", "schema"), problem.msg)
    if problem.loc[1:2] == ("sample",) and problem.loc[2:]:
        where = ".".join(map(str, problem.loc[2:]))
        return errors.Problem(("body", "sample"), f"{where!r} {problem.msg}")
    return problem


def _form(visit: Visit, form: Form, known: EventType | None, *, status: int = 200) -> Reply:
    return visit.page(
        "event_type_form.html",
        status=status,
        form=form,
        known=known and visit.told(known),
        translated=known is not None and visit.told(known) != known,
        problems=form.problems,
        checks=list(PayloadCheck),
    )


async def archive(visit: Visit) -> Reply:
    """Webhooks that have it keep it, none can choose it any more."""
    name = visit.params["name"]
    await visit.stafett.event_types.delete(name)
    await visit.note("event_type.archived", target=name)
    return visit.go(f"event-types/{name}", notice="event-type-archived")


async def restore(visit: Visit) -> Reply:
    """Out of the archive."""
    name = visit.params["name"]
    await visit.stafett.event_types.update(name, EventTypeChanges(archived=False))
    await visit.note("event_type.restored", target=name)
    return visit.go(f"event-types/{name}", notice="event-type-restored")


_ONE: Final = "event-types/{name}"
PAGES: Final = (
    Page(method="GET", path="event-types", show=show_list, role=Role.VIEWER),
    Page(method="POST", path="event-types", show=create, role=Role.DEVELOPER),
    Page(method="GET", path="event-types/-/new", show=show_new, role=Role.DEVELOPER),
    Page(method="GET", path="event-types/-/card", show=show_card, role=Role.VIEWER),
    Page(method="GET", path=_ONE, show=show_one, role=Role.VIEWER),
    Page(method="POST", path=_ONE, show=save, role=Role.DEVELOPER),
    Page(method="GET", path=f"{_ONE}/edit", show=show_edit, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/archive", show=archive, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/restore", show=restore, role=Role.DEVELOPER),
)
