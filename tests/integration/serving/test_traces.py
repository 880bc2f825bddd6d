"""Traces that services send: whose they are, where they lead, and who decides which requests have one."""

from __future__ import annotations

import signal
import time

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from serving.flags import Flags
from serving.observability.instruments import Instruments
from serving.observability.tracing import Tracing
from serving.response_cache import ResponseCache
from tests.integration.serving.gateways import running_five
from tests.integration.serving.posting import process, receiver, unpacked
from tests.integration.serving.running import local_settings
from tests.integration.serving.seeding import Seeded


def test_traces_go_from_the_caller_to_postgres(seeded: Seeded) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with receiver() as (address, posted):
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_TRACES_SAMPLER_ARG": "0"}
        with process(seeded.database.url, **variables) as (client, running):
            client.get("/api/v1/instruments", headers={"traceparent": f"00-{trace}-{parent}-01"})
            client.get("/api/v1/instruments/MSFT", headers={"traceparent": f"00-{trace}-{parent}-00"})
            client.get("/api/v1/instruments/SPX", headers={"traceparent": "nonsense"})
            running.send_signal(signal.SIGTERM)
            running.communicate(timeout=15)
    [(path, body)] = posted
    assert path == "/v1/traces"
    [resource] = ExportTraceServiceRequest.FromString(unpacked(body)).resource_spans
    spans = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert set(spans) == {"GET /api/v1/instruments", "postgres"}
    request, reading = spans["GET /api/v1/instruments"], spans["postgres"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (trace, parent)
    assert (reading.trace_id.hex(), reading.parent_span_id) == (trace, request.span_id)
    attributes = {attribute.key: attribute.value for attribute in request.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["http.route"].string_value == "/api/v1/instruments"


def service_of(resource: ResourceSpans) -> str:
    [name] = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
    return str(name)


def test_one_trace_leads_through_the_gateway_and_the_service_to_postgres(seeded: Seeded) -> None:
    with receiver() as (address, posted):
        with running_five(seeded.database.url, otlp_endpoint=address, trace_ratio=1.0, cache_mib=0) as (gateway, _):
            assert gateway.client.get("/api/v1/instruments/AAPL").status_code == 200
        requests = [ExportTraceServiceRequest.FromString(unpacked(body)) for _, body in posted]
    spans = {
        (service_of(resource), span.name): span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    named = {service for service, _ in spans}
    asked = spans["backend-api", "GET /api/v1/instruments/{symbol}"]
    called = spans["backend-api", "market-data-ingestion"]
    answered = spans["market-data-ingestion", "GET /api/v1/instruments/{symbol}"]
    read = spans["market-data-ingestion", "postgres"]
    assert named == {"backend-api", "market-data-ingestion"}
    assert len({span.trace_id for span in (asked, called, answered, read)}) == 1
    assert called.parent_span_id == asked.span_id
    assert answered.parent_span_id in (called.span_id, asked.span_id)
    assert read.parent_span_id == answered.span_id


TRACED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(("believes", "ratio", "taken"), [(True, 0.0, True), (False, 0.0, False), (False, 1.0, True)])
def test_strangers_do_not_decide_what_is_traced(believes: bool, ratio: float, taken: bool) -> None:
    tracing = Tracing("backend-api", "http://127.0.0.1:1", ratio, believes_callers=believes)
    tracing.open()
    try:
        assert tracing.takes(TRACED) is taken
        assert tracing.left_out(TRACED) == (TRACED if believes else TRACED[:-1] + "0")
        assert tracing.left_out("nonsense") == "nonsense"
        assert tracing.left_out(None) is None
    finally:
        tracing.close()


@pytest.mark.parametrize(
    ("service", "environment", "expected"),
    [
        ("backend-api", "local", True),
        ("backend-api", "production", False),
        ("python-risk-engine", "production", True),
    ],
)
def test_the_gateway_believes_nobody_but_this_machine(service: str, environment: str, expected: bool) -> None:
    settings = local_settings("postgresql://u@h/d", environment=environment, otlp_endpoint="http://127.0.0.1:1")
    cache = ResponseCache.of(service, settings, None, Flags("postgresql://u@h/d"))
    tracing = Instruments.of(service, settings, cache).tracing
    assert tracing is not None
    assert tracing._believes_callers is expected


def test_a_share_of_the_requests_is_traced(seeded: Seeded) -> None:
    with receiver() as (address, posted):
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_TRACES_SAMPLER_ARG": "0.2"}
        with process(seeded.database.url, **variables) as (client, running):
            for _ in range(300):
                client.get("/health")
            running.send_signal(signal.SIGTERM)
            running.communicate(timeout=15)
    requests = [ExportTraceServiceRequest.FromString(unpacked(body)) for _, body in posted]
    spans = [s for request in requests for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert 25 < len(spans) < 100  # 60, six standard deviations around


def test_a_collector_that_is_gone_harms_nobody(seeded: Seeded) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER_ARG": "1"}
    with process(seeded.database.url, **variables) as (client, running):
        assert client.get("/api/v1/instruments").status_code == 200
        started = time.monotonic()
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)
    assert running.returncode == 0
    assert time.monotonic() - started < 10
