"""One trace over two processes: a server that accepts, and one that sends, on one PostgreSQL."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typing_extensions import override

from cli.conftest import LOOPBACK, Machine, line_of, stop

WITHIN = 60.0
TOKEN = "sk_test_" + "0123456789abcdef" * 2
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Span:
    """One span as the collector got it."""

    def __init__(self, span: Any, service: str) -> None:
        self.service = service
        self.name: str = span.name
        self.trace_id: str = span.trace_id.hex()
        self.id: str = span.span_id.hex()
        self.parent_id: str = span.parent_span_id.hex()


class Stranger:
    """A receiver of webhooks, and a collector of spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.hooks: queue.Queue[dict[str, str]] = queue.Queue()
        """The headers of each that came."""
        self.url = ""
        self._count = 0

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The status to answer with."""
        if path != "/v1/traces":
            self.hooks.put(headers)
            self._count += 1
            return 500 if self._count == 1 else 204
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [Span(each, named["service.name"]) for each in scope.spans]
        return 200


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    made = Stranger()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(made.take(self.path, headers, body))
            self.send_header("content-length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        made.url = f"http://127.0.0.1:{listening.server_address[1]}"
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield made
        listening.shutdown()


@pytest.mark.slow
def test_attempts_of_another_process_are_in_the_trace_of_the_accept(
    machine: Machine, postgres_url: str, stranger: Stranger
) -> None:
    env = {
        "STAFETT_DATABASE_URL": postgres_url,
        "STAFETT_BOOTSTRAP_TOKEN": TOKEN,
        "STAFETT_TRACE_RECEIVERS": "on",
        "STAFETT_RETRY_SCHEDULE": "50ms",
        "OTEL_EXPORTER_OTLP_ENDPOINT": stranger.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    accepting = machine.start(
        "serve", "--no-dispatch", "--port", "0", *LOOPBACK, env=env | {"OTEL_SERVICE_NAME": "in"}
    )
    found = re.search(r"http://127\.0\.0\.1:\d+", line_of(accepting))
    assert found is not None, accepting.communicate()
    sending = machine.start(
        "dispatch", "--port", "0", *LOOPBACK, env=env | {"OTEL_SERVICE_NAME": "out"}
    )
    assert "sends what is due" in line_of(sending)

    headers = {"authorization": f"Bearer {TOKEN}"}
    app = f"{found[0]}/api/v1/app/default"
    wish = {"url": f"{stranger.url}/hook"}
    assert httpx.post(f"{app}/endpoint", json=wish, headers=headers).status_code == 201
    event = {"eventType": "payment_received", "payload": {}}
    answer = httpx.post(f"{app}/msg", json=event, headers=headers | {"traceparent": CALLER})
    assert answer.status_code == 202

    told = [stranger.hooks.get(timeout=WITHIN)["traceparent"] for _ in range(2)]
    assert (stop(sending), stop(accepting)) == (0, 0)  # what has ended is handed over
    [accept] = [each for each in stranger.spans if each.service == "in"]
    attempts = [each for each in stranger.spans if each.service == "out"]

    assert (accept.name, accept.trace_id) == ("stafett.accept", TRACE_ID)
    assert accept.parent_id == CALLER.split("-")[2]
    assert [each.name for each in attempts] == ["stafett.attempt"] * 2
    assert {(each.trace_id, each.parent_id) for each in attempts} == {(TRACE_ID, accept.id)}
    assert [each.split("-")[1:3] for each in told] == [[TRACE_ID, each.id] for each in attempts]
