"""The overview: is everything being delivered, and if not, where is it stuck."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from stafett.model import Endpoint, MessageFilter, PageQuery, Role
from stafett.services.activity import SLOTS, STEPS, Activity, Slot
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_LATE: Final = timedelta(minutes=1)
_SHOWN: Final = 50
"""Webhooks that are listed: those in trouble, then those with the latest attempts."""
_TIMED: Final = 10
"""Webhooks whose attempts the durations are taken from."""


async def show(visit: Visit) -> Reply:
    """The numbers of the last day, and every webhook's health."""
    stafett, now = visit.stafett, visit.stafett.now()
    endpoints = await stafett.endpoints.all(visit.app_ref)
    lately = sorted(endpoints, key=_last_attempt, reverse=True)
    shown = sorted(lately, key=_is_well)[:_SHOWN]
    activity = await stafett.endpoints.activity(visit.app_ref)
    durations = await stafett.endpoints.recent_durations(
        visit.app_ref, [each.id for each in lately[:_TIMED]]
    )
    backlog = await stafett.backlog()
    oldest = None if backlog.oldest_due_at is None else now - backlog.oldest_due_at
    return visit.page(
        "overview.html",
        rows=[(each, activity.of(each.id)) for each in shown],
        more=len(endpoints) - len(shown),
        activity=activity,
        whole=activity.span == STEPS[0] * SLOTS,
        chart=Chart.of(activity),
        backlog=backlog,
        oldest=oldest,
        late=oldest is not None and oldest > _LATE,
        p50=_percentile(durations, 0.5),
        p99=_percentile(durations, 0.99),
        steps=await _steps(visit, endpoints),
        reasons=stafett.readiness(),
        now=now,
    )


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


# --- the chart --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One slot: what was delivered from the ground up, what failed on top of it."""

    x: int
    good: float
    """Heights, as shares of `Chart.HEIGHT`."""
    bad: float
    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars in a box of `width` by `HEIGHT`; a browser stretches it."""

    HEIGHT = 100
    STEP = 10
    LEAST = 2.0
    """Height of the smallest number that is not nothing: one failure among thousands shows."""

    bars: tuple[Bar, ...]
    most: int
    """Attempts in the fullest slot."""

    @property
    def width(self) -> int:
        """Of all bars."""
        return len(self.bars) * self.STEP

    @classmethod
    def of(cls, activity: Activity) -> Chart:
        """The bars of what was counted."""
        totals = [slot.total for slot in activity.slots]
        most = max((each.succeeded + each.failed for each in totals), default=0)
        return cls(
            bars=tuple(
                Bar(
                    x=place * cls.STEP,
                    good=cls._height(total.succeeded, most=most),
                    bad=cls._height(total.failed, most=most),
                    slot=slot,
                )
                for place, (slot, total) in enumerate(zip(activity.slots, totals, strict=True))
            ),
            most=most,
        )

    @classmethod
    def _height(cls, count: int, *, most: int) -> float:
        # Room for both parts of a bar to be lifted to their least.
        room = cls.HEIGHT - 2 * cls.LEAST
        return round(max(cls.LEAST, count / most * room), 2) if count else 0


PAGES: Final = (Page(method="GET", path="", show=show, role=Role.VIEWER),)
