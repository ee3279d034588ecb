"""Traces: what is accepted is a child of its caller, and every attempt a child of the accept."""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from stafett import errors, tracing
from stafett.app import Stafett, _asked_tracer
from stafett.model import Secret
from stafett.services.endpoints import NewEndpoint
from stafett.services.messages import NewMessage
from stafett.settings import Settings, parse_networks
from web.conftest import TOKEN, WAIT, Arrived, Recorder

EVENT = "payment_received"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE_ID}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-00"
_VARIABLES = (
    "OTEL_SDK_DISABLED",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)


class Traced:
    """A provider that keeps its spans."""

    def __init__(self, *, tell_receivers: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = tracing.Tracer(self.provider, tell_receivers=tell_receivers)

    def named(self, name: str) -> list[ReadableSpan]:
        """Those that have ended, oldest first."""
        found = [each for each in self.exporter.get_finished_spans() if each.name == name]
        return sorted(found, key=lambda each: each.start_time or 0)

    @property
    def accepts(self) -> list[ReadableSpan]:
        return self.named("stafett.accept")

    async def attempts(self, count: int) -> list[ReadableSpan]:
        """So many, once they have ended."""
        for _ in range(int(WAIT / 0.01)):
            found = self.named("stafett.attempt")
            if len(found) >= count:
                assert len(found) == count
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(count)


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_trace_id(span.context.trace_id)


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format_span_id(span.context.span_id)


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else format_span_id(span.parent.span_id)


def ids_of(traceparent: str) -> list[str]:
    """Of a trace and a span."""
    return traceparent.split("-")[1:3]


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@asynccontextmanager
async def a_stafett(
    folder: Path,
    traced: Traced | None,
    *,
    dispatch: bool = True,
    waits: tuple[float, ...] = (0.05,),
) -> AsyncGenerator[Stafett]:
    settings = Settings(
        data=folder,
        bootstrap_token=Secret(TOKEN),
        allow_networks=parse_networks("127.0.0.0/8"),
        retry_schedule=tuple(timedelta(seconds=each) for each in waits),
    )
    tracer = None if traced is None else traced.tracer
    async with Stafett(settings, dispatch=dispatch, tracer=tracer) as made:
        yield made


async def post(stafett: Stafett, path: str, body: Any, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(stafett.asgi())
    headers = {"authorization": f"Bearer {TOKEN}", **headers}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(f"/api/v1/app/default{path}", json=body, headers=headers)


async def hook(stafett: Stafett, receiver: Recorder, path: str, **given: Any) -> str:
    made = await stafett.endpoints.create("default", NewEndpoint(url=receiver.url(path), **given))
    return made.id


async def arrived(receiver: Recorder, path: str) -> Arrived:
    # In a thread: the loop that sends must go on.
    return await asyncio.to_thread(receiver.next, path)


# --- accept and attempt -----------------------------------------------------------------------


async def test_an_attempt_is_in_the_trace_of_whoever_sent_the_message(
    tmp_path: Path, receiver: Recorder
) -> None:
    traced = Traced()
    async with a_stafett(tmp_path, traced) as stafett:
        endpoint = await hook(stafett, receiver, "/traced/secret-path")
        body = {"eventType": EVENT, "payload": {"card": "4111"}}
        answer = await post(stafett, "/msg", body, traceparent=CALLER)
        assert answer.status_code == 202
        [attempt] = await traced.attempts(1)
    [accept] = traced.accepts
    message = answer.json()["id"]

    assert (accept.kind, attempt.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert (trace_of(accept), parent_of(accept)) == (TRACE_ID, "b7ad6b7169203331")
    assert (trace_of(attempt), parent_of(attempt)) == (TRACE_ID, id_of(accept))
    said = attributes_of(accept)
    assert (said["stafett.message"], said["stafett.endpoint_count"]) == (message, 1)
    said = attributes_of(attempt)
    assert said["stafett.message"] == message
    assert said["stafett.endpoint"] == endpoint
    assert said["server.address"] == "127.0.0.1"
    assert said["http.response.status_code"] == 200
    assert attempt.status.status_code is StatusCode.UNSET
    text = accept.to_json() + attempt.to_json()
    assert "4111" not in text
    assert "secret-path" not in text


@pytest.mark.parametrize("header", [{}, {"traceparent": "00-nonsense"}, {"traceparent": ""}])
async def test_without_a_caller_that_traces_a_trace_begins(
    tmp_path: Path, receiver: Recorder, header: dict[str, str]
) -> None:
    traced = Traced()
    async with a_stafett(tmp_path, traced) as stafett:
        await hook(stafett, receiver, "/root")
        for _ in range(2):
            await post(stafett, "/msg", {"eventType": EVENT, "payload": {}}, **header)
        attempts = await traced.attempts(2)
    assert [parent_of(each) for each in traced.accepts] == [None, None]
    traces = {trace_of(each) for each in traced.accepts}
    assert len(traces) == 2
    assert {trace_of(each) for each in attempts} == traces


async def test_what_embeds_stafett_may_be_within_a_trace(tmp_path: Path) -> None:
    traced = Traced()
    async with a_stafett(tmp_path, traced) as stafett:
        with traced.provider.get_tracer("shop").start_as_current_span("checkout") as checkout:
            await stafett.messages.create(EVENT, {})
    [accept] = traced.accepts
    assert parent_of(accept) == format_span_id(checkout.get_span_context().span_id)


async def test_a_trace_that_is_not_sampled_stays_so(tmp_path: Path, receiver: Recorder) -> None:
    traced = Traced()
    async with a_stafett(tmp_path, traced) as stafett:
        await hook(stafett, receiver, "/unsampled")
        await post(stafett, "/msg", {"eventType": EVENT, "payload": {}}, traceparent=UNSAMPLED)
        await arrived(receiver, "/unsampled")
        await post(stafett, "/msg", {"eventType": EVENT, "payload": {}}, traceparent=CALLER)
        await traced.attempts(1)
    assert len(traced.accepts) == 1


async def test_a_batch_is_one_accept(tmp_path: Path, receiver: Recorder) -> None:
    traced = Traced()
    messages = [{"eventType": EVENT, "payload": {}} for _ in range(3)]
    async with a_stafett(tmp_path, traced) as stafett:
        await hook(stafett, receiver, "/batch")
        broken = {"eventType": "no spaces", "payload": {}}
        body = {"messages": [*messages, broken]}
        answer = await post(stafett, "/msg/batch", body, traceparent=CALLER)
        assert answer.status_code == 200
        attempts = await traced.attempts(3)
    [accept] = traced.accepts
    assert attributes_of(accept)["stafett.message_count"] == 3
    assert {parent_of(each) for each in attempts} == {id_of(accept)}


async def test_why_nothing_was_accepted_is_on_the_span(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> object:
        raise errors.Unavailable("the store is away")

    traced = Traced()
    async with a_stafett(tmp_path, traced) as stafett:
        with pytest.raises(errors.NotFound):
            await stafett.messages.accept("nobody", NewMessage(event_type=EVENT, payload=b"{}"))
        monkeypatch.setattr(stafett._store, "add_messages", away)
        with pytest.raises(errors.Unavailable):
            await stafett.messages.create(EVENT, {})
    theirs, ours = traced.accepts
    assert attributes_of(theirs)["error.type"] == errors.NotFound.code
    assert theirs.status.status_code is StatusCode.UNSET
    assert attributes_of(ours)["error.type"] == errors.Unavailable.code
    assert ours.status.status_code is StatusCode.ERROR


# --- again, later and elsewhere ---------------------------------------------------------------


async def test_retries_and_resends_are_in_the_same_trace(
    tmp_path: Path, receiver: Recorder
) -> None:
    traced = Traced()
    receiver.script["/again"] = [(500, {}), (200, {})]
    async with a_stafett(tmp_path, traced) as stafett:
        endpoint = await hook(stafett, receiver, "/again")
        message = await stafett.messages.create(EVENT, {})
        await traced.attempts(2)
        await settle(stafett, message.id)
        await stafett.deliveries.resend("default", message.id, endpoint)
        failed, retried, resent = await traced.attempts(3)
    [accept] = traced.accepts
    assert {parent_of(each) for each in (failed, retried, resent)} == {id_of(accept)}
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes_of(failed)["error.type"] == "status"
    assert attributes_of(failed)["http.response.status_code"] == 500
    said = [attributes_of(each) for each in (failed, retried, resent)]
    assert [each["stafett.failure_count"] for each in said] == [0, 1, 0]
    assert [each["stafett.trigger"] for each in said] == ["scheduled", "scheduled", "manual"]


async def settle(stafett: Stafett, message_id: str) -> None:
    """Return when nothing of it waits or is being sent."""
    for _ in range(int(WAIT / 0.01)):
        backlog = await stafett.backlog()
        if not backlog.pending + backlog.sending:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(message_id)


async def test_another_life_goes_on_with_the_trace(tmp_path: Path, receiver: Recorder) -> None:
    before, after = Traced(), Traced()
    async with a_stafett(tmp_path, before, dispatch=False) as stafett:
        await hook(stafett, receiver, "/life")
        await stafett.messages.create(EVENT, {})
    async with a_stafett(tmp_path, after):
        [attempt] = await after.attempts(1)
    [accept] = before.accepts
    assert (trace_of(attempt), parent_of(attempt)) == (trace_of(accept), id_of(accept))


async def test_what_was_accepted_untraced_begins_a_trace_when_it_is_sent(
    tmp_path: Path, receiver: Recorder
) -> None:
    traced = Traced()
    async with a_stafett(tmp_path, None, dispatch=False) as stafett:
        await hook(stafett, receiver, "/untraced")
        message = await stafett.messages.create(EVENT, {})
        assert (await stafett.messages.get("default", message.id)).trace is None
    async with a_stafett(tmp_path, traced):
        [attempt] = await traced.attempts(1)
    assert parent_of(attempt) is None


async def test_a_test_event_is_a_trace_of_its_own(tmp_path: Path, receiver: Recorder) -> None:
    traced = Traced()
    async with a_stafett(tmp_path, traced) as stafett:
        endpoint = await hook(stafett, receiver, "/tried")
        with traced.provider.get_tracer("shop").start_as_current_span("somebody"):
            await stafett.deliveries.test("default", endpoint, event_type=EVENT)
        [attempt] = await traced.attempts(1)
    assert parent_of(attempt) is None
    assert attributes_of(attempt)["stafett.test"] is True


# --- what the receiver is told ----------------------------------------------------------------


async def test_a_receiver_is_told_nothing_of_traces(tmp_path: Path, receiver: Recorder) -> None:
    async with a_stafett(tmp_path, Traced()) as stafett:
        await hook(stafett, receiver, "/stranger")
        await stafett.messages.create(EVENT, {})
        headers = (await arrived(receiver, "/stranger")).headers
    assert not {"traceparent", "tracestate", "baggage"} & headers.keys()


async def test_a_receiver_is_told_where_the_operator_wants_it(
    tmp_path: Path, receiver: Recorder
) -> None:
    traced = Traced(tell_receivers=True)
    own = "00-11111111111111111111111111111111-2222222222222222-00"
    async with a_stafett(tmp_path, traced) as stafett:
        await hook(stafett, receiver, "/told")
        await stafett.messages.create(EVENT, {})
        told = (await arrived(receiver, "/told")).headers["traceparent"]
        [attempt] = await traced.attempts(1)
        assert ids_of(told) == [trace_of(attempt), id_of(attempt)]

        await hook(stafett, receiver, "/own", headers={"Traceparent": own})
        await stafett.messages.create(EVENT, {})
        assert (await arrived(receiver, "/own")).headers["traceparent"] == own


# --- on and off -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in _VARIABLES:
        monkeypatch.delenv(each, raising=False)


def test_nothing_is_traced_or_loaded_unless_it_is_asked_for() -> None:
    program = (
        "import sys; from stafett.app import Stafett; made = Stafett();"
        " print(made._tracer, sum(each.startswith('opentelemetry') for each in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["None", "0"]


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standard_variables_switch_it_on(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, on: bool
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    tracer = _asked_tracer(Settings())
    assert (tracer is not None) is on
    if tracer is not None:
        tracer.close()


def test_an_exporter_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(errors.InvalidSettings, match="zipkin"):
        _asked_tracer(Settings())


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "stafett"),
        ({"OTEL_SERVICE_NAME": "relay"}, "relay"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=hooks"}, "hooks"),
    ],
)
def test_it_is_called_stafett_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    for each in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(each, raising=False)
    for each, text in variables.items():
        monkeypatch.setenv(each, text)
    tracer = tracing.from_environment({"OTEL_TRACES_EXPORTER": "console"}, tell_receivers=False)
    assert isinstance(tracer._provider, TracerProvider)
    assert tracer._provider.resource.attributes["service.name"] == name
    tracer.close()


def test_without_the_extra_it_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(importlib, "import_module", missing)
    with caplog.at_level(logging.WARNING, logger="stafett"):
        assert _asked_tracer(Settings()) is None
    assert "stafett[opentelemetry]" in caplog.text


@pytest.mark.slow
def test_a_collector_that_hangs_does_not_keep_a_process_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as collector:
        address = f"http://127.0.0.1:{collector.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        tracer = tracing.from_environment({}, tell_receivers=False)
        with tracer.accepting(None):
            pass
        began = time.monotonic()
        tracer.close()
        assert time.monotonic() - began < tracing._CLOSE_SECONDS + 2
