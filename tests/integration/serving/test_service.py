"""How the services live: health, failures of Postgres, secrets, documentation, ports and signals."""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError, PlatformError
from pipeline.store.engine import Database, libpq_url
from pipeline.store.instruments import Instrument
from pipeline.store.readiness import check_readiness
from serving.app import create_app
from serving.routes import health
from serving.server import Address, addresses, listening_socket
from serving.server import serve as serve_services
from serving.services import SERVICES
from tests.integration.serving.running import Serve, local_settings
from tests.integration.serving.seeding import Seeded
from tests.ports import free_port_offset

NOBODY = "postgresql://user:secret@127.0.0.1:1/none"


@pytest.mark.parametrize("name", [service.name for service in SERVICES])
def test_health_has_four_fields(seeded: Seeded, serve: Serve, name: str) -> None:
    client = serve(seeded.database.url, name).client
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"status", "service", "timestamp", "version"}
    assert (body["status"], body["service"]) == ("healthy", name)
    assert datetime.now(UTC) - datetime.fromisoformat(body["timestamp"]) < timedelta(seconds=10)
    ready = client.get("/health/ready").json()
    assert (ready["status"], ready["service"]) == ("ready", name)
    assert ready["schema_revision"]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("image", "digest"),
    [(None, None), ("registry.example:5000/acme/api:latest", None), ("docker.io/acme/api@sha256:0a1b", "sha256:0a1b")],
)
def test_readiness_tells_the_digest_of_its_image(seeded: Seeded, serve: Serve, image: str | None, digest: str) -> None:
    ready = serve(seeded.database.url, current_image=image).client.get("/health/ready").json()
    assert ready["image_digest"] == digest


def test_a_service_serves_its_slice_only(seeded: Seeded, serve: Serve) -> None:
    client = serve(seeded.database.url, "market-data-ingestion").client
    assert client.get("/api/v1/instruments").status_code == 200
    assert client.get("/api/v1/portfolios").status_code == 404
    assert client.get("/api/v1/instruments/AAPL/risk").status_code == 404


def test_without_postgres_the_service_lives_and_says_why(serve: Serve) -> None:
    client = serve(NOBODY).client
    assert client.get("/health").status_code == 200
    for path in ("/health/ready", "/api/v1/instruments"):
        start = time.monotonic()
        answer = client.get(path)
        assert time.monotonic() - start < 2.8
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"]
        assert "No Postgres answers at postgresql://user@127.0.0.1:1/none" in answer.json()["detail"]
        assert "secret" not in answer.text


def test_a_flood_of_probes_is_one_check(seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[float] = []

    def check(*arguments: object) -> str:
        checks.append(time.monotonic())
        time.sleep(0.3)
        return check_readiness(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(health, "check_readiness", check)
    client = serve(seeded.database.url).client
    with ThreadPoolExecutor(20) as threads:
        statuses = set(threads.map(lambda _: client.get("/health/ready").status_code, range(200)))
    assert statuses == {200}
    # One that is under way is waited for, and what it has found counts for a second.
    assert len(checks) == 1 or min(b - a for a, b in pairwise(checks)) > health.HELD_SECONDS


def test_a_silent_postgres_is_not_ready(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = serve(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d").client
        start = time.monotonic()
        assert client.get("/health/ready").status_code == 503
        assert time.monotonic() - start < 2.8


def test_an_empty_database_is_not_ready(new_empty_database: Callable[[], str], serve: Serve) -> None:
    client = serve(new_empty_database()).client
    for path in ("/health/ready", "/api/v1/instruments"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "fintech run" in answer.json()["remedy"]


def test_a_service_outlives_its_connections(own_api: httpx.Client, own_seeded: Seeded, server: str) -> None:
    assert own_api.get("/api/v1/instruments").status_code == 200
    with psycopg.connect(libpq_url(server), autocommit=True) as connection:
        name = own_seeded.database.url.split("/")[3].partition("?")[0]
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    assert own_api.get("/api/v1/instruments").status_code == 200


def test_reading_routes_cannot_write(own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """A defect is a 500 without a word of its cause, which the log has."""

    def write(connection: psycopg.Connection, _: str) -> Instrument:
        connection.execute("DELETE FROM price")
        raise AssertionError("unreachable")

    monkeypatch.setattr("serving.routes.instruments.read_instrument", write)
    client = serve(own_seeded.database.url).client
    with caplog.at_level(logging.ERROR):
        answer = client.get("/api/v1/instruments/AAPL")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "read-only" not in answer.text
    assert "ReadOnlySqlTransaction" in caplog.text


def test_a_slow_query_is_stopped(own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.deps.STATEMENT_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("serving.routes.instruments.read_instruments", lambda c: c.execute("SELECT pg_sleep(5)"))
    answer = serve(own_seeded.database.url).client.get("/api/v1/instruments")
    assert answer.status_code == 503
    assert "longer than 0.2 s" in answer.json()["detail"]


def test_outside_of_local_callers_need_the_key(seeded: Seeded, serve: Serve) -> None:
    secrets = {"jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("kéy")}
    client = serve(seeded.database.url, environment="production", **secrets).client
    assert client.get("/health").status_code == 200
    assert client.get("/health/ready").status_code == 200
    for headers in ({}, {"X-Service-Token": "key"}, {"X-Service-Token": ""}):
        answer = client.get("/api/v1/instruments", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    known = [("X-Service-Token", "kéy".encode())]
    assert client.get("/api/v1/instruments", headers=known).status_code == 200
    assert client.get("/api/v1/instruments", headers=known * 2).status_code == 401
    assert client.get("/%61pi/v1/instruments").status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", "128.0.0.1", "localhost.example.com"])
def test_without_a_login_only_this_machine_is_served(host: str) -> None:
    settings = local_settings(NOBODY, host=host)
    for start in (lambda: create_app("backend-api", settings), lambda: serve_services(SERVICES, settings)):
        with pytest.raises(ConfigurationError, match=f"HOST={host} is within reach of other machines") as error:
            start()
        assert error.value.exit_code == 2
        assert "FINTECH_ENV=staging with JWT_SECRET and SERVICE_API_KEY" in error.value.remedy


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_login(host: str) -> None:
    create_app("backend-api", local_settings(NOBODY, host=host))


def test_with_a_login_other_machines_are_served() -> None:
    secrets = {"jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("k")}
    for environment in ("staging", "production"):
        create_app("backend-api", local_settings(NOBODY, host="0.0.0.0", environment=environment, **secrets))


def test_strangers_learn_nothing_about_the_database(serve: Serve) -> None:
    secrets = {"jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("k")}
    answer = serve(NOBODY, environment="staging", **secrets).client.get("/health/ready")
    assert answer.status_code == 503
    assert "127.0.0.1" not in answer.text


def test_the_documentation_loads_from_here(api: httpx.Client) -> None:
    page = api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!doctype", "")
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "docs.js", "favicon-32x32.png"):
        assert api.get(f"/docs/{name}").status_code == 200
    specification = api.get("/openapi.json").json()
    assert "/api/v1/portfolios/{reference}/risk" in specification["paths"]
    bar = specification["components"]["schemas"]["BarOut"]["properties"]["close_adjusted"]
    assert bar["description"].startswith("Close, adjusted")


def test_a_request_head_without_end_is_refused(seeded: Seeded, serve: Serve) -> None:
    service = serve(seeded.database.url)
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_no_http_is_refused_with_a_problem(seeded: Seeded, serve: Serve, sent: bytes) -> None:
    service = serve(seeded.database.url)
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    for header in (b"content-type: application/problem+json", b"x-content-type-options: nosniff", b"connection: close"):
        assert header in head.lower()
    problem = json.loads(body)
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    assert "no HTTP/1.1 that can be read" in problem["detail"]


def test_a_taken_port_is_named(seeded: Seeded) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = local_settings(seeded.database.url, port=port)
        with pytest.raises(PlatformError, match=f"backend-api cannot listen on 127.0.0.1:{port} .*in use") as error:
            serve_services(SERVICES[:1], settings)
    assert error.value.exit_code == 1
    assert "FINTECH_PORT_OFFSET" in error.value.remedy


def test_a_foreign_host_is_named(seeded: Seeded) -> None:
    with (
        pytest.raises(PlatformError, match=r"cannot listen on 192\.0\.2\.1"),
        listening_socket(Address(SERVICES[0], "192.0.2.1", 3000)),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_all_services(database: Database, tmp_path, number: signal.Signals) -> None:
    offset = free_port_offset()
    settings = local_settings(database.url, port_offset=offset)
    environment = {
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": database.url,
        "FINTECH_ENV": "local",
        "FINTECH_PORT_OFFSET": str(offset),
        "HOST": "127.0.0.1",
    }
    command = [sys.executable, "-m", "serving"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(trust_env=False) as client:
                for address in addresses(SERVICES, settings):
                    body = _when_up(client, f"{address.url}/health").json()
                    assert body["service"] == address.service.name
                process.send_signal(number)  # while the client still holds its connections
                _, log = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0, log
    assert "Traceback" not in log


def test_a_taken_port_ends_the_command_with_one_line(database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {
            "PATH": "/usr/bin:/bin",
            "DATABASE_URL": database.url,
            "PORT": str(taken.getsockname()[1]),
        }
        ended = subprocess.run(
            [sys.executable, "-m", "serving", "python-risk-engine"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: python-risk-engine cannot listen on 127.0.0.1:")
    assert ended.stderr.count("\n") == 1


def _when_up(client: httpx.Client, url: str) -> httpx.Response:
    deadline = time.monotonic() + 15
    while True:
        try:
            return client.get(url)
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
