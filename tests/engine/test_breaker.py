"""When a webhook that keeps failing is left alone, and when it is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import making
from making import MINUTE, NOW
from stafett.engine import breaker
from stafett.engine.breaker import Breaker
from stafett.model import FailureCause, Outcome

SECOND = timedelta(seconds=1)
GOOD, BAD = making.an_outcome(204), making.an_outcome(500)
TIMED_OUT = making.an_outcome(None, cause=FailureCause.TIMEOUT)


def judged(
    *outcomes: Outcome, state: Breaker | None = None, at: datetime = NOW, every: timedelta = SECOND
) -> Breaker | None:
    """The breaker after attempts that ended one after the other, each begun just before."""
    for number, outcome in enumerate(outcomes):
        now = at + number * every
        state = breaker.after(state, outcome, begun_at=now, now=now)
    return state


def an_open_one(at: datetime = NOW) -> Breaker:
    state = judged(*[BAD] * 10, at=at, every=timedelta(0))
    assert state is not None
    assert state.open_until is not None
    return state


def is_open(state: Breaker | None) -> bool:
    return state is not None and state.open_until is not None


# --- opening ------------------------------------------------------------------------------------


def test_nothing_is_remembered_of_a_webhook_that_works() -> None:
    assert judged(*[GOOD] * 20) is None


def test_it_opens_with_the_tenth_failure_in_a_row_for_half_a_minute() -> None:
    assert not is_open(judged(*[BAD] * 9))
    state = judged(*[BAD] * 10)
    assert state is not None
    assert state.open_until == NOW + 9 * SECOND + 30 * SECOND


@pytest.mark.parametrize(
    "outcome",
    [
        TIMED_OUT,
        making.an_outcome(None, cause=FailureCause.REFUSED),
        making.an_outcome(None, cause=FailureCause.CONNECT_FAILED),
        making.an_outcome(502),
        making.an_outcome(503),
        making.an_outcome(504),
    ],
)
def test_it_opens_after_half_as_many_where_nobody_is_there(outcome: Outcome) -> None:
    assert not is_open(judged(*[outcome] * 4))
    assert is_open(judged(*[outcome] * 5))


@pytest.mark.parametrize(
    ("good", "opens"), [(3, True), (4, False)], ids=["70 % failed", "less than that"]
)
def test_it_opens_when_seven_of_ten_failed(good: int, *, opens: bool) -> None:
    state = judged(BAD, *[GOOD] * good, *[BAD] * 6)
    assert is_open(state) is opens


def test_few_attempts_say_nothing_however_they_end() -> None:
    assert not is_open(judged(*[BAD] * 9, every=30 * SECOND))


def test_failures_that_lie_apart_do_not_add_up() -> None:
    assert not is_open(judged(*[BAD] * 50, every=40 * SECOND))


def test_after_the_window_a_success_wipes_the_slate() -> None:
    state = judged(*[BAD] * 9)
    assert judged(GOOD, state=state, at=NOW + 5 * MINUTE) is None


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 422])
def test_a_refusal_is_a_matter_of_the_message(status: int) -> None:
    assert judged(*[making.an_outcome(status)] * 30) is None


@pytest.mark.parametrize("cause", [FailureCause.INTERNAL, FailureCause.TARGET_NOT_ALLOWED])
def test_what_never_left_this_machine_says_nothing_of_the_receiver(cause: FailureCause) -> None:
    ours = making.an_outcome(None, cause=cause)
    assert judged(*[ours] * 30) is None
    state = an_open_one()
    assert judged(ours, state=state, at=NOW + MINUTE) is state


@pytest.mark.parametrize("status", [408, 429, 500, 599])
def test_a_receiver_that_cannot_now_counts(status: int) -> None:
    assert is_open(judged(*[making.an_outcome(status)] * 10))


# --- open and half open -------------------------------------------------------------------------


def test_a_probe_that_succeeds_closes_it_and_all_is_forgotten() -> None:
    assert judged(GOOD, state=an_open_one(), at=NOW + 31 * SECOND) is None


def test_a_receiver_that_answers_at_all_closes_it() -> None:
    assert judged(making.an_outcome(422), state=an_open_one(), at=NOW + 31 * SECOND) is None


def test_a_probe_that_fails_opens_it_for_longer_up_to_five_minutes() -> None:
    state, now = an_open_one(), NOW
    waits: list[timedelta] = []
    for _ in range(6):
        assert state is not None
        assert state.open_until is not None
        waits.append(state.open_until - now)
        now = state.open_until
        state = breaker.after(state, BAD, begun_at=now, now=now)
    assert [each // SECOND for each in waits] == [30, 60, 120, 240, 300, 300]


def test_a_cool_down_can_be_bounded_more_narrowly() -> None:
    state = None
    for _ in range(10):
        state = breaker.after(state, BAD, begun_at=NOW, now=NOW, longest=SECOND)
    assert state is not None
    assert state.open_until == NOW + SECOND


@pytest.mark.parametrize("outcome", [GOOD, BAD])
def test_what_was_under_way_when_it_opened_is_no_news(outcome: Outcome) -> None:
    state = an_open_one()
    late = breaker.after(state, outcome, begun_at=NOW - SECOND, now=NOW + MINUTE)
    assert late is state


def test_a_try_by_hand_closes_it_before_its_time_or_changes_nothing() -> None:
    state = an_open_one()
    assert judged(BAD, state=state, at=NOW + SECOND) is state
    assert judged(GOOD, state=state, at=NOW + SECOND) is None


def test_a_failed_test_event_says_nothing_and_a_good_one_closes() -> None:
    state = an_open_one()
    soon = NOW + 31 * SECOND
    assert breaker.after(state, BAD, begun_at=soon, now=soon, test=True) is state
    assert breaker.after(None, BAD, begun_at=soon, now=soon, test=True) is None
    assert breaker.after(state, GOOD, begun_at=soon, now=soon, test=True) is None


@given(st.lists(st.tuples(st.sampled_from([GOOD, BAD, TIMED_OUT]), st.integers(0, 400))))
def test_it_is_never_open_for_longer_than_five_minutes(steps: list[tuple[Outcome, int]]) -> None:
    state, now = None, NOW
    for outcome, seconds in steps:
        now += seconds * SECOND
        before, state = state, breaker.after(state, outcome, begun_at=now, now=now)
        if state is not None and state.open_until is not None:
            assert state.open_until - now <= 5 * MINUTE
            assert not outcome.succeeded
            opened_now = before is None or before.open_until != state.open_until
            assert not opened_now or state.open_until > now
