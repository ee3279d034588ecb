"""The promise of a schedule, and what came: a table of stories in seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import making
from making import NOW
from stafett.ids import AttemptId, EndpointId
from stafett.model import Arrival, Attempt, FailureCause, Outcome, Trigger
from stafett.retry import RetrySchedule
from stafett.services.timelines import Step, of_anybody, of_our_own

SCHEDULE = RetrySchedule((timedelta(seconds=10), timedelta(seconds=100)))
"""With jitter: 10 s to 12 s, then 100 s to 120 s."""
TIMEOUT = timedelta(seconds=15)
Seen = tuple[str, float | None, tuple[float, float] | None]


def an_arrival(at: float, status: int = 500, attempt: AttemptId | None = None) -> Arrival:
    return Arrival(
        id=making.ids.capture(NOW),
        number=1,
        method="POST",
        target=b"/",
        size=0,
        received_at=NOW + timedelta(seconds=at),
        status_code=status,
        attempt_id=attempt,
        pinned=False,
    )


def seen(steps: list[Step]) -> list[Seen]:
    """Each verdict with gap and window in seconds."""
    return [
        (
            each.verdict.value,
            None if each.gap is None else each.gap.total_seconds(),
            each.window and (each.window[0].total_seconds(), each.window[1].total_seconds()),
        )
        for each in steps
    ]


# --- anybody's --------------------------------------------------------------------------------


def anybody(*arrivals: Arrival, asked: float | None = None) -> list[Seen]:
    wish = None if asked is None else timedelta(seconds=asked)
    return seen(of_anybody(arrivals, SCHEDULE, timeout=TIMEOUT, asked=lambda _: wish))


FIRST: Seen = ("first", None, None)


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [
        (9.8, "early"),
        (9.9, "in_time"),
        (10, "in_time"),
        (12, "in_time"),
        (32, "in_time"),  # 12 s after a timeout of 15 s, and a slow sender
        (32.1, "late"),
    ],
)
def test_a_second_try_has_a_window(gap: float, verdict: str) -> None:
    assert anybody(an_arrival(0), an_arrival(gap)) == [FIRST, (verdict, gap, (10, 27))]


def test_each_failure_leads_to_the_next_wait_and_the_last_to_none() -> None:
    assert anybody(an_arrival(0), an_arrival(11), an_arrival(121), an_arrival(150)) == [
        FIRST,
        ("in_time", 11, (10, 27)),
        ("in_time", 110, (100, 135)),
        ("beyond", 29, None),
    ]


def test_after_a_success_nothing_is_promised_and_the_schedule_begins_anew() -> None:
    assert anybody(an_arrival(0), an_arrival(11, 204), an_arrival(12), an_arrival(23)) == [
        FIRST,
        ("in_time", 11, (10, 27)),
        ("unasked", 1, None),
        ("in_time", 11, (10, 27)),
    ]


def test_what_the_answer_asked_for_is_promised() -> None:
    assert anybody(an_arrival(0, 429), an_arrival(11), asked=30) == [
        FIRST,
        ("early", 11, (30, 47)),
    ]


# --- our own ----------------------------------------------------------------------------------

ONE, TWO = EndpointId("ep_1"), EndpointId("ep_2")


class Story:
    """Attempts at one message, and the requests that came of them."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.arrivals: list[Arrival] = []

    def tried(
        self,
        at: float,
        status: int | None = 500,
        *,
        took: float = 0,
        arrived: bool = True,
        **of: Any,
    ) -> Attempt:
        outcome = making.an_outcome(status, duration=timedelta(seconds=took))
        if status is None:
            outcome = Outcome(cause=FailureCause.TIMEOUT, duration=timedelta(seconds=took))
        values: dict[str, Any] = {
            "endpoint_id": ONE,
            "trigger": Trigger.SCHEDULED,
            "test": False,
            "outcome": outcome,
        }
        moment = NOW + timedelta(seconds=at)
        made = Attempt(
            id=making.ids.attempt(moment),
            delivery_id=making.ids.delivery(moment),
            message_id=making.ids.message(NOW),
            app_id=making.ids.app(NOW),
            url="https://example.com/",
            note="",
            created_at=moment,
            **values | of,
        )
        self.attempts.append(made)
        if arrived:
            self.arrivals.append(an_arrival(at, status or 0, made.id))
        return made

    def seen(self) -> list[Seen]:
        schedules = {ONE: SCHEDULE, TWO: RetrySchedule((timedelta(seconds=1),))}
        return seen(of_our_own(self.arrivals, self.attempts, schedules))


def test_the_wait_of_our_own_is_counted_from_the_end_of_the_attempt_before() -> None:
    story = Story()
    story.tried(0, None, took=15)
    story.tried(26, took=1)
    story.tried(140, 200)
    assert story.seen() == [
        FIRST,
        ("in_time", 26, (25, 27)),
        ("in_time", 114, (101, 121)),
    ]


@pytest.mark.parametrize(
    ("at", "verdict"), [(9.8, "early"), (9.9, "in_time"), (17, "in_time"), (17.1, "late")]
)
def test_our_own_may_be_early_or_late(at: float, verdict: str) -> None:
    story = Story()
    story.tried(0)
    story.tried(at)
    assert story.seen() == [FIRST, (verdict, at, (10, 12))]


def test_an_attempt_that_never_arrived_counts() -> None:
    story = Story()
    story.tried(0)
    story.tried(11, None, took=2, arrived=False)
    story.tried(114)
    assert story.seen() == [FIRST, ("in_time", 101, (100, 120))]


def test_each_webhook_has_its_own_schedule() -> None:
    story = Story()
    story.tried(0)
    story.tried(0.5, endpoint_id=TWO)
    story.tried(2, endpoint_id=TWO)
    story.tried(11)
    story.tried(20, endpoint_id=TWO)
    assert story.seen() == [
        FIRST,
        FIRST,
        ("in_time", 1.5, (1, 2)),
        ("in_time", 11, (10, 12)),
        ("beyond", 18, None),
    ]


def test_a_receiver_that_asks_for_more_time_gets_it() -> None:
    story = Story()
    busy = Outcome(
        status_code=429, cause=FailureCause.STATUS, response_headers=(("Retry-After", "60"),)
    )
    story.tried(0, 429, outcome=busy)
    story.tried(61)
    assert story.seen() == [FIRST, ("in_time", 61, (60, 62))]


def test_what_a_person_sends_again_begins_a_run_of_its_own() -> None:
    by_hand: dict[str, Any] = {"trigger": Trigger.MANUAL}
    story = Story()
    story.tried(0)
    story.tried(3, **by_hand)  # clicked before the retry was due
    story.tried(14, **by_hand)  # its retry
    story.tried(20, **by_hand)  # clicked again, far too early for a retry
    story.tried(31, 200, **by_hand)
    story.tried(40, **by_hand)  # nothing was due any more
    assert story.seen() == [
        FIRST,
        ("by_hand", 3, None),
        ("in_time", 11, (10, 12)),
        ("by_hand", 6, None),
        ("in_time", 11, (10, 12)),
        ("by_hand", 9, None),
    ]


def test_a_first_attempt_may_be_by_hand() -> None:
    story = Story()
    story.tried(0, trigger=Trigger.MANUAL)
    assert story.seen() == [("by_hand", None, None)]


@pytest.mark.parametrize(
    ("status", "of", "verdict"),
    [(410, {}, "beyond"), (500, {"test": True}, "beyond"), (204, {}, "unasked")],
)
def test_what_has_no_retry_promises_none(status: int, of: dict[str, Any], verdict: str) -> None:
    story = Story()
    story.tried(0, status, **of)
    story.tried(11)
    assert story.seen() == [FIRST, (verdict, 11, None)]


def test_a_copy_is_no_attempt() -> None:
    story = Story()
    made = story.tried(0)
    story.arrivals.append(an_arrival(1, attempt=made.id))
    story.arrivals.append(an_arrival(2))
    story.arrivals.append(an_arrival(3, attempt=AttemptId("atmpt_unknown")))
    story.tried(11)
    assert story.seen() == [
        FIRST,
        ("copy", 1, None),
        ("copy", 1, None),
        ("unknown", 1, None),
        ("in_time", 11, (10, 12)),
    ]


def test_a_copy_may_come_before_all_that_is_known() -> None:
    story = Story()
    story.arrivals.append(an_arrival(0))
    story.tried(1)
    assert story.seen() == [("copy", None, None), FIRST]
