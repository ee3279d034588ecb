"""Events a second through the whole path, and how long one takes; beside the box's raw limits.

    python benchmarks/end_to_end.py [--seconds 10] [--connections 128] [--runs 3]
                                    [--database sqlite|postgresql] [--nodes 1]

Whole path: HTTP, token, validation, durable commit (synced), HMAC, a real POST to a local
receiver, the attempt recorded. An event counts when its attempt is recorded. PostgreSQL's server
is started here too, on the same processors.
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
from concurrent.futures import ThreadPoolExecutor
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


def bare_path(seconds: float, connections: int, database: str) -> float:
    """Events a second of `bare.py`."""
    with ends.receiver() as receiver, ends.database(database) as where:
        port = ends.free_port()
        process = subprocess.Popen([sys.executable, BARE, str(port), str(receiver), where])
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


def throughput(*, seconds: float, connections: int, database: str, nodes: int) -> None:
    """Closed loop at full speed; prints rates, accept latency and memory."""
    with ends.receiver() as port, ends.servers(database, nodes) as servers:
        webhook_to(servers[0], port)
        time.sleep(2)  # the other nodes have heard of it by then

        def load_all(seconds: float) -> list[ends.Load]:
            def load(server: ends.Server) -> ends.Load:
                path = f"{server.url}/api/v1/app/default/msg"
                share = connections // nodes
                return ends.generate(path, MESSAGE, connections=share, seconds=seconds)

            with ThreadPoolExecutor(nodes) as pool:
                return list(pool.map(load, servers))

        def waiting() -> float:
            return servers[0].metric("stafett_backlog")

        def done() -> float:
            return sum(delivered(each) for each in servers)

        load_all(1)
        ends.wait_for(lambda: waiting() == 0, seconds=120)
        before, begun = done(), time.perf_counter()
        cpu = sum(each.cpu_seconds() for each in servers)
        loads = load_all(seconds)
        at_end = done() - before
        ends.wait_for(lambda: waiting() == 0, seconds=300)
        took = time.perf_counter() - begun
        total = done() - before
        used = sum(each.cpu_seconds() for each in servers) - cpu
        print(
            f"  accepted {sum(each.rate for each in loads):8,.0f}/s"
            f"   delivered {total / took:8,.0f}/s"
            f"   (while accepting {at_end / loads[0].seconds:,.0f}/s)"
            f"   errors {sum(each.errors for each in loads)}"
            f"   accept p50 {loads[0].p50_ms:.1f} ms  p99 {loads[0].p99_ms:.1f} ms"
            f"   memory {max(each.resident_mb() for each in servers):.0f} MB"
            f"   processor {used / total * 1e6:.0f} us/event"
        )
        RATES.append(total / took)


RATES: list[float] = []


async def latency(rate: float, seconds: float, database: str) -> None:
    """Open loop at `rate` events a second; prints how long after its post each one arrives."""
    received: dict[str, float] = {}

    def seen(request: bytes) -> bytes:
        received[ends.message_id(request)] = time.perf_counter()
        return ends.NO_CONTENT

    loop = asyncio.get_running_loop()
    port = ends.free_port()
    listening = await loop.create_server(lambda: ends.Receiving(seen), "127.0.0.1", port)
    with ends.servers(database, 1) as (server,):
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


def batches(seconds: float, connections: int, database: str) -> None:
    """Batch ingest, 100 messages a request, to nobody: rate against single messages."""
    one = {"eventType": "payment_received", "payload": PAYLOAD}
    batch = json.dumps({"messages": [one] * 100}).encode()
    with ends.servers(database, 1) as (server,):
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
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--nodes", type=int, default=1)
    options = parser.parse_args()

    with ends.receiver() as port:
        bare = ends.generate(
            f"http://127.0.0.1:{port}/", MESSAGE, connections=options.connections, seconds=3
        )
    print(f"raw limits: loopback {bare.rate:,.0f} POST/s, {synced_writes():,.0f} synced writes/s")
    print(
        f"end to end, {options.database}, {options.nodes} node(s), {options.connections}"
        f" connections, messages of {len(MESSAGE)} bytes:"
    )
    bares: list[float] = []
    for _ in range(options.runs):  # side by side, as the machine is not equally fast all the time
        throughput(
            seconds=options.seconds,
            connections=options.connections,
            database=options.database,
            nodes=options.nodes,
        )
        bares.append(bare_path(options.seconds / 2, options.connections, options.database))
        print(f"  bare path {bares[-1]:8,.0f}/s")
    ours, bare = statistics.median(RATES), statistics.median(bares)
    print(
        f"  median {ours:,.0f} events/s delivered, {ours / bare:.0%} of the bare path's {bare:,.0f}"
    )
    asyncio.run(latency(500, options.seconds, options.database))
    batches(options.seconds / 2, options.connections, options.database)


if __name__ == "__main__":
    main()
