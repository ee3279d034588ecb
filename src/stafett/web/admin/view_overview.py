"""The overview: is everything being delivered, and if not, where is it stuck."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from stafett.model import AttemptFilter, DeliveryStats, Endpoint, PageQuery, Role
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_DAY: Final = timedelta(days=1)
_LATE: Final = timedelta(minutes=1)
_WATCHED: Final = 50
"""Webhooks that are looked at; those with the latest attempts."""
_RECENT: Final = 100


async def show(visit: Visit) -> Reply:
    """The numbers of the last day, and every webhook's health."""
    stafett, now = visit.stafett, visit.stafett.now()
    endpoints = await stafett.endpoints.all(visit.app_ref)
    watched = sorted(endpoints, key=_last_attempt, reverse=True)[:_WATCHED]
    stats = await asyncio.gather(
        *(stafett.endpoints.stats(visit.app_ref, each.id, since=now - _DAY) for each in watched)
    )
    backlog = await stafett.backlog()
    oldest = None if backlog.oldest_due_at is None else now - backlog.oldest_due_at
    bins = await stafett.bins.list(PageQuery(limit=1))
    messages = await stafett.messages.list(
        visit.app_ref, PageQuery(limit=1), where=AttemptFilter(), with_payload=False
    )
    durations = await _durations(visit, watched)
    return visit.page(
        "overview.html",
        rows=list(zip(watched, stats, strict=True)),
        total=_sum(stats),
        backlog=backlog,
        oldest=oldest,
        late=oldest is not None and oldest > _LATE,
        p50=_percentile(durations, 0.5),
        p99=_percentile(durations, 0.99),
        steps={"webhook": bool(endpoints), "bin": bool(bins.items), "event": bool(messages.items)},
        reasons=stafett.readiness(),
    )


def _last_attempt(endpoint: Endpoint) -> datetime:
    return endpoint.health.last_attempt_at or endpoint.created_at


def _sum(stats: list[DeliveryStats]) -> DeliveryStats:
    names = ("succeeded", "pending", "sending", "failed", "canceled")
    return DeliveryStats(**{name: sum(getattr(each, name) for each in stats) for name in names})


async def _durations(visit: Visit, watched: list[Endpoint]) -> list[timedelta]:
    """How long recent attempts took, of the webhooks that were last attempted."""
    pages = await asyncio.gather(
        *(
            visit.stafett.deliveries.attempts_by_endpoint(
                visit.app_ref, each.id, PageQuery(limit=_RECENT), where=AttemptFilter()
            )
            for each in watched[:10]
        )
    )
    return sorted(attempt.outcome.duration for page in pages for attempt, _ in page.items)


def _percentile(ordered: list[timedelta], share: float) -> timedelta | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


PAGES: Final = (Page(method="GET", path="", show=show, role=Role.VIEWER),)
