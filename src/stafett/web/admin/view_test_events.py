"""Test events: sent to a webhook, or to the URL of one that is not kept yet, with the verdict."""

from __future__ import annotations

from typing import Final

from stafett import errors
from stafett.model import Endpoint, EndpointOptions, Role
from stafett.services.deliveries import TestResult
from stafett.services.endpoints import NewEndpoint
from stafett.web.admin import payloads
from stafett.web.admin.view_webhooks import the_webhook
from stafett.web.admin.visits import Page, Visit
from stafett.web.admin.webhook_form import Form
from stafett.web.calls import Reply

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


async def test(visit: Visit) -> Reply:
    """Send a test event to the webhook as it is saved, and say what came of it."""
    endpoint = await the_webhook(visit)
    event = visit.field("event") or None
    result = await visit.stafett.deliveries.test(visit.app_ref, endpoint.id, event_type=event)
    return _verdict(visit, result, endpoint)


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
    _, user = visit.signed_in
    result = await visit.stafett.deliveries.try_out(
        visit.app_ref, new, event_type=next(iter(form.event_types), None), by=user.id
    )
    return _verdict(visit, result, None)


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


def _ask_to_try(visit: Visit, form: Form) -> Reply:
    typed = [(name, value) for name, value in visit.form if name not in {"csrf", "sure"}]
    return visit.page(
        "webhook_try.html",
        status=422 if form.problems else 200,
        form=form,
        typed=typed,
        problems=form.problems,
    )


PAGES: Final = (
    Page(method="POST", path="webhooks/-/try", show=try_out, role=Role.DEVELOPER),
    Page(method="POST", path="webhooks/{webhook}/test", show=test, role=Role.DEVELOPER),
)
