"""Events a second through the whole path, and how long one takes; beside the box's raw limits.

    python benchmarks/end_to_end.py [--seconds 10] [--connections 128] [--runs 3]

Whole path: HTTP, token, validation, durable commit (synchronous=FULL), HMAC, a real POST to a
local receiver, the attempt recorded. An event counts when its attempt is recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ends
from ends import PAYLOAD

BARE = str(Path(__file__).with_name("bare.py"))
MESSAGE = json.dumps({"eventType": "payment_received", "payload": PAYLOAD}).encode()


def synced_writes() -> float:
    """4 KiB writes a second, each made durable before the next."""
    with tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < 1:
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - begun)


def bare_path(seconds: float, connections: int) -> float:
    """Events a second of `bare.py`."""
    with ends.receiver() as receiver, tempfile.TemporaryDirectory() as folder:
        port = ends.free_port()
        process = subprocess.Popen(
            [sys.executable, BARE, str(port), str(receiver), f"{folder}/bare.db"]
        )
        try:
            ends.wait_for(lambda: ends.answers(port))
            url = f"http://127.0.0.1:{port}/"
            ends.generate(url, MESSAGE, connections=connections, seconds=1)
            return ends.generate(url, MESSAGE, connections=connections, seconds=seconds).rate
        finally:
            process.terminate()
            process.wait(10)


def webhook_to(server: ends.Server, port: int, **more: object) -> str:
    """A webhook for everything at the receiver's port; its id."""
    body = {"url": f"http://127.0.0.1:{port}/hook", "name": "benchmark", **more}
    return server.call("POST", "/api/v1/app/default/endpoint", body)["id"]


def delivered(server: ends.Server) -> float:
    """Attempts recorded as succeeded."""
    return server.metric("stafett_attempts_total", "succeeded")


def throughput(seconds: float, connections: int) -> None:
    """Closed loop at full speed; prints rates, accept latency and memory."""
    with ends.receiver() as port, ends.server() as server:
        webhook_to(server, port)
        path = f"{server.url}/api/v1/app/default/msg"
        ends.generate(path, MESSAGE, connections=connections, seconds=1)
        ends.wait_for(lambda: server.metric("stafett_deliveries_waiting") == 0, seconds=120)
        before, cpu, begun = delivered(server), server.cpu_seconds(), time.perf_counter()
        load = ends.generate(path, MESSAGE, connections=connections, seconds=seconds)
        at_end = delivered(server) - before
        ends.wait_for(lambda: server.metric("stafett_deliveries_waiting") == 0, seconds=300)
        took = time.perf_counter() - begun
        total = delivered(server) - before
        print(
            f"  accepted {load.rate:8,.0f}/s   delivered {total / took:8,.0f}/s"
            f"   (while accepting {at_end / load.seconds:,.0f}/s)   errors {load.errors}"
            f"   accept p50 {load.p50_ms:.1f} ms  p99 {load.p99_ms:.1f} ms"
            f"   memory {server.resident_mb():.0f} MB"
            f"   processor {(server.cpu_seconds() - cpu) / total * 1e6:.0f} us/event"
        )
        RATES.append(total / took)


RATES: list[float] = []


async def latency(rate: float, seconds: float) -> None:
    """Open loop at `rate` events a second; prints how long after its post each one arrives."""
    received: dict[str, float] = {}

    def seen(request: bytes) -> bytes:
        received[ends.message_id(request)] = time.perf_counter()
        return ends.NO_CONTENT

    loop = asyncio.get_running_loop()
    port = ends.free_port()
    listening = await loop.create_server(lambda: ends.Receiving(seen), "127.0.0.1", port)
    with ends.server() as server:
        await asyncio.to_thread(webhook_to, server, port)
        request = ends.post("/api/v1/app/default/msg", MESSAGE)
        sent = await ends.post_at_rate(server.port, lambda _: request, rate=rate, seconds=seconds)
        await asyncio.to_thread(ends.wait_for, lambda: len(received) >= len(sent))
        listening.close()
    took = [(each.accepted_at - each.posted_at) * 1e3 for each in sent.values()]
    late = [(received[key] - each.posted_at) * 1e3 for key, each in sent.items()]
    print(
        f"  at {rate:,.0f}/s: post to accepted p50 {ends.percentile(took, 0.5):.2f} ms"
        f"  p99 {ends.percentile(took, 0.99):.2f} ms"
        f"   post to received p50 {ends.percentile(late, 0.5):.2f} ms"
        f"  p99 {ends.percentile(late, 0.99):.2f} ms"
    )


def batches(seconds: float, connections: int) -> None:
    """Batch ingest, 100 messages a request, to nobody: rate against single messages."""
    one = {"eventType": "payment_received", "payload": PAYLOAD}
    batch = json.dumps({"messages": [one] * 100}).encode()
    with ends.server() as server:
        path = f"{server.url}/api/v1/app/default/msg"
        single = ends.generate(path, MESSAGE, connections=connections, seconds=seconds).rate
        many = ends.generate(f"{path}/batch", batch, connections=8, seconds=seconds).rate * 100
    print(f"  ingest alone: single {single:,.0f}/s   batch {many:,.0f}/s   x{many / single:.1f}")


def main() -> None:
    """Print everything in one run, so that the numbers can be set against each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()

    with ends.receiver() as port:
        bare = ends.generate(
            f"http://127.0.0.1:{port}/", MESSAGE, connections=options.connections, seconds=3
        )
    print(f"raw limits: loopback {bare.rate:,.0f} POST/s, {synced_writes():,.0f} synced writes/s")
    print(f"end to end, {options.connections} connections, messages of {len(MESSAGE)} bytes:")
    bares: list[float] = []
    for _ in range(options.runs):  # side by side, as the machine is not equally fast all the time
        throughput(options.seconds, options.connections)
        bares.append(bare_path(options.seconds / 2, options.connections))
        print(f"  bare path {bares[-1]:8,.0f}/s")
    ours, bare = statistics.median(RATES), statistics.median(bares)
    print(
        f"  median {ours:,.0f} events/s delivered, {ours / bare:.0%} of the bare path's {bare:,.0f}"
    )
    asyncio.run(latency(500, options.seconds))
    batches(options.seconds / 2, options.connections)


if __name__ == "__main__":
    main()
