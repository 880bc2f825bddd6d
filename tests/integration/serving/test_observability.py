"""What services tell of themselves: request ids, lines, metrics, traces, defects; and that they end without loss."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from uuid import uuid4

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError
from serving.app import create_app
from serving.flags import Flags
from serving.observability.access_log import AccessLog
from serving.observability.exchanges import Exchange
from serving.observability.instruments import Instruments
from serving.observability.tracing import Tracing
from serving.response_cache import ResponseCache
from tests.integration.serving.gateways import running_five
from tests.integration.serving.metrics import samples
from tests.integration.serving.running import Serve, local_settings
from tests.integration.serving.seeding import Seeded
from tests.ports import free_port_offset

INSTRUMENT = "/api/v1/instruments/{symbol}"


# Request ids -----------------------------------------------------------------------------------------------


def test_every_answer_has_an_id(api: httpx.Client) -> None:
    ids = set()
    for path in ("/health", "/api/v1/instruments", "/api/v1/instruments", "/api/v1/none", "/docs", "/metrics"):
        ids.add(api.get(path).headers["x-request-id"])
    assert len(ids) == 6
    assert api.get("/health", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert api.get("/health", headers={"X-Request-ID": "<script>"}).headers["x-request-id"] != "<script>"


def test_problems_name_the_request(api: httpx.Client) -> None:
    for path, status in (("/api/v1/instruments/NONE", 404), ("/api/v1/fx?limit=x", 404), ("/docs/none", 404)):
        answer = api.get(path, headers={"X-Request-ID": "mine"})
        assert (answer.status_code, answer.json()["request_id"]) == (status, "mine")


def test_a_defect_names_the_request(own_seeded: Seeded, serve: Serve, monkeypatch, caplog) -> None:
    monkeypatch.setattr("serving.routes.instruments.read_instruments", lambda _: 1 / 0)
    client = serve(own_seeded.database.url).client
    answer = client.get("/api/v1/instruments", headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.json()["request_id"], answer.headers["x-request-id"]) == (500, "mine", "mine")
    assert "(request mine)" in caplog.text
    assert samples(client, "fintech_http_requests_total")["GET", "/api/v1/instruments", "500"] == 1


# Metrics ---------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_route_and_status(own_api: httpx.Client) -> None:
    for symbol in ("AAPL", "AAPL", "MSFT", "NONE"):
        own_api.get(f"/api/v1/instruments/{symbol}")
    own_api.head("/api/v1/instruments/AAPL")
    body = own_api.get("/api/v1/instruments/AAPL").content
    requests = samples(own_api, "fintech_http_requests_total")
    assert requests["GET", INSTRUMENT, "200"] == 4
    assert requests["GET", INSTRUMENT, "404"] == 1
    assert requests["HEAD", INSTRUMENT, "200"] == 1
    assert samples(own_api, "fintech_http_request_seconds_count")[INSTRUMENT,] == 6
    assert samples(own_api, "fintech_http_request_seconds_bucket")["10.0", INSTRUMENT] == 6
    assert samples(own_api, "fintech_http_response_bytes_total")[INSTRUMENT,] > 3 * len(body)
    assert samples(own_api, "process_resident_memory_bytes")[()] > 10**7


def test_callers_make_no_labels(own_api: httpx.Client) -> None:
    for number in range(20):
        own_api.get(f"/{number}/x")
        own_api.get(f"/api/v1/instruments/X{number}")
        own_api.request(f"VERB{number}", "/health")
    requests = samples(own_api, "fintech_http_requests_total")
    assert len(requests) < 8
    assert requests["GET", "unmatched", "404"] == 20
    assert sum(value for (method, *_), value in requests.items() if method == "OTHER") == 20


def test_strangers_read_no_metrics(seeded: Seeded, serve: Serve) -> None:
    secrets = {"jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("kéy")}
    client = serve(seeded.database.url, environment="production", **secrets).client
    for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": "kéy".encode()}):
        answer = client.get("/metrics", headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/metrics", headers={"Authorization": "Bearer kéy".encode()}).status_code == 200


def test_without_metrics_there_is_no_page(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, metrics=False).client
    assert client.get("/metrics").status_code == 404
    assert "x-request-id" not in client.get("/health").headers  # nobody would find it anywhere


# Lines -----------------------------------------------------------------------------------------------------


def test_each_request_is_a_line_of_json(seeded: Seeded) -> None:
    with process(seeded.database.url, LOG_LEVEL="info") as (client, running):
        client.get("/api/v1/instruments/AAPL", headers={"X-Request-ID": "first"})
        client.get("/api/v1/instruments/AAPL", headers={"X-Request-ID": "second"})
        client.get("/api/v1/instruments/N%0AONE?secret=1", headers={"X-Request-ID": "third"})
        running.send_signal(signal.SIGTERM)
        out, errors = running.communicate(timeout=15)
    lines = {line["request_id"]: line for line in map(json.loads, out.splitlines())}
    assert set(lines["first"]) == {
        *("event", "level", "service", "timestamp"),
        *("method", "route", "status", "duration_ms", "bytes", "request_id"),
    }
    for name in ("first", "second"):
        line = lines[name]
        assert (line["method"], line["route"], line["status"]) == ("GET", INSTRUMENT, 200)
        assert (line["service"], line["event"], line["level"]) == ("backend-api", "request", "info")
        assert 0 < line["duration_ms"] < 15_000
        assert line["bytes"] > 100
    assert (lines["third"]["route"], lines["third"]["status"]) == (INSTRUMENT, 422)
    assert "secret" not in out
    assert "Traceback" not in errors


@pytest.mark.parametrize("variables", [{"LOG_LEVEL": "warning"}, {"FINTECH_ACCESS_LOG": "false"}])
def test_lines_can_be_switched_off(seeded: Seeded, variables: dict[str, str]) -> None:
    with process(seeded.database.url, **variables) as (client, running):
        client.get("/health")
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=15)
    assert out == ""


def test_lines_keep_their_order_and_an_output_that_is_gone_harms_nobody() -> None:
    class Gone(BytesIO):
        def write(self, _: object) -> int:
            raise BrokenPipeError

    def exchange(number: int) -> Exchange:
        return Exchange("GET", "/x", 200, 0.001, 10, str(number), 1_700_000_000.0)

    for output in (BytesIO(), Gone()):
        log = AccessLog("backend-api", output)
        log.open()
        for number in range(1_000):
            log(exchange(number))
        log.close()
        lines = [json.loads(line) for line in output.getvalue().splitlines()]
        assert [line["request_id"] for line in lines] == [str(n) for n in range(1_000 if lines else 0)]
    assert lines == []


# Traces and defects ----------------------------------------------------------------------------------------


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that takes whatever is posted; its address and what came."""
    posted: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", posted
        finally:
            server.shutdown()
            thread.join()


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


def unpacked(body: bytes) -> bytes:
    """A posted body; whoever posts packs it with Brotli where that is installed, else with gzip."""
    import gzip  # noqa: PLC0415

    import brotli  # noqa: PLC0415

    if body.startswith(b"\x1f\x8b"):
        return gzip.decompress(body)
    try:
        return brotli.decompress(body)
    except brotli.error:
        return body


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


def test_defects_are_reported_without_what_callers_wrote(own_seeded: Seeded, serve: Serve, monkeypatch) -> None:
    secret = uuid4().hex

    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("serving.routes.instruments.read_instruments", fail)
    with receiver() as (address, posted):
        client = serve(own_seeded.database.url, sentry_dsn=SecretStr(address.replace("//", "//key@") + "/1")).client
        answer = client.get(
            "/api/v1/instruments", headers={"X-Request-ID": "mine", "Authorization": f"Bearer {secret}"}
        )
        assert answer.status_code == 500
        assert client.get("/api/v1/instruments/NONE").status_code == 404  # no defect
        deadline = time.monotonic() + 5
        while not posted and time.monotonic() < deadline:
            time.sleep(0.02)
    text = b"".join(unpacked(body) for _, body in posted).decode()
    assert "ZeroDivisionError" in text
    assert '"request_id":"mine"' in text.replace(" ", "")
    assert "NotFoundError" not in text
    assert secret not in text
    assert '"vars"' not in text


def test_an_address_for_defects_that_is_none_is_named(seeded: Seeded) -> None:
    with pytest.raises(ConfigurationError, match="SENTRY_DSN") as error:
        create_app("backend-api", local_settings(seeded.database.url, sentry_dsn=SecretStr("secret-nonsense")))
    assert "nonsense" not in str(error.value)


# The end ---------------------------------------------------------------------------------------------------


def test_requests_in_flight_are_answered_before_the_end(own_seeded: Seeded) -> None:
    with process(own_seeded.database.url) as (client, running), ThreadPoolExecutor(30) as threads:
        assert client.get("/health/ready").status_code == 200
        with own_seeded.database.connect() as lock:
            lock.execute("LOCK TABLE instrument IN ACCESS EXCLUSIVE MODE")
            asked = [
                threads.submit(client.get, "/api/v1/instruments/AAPL/prices", params={"limit": number + 1})
                for number in range(6)
            ] + [threads.submit(client.get, "/api/v1/instruments") for _ in range(20)]
            time.sleep(1.0)
            running.send_signal(signal.SIGTERM)
            time.sleep(1.0)
            assert not any(future.done() for future in asked)
            lock.commit()
        answers = [future.result() for future in asked]
        out, errors = running.communicate(timeout=15)
    assert [answer.status_code for answer in answers] == [200] * 26
    assert running.returncode == 0, errors
    assert len([line for line in out.splitlines() if "/api/v1/" in line]) == 26


@contextmanager
def process(url: str, **variables: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """The gateway in a process of its own, as a container runs it."""
    port = 3000 + free_port_offset()
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": url, "FINTECH_ENV": "local", "PORT": str(port), **variables}
    command = [sys.executable, "-m", "serving", "backend-api"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            limits = httpx.Limits(max_connections=100)
            address = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=address, timeout=15, trust_env=False, limits=limits) as client:
                _wait_for(client, running)
                yield client, running
        finally:
            running.kill()


def _wait_for(client: httpx.Client, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            client.get("/health")
            return
        except httpx.ConnectError:
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
