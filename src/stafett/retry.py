"""What happens after an attempt: done, again at, or given up. Pure: no clock, no dice, no I/O.

A retry is never early: jitter only adds, and what a receiver asks for is never undercut.
"""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from stafett import settings
from stafett.model import (
    DeliveryState,
    DisabledReason,
    FailureCause,
    Headers,
    Outcome,
)

MAX_RETRY_AFTER: Final = timedelta(hours=24)
"""The longest pause that a receiver can ask for."""
MAX_OWN_WAITS: Final = 20
MAX_OWN_WAIT: Final = timedelta(days=7)
"""What an endpoint's own schedule may have."""
_JITTER_SHARE: Final = 0.2
_MIN_JITTER: Final = timedelta(seconds=2)
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The waits after each failure: n waits are n + 1 attempts."""

    waits: tuple[timedelta, ...]


DEFAULT: Final = RetrySchedule(settings.DEFAULT_WAITS)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule says about one attempt."""

    state: DeliveryState
    """SUCCEEDED, FAILED, or PENDING: due again at `due_at`."""
    due_at: datetime | None = None
    failure_count: int
    """Failed attempts of this run, this one included."""
    note: str
    """The decision in words: `next try in 5 min: 503`."""
    pause_endpoint_until: datetime | None = None
    """The receiver asked for quiet; it holds for everything that is sent there."""
    disable_endpoint: DisabledReason | None = None


def decide(
    outcome: Outcome,
    *,
    failure_count: int,
    schedule: RetrySchedule,
    now: datetime,
    jitter: float,
    test: bool,
) -> Decision:
    """What follows from `outcome`.

    `failure_count` counts the failed attempts of this run before it; `jitter` is in [0, 1). A test
    is never repeated, and neither pauses nor disables its endpoint.
    """
    if outcome.succeeded:
        return Decision(
            state=DeliveryState.SUCCEEDED,
            failure_count=failure_count,
            note=_delivered(failure_count, test=test),
        )
    failures = failure_count + 1
    why = _reason(outcome)
    if test:
        return Decision(
            state=DeliveryState.FAILED, failure_count=failures, note=f"test failed: {why}"
        )
    if outcome.status_code == _GONE:
        return Decision(
            state=DeliveryState.FAILED,
            failure_count=failures,
            note="webhook switched off: the receiver answered 410 Gone",
            disable_endpoint=DisabledReason.GONE,
        )
    asked = parse_retry_after(outcome.response_headers, now=now)
    pause = None if asked is None else now + asked
    promised = window(schedule, failures, asked=asked)
    if promised is None:
        return Decision(
            state=DeliveryState.FAILED,
            failure_count=failures,
            note=f"gave up after {failures} {'attempt' if failures == 1 else 'attempts'}: {why}",
            pause_endpoint_until=pause,
        )
    earliest, latest = promised
    due_at = now + earliest + jitter * (latest - earliest)
    return Decision(
        state=DeliveryState.PENDING,
        due_at=due_at,
        failure_count=failures,
        note=f"next try in {in_words(due_at - now)}: {why}",
        pause_endpoint_until=pause,
    )


def window(
    schedule: RetrySchedule, failures: int, *, asked: timedelta | None
) -> tuple[timedelta, timedelta] | None:
    """The shortest and the longest wait after so many failures (1 or more); None: no retry.

    `asked` is what the receiver asked for with `Retry-After`.
    """
    if failures > len(schedule.waits):
        return None
    wait = schedule.waits[failures - 1]
    earliest = max(wait, asked or wait)
    return earliest, earliest + _spread(wait)


def parse_retry_after(headers: Headers, *, now: datetime) -> timedelta | None:
    """What `Retry-After` asks for, at most 24 h; None where it is missing or makes no sense.

    Seconds (whole or not) or an HTTP date, RFC 9110 section 10.2.3. A date in the past is no wish.
    """
    for name, value in headers:
        if name.lower() == "retry-after":
            asked = _seconds(value.strip()) or _until(value.strip(), now)
            return None if asked is None else min(asked, MAX_RETRY_AFTER)
    return None


def _seconds(text: str) -> timedelta | None:
    whole, _, part = text.partition(".")
    if not (text.isascii() and whole.isdigit() and (not part or part.isdigit())):
        return None
    seconds = min(float(text[:32]), MAX_RETRY_AFTER.total_seconds())
    return timedelta(seconds=seconds) if seconds > 0 else None


def _until(text: str, now: datetime) -> timedelta | None:
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return at - now if at > now else None


def _spread(wait: timedelta) -> timedelta:
    """The widest jitter: a fifth of the wait and at least 2 s, so that what failed together parts.

    A wait below 2 s at most doubles: who sets such a schedule wants it quick.
    """
    return max(wait * _JITTER_SHARE, min(_MIN_JITTER, wait))


def _reason(outcome: Outcome) -> str:
    """Why it failed, in a few words: the status, or the cause."""
    if outcome.status_code is not None and outcome.cause in {
        FailureCause.STATUS,
        FailureCause.REDIRECT,
    }:
        return str(outcome.status_code)
    return "failed" if outcome.cause is None else outcome.cause.value.replace("_", " ")


def _delivered(failure_count: int, *, test: bool) -> str:
    if test:
        return "test delivered"
    return f"delivered in attempt {failure_count + 1}" if failure_count else "delivered"


_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def in_words(duration: timedelta) -> str:
    """A duration as people say it, to two units: `2 h 10 min`, `5 s`, `0.2 s`."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds:.1f} s"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
