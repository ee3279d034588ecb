"""`/metrics` in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from stafett.app import Stafett
from stafett.store import Backlog

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Now:
    """A collector over one moment's numbers."""

    def __init__(self, stafett: Stafett, backlog: Backlog) -> None:
        self._stafett = stafett
        self._backlog = backlog

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        messages = CounterMetricFamily(
            "stafett_messages", "Messages by what became of accepting them.", labels=["result"]
        )
        attempts = CounterMetricFamily(
            "stafett_attempts", "Attempts by outcome, and what dispatch did.", labels=["outcome"]
        )
        for name, count in sorted(self._stafett.counters.items()):
            kind, _, label = name.partition("_")
            (messages if kind == "intake" else attempts).add_metric([label], count)
        yield messages
        yield attempts

    def _gauges(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "stafett_deliveries_waiting", "Deliveries not done yet.", labels=["state"]
        )
        waiting.add_metric(["pending"], self._backlog.pending)
        waiting.add_metric(["sending"], self._backlog.sending)
        yield waiting
        oldest = self._backlog.oldest_due_at
        late = 0.0 if oldest is None else (self._stafett.now() - oldest).total_seconds()
        yield GaugeMetricFamily(
            "stafett_oldest_due_seconds", "How long the oldest due delivery waits.", value=late
        )
        yield GaugeMetricFamily(
            "stafett_requests_under_way",
            "Requests to receivers that have begun and not ended.",
            value=self._stafett.under_way,
        )
        yield GaugeMetricFamily(
            "stafett_ready", "1 while this process should get traffic.", value=self._ready()
        )

    def _ready(self) -> int:
        return 0 if self._stafett.readiness() else 1


async def text(stafett: Stafett) -> bytes:
    """All metrics as they are now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Now(stafett, await stafett.backlog()))
    return generate_latest(registry)
