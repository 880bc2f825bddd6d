"""What services tell of themselves: request ids, lines, metrics, defects; and that they end without loss."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError
from serving.app import create_app
from serving.observability.access_log import AccessLog
from serving.observability.exchanges import Exchange
from tests.integration.serving.metrics import samples
from tests.integration.serving.posting import process, receiver, unpacked
from tests.integration.serving.running import Serve, local_settings
from tests.integration.serving.seeding import Seeded

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


# Defects ---------------------------------------------------------------------------------------------------


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
