"""How long the admin's list pages take with a long history.

    python benchmarks/pages.py [--deliveries 100000] [--endpoints 100] [--visits 20]
                               [--database sqlite|postgresql]

Deliveries of the last three days are written straight into the tables, each with its attempt; then
somebody signs in and opens each page so many times, one after the other. The times are of the whole
answer on loopback; the processor's are those of server and database, whatever else the machine is
doing meanwhile. The first visit counts: nothing is remembered yet then. The bar: 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import sqlalchemy as sa

import ends
from stafett.drivers import schema
from stafett.drivers.cold.verbs import ColdVerbs
from stafett.drivers.postgres import partitions
from stafett.drivers.postgres.store import PostgresStore
from stafett.drivers.sqlite.store import SqliteStore
from stafett.ids import AppId, EndpointId, Ids

BAR_MS = 100
_BODY = '{{"payment_id":{number},"customer_user_email":"{who}","note":"{filling}"}}'
_RARE = "kari.nordmann@example.com"
_HISTORY = timedelta(days=3)
_BATCH = 2_500
_EACH = 2
"""Webhooks that want a message."""
_EVENTS = ("payment_received", "payment_failed", "customer_created", "invoice_sent")
_USER = {"email": "kari@example.com", "name": "Kari", "password": "correct horse battery"}

Tables = dict[str, list[dict[str, Any]]]


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a benchmark


# --- the history ------------------------------------------------------------------------------


class _Maker:
    """Rows for the tables."""

    def __init__(self, app_id: AppId, *, endpoints: int, now: datetime) -> None:
        self._ids = Ids()
        self._app_id = app_id
        self._now = now
        self._endpoints = [self._ids.endpoint(now - _HISTORY) for _ in range(endpoints)]

    def endpoint_rows(self) -> list[dict[str, Any]]:
        at = self._now
        secrets = [{"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "until": None}]
        return [
            {
                "id": each,
                "app_id": self._app_id,
                "name": f"Webhook {number}",
                "url": f"https://receiver-{number}.example.com/hook",
                "description": "",
                "integration": "",
                "disabled": False,
                "event_types": None if number % 10 else _EVENTS,
                "metadata": {},
                "headers": {},
                "header_family": "webhook",
                "secrets": secrets,
                "event_count": 1_000,
                "last_attempt_at": at,
                "last_status_code": 200,
                "created_at": at - _HISTORY,
                "updated_at": at - _HISTORY,
            }
            for number, each in enumerate(self._endpoints)
        ]

    def batches(self, deliveries: int) -> Iterator[Tables]:
        count = deliveries // _EACH
        for first in range(0, count, _BATCH):
            rows: Tables = {name: [] for name in ("messages", "payloads", "deliveries", "attempts")}
            for number in range(first, min(first + _BATCH, count)):
                at = self._now - _HISTORY + _HISTORY * (number + 1) / (count + 1)
                self._message(rows, number, at)
            yield rows

    def _message(self, rows: Tables, number: int, at: datetime) -> None:
        message_id = self._ids.message(at)
        who = _RARE if number % 10_000 == 1 else f"customer-{number}@example.com"
        body = _BODY.format(number=number, who=who, filling="x" * 900).encode()
        rows["messages"].append(
            {
                "app_id": self._app_id,
                "id": message_id,
                "event_type": _EVENTS[number % len(_EVENTS)],
                "test": False,
                "endpoint_count": _EACH,
                "created_at": at,
                "payload_expires_at": at + timedelta(days=90),
                "payload_gone": False,
            }
        )
        rows["payloads"].append({"message_id": message_id, "body": body})
        for turn in range(_EACH):
            place = (number * _EACH + turn) % len(self._endpoints)
            self._delivery(rows, number, at, (message_id, self._endpoints[place]))

    def _delivery(  # noqa: PLR0917 - a benchmark
        self, rows: Tables, number: int, at: datetime, pair: tuple[str, EndpointId]
    ) -> None:
        message_id, endpoint = pair
        state = {0: "failed", 1: "pending", 2: "canceled"}.get(number % 100, "succeeded")
        well = state == "succeeded"
        told = {
            "message_id": message_id,
            "app_id": self._app_id,
            "endpoint_id": endpoint,
            "manual": False,
            "test": False,
        }
        delivery_id = self._ids.delivery(at)
        rows["deliveries"].append(
            told
            | {
                "id": delivery_id,
                "state": state,
                "attempt_count": 1,
                "failure_count": int(not well),
                "due_at": self._now + timedelta(days=1) if state == "pending" else None,
                "succeeded_at": at if well else None,
                "last_status_code": 200 if well else 503,
                "last_cause": None if well else "status",
                "note": "delivered" if well else "gave up after 1 attempt: 503",
                "created_at": at,
                "updated_at": at,
            }
        )
        rows["attempts"].append(
            told
            | {
                "id": self._ids.attempt(at),
                "delivery_id": delivery_id,
                "url": "https://receiver.example.com/hook",
                "status_code": 200 if well else 503,
                "cause": None if well else "status",
                "detail": "" if well else "the endpoint answered 503 Service Unavailable",
                "note": "delivered",
                "duration_us": 1_000 + number % 50_000,
                "response_truncated": False,
                "content_gone": False,
                "created_at": at,
            }
        )


async def fill(kind: str, where: str, *, deliveries: int, endpoints: int) -> None:
    """Write the history."""
    now = _now()
    store = SqliteStore(Path(where)) if kind == "sqlite" else PostgresStore(where)
    await store.open(now=now)
    if kind == "postgresql":
        await store.write(lambda held: partitions.make_ahead(held, now=now - _HISTORY))
    app = await store.get_application("default")
    assert app is not None
    maker = _Maker(app.id, endpoints=endpoints, now=now)
    await _put(store, {"endpoints": maker.endpoint_rows()})
    for batch in maker.batches(deliveries):
        await _put(store, batch)
    waiting = schema.deliveries.c.state == "pending"
    await store.write(lambda held: store.queue.put(held, waiting))
    if kind == "postgresql":
        await store.write(_analyze)
    await store.close()


def _analyze(held: sa.Connection) -> None:
    """What the database does by itself within a minute: look at each table, but at no parent."""
    tables = sa.text(
        "SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = current_schema()::regnamespace"
    )
    for name in held.scalars(tables).all():
        held.execute(sa.text(f"ANALYZE {name}"))


async def _put(store: ColdVerbs, rows: Tables) -> None:
    def work(held: sa.Connection) -> None:
        for name, each in rows.items():
            held.execute(sa.insert(schema.metadata.tables[name]), each)

    await store.write(work)


# --- the visits -------------------------------------------------------------------------------


class Visitor:
    """Somebody who is signed in, on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"origin": f"http://127.0.0.1:{port}"}

    def sign_in(self) -> None:
        form = {name: _USER[name] for name in ("email", "password")}
        kind = {"content-type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/admin/sign-in", urlencode(form), self._headers | kind)
        reply = self._connection.getresponse()
        reply.read()
        assert reply.status == 303, reply.status
        self._headers["cookie"] = (reply.headers["set-cookie"] or "").partition(";")[0]

    def see(self, path: str) -> str:
        """The HTML of a page below /admin/."""
        self._connection.request("GET", f"/admin/{path}", headers=self._headers)
        reply = self._connection.getresponse()
        text = reply.read().decode()
        assert reply.status == 200, (path, reply.status, text)
        return text


@dataclass(frozen=True)
class Page:
    """A page, as somebody opens it."""

    name: str
    path: str


def pages(visitor: Visitor) -> Sequence[Page]:
    """Those to open; the deep ones begin in the middle of the history."""
    found = re.search(r'<option value="(ep_\w+)">', visitor.see("deliveries"))
    assert found is not None
    webhook = found[1]
    return (
        Page("overview", ""),
        Page("webhooks", "webhooks"),
        Page("webhooks, sorted by URL", "webhooks?sort=url"),
        Page("deliveries, first page", "deliveries"),
        Page("deliveries, deep page", f"deliveries?from={_deep(visitor, 'deliveries')}"),
        *(
            Page(f"deliveries, {state}", f"deliveries?state={state}")
            for state in ("pending", "succeeded", "failed")
        ),
        Page("deliveries of a webhook", f"deliveries?endpoint={webhook}"),
        Page("deliveries of a webhook, failed", f"deliveries?endpoint={webhook}&state=failed"),
        Page("deliveries of an event", "deliveries?event=invoice_sent"),
        Page("deliveries of an event that never was", "deliveries?event=site_deleted"),
        Page("deliveries answered 2xx", "deliveries?class=200"),
        Page("deliveries answered 4xx: none", "deliveries?class=400"),
        Page("deliveries answered 5xx", "deliveries?class=500"),
        Page("events, first page", "events"),
        Page("events, deep page", f"events?from={_deep(visitor, 'events')}"),
        Page("events of a type", "events?event=invoice_sent"),
        Page("events with a text in each", "events?text=customer"),
        Page("events with a rare text", f"events?text={_RARE}"),
        Page("events with a text in none", "events?text=nobody+wrote+this"),
    )


def _deep(visitor: Visitor, path: str) -> str:
    """The place in the middle of the history, as the page of that time names it."""
    middle = (_now() - _HISTORY / 2).strftime("%Y-%m-%dT%H:%M:%S")
    found = re.search(r"[?&;]from=([\w.]+)", visitor.see(f"{path}?before={middle}"))
    assert found is not None
    return found[1]


class Processor:
    """The time that the server and its database have used of it."""

    def __init__(self, server: ends.Server, url: str) -> None:
        self._server = server
        postgresql = url.startswith("postgresql")
        self._postmaster = asyncio.run(_postmaster(url)) if postgresql else None

    def seconds(self) -> float:
        """So far."""
        used = 0
        for path in Path("/proc").glob("[0-9]*/stat") if self._postmaster else ():
            with contextlib.suppress(OSError):  # it has just ended
                used += self._ticks(path.parent.name, path.read_text())
        return self._server.cpu_seconds() + used / os.sysconf("SC_CLK_TCK")

    def _ticks(self, pid: str, stat: str) -> int:
        fields = stat.rsplit(")", 1)[1].split()
        if fields[1] == self._postmaster:
            return sum(map(int, fields[11:13]))
        return sum(map(int, fields[11:15])) if pid == self._postmaster else 0  # with ended children


async def _postmaster(url: str) -> str:
    """The number of the process whose children the database's are."""
    connection = await asyncpg.connect(url)
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    stat = await asyncio.to_thread(Path(f"/proc/{pid}/stat").read_text)
    await connection.close()
    return stat.rsplit(")", 1)[1].split()[1]


def measure(processor: Processor, visitor: Visitor, page: Page, *, visits: int) -> str:
    """A row of the table."""
    took: list[float] = []
    size, before = 0, processor.seconds()
    for _ in range(visits):
        begun = time.perf_counter()
        size = len(visitor.see(page.path))
        took.append((time.perf_counter() - begun) * 1e3)
    used = (processor.seconds() - before) / visits * 1e3
    median, worst = ends.percentile(took, 0.5), max(took)
    verdict = "" if median <= BAR_MS else "above the bar"
    times = f"{min(took):7.1f} ms{median:9.1f} ms{worst:9.1f} ms{used:9.1f} ms"
    return f"  {page.name:40}{times}{size / 1024:8.0f} KB   {verdict}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=100_000)
    parser.add_argument("--endpoints", type=int, default=100)
    parser.add_argument("--visits", type=int, default=20)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    with ends.database(options.database) as where:
        url = f"sqlite:///{where}" if options.database == "sqlite" else where
        environment = os.environ | {"STAFETT_DATABASE_URL": url}
        subprocess.run([*ends.COMMAND, "migrate"], env=environment, check=True)
        with ends.server(STAFETT_DATABASE_URL=url) as server:
            server.call("POST", "/api/v1/user", _USER | {"role": "owner"})
        begun = time.perf_counter()
        asyncio.run(
            fill(
                options.database,
                where,
                deliveries=options.deliveries,
                endpoints=options.endpoints,
            )
        )
        print(
            f"{options.deliveries:,} deliveries to {options.endpoints:,} webhooks on"
            f" {options.database}, written in {time.perf_counter() - begun:.0f} s;"
            f" {options.visits} visits each, the bar is {BAR_MS} ms\n"
            f"  {'':40}{'best':>10}{'median':>12}{'worst':>12}{'processor':>12}{'size':>11}"
        )
        with ends.server(STAFETT_DATABASE_URL=url) as server:
            visitor = Visitor(server.port)
            visitor.sign_in()
            processor = Processor(server, url)
            for page in pages(visitor):
                print(measure(processor, visitor, page, visits=options.visits), flush=True)


if __name__ == "__main__":
    main()
