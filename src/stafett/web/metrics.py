"""`/metrics` in the Prometheus text format: what this process counts, and what waits in the store.

`METRICS` is the list of all there is. The documentation is made from it, and the dashboard and the
alert rules are held against it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.exposition import generate_latest

import stafett as package
from stafett import errors
from stafett.app import Stafett
from stafett.engine.measures import Histogram
from stafett.model import FailureCause
from stafett.store import AddStatus, Backlog

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Value = float | Histogram
Samples = Iterable[tuple[tuple[str, ...], Value]]
"""Values of the labels, in their order, and what is measured under them."""


class Kind(enum.Enum):
    """What may be asked of a number."""

    COUNTER = "counter"
    """It only rises, and begins anew with the process: ask for its rate."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    """Counters by size: ask for the rate of a quantile."""


class Whose(enum.Enum):
    """Which processes have a number."""

    ALL = "all"
    ACCEPTS = "those that accept"
    SENDS = "those that send"


@dataclass(frozen=True, slots=True)
class _Moment:
    """What numbers are read from."""

    stafett: Stafett
    backlog: Backlog | None
    """None: the store does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number, or one for each value of its labels."""

    name: str
    """As Prometheus knows it; a histogram's has `_bucket`, `_sum` and `_count` behind it."""
    kind: Kind
    labels: tuple[str, ...] = ()
    whose: Whose = Whose.ALL
    unit: str
    meaning: str
    read: Callable[[_Moment], Samples]


def _one(value: Value) -> Samples:
    return [((), value)]


def _each(counts: Mapping[str, int], known: Iterable[str]) -> Samples:
    """Also what has not happened yet, so that its first time is seen as a rise."""
    return [((name,), counts.get(name, 0)) for name in known]


def _backlog(at: _Moment) -> Samples:
    if at.backlog is None:
        return []
    later = at.backlog.pending - at.backlog.due
    counts = {"pending": later, "due": at.backlog.due, "sending": at.backlog.sending}
    return [((state,), count) for state, count in counts.items()]


def _oldest(at: _Moment) -> Samples:
    if at.backlog is None:
        return []
    oldest = at.backlog.oldest_due_at
    return _one(0.0 if oldest is None else (at.stafett.now() - oldest).total_seconds())


def _by_commit(at: _Moment, *, accept: Histogram, record: Histogram) -> Samples:
    if at.stafett.accepts:
        yield ("accept",), accept
    if at.stafett.sends:
        yield ("record",), record


def _commits(at: _Moment) -> Samples:
    of = at.stafett.measures
    return _by_commit(at, accept=of.accept_seconds, record=of.record_seconds)


def _batches(at: _Moment) -> Samples:
    of = at.stafett.measures
    return _by_commit(at, accept=of.accept_items, record=of.record_items)


_RESULTS: Final = (*(status.value for status in AddStatus), "refused")
_CAUSES: Final = ("succeeded", *(cause.value for cause in FailureCause))

METRICS: Final = (
    Metric(
        name="stafett_info",
        kind=Kind.GAUGE,
        labels=("version", "role", "database"),
        unit="always 1",
        meaning="What runs here: `role` is `both`, `accepts` or `sends`.",
        read=lambda at: [((package.__version__, at.stafett.role, at.stafett.database), 1)],
    ),
    Metric(
        name="stafett_ready",
        kind=Kind.GAUGE,
        unit="1 or 0",
        meaning="1 while this process should get traffic; `/ready` says why not.",
        read=lambda at: _one(0 if at.stafett.readiness() else 1),
    ),
    Metric(
        name="stafett_backlog",
        kind=Kind.GAUGE,
        labels=("state",),
        unit="deliveries",
        meaning=(
            "What is not done yet, each counted once: `pending` waits for its time or for a webhook"
            " that rests; `due` waits for a free place alone; `sending` is claimed. Of the whole"
            " database, so the same in every process; absent while the database does not answer."
        ),
        read=_backlog,
    ),
    Metric(
        name="stafett_oldest_due_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        meaning="How long the oldest of those `due` has been due, 0 without any; as the backlog.",
        read=_oldest,
    ),
    Metric(
        name="stafett_messages_total",
        kind=Kind.COUNTER,
        labels=("result",),
        whose=Whose.ACCEPTS,
        unit="messages",
        meaning=(
            "What became of accepting: `added`; `repeated` and `mismatch` for a known idempotency"
            " key with the same and another body; `uid_taken`; `refused` as too much waits."
        ),
        read=lambda at: _each(at.stafett.measures.messages, _RESULTS),
    ),
    Metric(
        name="stafett_commit_seconds",
        kind=Kind.HISTOGRAM,
        labels=("what",),
        unit="seconds",
        meaning=(
            "A commit, the wait for the writer included: `accept` of messages, `record` of"
            " attempts. Each process has what it does."
        ),
        read=_commits,
    ),
    Metric(
        name="stafett_batch_size",
        kind=Kind.HISTOGRAM,
        labels=("what",),
        unit="messages or attempts",
        meaning="What went into one commit, by the same `what`.",
        read=_batches,
    ),
    Metric(
        name="stafett_attempts_total",
        kind=Kind.COUNTER,
        labels=("cause",),
        whose=Whose.SENDS,
        unit="attempts",
        meaning="Attempts that have ended: `succeeded`, or why not.",
        read=lambda at: _each(at.stafett.measures.attempts, _CAUSES),
    ),
    Metric(
        name="stafett_attempt_seconds",
        kind=Kind.HISTOGRAM,
        whose=Whose.SENDS,
        unit="seconds",
        meaning="The same attempts, from looking up the name to the last byte of the reply.",
        read=lambda at: _one(at.stafett.measures.attempt_seconds),
    ),
    Metric(
        name="stafett_in_flight",
        kind=Kind.GAUGE,
        whose=Whose.SENDS,
        unit="requests",
        meaning="Requests to receivers that have begun and not ended.",
        read=lambda at: _one(at.stafett.under_way),
    ),
    Metric(
        name="stafett_claims_total",
        kind=Kind.COUNTER,
        whose=Whose.SENDS,
        unit="deliveries",
        meaning=(
            "Claimed from the database: retries, and what other processes accepted. What a process"
            " accepts and sends itself is not looked for."
        ),
        read=lambda at: _one(at.stafett.measures.claims),
    ),
    Metric(
        name="stafett_claim_seconds",
        kind=Kind.HISTOGRAM,
        whose=Whose.SENDS,
        unit="seconds",
        meaning="One look through the database that claims what is due, also where nothing is.",
        read=lambda at: _one(at.stafett.measures.claim_seconds),
    ),
    Metric(
        name="stafett_lease_expiries_total",
        kind=Kind.COUNTER,
        whose=Whose.SENDS,
        unit="deliveries",
        meaning="Of the claims, those taken from a process that had not ended them in time.",
        read=lambda at: _one(at.stafett.measures.lease_expiries),
    ),
    Metric(
        name="stafett_stale_attempts_total",
        kind=Kind.COUNTER,
        whose=Whose.SENDS,
        unit="attempts",
        meaning=(
            "Of the attempts, those that ended after their claim had gone to another process: they"
            " are not stored, and the receiver may have got the message twice."
        ),
        read=lambda at: _one(at.stafett.measures.stale),
    ),
    Metric(
        name="stafett_egress_refused_total",
        kind=Kind.COUNTER,
        whose=Whose.SENDS,
        unit="attempts",
        meaning="Of the attempts, those meant for an address that may not be reached.",
        read=lambda at: _one(at.stafett.measures.attempts[FailureCause.TARGET_NOT_ALLOWED]),
    ),
    Metric(
        name="stafett_breaker_opened_total",
        kind=Kind.COUNTER,
        whose=Whose.SENDS,
        unit="times",
        meaning="A webhook rests since too much failed, or goes on resting.",
        read=lambda at: _one(at.stafett.measures.breaker_opened),
    ),
    Metric(
        name="stafett_disabled_total",
        kind=Kind.COUNTER,
        whose=Whose.SENDS,
        unit="webhooks",
        meaning="Switched off as they failed for too long, or as their receiver said it is gone.",
        read=lambda at: _one(at.stafett.measures.disabled),
    ),
)
"""All there is, in the order in which it is shown."""


def _has(stafett: Stafett, whose: Whose) -> bool:
    """Whether this process is one of theirs."""
    match whose:
        case Whose.ALL:
            return True
        case Whose.ACCEPTS:
            return stafett.accepts
        case Whose.SENDS:
            return stafett.sends


class _Now:
    """A collector over one moment's numbers."""

    def __init__(self, moment: _Moment) -> None:
        self._moment = moment

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            if _has(self._moment.stafett, metric.whose):
                yield _family(metric, metric.read(self._moment))


def _family(metric: Metric, samples: Samples) -> Family:
    family = Family(metric.name.removesuffix("_total"), metric.meaning, metric.kind.value)
    for values, value in samples:
        labels = dict(zip(metric.labels, values, strict=True))
        if isinstance(value, Histogram):
            _add_histogram(family, labels, value)
        else:
            family.add_sample(metric.name, labels, value)
    return family


def _add_histogram(family: Family, labels: dict[str, str], histogram: Histogram) -> None:
    counts = histogram.cumulative
    bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    for bound, count in zip(bounds, counts, strict=True):
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    family.add_sample(f"{family.name}_count", labels, counts[-1])
    family.add_sample(f"{family.name}_sum", labels, histogram.total)


async def text(stafett: Stafett) -> bytes:
    """All metrics as they are now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Now(_Moment(stafett, await _asked_backlog(stafett))))
    return generate_latest(registry)


async def _asked_backlog(stafett: Stafett) -> Backlog | None:
    """None: the store does not answer. What the process knows itself is shown all the same."""
    if not stafett.reachable:
        return None
    try:
        return await stafett.backlog()
    except errors.StafettError:
        return None
