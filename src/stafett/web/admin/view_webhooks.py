"""Webhooks: the list, adding, editing, switching, testing, secrets, deleting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stafett import errors, settings
from stafett.model import (
    Endpoint,
    EndpointChanges,
    EndpointOptions,
    EventType,
    HeaderFamily,
    PayloadStyle,
    Role,
)
from stafett.services.deliveries import TestResult
from stafett.services.endpoints import DEFAULT_GRACE, NewEndpoint, visible_headers
from stafett.web.admin import payloads, render
from stafett.web.admin.schema_fields import fields_of
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

# --- the list ---------------------------------------------------------------------------------

_SORTS: Final[dict[str, Callable[[Endpoint], Any]]] = {
    "name": lambda each: each.name.lower(),
    "url": lambda each: each.url,
    "event": lambda each: sorted(each.event_types or ()),
    "count": lambda each: each.health.event_count,
    "integration": lambda each: each.integration,
    "active": lambda each: each.disabled,
    "last": lambda each: each.health.last_attempt_at or datetime.min.replace(tzinfo=UTC),
    "id": lambda each: each.id,
}


async def show_list(visit: Visit) -> Reply:
    """Every webhook, and at the foot every event that there is."""
    endpoints = await visit.stafett.endpoints.all(visit.app_ref)
    sort = visit.one("sort") or "-id"
    shown = [each for each in endpoints if _is_asked_for(visit, each)]
    by = _SORTS.get(sort.removeprefix("-"), _SORTS["id"])
    shown.sort(key=by, reverse=sort.startswith("-"))
    return visit.page(
        "webhooks.html",
        endpoints=shown,
        total=len(endpoints),
        integrations=sorted({each.integration for each in endpoints}),
        event_types=await _offered(visit),
        fields_of=fields_of,
        labels=await _labels(visit),
        sort=sort,
        asked={name: visit.one(name) or "" for name in ("text", "event", "active", "integration")},
    )


def _is_asked_for(visit: Visit, endpoint: Endpoint) -> bool:
    text = (visit.one("text") or "").lower()
    event, active = visit.one("event"), visit.one("active")
    integration = visit.one("integration")
    words = " ".join([endpoint.name, endpoint.url, endpoint.id, *(endpoint.event_types or ())])
    return (
        text in words.lower()
        and (not event or endpoint.event_types is None or event in endpoint.event_types)
        and (not active or (active == "no") == endpoint.disabled)
        and (not integration or endpoint.integration == integration)
    )


async def _offered(visit: Visit) -> list[EventType]:
    return [each for each in await visit.stafett.event_types.all() if not each.archived]


async def _labels(visit: Visit) -> dict[str, str]:
    return {each.name: each.label for each in await visit.stafett.event_types.all()}


async def change_several(visit: Visit) -> Reply:
    """Activate, deactivate or delete the ticked ones; deleting is asked for once more."""
    chosen, action = visit.fields("webhook"), visit.field("action")
    if not chosen:
        return visit.go("webhooks")
    if action == "delete" and not visit.ticked("sure"):
        endpoints = [await visit.stafett.endpoints.get(visit.app_ref, each) for each in chosen]
        return visit.page("webhooks_delete.html", endpoints=endpoints)
    verbs = {
        "activate": visit.stafett.endpoints.enable,
        "deactivate": visit.stafett.endpoints.disable,
        "delete": visit.stafett.endpoints.delete,
    }
    if action not in verbs:
        message = "choose what to do with the webhooks"
        raise errors.BadRequest(message)
    for each in chosen:
        await verbs[action](visit.app_ref, each)
        await visit.note(f"webhook.{action}d", target=each)
    return visit.go("webhooks", notice="webhooks-changed")


# --- the form ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Form:
    """What stands in the fields; what was typed stays there when it has to be mended."""

    name: str = ""
    url: str = ""
    every_event: bool = False
    event_types: Sequence[str] = ()
    active: bool = True
    description: str = ""
    channels: str = ""
    rate_limit: str = ""
    header_family: str = HeaderFamily.WEBHOOK.value
    headers: str = ""
    metadata: str = ""
    secret: str = ""
    payload_style: str = PayloadStyle.ACCEPTED.value
    retry_schedule: str = ""
    timeout: str = ""
    concurrency: str = ""
    problems: list[errors.Problem] = field(default_factory=list[errors.Problem])

    @classmethod
    def sent(cls, visit: Visit) -> Form:
        """As the visitor filled it in."""
        return cls(
            name=visit.field("name"),
            url=visit.field("url"),
            every_event=visit.ticked("every_event"),
            event_types=visit.fields("event_types"),
            active=visit.ticked("active"),
            description=visit.field("description"),
            channels=visit.field("channels"),
            rate_limit=visit.field("rate_limit"),
            header_family=visit.field("header_family", HeaderFamily.WEBHOOK.value),
            headers=visit.field("headers"),
            metadata=visit.field("metadata"),
            secret=visit.field("secret"),
            payload_style=visit.field("payload_style", PayloadStyle.ACCEPTED.value),
            retry_schedule=visit.field("retry_schedule"),
            timeout=visit.field("timeout"),
            concurrency=visit.field("concurrency"),
        )

    @classmethod
    def of(cls, endpoint: Endpoint) -> Form:
        """As the webhook is. Values of secret headers are not shown, and kept if not written."""
        shown, hidden = visible_headers(endpoint)
        return cls(
            name=endpoint.name,
            url=endpoint.url,
            every_event=endpoint.event_types is None,
            event_types=sorted(endpoint.event_types or ()),
            active=not endpoint.disabled,
            description=endpoint.description,
            channels=", ".join(sorted(endpoint.channels or ())),
            rate_limit="" if endpoint.rate_limit is None else str(endpoint.rate_limit),
            header_family=endpoint.header_family.value,
            headers=_lines(shown | dict.fromkeys(hidden, _HIDDEN)),
            metadata=_lines(endpoint.metadata),
            payload_style=endpoint.payload_style.value,
            retry_schedule=_written(endpoint.retry_schedule),
            timeout="" if endpoint.timeout is None else settings.show(endpoint.timeout),
            concurrency="" if endpoint.concurrency is None else str(endpoint.concurrency),
        )

    def values(self) -> dict[str, Any]:
        """The fields as a webhook has them, without headers and options. Problems are noted."""
        if not self.every_event and not self.event_types:
            self.note("event_types", "choose at least one event, or all")
        if len(self.name) < _MIN_NAME:
            self.note("name", f"must have at least {_MIN_NAME} characters")
        channels = frozenset(self.channels.replace(",", " ").split())
        return {
            "name": self.name,
            "url": self.url,
            "event_types": None if self.every_event else frozenset(self.event_types),
            "description": self.description,
            "channels": channels or None,
            "rate_limit": self.whole("rate_limit", self.rate_limit),
            "header_family": self.family(),
            "metadata": self.pairs("metadata", self.metadata),
        }

    def options(self) -> EndpointOptions:
        """What it has otherwise than usual. Problems are noted."""
        return EndpointOptions(
            payload_style=self.style(),
            retry_schedule=self.waits(),
            timeout=self.duration("timeout", self.timeout),
            concurrency=self.whole("concurrency", self.concurrency),
        )

    def family(self) -> HeaderFamily:
        """The usual one where it is none that is offered."""
        if self.header_family not in set(HeaderFamily):
            self.note("header_family", "is not one of the choices")
            self.header_family = HeaderFamily.WEBHOOK.value
        return HeaderFamily(self.header_family)

    def style(self) -> PayloadStyle:
        """The usual one where it is none that is offered."""
        if self.payload_style not in set(PayloadStyle):
            self.note("payload_style", "is not one of the choices")
            self.payload_style = PayloadStyle.ACCEPTED.value
        return PayloadStyle(self.payload_style)

    def waits(self) -> tuple[timedelta, ...] | None:
        """The schedule; a single 0, which no wait can be, says that there is no second attempt."""
        parts = [each.strip() for each in self.retry_schedule.split(",") if each.strip()]
        waits = [self.duration("retry_schedule", each) for each in parts]
        if waits == [timedelta(0)]:
            return ()
        return tuple(each for each in waits if each is not None) or None

    def whole(self, name: str, text: str) -> int | None:
        """A whole number; None where nothing was written."""
        try:
            return int(text) if text else None
        except ValueError:
            self.note(name, "must be a whole number")
            return None

    def duration(self, name: str, text: str) -> timedelta | None:
        """A duration as settings have it; None where nothing was written."""
        try:
            return settings.parse_duration(text) if text else None
        except ValueError as error:
            self.note(name, str(error))
            return None

    def pairs(self, name: str, text: str) -> dict[str, str]:
        """Lines of `name: value`."""
        found: dict[str, str] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            key, colon, value = line.partition(":")
            if not colon or not key.strip():
                self.note(name, "must be lines of the form name: value")
                continue
            found[key.strip()] = value.strip()
        return found

    def note(self, name: str, message: str) -> None:
        """A field cannot stay as it is; once is enough to say so."""
        problem = errors.Problem(("body", name), message)
        if problem not in self.problems:
            self.problems.append(problem)


_MIN_NAME: Final = 2
_HIDDEN: Final = render.MASK


def _lines(pairs: Any) -> str:
    return "\n".join(f"{name}: {value}" for name, value in pairs.items())


def _written(waits: tuple[timedelta, ...] | None) -> str:
    """A schedule as the form has it."""
    if waits is None:
        return ""
    return ", ".join(map(settings.show_duration, waits)) or "0"


async def show_new(visit: Visit) -> Reply:
    """An empty form; the address may bring a URL and an event."""
    event = visit.one("event")
    form = Form(url=visit.one("url") or "", event_types=[event] if event else [])
    return await _form(visit, form, None)


async def create(visit: Visit) -> Reply:
    """Add the webhook, or show the form again with what is wrong."""
    form = Form.sent(visit)
    values, options = form.values(), form.options()
    headers, secret = form.pairs("headers", form.headers), form.secret or None
    if form.problems:
        changes = EndpointChanges(**values, **options, headers=headers)
        return await _to_mend(visit, form, None, changes=changes, secret=secret)
    new = NewEndpoint(
        **values, headers=headers, secret=secret, disabled=not form.active, options=options
    )
    try:
        endpoint = await visit.stafett.endpoints.create(visit.app_ref, new)
    except errors.Invalid as error:
        form.problems = list(error.problems)
        return await _form(visit, form, None, status=422)
    await visit.note("webhook.created", target=endpoint.id, detail=endpoint.url)
    return visit.go("webhooks", notice="webhook-added", new=endpoint.id)


async def _to_mend(
    visit: Visit,
    form: Form,
    endpoint: Endpoint | None,
    *,
    changes: EndpointChanges,
    secret: str | None = None,
) -> Reply:
    """The form with its own problems, and with what is wrong in the fields that it could read."""
    noted = {each.loc[1] for each in form.problems}
    found = await visit.stafett.endpoints.check(
        visit.app_ref, changes, ref=endpoint and endpoint.id, secret=secret
    )
    form.problems += [each for each in found if each.loc[1] not in noted]
    return await _form(visit, form, endpoint, status=422)


async def _form(visit: Visit, form: Form, endpoint: Endpoint | None, *, status: int = 200) -> Reply:
    offered = await _offered(visit)
    groups: dict[str, list[EventType]] = {}
    for each in offered:
        groups.setdefault(each.group or visit.t("Other"), []).append(each)
    known = {each.name for each in offered}
    shown = [each for each in offered if each.name in form.event_types][:1]
    style = PayloadStyle(form.payload_style)
    at = visit.stafett.now()
    webhook = endpoint.id if endpoint else ""
    return visit.page(
        "webhook_form.html",
        status=status,
        form=form,
        endpoint=endpoint,
        problems=form.problems,
        groups=sorted(groups.items()),
        # What it has and nobody can choose any more stays visible, or saving would drop it.
        kept=sorted(set(form.event_types) - known),
        shown=shown,
        fields_of=fields_of,
        previews={
            each.name: payloads.preview(each, style, endpoint_id=webhook, now=at) for each in shown
        },
        usual={
            "retry_schedule": settings.show(visit.stafett.settings.retry_schedule),
            "timeout": settings.show(visit.stafett.settings.attempt_timeout),
        },
        grace_hours=int(DEFAULT_GRACE / timedelta(hours=1)),
        now=at,
    )


# --- one webhook ------------------------------------------------------------------------------


async def _endpoint(visit: Visit) -> Endpoint:
    """Errors: NotFound."""
    return await visit.stafett.endpoints.get(visit.app_ref, visit.params["webhook"])


async def show_one(visit: Visit) -> Reply:
    """The edit page."""
    endpoint = await _endpoint(visit)
    return await _form(visit, Form.of(endpoint), endpoint)


async def save(visit: Visit) -> Reply:
    """Save what was changed, or show the form again with what is wrong."""
    endpoint, form = await _endpoint(visit), Form.sent(visit)
    changes = EndpointChanges(**form.values(), **form.options(), disabled=not form.active)
    headers = _with_hidden(endpoint, form.pairs("headers", form.headers))
    if headers != endpoint.headers:
        changes["headers"] = headers
    if form.problems:
        return await _to_mend(visit, form, endpoint, changes=changes)
    try:
        await visit.stafett.endpoints.update(visit.app_ref, endpoint.id, changes)
    except errors.Invalid as error:
        form.problems = list(error.problems)
        return await _form(visit, form, endpoint, status=422)
    await visit.note("webhook.changed", target=endpoint.id)
    return visit.go(f"webhooks/{endpoint.id}", notice="webhook-saved")


def _with_hidden(endpoint: Endpoint, sent: dict[str, str]) -> dict[str, str]:
    """Headers whose hidden value was left as it is keep it."""
    return {
        name: endpoint.headers.get(name, value) if value == _HIDDEN else value
        for name, value in sent.items()
    }


async def delete(visit: Visit) -> Reply:
    """Delete it, once that was confirmed."""
    endpoint = await _endpoint(visit)
    if not visit.ticked("sure"):
        return visit.page("webhooks_delete.html", endpoints=[endpoint])
    await visit.stafett.endpoints.delete(visit.app_ref, endpoint.id)
    await visit.note("webhook.deleted", target=endpoint.id, detail=endpoint.url)
    return visit.go("webhooks", notice="webhook-deleted")


async def switch(visit: Visit) -> Reply:
    """On or off; switching on can send again what failed since a moment."""
    endpoint = await _endpoint(visit)
    endpoints = visit.stafett.endpoints
    if visit.field("to") == "off":
        await endpoints.disable(visit.app_ref, endpoint.id)
        await visit.note("webhook.deactivated", target=endpoint.id)
    else:
        await endpoints.enable(visit.app_ref, endpoint.id)
        await visit.note("webhook.activated", target=endpoint.id)
    return visit.go(f"webhooks/{endpoint.id}", notice="webhook-saved")


async def recover(visit: Visit) -> Reply:
    """Send again what failed since a moment."""
    endpoint = await _endpoint(visit)
    try:
        hours = float(visit.field("hours"))
        since = visit.stafett.now() - timedelta(hours=hours)
    except (ValueError, OverflowError):
        message = "say how many hours back, as a number"
        raise errors.BadRequest(message) from None
    await visit.stafett.deliveries.recover(visit.app_ref, endpoint.id, since=since)
    await visit.note("webhook.recovered", target=endpoint.id, detail=f"{hours:g} h")
    return visit.go("deliveries", endpoint=endpoint.id, notice="recovering")


async def show_secret(visit: Visit) -> Reply:
    """The signing secret in clear; that it was shown is noted."""
    endpoint = await _endpoint(visit)
    secret = await visit.stafett.endpoints.secret(visit.app_ref, endpoint.id)
    await visit.note("webhook.secret_shown", target=endpoint.id)
    return visit.page("webhook_secret.html", endpoint=endpoint, secret=secret, rotated=False)


async def rotate_secret(visit: Visit) -> Reply:
    """A new signing secret; the old one signs too for a while."""
    endpoint = await _endpoint(visit)
    try:
        grace = timedelta(hours=float(visit.field("hours", "24")))
    except (ValueError, OverflowError):
        message = "say how many hours the old secret signs on, as a number"
        raise errors.BadRequest(message) from None
    secret = await visit.stafett.endpoints.rotate_secret(visit.app_ref, endpoint.id, grace=grace)
    await visit.note("webhook.secret_rotated", target=endpoint.id)
    return visit.page("webhook_secret.html", endpoint=endpoint, secret=secret, rotated=True)


async def test(visit: Visit) -> Reply:
    """Send a test event to the webhook as it is saved, and say what came of it."""
    endpoint = await _endpoint(visit)
    event = visit.field("event") or None
    result = await visit.stafett.deliveries.test(visit.app_ref, endpoint.id, event_type=event)
    return _verdict(visit, result, endpoint)


def _verdict(visit: Visit, result: TestResult, endpoint: Endpoint | None) -> Reply:
    outcome = result.attempt.outcome
    return visit.page(
        "webhook_test.html",
        endpoint=endpoint,
        tried=result.attempt.url,
        message=result.message,
        outcome=outcome,
        sent=payloads.sent(result.attempt, result.message) or b"",
        advice=_ADVICE.get(outcome.cause or "", ""),
    )


async def try_out(visit: Visit) -> Reply:
    """Send a test event to the URL in the form of a new webhook, once that was confirmed."""
    form = Form.sent(visit)
    new = NewEndpoint(
        url=form.url,
        event_types=form.event_types,
        headers=form.pairs("headers", form.headers),
        header_family=form.family(),
        secret=form.secret or None,
        options=EndpointOptions(
            payload_style=form.style(), timeout=form.duration("timeout", form.timeout)
        ),
    )
    try:
        drafted = await visit.stafett.endpoints.draft(visit.app_ref, new)
    except errors.Invalid as error:
        form.problems += error.problems
        return _ask_to_try(visit, form)
    if form.problems or not visit.ticked("sure"):
        return _ask_to_try(visit, form)
    # Before it is sent: a request to wherever somebody says is on record whatever comes of it.
    await visit.note("webhook.tried", detail=drafted.url)
    result = await visit.stafett.deliveries.try_out(
        visit.app_ref, new, event_type=next(iter(form.event_types), None)
    )
    return _verdict(visit, result, None)


def _ask_to_try(visit: Visit, form: Form) -> Reply:
    typed = [(name, value) for name, value in visit.form if name not in {"csrf", "sure"}]
    return visit.page(
        "webhook_try.html",
        status=422 if form.problems else 200,
        form=form,
        typed=typed,
        problems=form.problems,
    )


_ADVICE: Final = {
    "status": "Look at the reply below, and at the receiver's own log.",
    "redirect": "Redirects are not followed: put the new address into the webhook.",
    "target_not_allowed": (
        "Addresses that are not public are refused. For development, start the server with"
        " --allow-network 127.0.0.0/8 or set STAFETT_ALLOW_NETWORKS."
    ),
    "dns_failed": "Is the host name written right? Try to open it in a browser.",
    "refused": "Nothing listens there: is the receiver running, and is the port right?",
    "connect_failed": "The receiver broke off the connection before it answered.",
    "tls_failed": "The receiver's certificate is not good: expired, or for another name.",
    "timeout": "The receiver took too long: let it answer first and work later.",
    "bad_reply": "What came back is no HTTP reply: is it the right port?",
    "internal": "This is a fault of Stafett: its log says more.",
}

_ONE: Final = "webhooks/{webhook}"
PAGES: Final = (
    Page(method="GET", path="webhooks", show=show_list, role=Role.VIEWER),
    Page(method="POST", path="webhooks", show=create, role=Role.DEVELOPER),
    Page(method="POST", path="webhooks/-/several", show=change_several, role=Role.DEVELOPER),
    Page(method="GET", path="webhooks/-/new", show=show_new, role=Role.DEVELOPER),
    Page(method="POST", path="webhooks/-/try", show=try_out, role=Role.DEVELOPER),
    Page(method="GET", path=_ONE, show=show_one, role=Role.VIEWER),
    Page(method="POST", path=_ONE, show=save, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/delete", show=delete, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/switch", show=switch, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/recover", show=recover, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/secret", show=show_secret, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/rotate", show=rotate_secret, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/test", show=test, role=Role.DEVELOPER),
)
