"""OpenTelemetry: a span for each accept and each attempt. Needs the extra `opentelemetry`.

Invariant: nothing here waits for a collector but `close`, and no payload, secret or path of a URL
is in a span. See `engine.spans` for what each verb has to do.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
)
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
)
from opentelemetry.trace import TracerProvider as AnyProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import stafett
from stafett import errors
from stafett.ids import AttemptId
from stafett.model import DueDelivery, Endpoint, Message, Outcome

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_CLOSE_SECONDS: Final = 3.0


class Tracer:
    """An `engine.spans.Tracer` that hands its spans to a provider of OpenTelemetry."""

    def __init__(self, provider: AnyProvider, *, tell_receivers: bool = False) -> None:
        """`tell_receivers`: they are sent a `traceparent`."""
        self._provider = provider
        self._tracer = provider.get_tracer("stafett", stafett.__version__)
        self._tell_receivers = tell_receivers

    @contextmanager
    def accepting(self, caller: str | None) -> Generator[Accepting]:
        span = self._tracer.start_span(
            "stafett.accept",
            context=None if caller is None else _context(caller),
            kind=SpanKind.SERVER,
        )
        try:
            yield Accepting(span)
        except errors.StafettError as error:
            span.set_attribute("error.type", error.code)
            if isinstance(error, errors.Unavailable):  # others are the caller's own fault
                span.set_status(Status(StatusCode.ERROR, error.detail))
            raise
        finally:
            span.end()

    @contextmanager
    def attempting(
        self, due: DueDelivery, endpoint: Endpoint, attempt_id: AttemptId
    ) -> Generator[Attempting]:
        span = self._tracer.start_span(
            "stafett.attempt",
            # Never what happens to be current: dispatch goes on in whatever task woke it.
            context=Context() if due.trace is None else _context(due.trace),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "POST",
                "server.address": _host(endpoint.url),
                "stafett.application": due.app_id,
                "stafett.endpoint": due.endpoint_id,
                "stafett.message": due.message_id,
                "stafett.event_type": due.event_type,
                "stafett.delivery": due.id,
                "stafett.attempt": attempt_id,
                "stafett.failure_count": due.failure_count,
                "stafett.trigger": due.trigger.value,
                "stafett.test": due.test,
            },
        )
        try:
            yield Attempting(span, told=self._tell_receivers)
        finally:
            span.end()

    def close(self) -> None:
        # The provider itself may wait half a minute for a collector that is away.
        shutdown = getattr(self._provider, "shutdown", None)
        if shutdown is not None:
            thread = threading.Thread(target=shutdown, daemon=True)
            thread.start()
            thread.join(_CLOSE_SECONDS)


class Accepting:
    """See `engine.spans.Accepting`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.trace = _traceparent(span)

    def accepted(self, *messages: Message) -> None:
        self._span.set_attribute("stafett.message_count", len(messages))
        if len(messages) == 1:
            [message] = messages
            self._span.set_attribute("stafett.application", message.app_id)
            self._span.set_attribute("stafett.message", message.id)
            self._span.set_attribute("stafett.event_type", message.event_type)
            self._span.set_attribute("stafett.endpoint_count", message.endpoint_count)


class Attempting:
    """See `engine.spans.Attempting`."""

    def __init__(self, span: Span, *, told: bool) -> None:
        self._span = span
        self.to_receiver = _traceparent(span) if told else None

    def ended(self, outcome: Outcome) -> None:
        if outcome.status_code is not None:
            self._span.set_attribute("http.response.status_code", outcome.status_code)
        if outcome.cause is not None:
            self._span.set_attribute("error.type", outcome.cause.value)
            # Not the detail, which may name the path that a redirect leads to.
            self._span.set_status(Status(StatusCode.ERROR, outcome.cause.value))


def from_environment(environ: Mapping[str, str], *, tell_receivers: bool) -> Tracer:
    """What the standard `OTEL_` variables ask for. Errors: InvalidSettings."""
    named = Resource({"service.name": "stafett", "service.version": stafett.__version__})
    resource = Resource.create().merge(named).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    match environ.get("OTEL_TRACES_EXPORTER") or "otlp":
        case "otlp":
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        case "console":
            provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        case other:
            message = f"OTEL_TRACES_EXPORTER is {other!r}; there are otlp, console and none"
            raise errors.InvalidSettings(message)
    return Tracer(provider, tell_receivers=tell_receivers)


def _context(traceparent: str) -> Context:
    """An empty one for what is no `traceparent`: then a trace begins."""
    return _PROPAGATOR.extract({"traceparent": traceparent}, Context())


def _host(url: str) -> str:
    """Nothing for what is no URL: that attempt fails, and says so."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _traceparent(span: Span) -> str:
    of = span.get_span_context()
    ids = f"{format_trace_id(of.trace_id)}-{format_span_id(of.span_id)}"
    return f"00-{ids}-{int(of.trace_flags):02x}"
