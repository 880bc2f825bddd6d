"""A gateway in front of other services: equal answers, and what passes."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from pydantic import SecretStr

from pipeline.store.instruments import Listing, replace_instruments
from pipeline.store.writing import open_write
from tests.integration.serving.gateways import (
    RISK,
    Puppet,
    require_refusal,
    running_five,
    say,
    timed,
)
from tests.integration.serving.metrics import samples
from tests.integration.serving.running import Serve, local_settings, running_service, wait_until
from tests.integration.serving.seeding import Seeded

MARKET = "/api/v1/instruments"
OWN_HEADERS = {"date", "x-request-id", "age", "cache-status"}

READS = (
    MARKET,
    f"{MARKET}/AAPL",
    f"{MARKET}/NONE",
    f"{MARKET}/AAPL/prices?limit=5&start=2021-01-01",
    f"{MARKET}/AAPL/prices?limit=0",
    f"{MARKET}/A%00",
    f"{MARKET}/AAPL/risk",
    f"{MARKET}/AAPL/forecasts",
    f"{MARKET}/MSFT/risk/explain?measure=var_99_1d",
    "/api/v1/fx-rates/USD",
    "/api/v1/quarantine",
    "/api/v1/measures",
    "/api/v1/portfolios",
    "/api/v1/portfolios/held/simulations",
    RISK,
    "/api/v1/nothing",
    "/api/v1/portfolios/",
)


@pytest.fixture(scope="module")
def both(seeded: Seeded) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """The same data served in one process, and by five services."""
    with ExitStack() as stack:
        one = stack.enter_context(running_service("backend-api", local_settings(seeded.database.url)))
        five, _ = stack.enter_context(running_five(seeded.database.url))
        yield one.client, five.client


# Equal answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_answers_are_equal_both_ways(both: tuple[httpx.Client, httpx.Client], method: str, path: str) -> None:
    one, five = (client.request(method, path, headers={"X-Request-ID": "same"}) for client in both)
    assert one.status_code == five.status_code
    assert one.content == five.content
    assert _lasting(one) == _lasting(five)


def _lasting(answer: httpx.Response) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in answer.headers.multi_items() if name not in OWN_HEADERS)


def test_computed_answers_are_equal_both_ways(both: tuple[httpx.Client, httpx.Client]) -> None:
    for path, body in (
        (RISK, {"confidence": 0.95}),
        (RISK, {"confidence": 2}),
        (RISK, None),
        ("/api/v1/portfolios/held/stress", {"hypothetical": {"market": -0.2}}),
        ("/api/v1/calculate", {"positions": [{"symbol": "AAPL", "quantity": 1}]}),
        ("/api/v1/portfolios", {"name": ""}),
    ):
        one, five = (client.post(path, json=body, headers={"X-Request-ID": "same"}) for client in both)
        assert (one.status_code, one.content) == (five.status_code, five.content), path
        assert _lasting(one) == _lasting(five)


def test_who_has_the_answer_gets_304_both_ways(both: tuple[httpx.Client, httpx.Client]) -> None:
    tags = {client.get(MARKET).headers["etag"] for client in both}
    assert len(tags) == 1
    for client in both:
        answer = client.get(f"{MARKET}?", headers={"If-None-Match": tags.copy().pop()})
        assert (answer.status_code, answer.content) == (304, b"")


def test_the_documentation_is_that_of_the_routes_in_process(both: tuple[httpx.Client, httpx.Client]) -> None:
    one, five = (client.get("/openapi.json").json() for client in both)
    assert one == five


def test_the_guides_flow_over_five_services(own_seeded: Seeded) -> None:
    with running_five(own_seeded.database.url) as (gateway, _):
        new = {"name": "Test Portfolio", "positions": [{"symbol": "AAPL", "quantity": 100}]}
        created = gateway.client.post("/api/v1/portfolios", json=new)
        assert created.status_code == 201
        assert created.headers["location"] == f"/api/v1/portfolios/{created.json()['id']}"
        risk = gateway.client.post(f"{created.headers['location']}/risk").json()
        assert {"var", "sharpe_ratio"} <= set(risk)


def test_a_write_shows_at_once_through_every_cache(own_seeded: Seeded) -> None:
    """A service may not know yet of what another wrote, and its old answer must not be kept as a new one."""
    with running_five(own_seeded.database.url) as (gateway, behind):
        for number in range(5):
            path = f"/api/v1/portfolios/p{number}/simulations"
            market = behind["simulation"].client
            assert gateway.client.get(path).status_code == 404
            assert market.get("/api/v1/portfolios/held/simulations").status_code == 200  # its version is fresh now
            new = {"name": "P", "slug": f"p{number}", "positions": [{"symbol": "AAPL", "quantity": 1}]}
            assert gateway.client.post("/api/v1/portfolios", json=new).status_code == 201
            assert gateway.client.get(path).status_code == 200
            with open_write(own_seeded.database, "instruments", "test", "1") as write:
                replace_instruments(write, [Listing(f"N{number}", "New", "stock", "", "USD", "XNYS", "bundled")])
            behind["market_data"].client.get(MARKET)
            wait_until(lambda: f'"N{number}"' in gateway.client.get(MARKET).text, 2)  # noqa: B023


# What passes -----------------------------------------------------------------------------------------------


def test_the_request_passes_as_it_is(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    target = "/api/v1/portfolios/a%2db/risk?limit=1&limit=%32&x=%20y"
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    given = {
        "X-Request-ID": "mine",
        "traceparent": trace,
        "Authorization": "Bearer t",
        "X-Service-Token": "guessed",
        "X-Forwarded-For": "1.2.3.4",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "Idempotency-Key": "k",
    }
    body = b'{"a": "\\u00e9"}'
    answer = client.post(target, content=body, headers=given)
    assert answer.headers["x-request-id"] == "mine"
    [asked] = puppet.asked
    assert asked["raw_path"] + b"?" + asked["query_string"] == target.encode()
    assert puppet.bodies == [body]
    sent = puppet.headers()
    assert sent[b"x-request-id"] == b"mine"
    assert sent[b"traceparent"] == trace.encode()
    assert sent[b"authorization"] == b"Bearer t"
    assert sent[b"idempotency-key"] == b"k"
    assert sent[b"x-forwarded-for"] == b"127.0.0.1"
    assert {b"x-service-token", b"x-hop"}.isdisjoint(sent)


def test_a_path_with_dots_stays_as_it_is(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    service = serve(seeded.database.url, risk_engine_url=puppet.url)
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(b"GET /api/v1/portfolios/../risk HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert puppet.asked[0]["raw_path"] == b"/api/v1/portfolios/../risk"


def test_outside_of_local_the_key_is_sent(seeded: Seeded, serve: Serve) -> None:
    secrets = {"environment": "production", "jwt_secret": SecretStr("j" * 32), "service_api_key": SecretStr("key")}
    with running_five(seeded.database.url, **secrets) as (gateway, behind):
        known = {"X-Service-Token": "key"}
        assert behind["risk"].client.get(RISK).status_code == 401
        assert gateway.client.get(RISK).status_code == 401
        assert gateway.client.get(RISK, headers=known).status_code == 200
        assert gateway.client.post(RISK, headers=known).status_code == 200


def test_the_answer_passes_as_it_is(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    packed = b"\x1f\x8b\x00not really gzip"
    headers = (
        (b"content-encoding", b"gzip"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"keep-alive", b"timeout=9"),
        (b"x-own", b"1"),
    )
    puppet.answer = say(packed, 418, headers)
    service = serve(seeded.database.url, risk_engine_url=puppet.url)
    with service.client.stream("POST", RISK) as answer:
        raw = b"".join(answer.iter_raw())
    assert (answer.status_code, raw) == (418, packed)
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-own"] == "1"
    assert "keep-alive" not in answer.headers
    service.client.cookies.clear()
    puppet.answer = say(b"{}")
    service.client.post(RISK)
    assert b"cookie" not in puppet.headers()  # one caller's cookies are not the next one's


def test_an_answer_of_several_pieces_is_passed_on_as_it_comes(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    async def in_pieces(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
            await asyncio.sleep(0.2)
        await send({"type": "http.response.body"})

    puppet.answer = in_pieces
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    started = time.monotonic()
    with client.stream("GET", RISK) as answer:
        pieces = [(piece, time.monotonic() - started) for piece in answer.iter_raw()]
    assert b"".join(piece for piece, _ in pieces) == b"0\n1\n2\n"
    assert pieces[0][1] < 0.4


@pytest.mark.parametrize("ends", ["silent", "broken"])
def test_an_answer_that_stops_half_way_is_cut(
    seeded: Seeded, serve: Serve, puppet: Puppet, impatient: None, ends: str
) -> None:
    async def stop_half_way(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"1", b"2"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0.1)
        await asyncio.sleep(30 if ends == "silent" else 0)

    puppet.answer = stop_half_way
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    started = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(RISK)
    assert time.monotonic() - started < 2
    assert len(puppet.asked) == 1  # what was sent cannot be taken back, so nothing is tried again


def test_a_body_that_is_too_large_goes_nowhere(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    assert client.post(RISK, content=b" " * (2**20 + 1)).status_code == 413
    assert client.post(RISK, content=iter([b" " * 2**20, b" "])).status_code == 413
    assert puppet.asked == []


def test_half_a_body_goes_nowhere(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    service = serve(seeded.database.url, risk_engine_url=puppet.url)
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(f"POST {RISK} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{}}".encode())
    assert service.client.get(f"{RISK}?limit=7").status_code == 200
    assert [asked["method"] for asked in puppet.asked] == ["GET"]


def test_lines_and_metrics_name_the_route(seeded: Seeded, serve: Serve, puppet: Puppet) -> None:
    client = serve(seeded.database.url, risk_engine_url=puppet.url).client
    client.get(RISK)
    assert samples(client, "fintech_http_requests_total")["GET", "/api/v1/portfolios/{reference}/risk", "200"] == 1


def test_a_gateway_that_is_its_own_upstream_says_so(seeded: Seeded, serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = local_settings(seeded.database.url, risk_engine_url=f"http://127.0.0.1:{port}")
    with running_service("backend-api", settings, port) as service:
        answer, seconds = timed(service.client)
        require_refusal(answer, "The gateway has the address of a service that is itself")
        assert seconds < 5
