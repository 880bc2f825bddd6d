"""Paths of a job by their numbers: those that its result describes, and bounded however many are asked for."""

from __future__ import annotations

import io
import json
from typing import Any

import arro3.io
import httpx
import numpy as np
import pytest

from pipeline.base.errors import InvalidInputError
from pipeline.simulation.run import SimulationSpec, begin
from serving.routes.simulating import engine
from serving.routes.simulating.forms import SimulateIn
from serving.routes.simulating.paths import PathsQuery, rows_of
from tests.integration.serving.running import wait_until
from tests.integration.serving.seeding import Seeded
from tests.integration.serving.simulations import AS_JOB, BODY, HUGE, JOBS, SIMULATE, WEIGHTS, returns_of

STEERED = {**BODY, "model": "gbm", "sampling": "importance", "fan_steps": [5, 21]}


def job_of(api: httpx.Client, body: dict[str, Any]) -> str:
    answer = api.post(SIMULATE, json=body, headers=AS_JOB)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def told_of(answer: httpx.Response) -> dict[str, Any]:
    """What a stream tells beside its numbers: in its header, and the same in its schema."""
    told = answer.headers["x-answer-metadata"]
    schema = arro3.io.read_ipc_stream(io.BytesIO(answer.content)).schema
    assert schema.metadata[b"fintech"].decode() == told
    found: dict[str, Any] = json.loads(told)
    return found


def paths_of(api: httpx.Client, job: str, **query: int) -> dict[str, np.ndarray]:
    answer = api.get(f"{JOBS}/{job}/paths", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    table = arro3.io.read_ipc_stream(io.BytesIO(answer.content)).read_all()
    return {name: table[name].to_numpy() for name in table.column_names}


def test_paths_are_the_cores_and_their_weights_give_the_result(api: httpx.Client, seeded: Seeded) -> None:
    job = job_of(api, STEERED)
    parts = [paths_of(api, job, first=first, count=400) for first in (0, 400, 800)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    assert list(found) == ["path", "weight", "wealth_5", "wealth_21", "terminal_wealth", "max_drawdown"]
    assert found["path"].tolist() == list(range(1_000))
    number, returns = returns_of(seeded.database)
    given = {name: STEERED[name] for name in ("paths", "horizon_sessions", "fit_window_sessions", "sampling")}
    begun = begin(returns, SimulationSpec("gbm", **given, fan_steps=(5, 21)), number)
    outcomes = begun.empty_outcomes()
    begun.walk(outcomes, 0)
    np.testing.assert_array_equal(np.column_stack([found["wealth_5"], found["wealth_21"]]), outcomes.fan_wealth)
    np.testing.assert_array_equal(found["terminal_wealth"], outcomes.terminal_wealth)
    np.testing.assert_array_equal(found["max_drawdown"], outcomes.max_drawdown)
    assert found["weight"].mean() == pytest.approx(1.0)
    assert found["weight"].std() > 0.1
    wait_until(lambda: api.get(f"{JOBS}/{job}").json()["state"] == "done", seconds=60.0)
    result = api.get(f"{JOBS}/{job}").json()["result"]
    mean = (found["weight"] * (found["terminal_wealth"] - 1.0)).mean()
    assert mean == pytest.approx(result["return_mean"], abs=1e-12)


def test_paths_of_positions_and_without_a_fan(api: httpx.Client) -> None:
    body = {name: value for name, value in BODY.items() if name != "portfolio"} | WEIGHTS
    job = job_of(api, {**body, "fit_on": "positions", "fan_steps": []})
    found = paths_of(api, job, first=990)
    assert list(found) == ["path", "weight", "terminal_wealth", "max_drawdown"]
    assert found["path"].tolist() == list(range(990, 1_000))
    np.testing.assert_array_equal(found["weight"], np.ones(10))
    np.testing.assert_array_equal(found["terminal_wealth"], paths_of(api, job)["terminal_wealth"][990:])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"first": 1_000}, "Give one from 0 to 999."),
        ({"first": -1}, "first"),
        ({"count": 0}, "count"),
        ({"count": 10_001}, "count"),
        ({"last": 5}, "last"),
    ],
)
def test_paths_that_cannot_be_had_are_refused_by_name(api: httpx.Client, query: dict[str, int], said: str) -> None:
    answer = api.get(f"{JOBS}/{job_of(api, BODY)}/paths", params=query)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"] + str(answer.json().get("remedy"))


def test_what_takes_long_is_asked_in_parts() -> None:
    """Twenty positions over ten years: six times as long as one series."""
    asked = SimulateIn.model_validate({**HUGE, "paths": 400_000})
    with pytest.raises(InvalidInputError) as caught:
        rows_of(PathsQuery(first=10, count=5_000), asked, 6)
    assert caught.value.cause.startswith("count=5000: so many paths of 2520 sessions")
    assert caught.value.remedy == "Give count=1666 or less, and ask again from first=1676."
    assert rows_of(PathsQuery(first=10, count=1_666), asked, 6) == slice(10, 1_676)
    assert rows_of(PathsQuery(first=399_999, count=5_000), asked, 6) == slice(399_999, 400_000)


def test_paths_of_other_code_than_the_results_are_refused(api: httpx.Client, seeded: Seeded) -> None:
    job = job_of(api, BODY)
    wait_until(lambda: api.get(f"{JOBS}/{job}").json()["state"] == "done", seconds=60.0)
    assert len(paths_of(api, job)["path"]) == 1_000
    with seeded.database.connect() as connection:
        connection.execute("UPDATE simulation_job SET code = 'before' WHERE id = %s", [job])
    answer = api.get(f"{JOBS}/{job}/paths")
    assert answer.status_code == 409, answer.text
    assert "walked by another version of the service" in answer.json()["detail"]
    assert answer.json()["remedy"] == "Ask for the simulation again with POST /api/v1/simulate."


def test_they_are_walked_where_simulations_are(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the same bulkhead, where no place is left for them if too many simulate."""
    job = job_of(api, BODY)
    monkeypatch.setattr(engine, "WAITING_REQUESTS", -engine.COMPUTING_THREADS)
    answer = api.get(f"{JOBS}/{job}/paths")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, str(engine.BUSY_SECONDS))


@pytest.mark.parametrize("stream", ["paths", "terminal-values"])
def test_streams_tell_what_the_job_tells(api: httpx.Client, stream: str) -> None:
    """A notice of the data, warnings and staleness: rows are none the newer for being an Arrow stream."""
    job = job_of(api, {**BODY, "terminal_values": True})
    wait_until(lambda: api.get(f"{JOBS}/{job}").json()["state"] == "done", seconds=60.0)
    answer = api.get(f"{JOBS}/{job}/{stream}")
    assert answer.status_code == 200, answer.text
    said = api.get(f"{JOBS}/{job}").json()
    assert told_of(answer) == {name: said[name] for name in ("notice", "warnings", "staleness")}
    assert {"sample_data", "stale"} & {warning["code"] for warning in said["warnings"]}


def test_there_is_no_other_job(api: httpx.Client) -> None:
    assert api.get(f"{JOBS}/0198c0de-0000-7000-8000-000000000001/paths").status_code == 404
