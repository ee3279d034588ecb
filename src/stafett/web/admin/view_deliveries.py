"""Deliveries: what became of each message at each webhook, attempt by attempt."""

from __future__ import annotations

import asyncio
from typing import Final

from stafett import errors
from stafett.model import (
    AttemptFilter,
    Delivery,
    DeliveryFilter,
    DeliveryState,
    Endpoint,
    Message,
    PageQuery,
    Role,
)
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_SHOWN: Final = 50
_TOGETHER: Final = 100
"""Webhooks whose deliveries are shown in one list; with more, one has to be chosen."""
_MANY: Final = 250

Row = tuple[Message, Delivery, Endpoint]


async def show_list(visit: Visit) -> Reply:
    """The deliveries of a webhook, or of all, newest message first."""
    endpoints = await visit.stafett.endpoints.all(visit.app_ref)
    chosen = visit.one("endpoint") or ""
    wanted = [each for each in endpoints if not chosen or each.id == chosen]
    too_many = len(wanted) > _TOGETHER
    rows, more = ([], False) if too_many else await _rows(visit, wanted)
    return visit.page(
        "deliveries.html",
        rows=rows,
        more=more,
        too_many=too_many,
        endpoints=sorted(endpoints, key=lambda each: each.name.lower()),
        event_types=await visit.stafett.event_types.all(),
        states=list(DeliveryState),
        asked={
            name: visit.one(name) or ""
            for name in ("endpoint", "state", "event", "after", "before")
        },
    )


async def _rows(visit: Visit, endpoints: list[Endpoint]) -> tuple[list[Row], bool]:
    """The next rows of several webhooks' lists, merged; True: there are more behind them."""
    state, event = visit.one("state"), visit.one("event")
    where = DeliveryFilter(
        state=DeliveryState(state) if state in set(DeliveryState) else None,
        event_types=frozenset([event]) if event else None,
        before=visit.moment("before") if visit.one("before") else None,
        after=visit.moment("after") if visit.one("after") else None,
    )
    page = PageQuery(limit=_SHOWN, after=visit.one("from"))
    found = await asyncio.gather(
        *(
            visit.stafett.deliveries.attempted_messages(
                visit.app_ref, each.id, page, where=where, with_payload=False
            )
            for each in endpoints
        )
    )
    rows = [
        (message, delivery, endpoint)
        for endpoint, part in zip(endpoints, found, strict=True)
        for message, delivery in part.items
    ]
    rows.sort(key=lambda row: row[0].id, reverse=True)
    # A message is owed to several: all its rows stay on one page, as the next begins behind it.
    end = _SHOWN
    while end < len(rows) and rows[end][0].id == rows[end - 1][0].id:
        end += 1
    return rows[:end], end < len(rows) or not all(part.done for part in found)


async def show_one(visit: Visit) -> Reply:
    """One delivery: every attempt, and what comes next."""
    app, message_ref = visit.app_ref, visit.params["message"]
    message = await visit.stafett.messages.get(app, message_ref)
    endpoint, delivery = await _delivery(visit, message)
    attempts = await visit.stafett.deliveries.attempts_by_message(
        app,
        message.id,
        PageQuery(limit=_MANY),
        where=AttemptFilter(endpoint_id=delivery.endpoint_id),
    )
    return visit.page(
        "delivery.html",
        message=message,
        endpoint=endpoint,
        delivery=delivery,
        attempts=[attempt for attempt, _ in attempts.items],
    )


async def _delivery(visit: Visit, message: Message) -> tuple[Endpoint | None, Delivery]:
    """Errors: NotFound."""
    wanted = visit.params["endpoint"]
    page = await visit.stafett.deliveries.destinations(
        visit.app_ref, message.id, PageQuery(limit=_MANY)
    )
    for delivery, endpoint in page.items:
        if delivery.endpoint_id == wanted:
            return endpoint, delivery
    text = "this message was never owed to this webhook"
    raise errors.NotFound(text)


async def resend(visit: Visit) -> Reply:
    """Send it again, with the whole schedule."""
    message, endpoint = visit.params["message"], visit.params["endpoint"]
    await visit.stafett.deliveries.resend(visit.app_ref, message, endpoint)
    await visit.note("delivery.resent", target=message, detail=endpoint)
    return visit.go(f"deliveries/{message}/{endpoint}", notice="resent")


async def cancel(visit: Visit) -> Reply:
    """Give it up while it waits."""
    message, endpoint = visit.params["message"], visit.params["endpoint"]
    if not await visit.stafett.deliveries.cancel(visit.app_ref, message, endpoint):
        text = "only what waits can be canceled; this does not wait (any more)"
        raise errors.Conflict(text)
    await visit.note("delivery.canceled", target=message, detail=endpoint)
    return visit.go(f"deliveries/{message}/{endpoint}", notice="canceled")


_ONE: Final = "deliveries/{message}/{endpoint}"
PAGES: Final = (
    Page(method="GET", path="deliveries", show=show_list, role=Role.VIEWER),
    Page(method="GET", path=_ONE, show=show_one, role=Role.VIEWER),
    Page(method="POST", path=f"{_ONE}/resend", show=resend, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_ONE}/cancel", show=cancel, role=Role.DEVELOPER),
)
