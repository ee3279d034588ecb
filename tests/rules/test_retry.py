"""The rule after an attempt, as a table, and the promise that no retry is early."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from making import an_outcome
from stafett import retry
from stafett.model import DeliveryState, DisabledReason, FailureCause, Outcome

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def decide(
    outcome: Outcome,
    failure_count: int = 0,
    *,
    jitter: float = 0.0,
    test: bool = False,
    schedule: retry.RetrySchedule = retry.DEFAULT,
) -> retry.Decision:
    return retry.decide(
        outcome,
        failure_count=failure_count,
        schedule=schedule,
        now=NOW,
        jitter=jitter,
        test=test,
    )


def asking(text: str, status_code: int = 503) -> Outcome:
    return an_outcome(status_code, response_headers=(("Retry-After", text),))


def test_the_default_schedule_is_the_documented_one() -> None:
    seconds = [wait.total_seconds() for wait in retry.DEFAULT.waits]
    assert seconds == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]


@pytest.mark.parametrize(
    ("outcome", "failures", "note"),
    [
        (an_outcome(200), 0, "delivered"),
        (an_outcome(204), 2, "delivered in attempt 3"),
        (an_outcome(503), 1, "next try in 5 min: 503"),
        (an_outcome(308, cause=FailureCause.REDIRECT), 0, "next try in 5 s: 308"),
        (an_outcome(404), 3, "next try in 2 h: 404"),
        (an_outcome(None, cause=FailureCause.TIMEOUT), 9, "gave up after 10 attempts: timeout"),
        (an_outcome(None, cause=FailureCause.DNS_FAILED), 0, "next try in 5 s: dns failed"),
        (an_outcome(410), 0, "webhook switched off: the receiver answered 410 Gone"),
    ],
)
def test_the_note_says_what_happens(outcome: Outcome, failures: int, note: str) -> None:
    assert decide(outcome, failures).note == note


def test_one_attempt_is_not_attempts() -> None:
    decision = decide(an_outcome(500), schedule=retry.RetrySchedule(()))
    assert decision.note == "gave up after 1 attempt: 500"
    assert decision.state is DeliveryState.FAILED


@pytest.mark.parametrize("status_code", [200, 201, 204, 299])
def test_2xx_succeeds(status_code: int) -> None:
    decision = decide(an_outcome(status_code), 4)
    assert decision.state is DeliveryState.SUCCEEDED
    assert (decision.due_at, decision.pause_endpoint_until) == (None, None)
    assert decision.failure_count == 4


@pytest.mark.parametrize("failures", range(9))
def test_every_wait_is_used_in_turn(failures: int) -> None:
    decision = decide(an_outcome(500), failures)
    assert decision.state is DeliveryState.PENDING
    assert decision.due_at == NOW + retry.DEFAULT.waits[failures]
    assert decision.failure_count == failures + 1


def test_410_gives_up_and_disables() -> None:
    decision = decide(an_outcome(410))
    assert decision.state is DeliveryState.FAILED
    assert decision.disable_endpoint is DisabledReason.GONE
    assert decision.due_at is None


@pytest.mark.parametrize("status_code", [410, 429, 500])
def test_a_test_is_never_repeated_and_never_pauses_or_disables(status_code: int) -> None:
    decision = decide(asking("60", status_code), test=True)
    assert decision.state is DeliveryState.FAILED
    assert (decision.due_at, decision.pause_endpoint_until) == (None, None)
    assert decision.disable_endpoint is None
    assert decision.note == f"test failed: {status_code}"


def test_a_test_that_arrives_says_so() -> None:
    assert decide(an_outcome(204), test=True).note == "test delivered"


@given(
    wait=st.timedeltas(timedelta(milliseconds=1), timedelta(days=3)),
    jitter=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.integers(0, 10**12),
)
def test_a_retry_is_never_early(wait: timedelta, jitter: float, asked: int | None) -> None:
    outcome = an_outcome(503) if asked is None else asking(str(asked))
    decision = decide(outcome, jitter=jitter, schedule=retry.RetrySchedule((wait,)))
    assert decision.due_at is not None
    assert decision.due_at >= NOW + wait
    assert decision.due_at >= (decision.pause_endpoint_until or NOW)


@pytest.mark.parametrize(
    ("wait", "widest"),
    [(HOUR, HOUR / 5), (5 * SECOND, 2 * SECOND), (SECOND / 10, SECOND / 10)],
)
def test_jitter_spreads_over_a_fifth_and_at_least_two_seconds(
    wait: timedelta, widest: timedelta
) -> None:
    decision = decide(an_outcome(500), jitter=0.5, schedule=retry.RetrySchedule((wait,)))
    assert decision.due_at == NOW + wait + widest / 2


@pytest.mark.parametrize("status_code", [302, 400, 429, 500, 503])
def test_retry_after_pauses_the_endpoint_and_postpones(status_code: int) -> None:
    decision = decide(asking("600", status_code))
    assert decision.pause_endpoint_until == decision.due_at == NOW + timedelta(seconds=600)


def test_retry_after_does_not_shorten_the_schedule() -> None:
    decision = decide(asking("1"), 3)
    assert decision.due_at == NOW + 2 * HOUR
    assert decision.pause_endpoint_until == NOW + SECOND


def test_the_last_failure_still_pauses_the_endpoint() -> None:
    decision = decide(asking("60"), 9)
    assert decision.state is DeliveryState.FAILED
    assert decision.pause_endpoint_until == NOW + 60 * SECOND


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        (" 1.5 ", 1.5),
        ("86401", 86_400),
        ("1000000000", 86_400),
        ("9" * 5000, 86_400),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60),
        ("Tue, 24 Nov 2026 13:01:00 +0100", 60),
        ("Tue, 24 Nov 2099 12:01:00 GMT", 86_400),
        ("Tue, 24 Nov 2026 11:59:00 GMT", None),
        ("0", None),
        ("-5", None),
        ("", None),
        ("later", None),
        ("1e3", None),
        ("1.²", None),
        ("٣", None),
        ("nan", None),
    ],
)
def test_retry_after_is_read_and_clamped(text: str, seconds: float | None) -> None:
    asked = retry.parse_retry_after((("x", "y"), ("retry-AFTER", text)), now=NOW)
    assert asked == (None if seconds is None else timedelta(seconds=seconds))


@given(text=st.text(st.characters(max_codepoint=255), max_size=60) | st.text())
def test_whatever_a_receiver_asks_is_a_wait_or_nothing(text: str) -> None:
    asked = retry.parse_retry_after((("retry-after", text),), now=NOW)
    assert asked is None or timedelta(0) < asked <= retry.MAX_RETRY_AFTER


@given(at=st.datetimes(datetime(2026, 11, 24, 12, 0, 1), datetime(2026, 11, 25)))  # noqa: DTZ001
def test_http_dates_are_read_to_the_second(at: datetime) -> None:
    at = at.replace(tzinfo=UTC, microsecond=0)
    text = email.utils.format_datetime(at, usegmt=True)
    assert retry.parse_retry_after((("retry-after", text),), now=NOW) == at - NOW


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (SECOND / 5, "0.2 s"),
        (59.7 * SECOND, "1 min"),
        (timedelta(hours=2, minutes=10, seconds=3), "2 h 10 min"),
        (timedelta(days=1), "1 d"),
    ],
)
def test_durations_in_words(duration: timedelta, words: str) -> None:
    assert retry.in_words(duration) == words
