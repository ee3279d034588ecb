"""Gathers what is known of the requests with one webhook-id, for the rule that judges them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from stafett import errors, ids, retry
from stafett.app import Stafett
from stafett.ids import EndpointId, MessageId
from stafett.model import Arrival, Attempt, AttemptFilter, Bin, Capture, PageQuery
from stafett.retry import RetrySchedule
from stafett.services import timelines
from stafett.services.timelines import Step

_MAX_ARRIVALS: Final = 100
_MAX_ATTEMPTS: Final = 250
_MAX_APPS: Final = 250


async def of(
    stafett: Stafett, found: Bin, capture: Capture, *, app: str | None = None
) -> list[Step]:
    """The newest requests of a bin with the webhook-id of `capture`, oldest first.

    Nothing where it has none. `app`: where to look first for the message, should it be our own.
    """
    if capture.webhook_id is None:
        return []
    arrivals = await stafett.bins.arrivals(found.id, capture.webhook_id, limit=_MAX_ARRIVALS)
    attempts = await _attempts(stafett, capture.webhook_id, app=app)
    if attempts:
        schedules = await _schedules(stafett, attempts)
        return timelines.of_our_own(arrivals, attempts, schedules)

    def asked(arrival: Arrival) -> timedelta | None:
        reply = found.reply
        if arrival.number <= found.reply_since or arrival.status_code != reply.status_code:
            return None  # answered by another reply, which nobody knows any more
        return retry.parse_retry_after(reply.headers, now=arrival.received_at)

    settings = stafett.settings
    return timelines.of_anybody(
        arrivals,
        RetrySchedule(settings.retry_schedule),
        timeout=settings.attempt_timeout,
        asked=asked,
    )


async def _attempts(stafett: Stafett, webhook_id: str, *, app: str | None) -> list[Attempt]:
    """All of our own message of that id, oldest first; nothing where it is none of ours."""
    if not ids.is_id(ids.MESSAGE, webhook_id):
        return []
    apps = await stafett.applications.list(PageQuery(limit=_MAX_APPS))
    query = PageQuery(limit=_MAX_ATTEMPTS, ascending=True)
    where = AttemptFilter()
    for each in [*([app] if app else []), *(each.id for each in apps.items)]:
        try:
            page = await stafett.deliveries.attempts_by_message(
                each, MessageId(webhook_id), query, where=where
            )
        except errors.NotFound:
            continue
        return [attempt for attempt, _ in page.items]
    return []


async def _schedules(
    stafett: Stafett, attempts: Sequence[Attempt]
) -> dict[EndpointId, RetrySchedule]:
    """By webhook: its own schedule, or the server's, as of one that is gone."""
    found: dict[EndpointId, RetrySchedule] = {}
    for each in attempts:
        if each.endpoint_id in found:
            continue
        waits = None
        try:
            endpoint = await stafett.endpoints.get(each.app_id, each.endpoint_id)
            waits = endpoint.retry_schedule
        except errors.NotFound:
            pass
        found[each.endpoint_id] = RetrySchedule(
            stafett.settings.retry_schedule if waits is None else waits
        )
    return found
