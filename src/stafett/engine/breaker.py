"""When a webhook that keeps failing is left alone for a while. Pure: no clock, no I/O.

Closed: everything is sent. Open: nothing is, until the cool-down has passed. Half open: one request
goes out, and what comes of it closes the breaker, or opens it for longer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from stafett.model import FailureCause, Outcome

_WINDOW: Final = timedelta(minutes=5)
_MIN_VOLUME: Final = 10
_RATE: Final = 0.7
_COOL_DOWN: Final = timedelta(seconds=30)
LONGEST_COOL_DOWN: Final = timedelta(minutes=5)
# Nobody is there who could answer: these count twice, so five of them are enough.
_AWAY_STATUS: Final = frozenset({502, 503, 504})
_AWAY_CAUSE: Final = frozenset(
    {FailureCause.TIMEOUT, FailureCause.REFUSED, FailureCause.CONNECT_FAILED}
)
# No request left this machine, so nothing is known about the receiver.
_OURS: Final = frozenset({FailureCause.TARGET_NOT_ALLOWED, FailureCause.INTERNAL})
_BUSY: Final = frozenset({408, 429})
_SERVER_ERRORS: Final = 500


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a webhook that failed lately; None stands for one that did not."""

    since: datetime
    """The first failure of the window that is counted."""
    ended: int
    """Attempts since then; some failures count twice."""
    failed: int
    opened_at: datetime | None = None
    """None: it is closed."""
    open_until: datetime | None = None
    trips: int = 0
    """How often it opened without one success in between."""


def after(
    breaker: Breaker | None,
    outcome: Outcome,
    *,
    begun_at: datetime,
    now: datetime,
    test: bool = False,
    longest: timedelta = LONGEST_COOL_DOWN,
) -> Breaker | None:
    """What follows from an attempt that was begun at `begun_at`.

    A failed test says nothing: whoever sends one may well be trying something. No cool-down is
    over `longest`.
    """
    weight = _weight(outcome)
    if weight is None or (weight and test):
        return breaker
    if breaker is None or (breaker.opened_at is None and now - breaker.since >= _WINDOW):
        breaker = Breaker(since=now, ended=0, failed=0)
        return _counted(breaker, weight, now=now, longest=longest) if weight else None
    if breaker.opened_at is None:
        return _counted(breaker, weight, now=now, longest=longest)
    if begun_at < breaker.opened_at:
        return breaker  # it was under way when the breaker opened: no news
    return _probed(breaker, weight, now=now, longest=longest)


def _counted(breaker: Breaker, weight: int, *, now: datetime, longest: timedelta) -> Breaker:
    ended, failed = breaker.ended + (weight or 1), breaker.failed + weight
    counted = Breaker(since=breaker.since, ended=ended, failed=failed)
    if weight and ended >= _MIN_VOLUME and failed >= _RATE * ended:
        return _opened(counted, now, longest)
    return counted


def _probed(breaker: Breaker, weight: int, *, now: datetime, longest: timedelta) -> Breaker | None:
    if not weight:
        return None
    if breaker.open_until is not None and now < breaker.open_until:
        return breaker  # somebody tried by hand; that is no reason to wait longer
    return _opened(breaker, now, longest)


def _opened(breaker: Breaker, now: datetime, longest: timedelta) -> Breaker:
    # After so many trips it is the longest anyway; a larger power is no timedelta any more.
    cool_down = min(_COOL_DOWN * 2 ** min(breaker.trips, 4), LONGEST_COOL_DOWN, longest)
    return msgspec.structs.replace(
        breaker, opened_at=now, open_until=now + cool_down, trips=breaker.trips + 1
    )


def _weight(outcome: Outcome) -> int | None:
    """How bad it is: 0 a receiver that works, None no news.

    Whoever refuses a message (most of 4xx) or points elsewhere (3xx) works: that is for the retry
    schedule alone. If it opened the breaker, a webhook that refuses one kind of event would get the
    others late.
    """
    if outcome.cause in _OURS:
        return None
    status = outcome.status_code
    if outcome.cause in _AWAY_CAUSE or status in _AWAY_STATUS:
        return 2
    if status is None or status >= _SERVER_ERRORS or status in _BUSY:
        return 1
    return 0
