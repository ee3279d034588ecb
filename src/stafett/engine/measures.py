"""What a process counts and measures of its own work, as plain numbers.

Whoever shows them (`web.metrics`) reads them while the engine runs: everything happens on one event
loop, so there are no locks. Nothing is decided by what stands here.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import accumulate
from typing import Final

from stafett.model import FailureCause

# From a commit on a fast disk to the longest timeout of an endpoint's own. Whole seconds have their
# point, as comparing floats with integers is slower.
SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    60.0,
)
ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Histogram:
    """How many values were at most as large as each bound."""

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` rise; what is larger than the last is counted too."""
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """All values added up."""

    def observe(self, value: float) -> None:
        """Count `value`: some 0.2 us, so it may stand in the hot path."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def cumulative(self) -> list[int]:
        """For each bound, how many were not above it; the last is how many there were."""
        return list(accumulate(self._counts))


@contextmanager
def timed(histogram: Histogram) -> Generator[None]:
    """Count how long the block takes, in seconds, when it ends without an error."""
    # A stopwatch is no clock: what it shows is shown again, and nothing else.
    started = time.perf_counter()
    yield
    histogram.observe(time.perf_counter() - started)


class Measures:
    """Since the start of this process."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        """By what became of accepting them: an `AddStatus`, or `refused`."""
        self.accept_seconds = Histogram(SECONDS)
        """Of a commit of messages, the wait for the writer included."""
        self.accept_items = Histogram(ITEMS)
        """Messages in such a commit."""
        self.attempts: Counter[str] = Counter()
        """Recorded attempts, by cause; `succeeded` where there is none."""
        self.attempt_seconds = Histogram(SECONDS)
        """Of a recorded attempt, from its name lookup to the last byte read."""
        self.stale = 0
        """Of these, whose claim had gone to somebody else meanwhile: they are not stored."""
        self.record_seconds = Histogram(SECONDS)
        """Of a commit of attempts, the wait for the writer included."""
        self.record_items = Histogram(ITEMS)
        """Attempts in such a commit."""
        self.claims = 0
        """Deliveries found in the store and claimed; those born claimed are not among them."""
        self.claim_seconds = Histogram(SECONDS)
        """Of a look through the store that claims what is due."""
        self.lease_expiries = 0
        """Of the claims, those that another had claimed before and not ended in time."""
        self.breaker_opened = 0
        self.breaker_closed = 0
        self.disabled = 0
        """Endpoints that were switched off for what their receivers answered."""

    def attempt(self, cause: FailureCause | None, duration: timedelta) -> None:
        """Count an attempt that was recorded."""
        self.attempts["succeeded" if cause is None else cause.value] += 1
        self.attempt_seconds.observe(duration.total_seconds())
