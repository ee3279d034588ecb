"""The overview: is everything being delivered, and if not, where is it stuck."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil
from typing import Final

from stafett.model import Endpoint, MessageFilter, PageQuery, Role
from stafett.services import activity, waiting
from stafett.services.activity import Activity, Horizon
from stafett.store import Backlog
from stafett.web.admin import charts
from stafett.web.admin.charts import Chart
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_LATE: Final = timedelta(minutes=1)
_SHOWN: Final = 50
"""Webhooks that are listed: those in trouble, then those with the latest attempts."""
_TIMED: Final = 10
"""Webhooks whose attempts the durations are taken from."""


async def show(visit: Visit) -> Reply:
    """The numbers of the last day, charts of the time that was chosen, every webhook's health."""
    stafett, now = visit.stafett, visit.stafett.now()
    horizon = _horizon(visit)
    endpoints = await stafett.endpoints.all(visit.app_ref)
    lately = sorted(endpoints, key=_last_attempt, reverse=True)
    shown = sorted(lately, key=_is_well)[:_SHOWN]
    day = await stafett.endpoints.activity(visit.app_ref)
    course = day if horizon is Horizon.DAY else await _course(visit, horizon)
    durations = await stafett.endpoints.recent_durations(
        visit.app_ref, [each.id for each in lately[:_TIMED]]
    )
    backlog = await stafett.backlog()
    oldest = None if backlog.oldest_due_at is None else now - backlog.oldest_due_at
    return visit.page(
        "overview.html",
        rows=[(each, day.of(each.id)) for each in shown],
        more=len(endpoints) - len(shown),
        activity=day,
        whole=day.span == Horizon.DAY.span,
        horizon=horizon,
        horizons=list(Horizon),
        course=course,
        cut=course.span < horizon.span,
        charts=charts.of_activity(course, visit.t) + _waited(visit, horizon, backlog, now=now),
        backlog=backlog,
        oldest=oldest or timedelta(),
        late=oldest is not None and oldest > _LATE,
        p50=_percentile(durations, 0.5),
        p99=_percentile(durations, 0.99),
        steps=await _steps(visit, endpoints),
        reasons=stafett.readiness(),
        now=now,
    )


def _horizon(visit: Visit) -> Horizon:
    """What the address asks for; a day where it asks for nothing that there is."""
    asked = visit.one("range")
    return next((each for each in Horizon if each == asked), Horizon.DAY)


async def _course(visit: Visit, horizon: Horizon) -> Activity:
    return await visit.stafett.endpoints.activity(visit.app_ref, horizon)


def _waited(visit: Visit, horizon: Horizon, backlog: Backlog, *, now: datetime) -> list[Chart]:
    """What is remembered of what waited, and what waits this moment."""
    slots = activity.ranges(horizon.steps[0], now=now, slots=horizon.slots)
    worst = visit.stafett.waiting.worst(slots)
    present = waiting.sample(backlog, now=now)
    worst[0] = waiting.worst_of([present] if worst[0] is None else [worst[0], present])
    return charts.of_waiting(slots[::-1], worst[::-1], visit.t)


def _last_attempt(endpoint: Endpoint) -> datetime:
    return endpoint.health.last_attempt_at or endpoint.created_at


def _is_well(endpoint: Endpoint) -> bool:
    return not endpoint.disabled and endpoint.health.failing_since is None


async def _steps(visit: Visit, endpoints: list[Endpoint]) -> dict[str, bool]:
    """What a newcomer has done already."""
    bins = await visit.stafett.bins.list(PageQuery(limit=1))
    messages = await visit.stafett.messages.list(
        visit.app_ref, PageQuery(limit=1), where=MessageFilter(), with_payload=False
    )
    return {
        "webhook": bool(endpoints),
        "bin": bool(bins.items),
        "event": bool(messages.items),
    }


def _percentile(ordered: list[timedelta], share: float) -> timedelta | None:
    return ordered[ceil(len(ordered) * share) - 1] if ordered else None


PAGES: Final = (Page(method="GET", path="", show=show, role=Role.VIEWER),)
