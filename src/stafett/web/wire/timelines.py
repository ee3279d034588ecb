"""The timeline of a caught request on the wire."""

from __future__ import annotations

from datetime import datetime

import msgspec

from stafett.services.timelines import Step, Verdict
from stafett.web.wire.base import seconds


class StepOut(msgspec.Struct, rename="camel", kw_only=True):
    """One request of a message beside what the retry schedule promised; durations in seconds."""

    capture_id: str
    number: int
    received_at: datetime
    status_code: int
    attempt_id: str | None
    verdict: Verdict
    gap: float | None
    promised: tuple[float, float] | None


class TimelineOut(msgspec.Struct, rename="camel", kw_only=True):
    """The requests of one message, oldest first."""

    data: list[StepOut]


def step_out(step: Step) -> StepOut:
    """A step of a timeline as the wire shows it."""
    window = step.window
    return StepOut(
        capture_id=step.arrival.id,
        number=step.arrival.number,
        received_at=step.arrival.received_at,
        status_code=step.arrival.status_code,
        attempt_id=step.arrival.attempt_id,
        verdict=step.verdict,
        gap=None if step.gap is None else seconds(step.gap),
        promised=window and (seconds(window[0]), seconds(window[1])),
    )
