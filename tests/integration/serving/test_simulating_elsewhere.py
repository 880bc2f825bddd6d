"""Simulations whose paths are sampled, or walked by a cluster, as the API answers them."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from pipeline.simulation.run import cluster as cluster_module
from pipeline.store.simulation_jobs import read_fit, read_job
from serving.routes.explaining import simulation_jobs
from tests.dask_cluster import START_SECONDS, DaskCluster
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded
from tests.integration.serving.simulations import (
    AS_JOB,
    BODY,
    LARGE,
    SIMULATE,
    assert_same,
    ended,
    expected,
    submit,
)
from tests.ports import free_port

SAMPLED = {**BODY, "model": "student_t", "paths": 4_096, "goal_return": 0.02, "ruin_drawdown": 0.05}


@pytest.mark.parametrize("kind", ["sobol", "importance"])
def test_sampled_paths_are_the_cores_at_once_and_as_a_job(own_seeded: Seeded, serve: Serve, kind: str) -> None:
    client, body = serve(own_seeded.database.url).client, {**SAMPLED, "sampling": kind}
    at_once = client.post(SIMULATE, json=body).json()
    assert_same(at_once, expected(own_seeded.database, body))
    job = ended(client, client.post(SIMULATE, json=body, headers=AS_JOB).json()["id"])
    assert {name: job["result"][name] for name in job["result"]} == {name: at_once[name] for name in job["result"]}
    assert job["result"]["sampling"] == kind
    plain = client.post(SIMULATE, json=SAMPLED).json()
    for name in ("probability_of_goal", "probability_of_ruin"):
        error = at_once[name]["error"] + plain[name]["error"]
        assert abs(at_once[name]["value"] - plain[name]["value"]) < 4.0 * error
    with own_seeded.database.connect() as connection:
        stored, fit = read_job(connection, UUID(job["id"])), read_fit(connection, UUID(job["id"]))
    for name in ("probability_of_goal", "probability_of_ruin", "var_99"):
        served = at_once[name]
        again = simulation_jobs._again(stored, fit, simulation_jobs._returns(fit), name)
        assert again == (served["value"] if isinstance(served, dict) else served, [])


@pytest.mark.slow
@pytest.mark.xdist_group("dask")
def test_a_job_on_a_cluster_has_the_digits_of_one_process(
    own_seeded: Seeded, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", START_SECONDS)
    dask = DaskCluster(tmp_path)
    try:
        dask.add_worker()
        client = serve(own_seeded.database.url, simulation_scheduler=dask.address).client
        found = ended(client, submit(client, LARGE)["id"])
    finally:
        dask.stop()
    assert found["state"] == "done", found["error"]
    assert found["progress"]["paths_done"] == LARGE["paths"]
    assert_same(found["result"], expected(own_seeded.database, LARGE))


def test_a_job_without_its_cluster_fails_and_says_why(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 2.0)
    client = serve(own_seeded.database.url, simulation_scheduler=f"tcp://127.0.0.1:{free_port()}").client
    found = ended(client, submit(client, BODY)["id"])
    assert found["state"] == "failed"
    assert "SIMULATION_SCHEDULER: no scheduler answers within 2 s" in found["error"]
    assert client.post(SIMULATE, json=BODY).status_code == 200  # what is answered at once is walked here
