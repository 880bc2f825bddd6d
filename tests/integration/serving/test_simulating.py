"""Simulations on request: at once or in the background, followed, cancelled, taken up again, and nobody else's."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pyarrow as pa
import pytest

from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.run import SimulationSpec, begin, simulate
from pipeline.store.engine import Database
from serving.routes.simulating import engine
from serving.routes.simulating.forms import SimulatedRow, SimulateIn
from tests.integration.serving.gateways import serving_all
from tests.integration.serving.running import Serve, local_settings, running_service, wait_until
from tests.integration.serving.seeding import NOTICE, Seeded, seed
from tests.integration.serving.simulations import (
    AS_JOB,
    BODY,
    HUGE,
    JOBS,
    LARGE,
    SIMULATE,
    WEIGHTS,
    WINDOW,
    assert_same,
    ended,
    expected,
    job_of,
    parts,
    returns_of,
    submit,
)


@pytest.fixture(scope="module")
def place(new_database: Callable[[], Database]) -> Seeded:
    return seed(new_database())


@pytest.fixture(scope="module", params=["in_process", "over_http"])
def client(place: Seeded, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving_all(place.database.url, over_http=request.param == "over_http") as found:
        yield found


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
    "too much to keep": ({"paths": 1_000_000, "fan_steps": list(range(1, 22))}, "at most 12 fan_steps"),
    "goal below nothing": ({"goal_return": -1.0}, "goal_return"),
    "ruin of nothing": ({"ruin_drawdown": 0.0}, "ruin_drawdown"),
    "unknown portfolio": ({"portfolio": "nobody"}, "portfolio"),
    "young portfolio": ({"portfolio": "young"}, "and there are 30"),
    "both subjects": (WEIGHTS, "exactly one of portfolio and positions"),
    "no subject": ({"portfolio": None}, "exactly one of portfolio and positions"),
    "unknown sampling": ({"sampling": "antithetic"}, "sampling"),
    "sampling of history": ({"sampling": "importance"}, "model=stationary_bootstrap is not driven by normal draws"),
    "an uneven net": ({"sampling": "sobol", "model": "gbm"}, "Give paths=1024 or paths=2048"),
    "too few to weigh": ({"sampling": "importance", "model": "gbm", "paths": 500}, "Give at least 1000"),
    "weighed paths": ({"sampling": "importance", "model": "gbm", "terminal_values": True}, "do not count the same"),
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
    """While every thread for simulations is taken, a reading does not wait, and who comes last is refused."""
    monkeypatch.setattr(engine, "WAITING_REQUESTS", 4)
    let_go = threading.Event()
    monkeypatch.setattr("serving.routes.simulating.jobs.begun", lambda *_: let_go.wait(30) and 1 / 0)
    client = serve(own_seeded.database.url).client
    surplus = 12 - engine.COMPUTING_THREADS - 4
    with ThreadPoolExecutor(12) as threads:
        asked = [threads.submit(client.post, SIMULATE, json=BODY) for _ in range(12)]
        try:
            wait_until(lambda: sum(future.done() for future in asked) == surplus)
            assert client.get("/api/v1/portfolios/held", timeout=10).status_code == 200
        finally:
            let_go.set()
        answers = [future.result() for future in asked]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == surplus
    assert {answer.headers["retry-after"] for answer in refused} == {"2"}
