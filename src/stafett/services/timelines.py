"""Whether the requests of one message came when a retry schedule promises them. Pure.

A wait is promised from the end of a failed attempt on. Of our own attempts that end is known; of
anybody else's only that it lay between the request and the attempt timeout.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stafett import retry
from stafett.ids import AttemptId, EndpointId
from stafett.model import Arrival, Attempt, Trigger
from stafett.retry import RetrySchedule

_GONE: Final = 410
_TOLERANCE: Final = timedelta(milliseconds=100)
"""How much early is not called so: clocks are read at two places."""
_SLACK: Final = timedelta(seconds=5)
"""What the sender may take from the moment when a retry is due until it arrives."""

Window = tuple[timedelta, timedelta]


class Verdict(enum.StrEnum):
    """How a request stands to the promise."""

    FIRST = "first"
    """Nothing came before it."""
    IN_TIME = "in_time"
    EARLY = "early"
    LATE = "late"
    UNASKED = "unasked"
    """The one before it had succeeded."""
    BEYOND = "beyond"
    """The schedule has no more retries."""
    BY_HAND = "by_hand"
    """Somebody had the message sent again."""
    COPY = "copy"
    """No attempt of its own: one that had come already, or somebody else's request."""
    UNKNOWN = "unknown"
    """An attempt that is not recorded: it is under way, or was forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request among those of its message."""

    arrival: Arrival
    verdict: Verdict
    gap: timedelta | None = None
    """Since the request before it, or, where that never came, since the end of its attempt.

    Of what is no attempt that is known, since any request before it.
    """
    window: Window | None = None
    """The shortest and the longest gap that the schedule promises."""


# --- anybody's --------------------------------------------------------------------------------


def of_anybody(
    arrivals: Sequence[Arrival],
    schedule: RetrySchedule,
    *,
    timeout: timedelta,
    asked: Callable[[Arrival], timedelta | None],
) -> list[Step]:
    """`arrivals` of one id, oldest first; `asked`: what the answer's `Retry-After` said.

    `timeout` is the longest that their sender may have waited for an answer.
    """
    steps: list[Step] = []
    failures = 0
    before: Arrival | None = None
    for each in arrivals:
        if before is None:
            steps.append(Step(arrival=each, verdict=Verdict.FIRST))
        else:
            promise = retry.window(schedule, failures, asked=asked(before)) if failures else None
            window = promise and (promise[0], promise[1] + timeout)
            gap = each.received_at - before.received_at
            verdict = _verdict(gap, window) if failures else Verdict.UNASKED
            steps.append(Step(arrival=each, verdict=verdict, gap=gap, window=window))
        failures = 0 if _succeeded(each) else failures + 1
        before = each
    return steps


def _succeeded(arrival: Arrival) -> bool:
    return 200 <= arrival.status_code <= 299


def _verdict(gap: timedelta, window: Window | None) -> Verdict:
    if window is None:
        return Verdict.BEYOND
    if gap < window[0] - _TOLERANCE:
        return Verdict.EARLY
    return Verdict.IN_TIME if gap <= window[1] + _SLACK else Verdict.LATE


# --- our own ----------------------------------------------------------------------------------


def of_our_own(
    arrivals: Sequence[Arrival],
    attempts: Sequence[Attempt],
    schedules: Mapping[EndpointId, RetrySchedule],
) -> list[Step]:
    """`arrivals` of one message, and all attempts at it that are known; both oldest first."""
    places: dict[AttemptId, _Place] = {}
    last: dict[EndpointId, _Place] = {}
    for attempt in attempts:
        schedule = schedules[attempt.endpoint_id]
        place = _Place(attempt=attempt, before=last.get(attempt.endpoint_id), schedule=schedule)
        places[attempt.id] = last[attempt.endpoint_id] = place
    arrived: dict[AttemptId, Arrival] = {}
    steps: list[Step] = []
    for each in arrivals:
        attempt_id = each.attempt_id
        copied = attempt_id is None or attempt_id in arrived
        if attempt_id is not None and attempt_id in places and not copied:
            arrived[attempt_id] = each
            steps.append(_step(each, places[attempt_id], arrived))
            continue
        verdict = Verdict.COPY if copied else Verdict.UNKNOWN
        gap = each.received_at - steps[-1].arrival.received_at if steps else None
        steps.append(Step(arrival=each, verdict=verdict, gap=gap))
    return steps


class _Place:
    """Where an attempt stands in its run: what came before it, and what that promised."""

    def __init__(self, *, attempt: Attempt, before: _Place | None, schedule: RetrySchedule) -> None:
        self.attempt = attempt
        self.before = before
        self.promise = None if before is None else before.promised(schedule)
        self.by_hand = attempt.trigger is Trigger.MANUAL and self._begins_a_run()
        begins = before is None or before.attempt.outcome.succeeded or self.by_hand
        failed_before = 0 if begins or before is None else before.failures
        self.failures = failed_before + (not attempt.outcome.succeeded)

    def _begins_a_run(self) -> bool:
        """Whether it is a click, and not a retry in the run that a click began.

        That is not recorded, but no retry comes uncalled or too early.
        """
        before = self.before
        if before is None or before.attempt.trigger is not Trigger.MANUAL or self.promise is None:
            return True
        return self.attempt.created_at - before.ended_at < self.promise[0] - _TOLERANCE

    @property
    def ended_at(self) -> datetime:
        return self.attempt.created_at + self.attempt.outcome.duration

    def promised(self, schedule: RetrySchedule) -> Window | None:
        """How long after its end there is to be another."""
        outcome = self.attempt.outcome
        if outcome.succeeded or outcome.status_code == _GONE or self.attempt.test:
            return None
        asked = retry.parse_retry_after(outcome.response_headers, now=self.ended_at)
        return retry.window(schedule, self.failures, asked=asked)


def _step(arrival: Arrival, place: _Place, arrived: Mapping[AttemptId, Arrival]) -> Step:
    before = place.before
    if before is None:
        by_hand = place.attempt.trigger is Trigger.MANUAL
        return Step(arrival=arrival, verdict=Verdict.BY_HAND if by_hand else Verdict.FIRST)
    came_before = arrived.get(before.attempt.id)
    since = before.ended_at if came_before is None else came_before.received_at
    gap = arrival.received_at - since
    if place.by_hand:
        return Step(arrival=arrival, verdict=Verdict.BY_HAND, gap=gap)
    if before.attempt.outcome.succeeded:
        return Step(arrival=arrival, verdict=Verdict.UNASKED, gap=gap)
    taken = before.ended_at - since
    window = place.promise and (place.promise[0] + taken, place.promise[1] + taken)
    return Step(arrival=arrival, verdict=_verdict(gap, window), gap=gap, window=window)
