"""Deliveries: what became of each message at each webhook, attempt by attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stafett import bodies, errors
from stafett.ids import EndpointId
from stafett.model import (
    Attempt,
    AttemptFilter,
    DeliveryState,
    Endpoint,
    Headers,
    Message,
    PageQuery,
    PayloadStyle,
    Role,
    Trigger,
)
from stafett.services.deliveries import MAX_RESEND
from stafett.store import DeliveryQuery, Found, ListedDelivery
from stafett.web.admin import captures, guard, payloads
from stafett.web.admin.view_events import SOON, look_again, time_of
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_SHOWN: Final = 50
_MAX_OFFERED: Final = 500
"""Webhooks to choose from; with more, an id has to be written."""
_ATTEMPTS: Final = 20
_BEGINNING: Final = 2_000
"""Bytes of a reply that are shown of an attempt that nobody has chosen."""
_MAX_LEFT: Final = 500
_SENT_AGAIN: Final = frozenset({"recovering", "resent-several"})
_FIELDS: Final = ("endpoint", "state", "event", "class", "after", "before")
_CLASSES: Final = frozenset({"0", "200", "300", "400", "500"})


# --- the list ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to see, as it was typed and as it is meant."""

    typed: dict[str, str]
    where: DeliveryQuery
    problems: tuple[errors.Problem, ...]

    @classmethod
    def read(cls, value_of: Callable[[str], str | None]) -> Asked:
        """Out of a query or a form. A choice that nobody offered is none."""
        typed = {name: (value_of(name) or "").strip() for name in _FIELDS}
        problems: list[errors.Problem] = []
        known = typed["state"] in set(DeliveryState)
        where = DeliveryQuery(
            endpoint_id=EndpointId(typed["endpoint"]) if typed["endpoint"] else None,
            state=DeliveryState(typed["state"]) if known else None,
            event_types=frozenset([typed["event"]]) if typed["event"] else None,
            status_code_class=int(typed["class"]) if typed["class"] in _CLASSES else None,
            after=time_of(typed, "after", problems),
            before=time_of(typed, "before", problems),
        )
        return cls(typed, where, tuple(problems))


async def show_list(visit: Visit) -> Reply:
    """The deliveries of a webhook, or of all, newest event first."""
    asked = Asked.read(visit.one)
    found: Found[ListedDelivery] = Found(items=(), place=None)
    if not asked.problems:
        found = await visit.stafett.deliveries.search(
            visit.app_ref, asked.where, after=visit.one("from"), limit=_SHOWN
        )
    endpoints = await visit.stafett.endpoints.all(visit.app_ref)
    left = await _left(visit, asked)
    moving = look_again((each.delivery for each in found.items), visit.stafett.now())
    return visit.page(
        "deliveries.html",
        status=422 if asked.problems else 200,
        found=found,
        names={each.id: each.name for each in endpoints},
        offered=_offered(endpoints),
        event_types=await visit.event_types(),
        asked=asked.typed,
        problems=asked.problems,
        # A recover has only begun when the page is shown first: it is looked at once more.
        left=left if left or guard.by_htmx(visit.headers) else None,
        most_left=_MAX_LEFT,
        look_again=SOON if left or (left == 0 and not guard.by_htmx(visit.headers)) else moving,
    )


async def _left(visit: Visit, asked: Asked) -> int | None:
    """How many are still to be sent of those that were just sent again, counted up to 500.

    Not those that failed once more and wait for a retry. None: nothing was sent again.
    """
    if visit.one("notice") not in _SENT_AGAIN or asked.problems:
        return None
    now, left = visit.stafett.now(), 0
    for state in (DeliveryState.PENDING, DeliveryState.SENDING):
        found = await visit.stafett.deliveries.search(
            visit.app_ref, replace(asked.where, state=state), limit=_MAX_LEFT
        )
        due = [each.delivery.due_at or now for each in found.items]
        left += sum(state is DeliveryState.SENDING or at <= now for at in due)
    return left


def _offered(endpoints: list[Endpoint]) -> list[Endpoint] | None:
    """None: too many to choose from."""
    if len(endpoints) > _MAX_OFFERED:
        return None
    return sorted(endpoints, key=lambda each: each.name.lower())


async def resend_all(visit: Visit) -> Reply:
    """Send again what the list showed, once it is known and confirmed how much that is."""
    asked = Asked.read(visit.field)
    if asked.problems:
        return visit.go("deliveries", **asked.typed)
    if not visit.ticked("sure"):
        return await _how_many(visit, asked)
    # What happened since the count is not in it, so it is not sent either.
    until = time_of({"until": visit.field("until")}, "until", [])
    where = replace(
        asked.where, before=min(filter(None, (asked.where.before, until)), default=None)
    )
    count = await visit.stafett.deliveries.resend_all(visit.app_ref, where)
    told = "; ".join(f"{name}: {text}" for name, text in asked.typed.items() if text)
    await visit.note("deliveries.resent", target=asked.typed["endpoint"], detail=f"{count}; {told}")
    kept = {name: asked.typed[name] for name in ("endpoint", "event", "after", "before")}
    return visit.go("deliveries", notice="resent-several", **kept)


async def _how_many(visit: Visit, asked: Asked) -> Reply:
    found = await visit.stafett.deliveries.to_resend(visit.app_ref, asked.where)
    endpoints = await visit.stafett.endpoints.all(visit.app_ref)
    names = {each.id: each.name for each in endpoints}
    counts = Counter(each.delivery.endpoint_id for each in found.deliveries)
    return visit.page(
        "deliveries_resend.html",
        count=len(found.deliveries),
        counts=[(endpoint, names[endpoint], count) for endpoint, count in counts.most_common()],
        left_out=found.left_out,
        more=found.more,
        most=MAX_RESEND,
        oldest=found.deliveries[-1].message.created_at if found.deliveries else None,
        asked=asked.typed,
        until=visit.stafett.now(),
    )


# --- one delivery -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt as the timeline shows it."""

    attempt: Attempt
    open: bool
    request_headers: list[tuple[str, str]]
    reply_headers: list[tuple[str, str]]
    reply: payloads.Text
    body: payloads.Text | None
    """What was sent, where that was not the payload as it came."""

    @property
    def by_hand(self) -> bool:
        """Whether somebody asked for it."""
        return self.attempt.trigger is Trigger.MANUAL

    @classmethod
    def of(cls, attempt: Attempt, *, body: bytes | None, chosen: bool) -> Try:
        """The reply of the chosen one in full: twenty of them may be more than a mebibyte."""
        outcome = attempt.outcome
        limit = captures.TEXT_BYTES if chosen else _BEGINNING
        return cls(
            attempt,
            open=chosen,
            request_headers=_without_secrets(outcome.request_headers),
            reply_headers=_without_secrets(outcome.response_headers),
            reply=payloads.readable(outcome.response_body, limit=limit),
            body=None if body is None else payloads.readable(body, limit=limit),
        )


def _tries(attempts: Sequence[Attempt], message: Message, *, chosen: str) -> list[Try]:
    """Each with the body of its style, which is made once: it may be a mebibyte."""
    made: dict[PayloadStyle, bytes | None] = {PayloadStyle.ACCEPTED: None}
    tries: list[Try] = []
    for each in attempts:
        style = bodies.style_of(each.outcome.request_headers)
        if style not in made:
            made[style] = payloads.sent(each, message)
        tries.append(Try.of(each, body=made[style], chosen=each.id == chosen))
    return tries


def _without_secrets(headers: Headers) -> list[tuple[str, str]]:
    return [(name, captures.MASK if captures.is_secret(name) else value) for name, value in headers]


async def show_one(visit: Visit) -> Reply:
    """One delivery: every attempt, and what comes next."""
    return await _page(visit)


async def _page(visit: Visit, *, refused: str = "") -> Reply:
    app, deliveries = visit.app_ref, visit.stafett.deliveries
    delivery, message = await deliveries.delivery(
        app, visit.params["message"], visit.params["endpoint"]
    )
    page = await deliveries.attempts_by_message(
        app,
        message.id,
        PageQuery(limit=_ATTEMPTS, after=visit.one("from")),
        where=AttemptFilter(endpoint_id=delivery.endpoint_id),
    )
    attempts = [attempt for attempt, _ in page.items]
    chosen = visit.one("attempt") or (attempts[0].id if attempts else "")
    return visit.page(
        "delivery.html",
        status=409 if refused else 200,
        refused=refused,
        message=message,
        endpoint=await _endpoint(visit, delivery.endpoint_id),
        delivery=delivery,
        look_again=look_again([delivery], visit.stafett.now()),
        tries=_tries(attempts, message, chosen=chosen),
        older=None if page.done else attempts[-1].id,
        newest=visit.one("from") is None,
        payload=None if message.payload is None else payloads.readable(message.payload),
    )


async def _endpoint(visit: Visit, endpoint_id: EndpointId) -> Endpoint | None:
    """None: it is deleted."""
    try:
        return await visit.stafett.endpoints.get(visit.app_ref, endpoint_id)
    except errors.NotFound:
        return None


async def resend(visit: Visit) -> Reply:
    """Send it again, with the whole schedule."""
    message, endpoint = visit.params["message"], visit.params["endpoint"]
    try:
        await visit.stafett.deliveries.resend(visit.app_ref, message, endpoint)
    except (errors.Conflict, errors.MissingPayload) as error:
        return await _page(visit, refused=error.detail)
    await visit.note("delivery.resent", target=message, detail=endpoint)
    return visit.go(f"deliveries/{message}/{endpoint}", notice="resent")


async def cancel(visit: Visit) -> Reply:
    """Give it up while it waits."""
    message, endpoint = visit.params["message"], visit.params["endpoint"]
    if not await visit.stafett.deliveries.cancel(visit.app_ref, message, endpoint):
        return await _page(visit, refused=_NOT_WAITING)
    await visit.note("delivery.canceled", target=message, detail=endpoint)
    return visit.go(f"deliveries/{message}/{endpoint}", notice="canceled")


_NOT_WAITING: Final = "only what waits can be canceled; this does not wait (any more)"
_ONE: Final = "deliveries/{message}/{endpoint}"
PAGES: Final = (
    Page(method="GET", path="deliveries", show=show_list, role=Role.VIEWER),
    Page(method="POST", path="deliveries/resend", show=resend_all, role=Role.DEVELOPER),
    Page(method="GET", path=_ONE, show=show_one, role=Role.VIEWER),
    Page(method="POST", path=f"{_ONE}/resend", show=resend, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/cancel", show=cancel, role=Role.DEVELOPER),
)
