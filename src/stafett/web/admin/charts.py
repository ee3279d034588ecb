"""Charts as data: a browser draws them, and a table says the same to whoever sees no drawing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from stafett.services.activity import Activity, Range, ranges
from stafett.services.waiting import Sample

Tone = Literal["good", "bad", "warn", "info"]
Unit = Literal["count", "seconds"]
Text = Callable[[str], str]
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, or one part of every bar: a value for each slot, None where none is known."""

    label: str
    tone: Tone
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Values of slots of time that follow each other, oldest first."""

    title: str
    unit: Unit
    bars: bool
    """Bars, the parts on top of each other, summed up beside them; else lines."""
    slots: Sequence[Range]
    series: Sequence[Series]
    resting: str
    """What the numbers beside the chart are while nobody points at it."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value is not None for each in self.series for value in each.values) or (
            self.bars and not any(value for each in self.series for value in each.values)
        )

    @property
    def data(self) -> str:
        """All of it as JSON, times in seconds since 1970: what the script reads."""
        since, until = self.slots[0]
        return json.dumps(
            {
                "unit": self.unit,
                "bars": self.bars,
                "step": (until - since).total_seconds(),
                "at": [round(each.timestamp()) for each, _ in self.slots],
                "resting": self.resting,
                "series": [
                    {"label": each.label, "tone": each.tone, "values": list(each.values)}
                    for each in self.series
                ],
            }
        )

    @property
    def rows(self) -> list[tuple[datetime, list[float | timedelta | None]]]:
        """The table: when each slot begins and its values, newest first."""
        columns = [each.values for each in self.series]
        found = [
            (since, [self._written(values[place]) for values in columns])
            for place, (since, _) in enumerate(self.slots)
        ]
        return found[::-1]

    def _written(self, value: float | None) -> float | timedelta | None:
        return value if value is None or self.unit == "count" else value * _SECOND


def of_activity(activity: Activity, t: Text) -> list[Chart]:
    """What was sent, and how long that took; none where it is too much to measure."""
    if not activity.slots:
        return []
    slots = [(each.since, each.until) for each in activity.slots]
    totals = [each.total for each in activity.slots]
    half = [_seconds(each.p50) for each in activity.slots]
    most = [_seconds(each.p99) for each in activity.slots]
    took = [
        Series(label=t("half at most (p50)"), tone="info", values=half),
        Series(label=t("99 of 100 at most (p99)"), tone="warn", values=most),
    ]
    return [
        _attempts(
            slots,
            delivered=[each.succeeded for each in totals],
            failed=[each.failed for each in totals],
            t=t,
        ),
        _lines(t("How long attempts took"), "seconds", slots=slots, series=took, t=t),
    ]


def of_waiting(slots: Sequence[Range], worst: Sequence[Sample | None], t: Text) -> list[Chart]:
    """How much waited, and for how long the oldest of it had been due."""
    counts = [None if each is None else each.count for each in worst]
    overdue = [None if each is None else _seconds(each.overdue) for each in worst]
    waited = Series(label=t("most that waited"), tone="info", values=counts)
    late = Series(label=t("longest overdue"), tone="warn", values=overdue)
    return [
        _lines(t("Waiting"), "count", slots=slots, series=[waited], t=t),
        _lines(t("Oldest overdue"), "seconds", slots=slots, series=[late], t=t),
    ]


def examples(t: Text, *, now: datetime) -> list[Chart]:
    """Bars, lines with a gap, and a chart of nothing: for the page of patterns."""
    slots = ranges(timedelta(hours=1), now=now, slots=24)[::-1]
    heights = [(place * 7) % 24 for place in range(24)]
    samples = [Sample(at=now, count=each, overdue=each * _SECOND) for each in heights]
    bars = _attempts(slots, delivered=heights, failed=[each // 9 for each in heights], t=t)
    lines = of_waiting(slots, [*samples[:6], None, None, *samples[8:]], t)
    return [bars, lines[1], of_waiting(slots, [None] * 24, t)[0]]


def _attempts(
    slots: Sequence[Range], *, delivered: Sequence[int], failed: Sequence[int], t: Text
) -> Chart:
    return Chart(
        title=t("Attempts"),
        unit="count",
        bars=True,
        slots=slots,
        series=[
            Series(label=t("delivered"), tone="good", values=delivered),
            Series(label=t("failed"), tone="bad", values=failed),
        ],
        resting=t("in all"),
    )


def _lines(
    title: str, unit: Unit, *, slots: Sequence[Range], series: Sequence[Series], t: Text
) -> Chart:
    return Chart(
        title=title, unit=unit, bars=False, slots=slots, series=series, resting=t("latest")
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else round(duration / _SECOND, 4)
