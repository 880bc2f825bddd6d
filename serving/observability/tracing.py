"""OpenTelemetry traces of some requests, and W3C trace context for all (https://www.w3.org/TR/trace-context/).

Hand-written around the SDK, because FastAPI's own instrumentation and the SDK's sampler make a span of every request
before they let most of them go: 100 µs where one request of a hundred is traced.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""What calls to other services send as ``traceparent``; None for no trace."""

_TRACER: ContextVar[Tracer | None] = ContextVar("tracer", default=None)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = 1


class Tracing:
    """Makes spans and sends them in the background.

    A caller's decision counts, if it is believed and one was made; else a share of the requests is traced.

    Parameters
    ----------
    service
        Named in each span.
    endpoint
        Address of a collector; spans go to ``/v1/traces`` there.
    ratio
        Share of requests, from 0 to 1.
    believes_callers
        Whether a caller that traces a request decides for this service, too. Strangers could have all of theirs
        traced; the trace that they name is gone on with all the same.
    """

    def __init__(self, service: str, endpoint: str, ratio: float, *, believes_callers: bool) -> None:
        self._service = service
        self._endpoint = endpoint.rstrip("/") + "/v1/traces"
        self._ratio = ratio
        self._believes_callers = believes_callers
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None

    def open(self) -> None:
        """Load the SDK and begin to send."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        # Not the global one, which would switch on FastAPI's own instrumentation as well.
        self._provider = TracerProvider(ALWAYS_ON, Resource.create({"service.name": self._service}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(self._endpoint, timeout=5)))
        self._tracer = self._provider.get_tracer("fintech.serving")

    def close(self) -> None:
        """Send what waits, and end."""
        if self._provider is not None:
            self._provider.shutdown()

    def takes(self, traceparent: str | None) -> bool:
        """Whether a request is traced."""
        if self._tracer is None:
            return False
        parent = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if parent is not None and self._believes_callers:
            return bool(int(parent[3], 16) & _SAMPLED)
        return random.random() < self._ratio  # noqa: S311 - no secret

    def left_out(self, traceparent: str | None) -> str | None:
        """What the services behind this one are told of a request that is not traced here."""
        parent = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        if parent is None or self._believes_callers:
            return traceparent
        return f"00-{parent[1]}-{parent[2]}-00"

    @contextmanager
    def request(self, method: str, traceparent: str | None) -> Iterator[RequestSpan]:
        """A span around a request, the parent of everything inside."""
        from opentelemetry.trace import SpanKind, set_span_in_context, use_span  # noqa: PLC0415

        assert self._tracer is not None  # `takes` said so
        parent = _remote(traceparent)
        context = set_span_in_context(parent) if parent is not None else None
        span = self._tracer.start_span(method, context=context, kind=SpanKind.SERVER)
        _TRACER.set(self._tracer)
        TRACEPARENT.set(_traceparent_of(span))
        with use_span(span, end_on_exit=True):
            yield RequestSpan(span, method)


@dataclass(frozen=True, slots=True)
class RequestSpan:
    """The span of a request under way."""

    span: Span
    method: str

    def end(self, route: str, status: int, request_id: str) -> None:
        """Say how the request was answered."""
        self.span.update_name(f"{self.method} {route}")
        self.span.set_attributes(
            {
                "http.request.method": self.method,
                "http.route": route,
                "http.response.status_code": status,
                "fintech.request_id": request_id,
            }
        )


def step(name: str) -> AbstractContextManager[object]:
    """A span inside the request under way, if it is traced, for what it spends its time on."""
    tracer = _TRACER.get()
    return nullcontext() if tracer is None else tracer.start_as_current_span(name)


def _remote(traceparent: str | None) -> Span | None:
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags  # noqa: PLC0415

    parent = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if parent is None:
        return None
    context = SpanContext(int(parent[1], 16), int(parent[2], 16), is_remote=True, trace_flags=TraceFlags(_SAMPLED))
    return NonRecordingSpan(context) if context.is_valid else None


def _traceparent_of(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
