"""Simulations on request: at once or in the background, followed, cancelled, taken up again, and nobody else's."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pyarrow as pa
import pytest

from pipeline.base.settings import inherited_environment
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.report import held_series
from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.run import SimulationResult, SimulationSpec, begin, simulate
from pipeline.store.engine import Database
from pipeline.store.portfolios import read_portfolio
from pipeline.store.prices import read_price_panel
from pipeline.store.simulation_queue import DEAD_AFTER
from serving.routes.simulating import engine
from serving.routes.simulating.forms import SimulatedRow, SimulateIn
from tests.integration.serving.accounts import SECURED, bearer, furnish, log_in
from tests.integration.serving.gateways import running_five, serving_all
from tests.integration.serving.running import Serve, local_settings, running_service, wait_until
from tests.integration.serving.seeding import NOTICE, Seeded, seed
from tests.ports import free_port_offset

SIMULATE = "/api/v1/simulate"
JOBS = "/api/v1/simulations"
WINDOW = 500
BODY: dict[str, Any] = {"portfolio": "held", "fit_window_sessions": WINDOW, "paths": 1_000, "horizon_sessions": 21}
LARGE: dict[str, Any] = {**BODY, "paths": 40_000, "horizon_sessions": 1_260}
"""50,400,000 paths × sessions: six parts."""
HUGE: dict[str, Any] = {**BODY, "paths": 400_000, "horizon_sessions": 2_520, "fan_steps": [2_520]}
"""Ten seconds or more: it is under way whenever a test looks."""
AS_JOB = {"Prefer": "respond-async"}
WEIGHTS = {
    "rebalancing": "monthly",
    "positions": [{"symbol": "AAPL", "target_weight": 0.6}, {"symbol": "MSFT", "target_weight": 0.4}],
}


@pytest.fixture(scope="module")
def place(new_database: Callable[[], Database]) -> Seeded:
    return seed(new_database())


@pytest.fixture(scope="module", params=["in_process", "over_http"])
def client(place: Seeded, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving_all(place.database.url, over_http=request.param == "over_http") as found:
        yield found


def returns_of(database: Database, slug: str = "held") -> tuple[int, Any]:
    """A portfolio's number and fit window, read from the start."""
    with database.connect() as connection:
        portfolio = read_portfolio(connection, slug)
        ids = [position.instrument_id for position in portfolio.positions]
        panel = read_price_panel(connection, ids, None, date(2023, 1, 1))
    close = panel.columns(ids, portfolio.base_currency)
    series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, portfolio.rebalancing))
    return portfolio.id, scenario_returns(series.held, len(series.held.returns), WINDOW)


def expected(database: Database, body: dict[str, Any], slug: str = "held") -> SimulationResult:
    number, returns = returns_of(database, slug)
    given = {
        name: body[name]
        for name in ("model", "paths", "horizon_sessions", "seed", "fit_window_sessions")
        if name in body
    }
    steps = body.get("fan_steps")
    return simulate(returns, SimulationSpec(**given, fan_steps=None if steps is None else tuple(steps)), number)


def assert_same(answer: dict[str, Any], result: SimulationResult) -> None:
    """Every figure, bit for bit."""
    compared = 0
    for name, value in asdict(result).items():
        if name in ("fit_first", "fit_last", "fan", "parameters"):
            continue
        assert answer[name] == value, name
        compared += 1
    assert compared >= 18
    assert answer["fan"]["steps"] == list(result.fan.steps)
    assert answer["fan"]["wealth"] == [list(row) for row in result.fan.wealth]
    assert answer["parameters"] == [asdict(parameter) for parameter in result.parameters]


def submit(client: httpx.Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = client.post(SIMULATE, json=body, headers={**AS_JOB, **headers})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{JOBS}/{job['id']}"
    assert answer.headers["retry-after"] == "1"
    return job


def job_of(client: httpx.Client, job_id: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    answer = client.get(f"{JOBS}/{job_id}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def ended(client: httpx.Client, job_id: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def has_ended() -> bool:
        found[:] = [job_of(client, job_id, headers)]
        return found[0]["state"] not in ("queued", "running")

    wait_until(has_ended, 60)
    return found[0]


def parts(database: Database) -> int:
    with database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM simulation_part").fetchone()
    assert row is not None
    return int(row[0])


# At once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_is_the_cores_bit_for_bit(place: Seeded, client: httpx.Client, model: str) -> None:
    body = {**BODY, "model": model, "seed": 7, "fan_steps": [1, 5, 21]}
    answer = client.post(SIMULATE, json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert_same(found, expected(place.database, body))
    assert (found["session"], found["notice"]) == ("2022-12-28", NOTICE)
    assert found["portfolio_id"] == found["subject"] == place.portfolios["held"]
    assert found["probability_of_goal"] is found["probability_of_ruin"] is None


def test_positions_are_simulated_without_being_stored(place: Seeded, client: httpx.Client) -> None:
    body = {name: value for name, value in BODY.items() if name != "portfolio"} | WEIGHTS
    found = client.post(SIMULATE, json=body).json()
    assert (found["portfolio_id"], found["subject"]) == (None, 0)
    weights = np.array([0.6, 0.4])
    returns = np.column_stack([place.close[s][1:] / place.close[s][:-1] - 1 for s in ("AAPL", "MSFT")])[-WINDOW:]
    result = simulate(
        returns @ weights, SimulationSpec(paths=1_000, horizon_sessions=21, fit_window_sessions=WINDOW), 0
    )
    # The weights of the last session have drifted since the month began, so only nearly.
    assert found["return_50"] == pytest.approx(result.return_50, abs=2e-3)
    assert found["var_95"] == pytest.approx(result.var_95, rel=0.05)


def test_goal_and_ruin_are_shares_of_the_paths(place: Seeded, client: httpx.Client) -> None:
    found = client.post(SIMULATE, json={**BODY, "goal_return": 0.02, "ruin_drawdown": 0.05}).json()
    number, returns = returns_of(place.database)
    begun = begin(returns, SimulationSpec(paths=1_000, horizon_sessions=21, fit_window_sessions=WINDOW), number)
    outcomes = begun.empty_outcomes()
    begun.walk(outcomes, 0)
    goal, ruin = (outcomes.terminal_wealth >= 1.02).mean(), (outcomes.max_drawdown <= -0.05).mean()
    assert 0.0 < goal < 1.0
    assert 0.0 < ruin < 1.0
    assert found["probability_of_goal"]["value"] == goal
    assert found["probability_of_ruin"]["value"] == ruin
    assert found["probability_of_goal"]["error"] == pytest.approx(np.sqrt(goal * (1 - goal) / 1_000))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no paths": ({"paths": 0}, "paths"),
    "too many paths": ({"paths": 1_000_000_000}, "paths"),
    "paths as text": ({"paths": "1000"}, "paths"),
    "paths as float": ({"paths": 1000.5}, "paths"),
    "negative horizon": ({"horizon_sessions": -5}, "horizon_sessions"),
    "endless horizon": ({"horizon_sessions": 2_521}, "horizon_sessions"),
    "unknown model": ({"model": "crystal_ball"}, "model='crystal_ball' is unknown"),
    "negative seed": ({"seed": -1}, "seed"),
    "huge seed": ({"seed": 2**63}, "seed"),
    "short fit": ({"fit_window_sessions": 10}, "fit_window_sessions"),
    "fit before the prices": ({"fit_window_sessions": 5_000}, "fit_window_sessions=5000 needs 5001 sessions"),
    "steps that fall": ({"fan_steps": [5, 3]}, "fan_steps"),
    "a step beyond": ({"fan_steps": [22]}, "fan_steps"),
    "too much to keep": ({"paths": 1_000_000, "fan_steps": list(range(1, 22))}, "at most 14 fan_steps"),
    "goal below nothing": ({"goal_return": -1.0}, "goal_return"),
    "ruin of nothing": ({"ruin_drawdown": 0.0}, "ruin_drawdown"),
    "unknown portfolio": ({"portfolio": "nobody"}, "portfolio"),
    "young portfolio": ({"portfolio": "young"}, "and there are 30"),
    "both subjects": (WEIGHTS, "exactly one of portfolio and positions"),
    "no subject": ({"portfolio": None}, "exactly one of portfolio and positions"),
    "policy of a stored one": ({"rebalancing": "daily"}, "rebalancing"),
    "unknown field": ({"threads": 64}, "threads"),
    "unknown symbol": (
        {"portfolio": None, "positions": [{"symbol": "XYZ", "quantity": 1}]},
        "positions: no instrument has the symbol XYZ",
    ),
    "a young symbol": (
        {"portfolio": None, "positions": [{"symbol": "NEW", "quantity": 1}]},
        "and fit_window_sessions=500 needs 501",
    ),
    "weights beyond 1": (
        {"portfolio": None, "rebalancing": "daily", "positions": [{"symbol": "AAPL", "target_weight": 0.9}]},
        "weight",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("headers", [{}, AS_JOB], ids=["at once", "as a job"])
def test_bad_values_are_refused_by_name(
    place: Seeded, client: httpx.Client, case: str, headers: dict[str, str]
) -> None:
    change, said = BAD[case]
    answer = client.post(SIMULATE, json={**BODY, **change}, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"] + str(answer.json().get("remedy"))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(client: httpx.Client, value: str) -> None:
    body = '{"portfolio": "held", "fit_window_sessions": 500, "goal_return": ' + value + "}"
    answer = client.post(SIMULATE, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text


def test_the_form_takes_what_the_core_takes() -> None:
    bounds = SimulateIn.model_json_schema()["properties"]
    for name in ("paths", "horizon_sessions", "fit_window_sessions", "seed"):
        SimulationSpec(**{name: bounds[name]["minimum"]}, fan_steps=())
        SimulationSpec(**{name: bounds[name]["maximum"]}, fan_steps=())
        for beyond in (bounds[name]["minimum"] - 1, bounds[name]["maximum"] + 1):
            with pytest.raises(SimulationInputError, match=name):
                SimulationSpec(**{name: beyond}, fan_steps=())
    assert bounds["model"]["default"] in MODELS
    for model in MODELS:
        assert model in bounds["model"]["description"]


# In the background -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_a_large_one_is_a_job_with_the_same_digits(place: Seeded, client: httpx.Client, model: str) -> None:
    body = {**LARGE, "model": model, "goal_return": 0.1, "terminal_values": True}
    answer = client.post(SIMULATE, json=body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["state"], job["result"], job["kept_until"]) == ("queued", None, None)
    assert job["progress"] == {"paths_done": 0, "paths_total": 40_000}
    job = ended(client, job["id"])
    assert job["state"] == "done", job
    assert job["progress"] == {"paths_done": 40_000, "paths_total": 40_000}
    assert (job["notice"], job["request"]["seed"]) == (NOTICE, 1)
    assert_same(job["result"], expected(place.database, body))
    assert parts(place.database) == 0
    stream = client.get(f"{JOBS}/{job['id']}/terminal-values")
    assert stream.headers["content-type"] == "application/vnd.apache.arrow.stream"
    wealth = pa.ipc.open_stream(io.BytesIO(stream.content)).read_all()["terminal_wealth"].to_numpy()
    assert len(wealth) == 40_000
    assert wealth.mean() - 1.0 == pytest.approx(job["result"]["return_mean"], rel=1e-12)
    listed = client.get(JOBS, params={"state": "done"}).json()["data"]
    assert job["id"] in [found["id"] for found in listed]
    assert "result" not in listed[0]


def test_a_small_one_may_be_asked_as_a_job_and_equals_the_answer_at_once(client: httpx.Client) -> None:
    at_once = client.post(SIMULATE, json=BODY).json()
    result = ended(client, submit(client, BODY)["id"])["result"]
    assert result == {name: at_once[name] for name in result}
    assert result.keys() == SimulatedRow.model_fields.keys()


def test_progress_is_told_and_a_cancelled_job_stops(place: Seeded, client: httpx.Client) -> None:
    job_id = submit(client, HUGE)["id"]
    wait_until(lambda: 0 < job_of(client, job_id)["progress"]["paths_done"] < HUGE["paths"], 60)
    assert job_of(client, job_id)["state"] == "running"
    cancelled = client.delete(f"{JOBS}/{job_id}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    wait_until(lambda: parts(place.database) == 0, 30)  # its worker has noticed
    assert job_of(client, job_id)["result"] is None
    assert client.delete(f"{JOBS}/{job_id}").json()["state"] == "cancelled"
    assert ended(client, submit(client, BODY)["id"])["state"] == "done"  # the worker goes on with others


def test_a_job_that_waits_is_cancelled_at_once(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(own_seeded.database.url, simulation_workers=0).client
    job_id = submit(client, BODY)["id"]
    assert client.delete(f"{JOBS}/{job_id}").json()["state"] == "cancelled"


def test_there_is_no_other_job(client: httpx.Client) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/terminal-values")):
        assert client.request(method, f"{JOBS}/{uuid4()}{path}").status_code == 404
    assert client.get(f"{JOBS}/none").status_code == 422
    job = ended(client, submit(client, BODY)["id"])
    answer = client.get(f"{JOBS}/{job['id']}/terminal-values")
    assert (answer.status_code, "terminal_values" in answer.json()["remedy"]) == (404, True)
    assert client.get(JOBS, params={"state": "lost"}).status_code == 422


def test_a_key_makes_one_job(client: httpx.Client) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    assert submit(client, BODY, **key)["id"] == submit(client, BODY, **key)["id"]


def test_a_failure_is_told(own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.routes.simulating.workers.described", lambda *_: 1 / 0)
    client = serve(own_seeded.database.url).client
    job = ended(client, submit(client, BODY)["id"])
    assert (job["state"], job["result"]) == ("failed", None)
    assert "its log has the cause" in job["error"]
    monkeypatch.undo()
    assert ended(client, submit(client, BODY)["id"])["state"] == "done"


def test_two_services_share_the_jobs(own_seeded: Seeded) -> None:
    settings = local_settings(own_seeded.database.url)
    with (
        running_service("portfolio-simulation", settings) as one,
        running_service("portfolio-simulation", settings) as other,
    ):
        jobs = [submit(client, {**LARGE, "seed": seed_}) for seed_, client in enumerate((one.client, other.client) * 3)]
        for seed_, job in enumerate(jobs):
            found = ended(other.client, job["id"])
            assert found["state"] == "done"
            # Counted with each part that is kept: a part walked twice would be one too many.
            assert found["progress"]["paths_done"] == LARGE["paths"]
            assert found["result"]["seed"] == seed_
    assert_same(found["result"], expected(own_seeded.database, {**LARGE, "seed": 5}))
    with own_seeded.database.connect() as connection:
        assert connection.execute("SELECT DISTINCT losses FROM simulation_job").fetchall() == [(0,)]


def test_reads_go_on_while_simulations_compute(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every thread for simulations is taken for a second; a reading does not wait, and who comes last is refused."""
    monkeypatch.setattr(engine, "WAITING_REQUESTS", 4)
    monkeypatch.setattr("serving.routes.simulating.jobs.begun", lambda *_: time.sleep(1.0) or 1 / 0)
    client = serve(own_seeded.database.url).client
    with ThreadPoolExecutor(12) as threads:
        asked = [threads.submit(client.post, SIMULATE, json=BODY) for _ in range(12)]
        time.sleep(0.4)
        start = time.perf_counter()
        assert client.get("/api/v1/portfolios/held").status_code == 200
        took = time.perf_counter() - start
        answers = [future.result() for future in asked]
    assert took < 0.5
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == 12 - engine.COMPUTING_THREADS - 4
    assert {answer.headers["retry-after"] for answer in refused} == {"2"}


# The process ends ------------------------------------------------------------------------------------------


@contextmanager
def simulation_process(url: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """The service as a process of its own."""
    offset = free_port_offset()
    environment = {
        **inherited_environment(),
        "FINTECH_ENV": "local",
        "DATABASE_URL": url,
        "HOST": "127.0.0.1",
        "PORT": "",
        "FINTECH_PORT_OFFSET": str(offset),
        "LOG_LEVEL": "warning",
        "REDIS_URL": "",
    }
    command = [sys.executable, "-m", "serving", "portfolio-simulation"]
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[3])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{8001 + offset}", timeout=15, trust_env=False) as client:
            wait_until(lambda: process.poll() is not None or _lives(client), 60)
            yield process, client
    finally:
        process.kill()
        process.wait()


def _lives(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_outlives_its_process(own_seeded: Seeded, how: signal.Signals) -> None:
    body = {**BODY, "paths": 100_000, "horizon_sessions": 2_520, "fan_steps": [2_520]}
    url = own_seeded.database.url
    with simulation_process(url) as (process, client):
        job_id = submit(client, body)["id"]
        wait_until(lambda: parts(own_seeded.database) >= 2, 60)
        os.kill(process.pid, how)
        process.wait(20)
    walked = parts(own_seeded.database)
    assert 2 <= walked < 26
    with own_seeded.database.connect() as connection:
        row = connection.execute("SELECT state FROM simulation_job").fetchone()
        assert row == ("queued" if how is signal.SIGTERM else "running",)
        if how is signal.SIGKILL:
            connection.execute("UPDATE simulation_job SET heartbeat_at = heartbeat_at - %s", [DEAD_AFTER])
    with simulation_process(url) as (_, client):
        job = ended(client, job_id)
    assert job["state"] == "done", job
    assert job["progress"]["paths_done"] == 100_000  # what was walked before is not walked again
    assert_same(job["result"], expected(own_seeded.database, body))


# Callers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over_http", [False, True], ids=["in_process", "over_http"])
def test_a_job_is_its_callers(new_database: Callable[[], Database], over_http: bool) -> None:
    database = new_database()
    house = furnish(database)
    with database.connect() as connection:
        connection.execute(
            """
            INSERT INTO simulation_job
                (id, owner_id, request, fit_start, session, subject, fit_returns, paths_total, state, finished_at)
            SELECT gen_random_uuid(), id, '{"portfolio": "x"}', '2020-01-02', '2022-12-28', 0, '', 100, 'done', now()
            FROM app_user WHERE id = ANY(%s)
            """,
            [[house.users["alice"], house.users["bob"]]],
        )
        ids = dict(connection.execute("SELECT owner_id, id::text FROM simulation_job").fetchall())
    own, others = ids[house.users["alice"]], ids[house.users["bob"]]
    with _secured(database, over_http=over_http) as client:
        alice, vera, otto = (bearer(log_in(client, name)["access_token"]) for name in ("alice", "vera", "otto"))
        assert [job["id"] for job in client.get(JOBS, headers=alice).json()["data"]] == [own]
        assert client.get(f"{JOBS}/{own}", headers=alice).status_code == 200
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/terminal-values")):
            assert client.request(method, f"{JOBS}/{others}{path}", headers=alice).status_code == 404
        assert client.get(JOBS, headers=vera).json()["data"] == []
        assert client.post(SIMULATE, json=BODY, headers=vera).status_code == 403
        assert client.delete(f"{JOBS}/{own}", headers=vera).status_code == 403
        assert client.get(JOBS).status_code == 401
        assert len(client.get(JOBS, headers=otto).json()["data"]) == 2
        answer = client.post(SIMULATE, json={**BODY, "portfolio": "bobs"}, headers=alice)
        assert (answer.status_code, "bobs" in answer.json()["detail"]) == (422, True)  # as if there were none
        with database.connect() as connection:
            connection.execute("UPDATE simulation_job SET finished_at = now() - %s", [timedelta(days=8)])
        # Removed when a worker next looks; until then it is still its owner's.
        assert client.get(f"{JOBS}/{own}", headers=alice).status_code in (200, 404)


@contextmanager
def _secured(database: Database, *, over_http: bool) -> Iterator[httpx.Client]:
    if over_http:
        with running_five(database.url, **SECURED) as (gateway, _):
            yield gateway.client
    else:
        with running_service("backend-api", local_settings(database.url, **SECURED)) as service:
            yield service.client
