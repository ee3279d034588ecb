"""Webhooks: the list, adding, editing, switching, secrets, deleting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stafett import errors, settings, signing
from stafett.model import (
    Endpoint,
    EndpointChanges,
    EventType,
    PayloadStyle,
    Role,
)
from stafett.services import secrets
from stafett.services.endpoints import NewEndpoint
from stafett.web.admin import payloads
from stafett.web.admin.visits import Page, Visit
from stafett.web.admin.webhook_form import HIDDEN, Form
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
    return [each for each in await visit.event_types() if not each.archived]


async def _labels(visit: Visit) -> dict[str, str]:
    return {each.name: each.label for each in await visit.event_types()}


async def change_several(visit: Visit) -> Reply:
    """Activate, deactivate or delete the ticked ones; deleting is asked for once more."""
    chosen, action = visit.fields("webhook"), visit.field("action")
    if not chosen or not action:
        return visit.go("webhooks", notice="no-action" if chosen else "none-chosen")
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
        fields_of=visit.fields_of,
        previews={
            each.name: payloads.preview(each, style, endpoint_id=webhook, now=at) for each in shown
        },
        usual={
            "retry_schedule": settings.show(visit.stafett.settings.retry_schedule),
            "timeout": settings.show(visit.stafett.settings.attempt_timeout),
        },
        grace_hours=int(secrets.DEFAULT_GRACE / timedelta(hours=1)),
        now=at,
    )


# --- one webhook ------------------------------------------------------------------------------


async def the_webhook(visit: Visit) -> Endpoint:
    """The one that the address names. Errors: NotFound."""
    return await visit.stafett.endpoints.get(visit.app_ref, visit.params["webhook"])


async def show_one(visit: Visit) -> Reply:
    """The edit page."""
    endpoint = await the_webhook(visit)
    return await _form(visit, Form.of(endpoint), endpoint)


async def save(visit: Visit) -> Reply:
    """Save what was changed, or show the form again with what is wrong."""
    endpoint, form = await the_webhook(visit), Form.sent(visit)
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
        name: endpoint.headers.get(name, value) if value == HIDDEN else value
        for name, value in sent.items()
    }


async def delete(visit: Visit) -> Reply:
    """Delete it, once that was confirmed."""
    endpoint = await the_webhook(visit)
    if not visit.ticked("sure"):
        return visit.page("webhooks_delete.html", endpoints=[endpoint])
    await visit.stafett.endpoints.delete(visit.app_ref, endpoint.id)
    await visit.note("webhook.deleted", target=endpoint.id, detail=endpoint.url)
    return visit.go("webhooks", notice="webhook-deleted")


async def switch(visit: Visit) -> Reply:
    """On or off; switching on can send again what failed since a moment."""
    endpoint = await the_webhook(visit)
    endpoints = visit.stafett.endpoints
    if visit.field("to") == "off":
        await endpoints.disable(visit.app_ref, endpoint.id)
        await visit.note("webhook.deactivated", target=endpoint.id)
    else:
        await endpoints.enable(visit.app_ref, endpoint.id)
        await visit.note("webhook.activated", target=endpoint.id)
    return visit.go(f"webhooks/{endpoint.id}", notice="webhook-saved")


async def recover(visit: Visit) -> Reply:
    """Send again what failed since a moment; how much that is, is told before."""
    endpoint = await the_webhook(visit)
    try:
        hours = visit.language.read_number(visit.field("hours"))
        since = visit.stafett.now() - timedelta(hours=hours)
    except (ValueError, OverflowError):
        message = "say how many hours back, as a number"
        raise errors.BadRequest(message) from None
    if not visit.ticked("sure"):
        count, more = await visit.stafett.deliveries.to_recover(
            visit.app_ref, endpoint.id, since=since
        )
        return visit.page(
            "webhooks_recover.html",
            endpoint=endpoint,
            since=since,
            hours=visit.field("hours"),
            count=count,
            more=more,
        )
    await visit.stafett.tasks.recover(visit.app_ref, endpoint.id, since=since)
    await visit.note("webhook.recovered", target=endpoint.id, detail=f"{hours:g} h")
    return visit.go("deliveries", endpoint=endpoint.id, notice="recovering")


async def show_secret(visit: Visit) -> Reply:
    """The signing secret in clear; that it was shown is noted."""
    endpoint = await the_webhook(visit)
    secret = await visit.stafett.endpoints.secret(visit.app_ref, endpoint.id)
    await visit.note("webhook.secret_shown", target=endpoint.id)
    return _secret_page(visit, endpoint, secret, rotated=False)


async def rotate_secret(visit: Visit) -> Reply:
    """A new signing secret; the old one signs too for a while."""
    endpoint = await the_webhook(visit)
    try:
        hours = visit.language.read_number(visit.field("hours", "24"))
        grace = timedelta(hours=hours)
    except (ValueError, OverflowError):
        message = "say how many hours the old secret signs on, as a number"
        raise errors.BadRequest(message) from None
    secret = await visit.stafett.endpoints.rotate_secret(visit.app_ref, endpoint.id, grace=grace)
    await visit.note("webhook.secret_rotated", target=endpoint.id)
    return _secret_page(visit, endpoint, secret, rotated=True)


def _secret_page(visit: Visit, endpoint: Endpoint, secret: str, *, rotated: bool) -> Reply:
    return visit.page(
        "webhook_secret.html",
        endpoint=endpoint,
        secret=secret,
        public_key=signing.public_key(secret),
        rotated=rotated,
    )


_ONE: Final = "webhooks/{webhook}"
PAGES: Final = (
    Page(method="GET", path="webhooks", show=show_list, role=Role.VIEWER),
    Page(method="POST", path="webhooks", show=create, role=Role.DEVELOPER),
    Page(method="POST", path="webhooks/-/several", show=change_several, role=Role.DEVELOPER),
    Page(method="GET", path="webhooks/-/new", show=show_new, role=Role.DEVELOPER),
    Page(method="GET", path=_ONE, show=show_one, role=Role.VIEWER),
    Page(method="POST", path=_ONE, show=save, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/delete", show=delete, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/switch", show=switch, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/recover", show=recover, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/secret", show=show_secret, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/rotate", show=rotate_secret, role=Role.DEVELOPER),
)
