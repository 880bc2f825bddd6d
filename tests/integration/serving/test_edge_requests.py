"""What callers may send, over real HTTP: sizes, depths, heads and patience; and the headers of every answer."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from serving.edge import bodies, slow_clients
from serving.edge.bodies import BodyLimits
from tests.integration.serving.metrics import samples
from tests.integration.serving.running import Running, Serve
from tests.integration.serving.seeding import Seeded

PORTFOLIOS = "/api/v1/portfolios"
CALCULATE = "/api/v1/calculate"
JSON = {"content-type": "application/json"}
POSTS = (
    PORTFOLIOS,
    CALCULATE,
    f"{PORTFOLIOS}/held/risk",
    f"{PORTFOLIOS}/held/tail",
    f"{PORTFOLIOS}/held/stress",
    f"{PORTFOLIOS}/held/decomposition",
    f"{PORTFOLIOS}/held/backtests",
    "/api/v1/quarantine/AAPL/2022-12-28/release",
    "/api/v1/quarantine/AAPL/2022-12-28/reject",
)
FIELDS = {
    PORTFOLIOS: '{"name": %s, "positions": [{"symbol": "AAPL", "quantity": %s}]}',
    CALCULATE: '{"measures": [%s], "returns": {"values": [%s, 0.1]}}',
    f"{PORTFOLIOS}/held/risk": '{"benchmark": %s, "confidence": %s}',
    f"{PORTFOLIOS}/held/tail": '{"method": %s, "confidence": %s}',
    f"{PORTFOLIOS}/held/stress": '{"scenario": %s, "hypothetical": {"market": %s}}',
    f"{PORTFOLIOS}/held/decomposition": '{"measure": %s, "confidence": %s}',
    f"{PORTFOLIOS}/held/backtests": '{"method": %s, "confidence": %s}',
}
HOSTILE_TEXTS = ('"\\u0000"', '"\\ud800"', '"' + "x" * 10_000 + '"')
HOSTILE_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "1" * 5_000, str(2**63), "-0.0e-999")


def require_problem(answer: httpx.Response, status: int, words: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert words in answer.json()["detail"]


# Bodies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "bomb",
    [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b'{"a":[' * 50_000 + b"]}" * 50_000],
    ids=["open", "closed", "objects", "mixed"],
)
def test_a_nesting_bomb_is_refused(api: httpx.Client, path: str, bomb: bytes) -> None:
    started = time.monotonic()
    require_problem(api.post(path, content=bomb, headers=JSON), 422, "nested deeper than 32")
    assert time.monotonic() - started < 5.0


def test_32_levels_are_refused_by_the_route_alone(api: httpx.Client) -> None:
    answer = api.post(PORTFOLIOS, content=b"[" * 32 + b"]" * 32, headers=JSON)
    require_problem(answer, 422)
    assert "nested" not in answer.json()["detail"]


@pytest.mark.parametrize("path", FIELDS)
def test_no_hostile_value_is_a_defect(api: httpx.Client, path: str) -> None:
    for text in HOSTILE_TEXTS:
        answer = api.post(path, content=FIELDS[path] % (text, "0.5"), headers=JSON)
        require_problem(answer, 422)
    for number in HOSTILE_NUMBERS:
        answer = api.post(path, content=FIELDS[path] % ('"AAPL"', number), headers=JSON)
        assert answer.status_code == 422 or (answer.status_code < 400 and number == "-0.0e-999"), (number, answer.text)


def test_50_megabytes_that_are_declared_are_not_waited_for(seeded: Seeded, serve: Serve) -> None:
    service = serve(seeded.database.url)
    with raw(service) as connection:
        connection.sendall(
            head("POST", CALCULATE, **{"Content-Length": "50000000", "Content-Type": "application/json"})
        )
        started = time.monotonic()
        answer = received(connection)
    assert time.monotonic() - started < 5.0
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


def test_50_megabytes_in_chunks_are_given_up_after_the_first(seeded: Seeded, serve: Serve) -> None:
    service = serve(seeded.database.url)
    before = samples(service.client, "process_resident_memory_bytes")[()]
    answer = service.client.post(CALCULATE, content=(b" " * 100_000 for _ in range(500)), headers=JSON)
    require_problem(answer, 413, "1048576 bytes")
    assert samples(service.client, "process_resident_memory_bytes")[()] - before < 20 * 2**20


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x"])
def test_a_compressed_body_is_refused(api: httpx.Client, encoding: str) -> None:
    answer = api.post(CALCULATE, content=b"\x1f\x8b", headers={**JSON, "Content-Encoding": encoding})
    require_problem(answer, 415, "compressed")
    assert answer.headers["accept-encoding"] == "identity"


def test_a_body_that_says_it_is_not_compressed_is_taken(api: httpx.Client) -> None:
    headers = {**JSON, "Content-Encoding": "identity"}
    assert api.post(f"{PORTFOLIOS}/held/risk", content=b"{}", headers=headers).status_code == 200


# Heads -----------------------------------------------------------------------------------------------------


def test_a_long_address_is_refused_before_anything_keeps_it(own_api: httpx.Client) -> None:
    require_problem(own_api.get(f"/api/v1/instruments?limit={'1' * 8_000}"), 414, "8000 bytes")
    require_problem(own_api.get(f"/api/v1/instruments/{'a' * 8_000}"), 414)
    assert own_api.get(f"/api/v1/instruments/AAPL/prices?start={'1' * 7_900}").status_code == 422


def test_many_headers_are_refused(api: httpx.Client) -> None:
    require_problem(api.get("/api/v1/instruments", headers={f"x-{i}": "1" for i in range(101)}), 431, "100 headers")


# Patience --------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of tests; only the bounds are shorter than in production."""
    quick = replace(BodyLimits(0), between_seconds=0.4, total_seconds=1.0)
    monkeypatch.setattr(
        "serving.app.BodyLimits", lambda size: BodyLimits(size, quick.between_seconds, quick.total_seconds)
    )
    monkeypatch.setattr(slow_clients, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(slow_clients, "DISCARD_SECONDS", 0.5)
    monkeypatch.setattr(slow_clients, "WRITE_SECONDS", 0.5)


@pytest.fixture
def service(impatient: None, seeded: Seeded, serve: Serve) -> Running:
    return serve(seeded.database.url)


def raw(service: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=5)


def head(method: str, path: str, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def received(connection: socket.socket) -> bytes:
    return connection.recv(65_536)


def seconds_until_closed(connection: socket.socket, dripped: bytes = b"") -> float:
    """Send a byte now and then until the other side has closed."""
    started = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - started < 5:
        try:
            if dripped:
                connection.sendall(dripped)
            if not connection.recv(65_536):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - started


def test_a_body_that_stops_is_refused(service: Running) -> None:
    declared = {"Content-Length": "1000", "Content-Type": "application/json"}
    with raw(service) as connection:
        connection.sendall(head("POST", CALCULATE, **declared) + b'{"a"')
        started = time.monotonic()
        answer = received(connection)
        assert 0.3 < time.monotonic() - started < 5.0
        assert answer.startswith(b"HTTP/1.1 408")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 408
        assert seconds_until_closed(connection) < 5.0


def test_a_body_that_drips_is_refused(service: Running) -> None:
    declared = {"Content-Length": "1000", "Content-Type": "application/json"}
    with raw(service) as connection:
        connection.sendall(head("POST", CALCULATE, **declared))
        started = time.monotonic()
        assert 0.8 < seconds_until_closed(connection, b" ") < 2.0
        assert time.monotonic() - started < 2.0


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_end_is_closed(service: Running, begun: bytes) -> None:
    with raw(service) as connection:
        connection.sendall(begun)
        started = time.monotonic()
        answer = received(connection)
        assert 0.4 < time.monotonic() - started < 1.5
        assert answer.startswith(b"HTTP/1.1 408") if begun else answer == b""


def test_a_head_that_drips_is_closed(service: Running) -> None:
    """Slowloris: each byte would begin the wait anew."""
    with raw(service) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        assert 0.4 < seconds_until_closed(connection, b"a") < 1.5


def test_the_second_head_of_a_connection_has_as_much_time(service: Running) -> None:
    with raw(service) as connection:
        for _ in range(3):
            connection.sendall(head("GET", "/health"))
            assert received(connection).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)
        connection.sendall(b"GET / HT")
        assert 0.4 < seconds_until_closed(connection, b"a") < 1.5


def test_a_body_that_nobody_wants_is_not_read_for_ever(service: Running) -> None:
    with raw(service) as connection:
        connection.sendall(head("POST", CALCULATE, **{"Content-Length": "50000000"}))
        assert received(connection).startswith(b"HTTP/1.1 413")
        assert 0.3 < seconds_until_closed(connection, b"a") < 1.5


def test_an_answer_that_nobody_reads_is_given_up(service: Running) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        for _ in range(100):  # pipelined: the answers wait for one another
            connection.sendall(head("GET", "/docs/swagger-ui-bundle.js"))
        time.sleep(1.5)
        assert seconds_until_closed(connection) < 2.0


def test_an_answer_that_is_read_slowly_is_read_to_its_end(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "LEAST_BYTES", 16_384)
    asked = 20
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", service.port))
        for _ in range(asked - 1):
            connection.sendall(head("GET", "/docs/swagger-ui-bundle.js"))
        connection.sendall(head("GET", "/docs/swagger-ui-bundle.js", Connection="close"))
        started, received_bytes = time.monotonic(), 0
        while piece := connection.recv(65_536):
            received_bytes += len(piece)
            if time.monotonic() - started < 3.0:  # several times the patience of this service
                time.sleep(0.005)
    one = len(service.client.get("/docs/swagger-ui-bundle.js").content)
    assert time.monotonic() - started > 1.0
    assert received_bytes > asked * one


def test_slow_clients_hold_nobody_up(service: Running) -> None:
    connections = [raw(service) for _ in range(50)]
    for connection in connections:
        connection.sendall(head("POST", CALCULATE, **{"Content-Length": "100"}) + b"{")
    started = time.monotonic()
    assert service.client.get("/api/v1/instruments").status_code == 200
    assert time.monotonic() - started < 5.0
    for connection in connections:
        connection.close()


def test_the_limits_of_production_are_those_that_are_documented() -> None:
    assert (bodies.BodyLimits(1).between_seconds, bodies.BodyLimits(1).total_seconds) == (10.0, 30.0)
    assert (slow_clients.HEAD_SECONDS, slow_clients.DISCARD_SECONDS, slow_clients.WRITE_SECONDS) == (10.0, 5.0, 30.0)
    assert slow_clients.LEAST_BYTES == 65_536


# Headers of answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/docs/docs.js", "/openapi.json", "/health", "/none", "/api/v1/instruments", "/api/v1/none"]
)
def test_every_answer_tells_browsers_what_it_may_do(api: httpx.Client, path: str) -> None:
    headers = api.get(path).headers
    for name, value in (("x-content-type-options", "nosniff"), ("cross-origin-resource-policy", "same-origin")):
        assert headers.get_list(name) == [value]
    assert len(headers.get_list("content-security-policy")) == 1
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize("path", ["/", "/docs", "/portfolios/none"])
def test_every_document_keeps_to_itself(api: httpx.Client, path: str) -> None:
    headers = api.get(path).headers
    assert headers.get_list("cross-origin-opener-policy") == ["same-origin"]
    assert "geolocation=()" in headers["permissions-policy"]
    assert headers["referrer-policy"] in ("no-referrer", "same-origin")


def test_refusals_and_answers_to_post_are_not_kept(api: httpx.Client) -> None:
    for answer in (api.get("/api/v1/none"), api.post(f"{PORTFOLIOS}/held/risk"), api.get("/health")):
        assert answer.headers["cache-control"] == "no-store"
    assert api.get("/api/v1/instruments").headers["cache-control"] == "private, no-cache"


def test_the_answer_to_a_defect_has_them_too(own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.routes.instruments.read_instruments", lambda _: 1 / 0)
    answer = serve(own_seeded.database.url).client.get("/api/v1/instruments")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_who_comes_by_https_is_told_to_stay_there(seeded: Seeded, serve: Serve) -> None:
    secrets = {"jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("k" * 32)}
    service = serve(
        seeded.database.url, environment="production", trusted_proxies=("127.0.0.0/8",), rate_limit="none", **secrets
    )
    by_tls = service.client.get("/health", headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})
    assert by_tls.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in service.client.get("/health").headers


# Other origins ---------------------------------------------------------------------------------------------

ORIGIN = "https://app.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key,authorization"}


def test_pages_of_other_origins_may_not_call(api: httpx.Client) -> None:
    answer = api.get("/api/v1/instruments", headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert api.options(PORTFOLIOS, headers={"Origin": ORIGIN, **PREFLIGHT}).status_code == 405


def test_pages_of_named_origins_may_call_without_cookies(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, cors_origins=(ORIGIN,)).client
    for _ in range(2):  # also from the cache
        answer = client.get("/api/v1/instruments", headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        assert "RateLimit-Remaining" in answer.headers["access-control-expose-headers"]
        assert "Origin" in ", ".join(answer.headers.get_list("vary"))
    asked = client.options(PORTFOLIOS, headers={"Origin": ORIGIN, **PREFLIGHT})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    for origin in ("https://evil.example", "http://app.example.com", f"{ORIGIN}.evil.example", "null"):
        assert "access-control-allow-origin" not in client.get("/health", headers={"Origin": origin}).headers
        refused = client.options(PORTFOLIOS, headers={"Origin": origin, **PREFLIGHT})
        require_problem(refused, 403, "origin is not allowed")
        assert "access-control-allow-origin" not in refused.headers
