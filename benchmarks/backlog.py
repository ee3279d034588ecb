"""A million deliveries that are due: how soon a server starts, what a claim costs, what it holds.

    python benchmarks/backlog.py [--deliveries 1000000] [--endpoints 1000] [--seconds 30]

PostgreSQL, started here. The deliveries are written by COPY; then claims are made one after the
other as the scan makes them, then a server starts on them and sends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

import ends
from stafett.drivers.postgres.store import PostgresStore
from stafett.ids import EndpointId, Ids
from stafett.store import Claim

_BODY = b'{"payment_id":4711,"payment_status":"completed"}'
_BATCH = 20_000
_CLAIMS = 200
_ROOM = 16
_LIMIT = 192
_STATEMENTS = {
    "endpoints": (
        "id, app_id, name, url, description, integration, disabled, metadata, headers,"
        " header_family, secrets, created_at, updated_at"
    ),
    "messages": (
        "app_id, id, event_type, test, endpoint_count, created_at, payload_expires_at, payload_gone"
    ),
    "payloads": "message_id, body",
    "deliveries": (
        "id, message_id, app_id, endpoint_id, state, manual, test, attempt_count, failure_count,"
        " due_at, created_at, updated_at"
    ),
    "queue": "delivery_id, message_id, endpoint_id, due_at, claim_id",
}


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1e6)


class _Maker:
    """Rows for the tables, as plain values."""

    def __init__(self, app_id: str, port: int, *, endpoints: int, now: datetime) -> None:
        self._ids = Ids()
        self._app_id = app_id
        self._now = now
        self._at = _micros(now)
        self._url = f"http://127.0.0.1:{port}/hook"
        self.endpoints = [self._ids.endpoint(now) for _ in range(endpoints)]

    def endpoint_rows(self) -> list[tuple[Any, ...]]:
        secrets = '[{"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","until":null}]'
        return [
            (
                *(each, self._app_id, "benchmark", self._url, "", "", False, "{}", "{}"),
                *("both", secrets, self._at, self._at),
            )
            for each in self.endpoints
        ]

    def batches(self, count: int) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
        for first in range(0, count, _BATCH):
            rows: dict[str, list[tuple[Any, ...]]] = {
                name: [] for name in ("messages", "payloads", "deliveries", "queue")
            }
            for number in range(first, min(first + _BATCH, count)):
                self._add(rows, self.endpoints[number % len(self.endpoints)])
            yield rows

    def _add(self, rows: dict[str, list[tuple[Any, ...]]], endpoint: EndpointId) -> None:
        message, delivery = self._ids.message(self._now), self._ids.delivery(self._now)
        at, app = self._at, self._app_id
        expires = at + 90 * 86_400 * 1_000_000
        rows["messages"].append((app, message, "payment_received", False, 1, at, expires, False))
        rows["payloads"].append((message, _BODY))
        rows["deliveries"].append(
            (delivery, message, app, endpoint, "pending", False, False, 0, 0, at, at, at)
        )
        rows["queue"].append((delivery, message, endpoint, at, None))


async def fill(url: str, port: int, *, deliveries: int, endpoints: int) -> None:
    """Write the backlog."""
    connection = await asyncpg.connect(url)
    app_id = await connection.fetchval("SELECT id FROM applications WHERE uid = 'default'")
    maker = _Maker(app_id, port, endpoints=endpoints, now=datetime.now(UTC))  # noqa: TID251 - a benchmark
    batches = [{"endpoints": maker.endpoint_rows()}]
    for batch in (*batches, *maker.batches(deliveries)):
        for table, rows in batch.items():
            columns = [name.strip() for name in _STATEMENTS[table].split(",")]
            await connection.copy_records_to_table(table, records=rows, columns=columns)
    await connection.close()


async def claims(url: str) -> None:
    """Claims of the size of a scan; their leases end at once, so that the queue stays as it is."""
    store = PostgresStore(url)
    await store.open(now=datetime.now(UTC))  # noqa: TID251 - a benchmark
    took: list[float] = []
    rows = 0
    for _ in range(_CLAIMS):
        now = datetime.now(UTC)  # noqa: TID251 - a benchmark
        claim = Claim(id=Ids().claim(now), lease_until=now + timedelta(milliseconds=1))
        started = time.perf_counter()
        rows += len(await store.claim_due(claim, now=now, limit=_LIMIT, room=_ROOM, held={}))
        took.append((time.perf_counter() - started) * 1e3)
    await store.close()
    print(
        f"  claims of {rows // _CLAIMS:,}, {_ROOM} an endpoint:"
        f" p50 {ends.percentile(took, 0.5):.1f} ms  p99 {ends.percentile(took, 0.99):.1f} ms"
        f"   {rows / sum(took) * 1e3:,.0f} rows/s"
    )


def drain(url: str, seconds: float) -> None:
    """A server on the backlog: when it is ready, what it sends, and its memory."""
    begun = time.perf_counter()
    with ends.server(STAFETT_DATABASE_URL=url) as server:
        print(f"  ready after {time.perf_counter() - begun:.1f} s")
        before = 0.0
        for _ in range(3):
            time.sleep(seconds / 3)
            done = server.metric("stafett_attempts_total", "succeeded")
            print(
                f"  delivered {(done - before) / seconds * 3:8,.0f}/s"
                f"   memory {server.resident_mb():.0f} MB"
                f"   waiting {server.metric('stafett_backlog'):,.0f}"
            )
            before = done


def main() -> None:
    """Print everything in one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    parser.add_argument("--endpoints", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with ends.receiver() as port, ends.database("postgresql") as url:
        environment = os.environ | {"STAFETT_DATABASE_URL": url}
        subprocess.run([*ends.COMMAND, "migrate"], env=environment, check=True)
        with ends.server(STAFETT_DATABASE_URL=url):
            pass  # the application is there from the first start
        begun = time.perf_counter()
        asyncio.run(fill(url, port, deliveries=options.deliveries, endpoints=options.endpoints))
        print(
            f"{options.deliveries:,} due deliveries to {options.endpoints:,} webhooks, written in"
            f" {time.perf_counter() - begun:.0f} s"
        )
        asyncio.run(claims(url))
        drain(url, options.seconds)


if __name__ == "__main__":
    main()
