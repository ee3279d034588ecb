"""What hanging receivers cost the healthy ones.

    python benchmarks/isolation.py [--endpoints 200] [--hanging 0.2] [--rate 1000] [--seconds 20]

The same open loop twice, each message for one endpoint in turn: once all answer, once some take the
request and never answer. The bar: the healthy ones' p99 at most doubles, and they get at least 90 %
of their rate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from dataclasses import dataclass

import ends
from ends import PAYLOAD

_TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class Seen:
    """What the healthy endpoints saw."""

    rate: float
    p50_ms: float
    p99_ms: float
    missing: int


async def run(endpoints: int, hanging: int, *, rate: float, seconds: float) -> Seen:
    """One run in which the first `hanging` endpoints never answer."""
    received: dict[str, float] = {}

    def answer(request: bytes) -> bytes:
        received.setdefault(ends.message_id(request), time.perf_counter())
        return ends.NO_CONTENT

    loop = asyncio.get_running_loop()
    healthy_port, hanging_port = ends.free_port(), ends.free_port()
    healthy = await loop.create_server(
        lambda: ends.Receiving(answer), "127.0.0.1", healthy_port, backlog=1024
    )
    silent = await loop.create_server(
        lambda: ends.Receiving(lambda _: b""), "127.0.0.1", hanging_port, backlog=1024
    )
    with ends.server(STAFETT_ATTEMPT_TIMEOUT=f"{_TIMEOUT_SECONDS}s") as server:
        for number in range(endpoints):
            port = hanging_port if number < hanging else healthy_port
            body = {"url": f"http://127.0.0.1:{port}/{number}", "channels": [f"e{number}"]}
            await asyncio.to_thread(server.call, "POST", "/api/v1/app/default/endpoint", body)
        requests = [
            ends.post("/api/v1/app/default/msg", json.dumps(_message(number)).encode())
            for number in range(endpoints)
        ]
        sent = await ends.post_at_rate(
            server.port, lambda number: requests[number % endpoints], rate=rate, seconds=seconds
        )
        ended = time.perf_counter()
        wanted = {key: each for key, each in sent.items() if each.number % endpoints >= hanging}
        in_time = sum(1 for key in wanted if received.get(key, ended + 1) <= ended)
        with contextlib.suppress(TimeoutError):
            await asyncio.to_thread(
                ends.wait_for, lambda: wanted.keys() <= received.keys(), seconds=10
            )
        late = [(received[k] - e.posted_at) * 1e3 for k, e in wanted.items() if k in received]
    healthy.close()
    silent.close()
    return Seen(
        rate=in_time / seconds,
        p50_ms=ends.percentile(late, 0.5),
        p99_ms=ends.percentile(late, 0.99),
        missing=len(wanted) - len(late),
    )


def _message(number: int) -> dict[str, object]:
    return {"eventType": "payment_received", "channels": [f"e{number}"], "payload": PAYLOAD}


def main() -> None:
    """Print both runs, and what became of the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=200)
    parser.add_argument("--hanging", type=float, default=0.2)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()

    hanging = int(options.endpoints * options.hanging)
    share = 1 - hanging / options.endpoints
    runs: list[Seen] = []
    for count in (0, hanging):
        seen = asyncio.run(
            run(options.endpoints, count, rate=options.rate, seconds=options.seconds)
        )
        runs.append(seen)
        print(
            f"  {count:3} of {options.endpoints} hang: healthy ones get {seen.rate:,.0f}/s"
            f"   post to received p50 {seen.p50_ms:.2f} ms  p99 {seen.p99_ms:.2f} ms"
            f"   missing {seen.missing}"
        )
    without, with_hanging = runs
    print(
        f"  p99 x{with_hanging.p99_ms / without.p99_ms:.2f} (bar: 2)"
        f"   rate {with_hanging.rate / (without.rate * share):.0%} of theirs (bar: 90 %)"
    )


if __name__ == "__main__":
    main()
