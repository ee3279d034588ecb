"""The ends of a benchmark: a server under test, a generator before it, a receiver behind it.

`wrk` and `nginx` are used where they are installed, being lean; otherwise the Python ends of this
file, which cost more of the same two cores.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from postgres_server import PostgresServer  # the tests know how to start one

COMMAND = [sys.executable, "-m", "stafett"]
TOKEN = "benchmark-owner-token-0123456789abcdef"
PAYLOAD: dict[str, Any] = {
    "payment_id": 4711,
    "payment_status": "completed",
    "payment_total": "kr 129.00",
    "payment_total_raw": 129.0,
    "payment_currency": "NOK",
    "payment_date_created": "2026-11-24 09:30:00",
    "customer_user_email": "kari@example.com",
    "payment_product_names": ", ".join(["Plan with everything"] * 33),
}
"""About 1 KB with its envelope, and as the catalogue says a Payment Received looks."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


Ready = Callable[[], bool]


def wait_for(ready: Ready, *, seconds: float = 20) -> None:
    """Poll until `ready`, or give up loudly."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            message = f"not ready within {seconds} s: {ready}"
            raise TimeoutError(message)
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Server:
    """A running Stafett."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One API call; raises for anything but 2xx."""
        request = urllib.request.Request(  # our own server on loopback
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def metric(self, name: str, label: str = "") -> float:
        """The sum of a metric over its labels, or over those that hold `label`."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=60) as reply:
            text = reply.read().decode()
        found = re.findall(rf"^{name}({{[^}}]*}})? ([0-9.e+-]+)$", text, re.MULTILINE)
        return sum(float(value) for labels, value in found if label in labels)

    def resident_mb(self) -> float:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else float("nan")

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(**environment: str) -> Generator[Server]:
    """Stafett on a fresh folder, stopped and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="stafett-bench-"))
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", str(port), "--data", str(folder)],
        env=os.environ
        | {"STAFETT_BOOTSTRAP_TOKEN": TOKEN, "STAFETT_ALLOW_NETWORKS": "127.0.0.0/8"}
        | environment,
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        wait_for(lambda: answers(port))
        made = Server(process, port, folder)
        made.call("GET", "/api/v1/app/default")  # answered when it has started
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(folder)


@contextmanager
def database(kind: str) -> Generator[str]:
    """An empty one, stopped and removed afterwards: the path of a file, or PostgreSQL's address."""
    folder = Path(tempfile.mkdtemp(prefix="stafett-bench-"))
    try:
        if kind == "sqlite":
            yield str(folder / "stafett.db")
            return
        postgres = PostgresServer(folder / "server", safe=True)
        postgres.start()
        try:
            yield postgres.url()
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def servers(kind: str, nodes: int) -> Generator[list[Server]]:
    """Stafett on an empty database: one process, or on PostgreSQL any number of them."""
    with database(kind) as where, ExitStack() as stack:
        url = f"sqlite:///{where}" if kind == "sqlite" else where
        yield [stack.enter_context(server(STAFETT_DATABASE_URL=url)) for _ in range(nodes)]


@contextmanager
def receiver() -> Generator[int]:
    """Something that answers 204 to every POST; its port."""
    port = free_port()
    if shutil.which("nginx"):
        folder = Path(tempfile.mkdtemp(prefix="stafett-nginx-"))
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port))
        command = ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    else:
        command = [sys.executable, __file__, "receive", str(port)]
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log /dev/null crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""


@dataclass(frozen=True)
class Load:
    """What a generator saw."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def generate(url: str, body: bytes, *, connections: int, seconds: float) -> Load:
    """POST `body` to `url` over and over, closed loop."""
    if not shutil.which("wrk"):
        command = [sys.executable, __file__, "generate", url, str(connections), str(seconds)]
        done = subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True)
        return Load(**json.loads(done.stdout))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        quoted = body.decode().replace("\\", "\\\\").replace("'", "\\'")
        script.write(_WRK.format(token=TOKEN, body=quoted))
        script.flush()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s", script.name, url],
            stdout=subprocess.PIPE,
            check=True,
        )
    return Load(**json.loads(done.stdout.decode().rsplit("RESULT ", 1)[1]))


_WRK = """
wrk.method = 'POST'
wrk.body = '{body}'
wrk.headers['authorization'] = 'Bearer {token}'
wrk.headers['content-type'] = 'application/json'
local shape = '{{"requests": %d, "seconds": %f, "errors": %d, "p50_ms": %f, "p99_ms": %f}}'
done = function(summary, latency, requests)
  local e = summary.errors
  io.write('RESULT ' .. string.format(shape, summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all stay under."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


# --- at a given rate --------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """One message of an open loop."""

    number: int
    posted_at: float
    accepted_at: float


async def post_at_rate(
    port: int,
    request: Callable[[int], bytes],
    *,
    rate: float,
    seconds: float,
    connections: int = 16,
) -> dict[str, Sent]:
    """Open loop: request number n leaves at its time, whatever became of those before; by id."""
    sent: dict[str, Sent] = {}
    begun = time.perf_counter() + 0.2
    count = int(rate * seconds)

    async def one(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, count, connections):
            await asyncio.sleep(max(0, begun + number / rate - time.perf_counter()))
            posted_at = time.perf_counter()
            writer.write(request(number))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            reply = json.loads(await reader.readexactly(size))
            sent[reply["id"]] = Sent(number, posted_at, time.perf_counter())
        writer.close()

    await asyncio.gather(*(one(each) for each in range(connections)))
    return sent


def post(path: str, body: bytes) -> bytes:
    """The bytes of one request."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def message_id(request: bytes) -> str:
    """Which message a received request brings."""
    found = re.search(rb"webhook-id: (\S+)", request)
    return found[1].decode() if found else ""


# --- Python ends ------------------------------------------------------------------------------


class Receiving(asyncio.Protocol):
    """Answers every request with what `seen` makes of it; empty: not at all."""

    def __init__(self, seen: Callable[[bytes], bytes]) -> None:
        self._seen = seen
        self._buffer = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            found = re.search(rb"content-length: (\d+)", head)
            size = end + 4 + int(found[1] if found else 0)
            if len(self._buffer) < size:
                return
            request, self._buffer = self._buffer[:size], self._buffer[size:]
            self._transport.write(self._seen(request))


NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


async def _receive(port: int) -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Receiving(lambda _: NO_CONTENT), "127.0.0.1", port)
    await listening.serve_forever()


async def _generate(url: str, body: bytes, *, connections: int, seconds: float) -> Load:
    host, _, rest = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    request = post(f"/{rest}", body)
    took: list[float] = []
    wrong = 0
    begun = time.perf_counter()

    async def one() -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection(name, int(port))
        while time.perf_counter() - begun < seconds:
            start = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(size[1]) if size else 0)
            took.append((time.perf_counter() - start) * 1e3)
            wrong += head[9:10] != b"2"
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return Load(
        requests=len(took),
        seconds=time.perf_counter() - begun,
        errors=wrong,
        p50_ms=percentile(took, 0.5),
        p99_ms=percentile(took, 0.99),
    )


if __name__ == "__main__":
    import uvloop

    if sys.argv[1] == "receive":
        uvloop.run(_receive(int(sys.argv[2])))
    else:
        _, _, url, connections, seconds = sys.argv
        load = uvloop.run(
            _generate(
                url, sys.stdin.buffer.read(), connections=int(connections), seconds=float(seconds)
            )
        )
        print(json.dumps(load.__dict__))
