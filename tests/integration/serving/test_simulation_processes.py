"""Jobs of simulations whose process ends, and whose they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from pipeline.base.settings import inherited_environment
from pipeline.store.engine import Database
from pipeline.store.simulation_queue import DEAD_AFTER
from tests.integration.serving.accounts import SECURED, bearer, furnish, log_in
from tests.integration.serving.gateways import running_five
from tests.integration.serving.running import local_settings, running_service, wait_until
from tests.integration.serving.seeding import Seeded
from tests.integration.serving.simulations import (
    BODY,
    JOBS,
    SIMULATE,
    assert_same,
    ended,
    expected,
    parts,
    submit,
)
from tests.ports import free_port_offset


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
    body = {**BODY, "paths": 40_000, "horizon_sessions": 2_520, "fan_steps": [2_520]}  # eleven parts
    url = own_seeded.database.url
    with simulation_process(url) as (process, client):
        job_id = submit(client, body)["id"]
        wait_until(lambda: parts(own_seeded.database) >= 2, 240)  # the first one compiles its kernel
        os.kill(process.pid, how)
        process.wait(20)
    walked = parts(own_seeded.database)
    assert 2 <= walked < 11
    with own_seeded.database.connect() as connection:
        row = connection.execute("SELECT state FROM simulation_job").fetchone()
        assert row == ("queued" if how is signal.SIGTERM else "running",)
        if how is signal.SIGKILL:
            connection.execute("UPDATE simulation_job SET heartbeat_at = heartbeat_at - %s", [DEAD_AFTER])
    with simulation_process(url) as (_, client):
        job = ended(client, job_id)
    assert job["state"] == "done", job
    assert job["progress"]["paths_done"] == 40_000  # what was walked before is not walked again
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
            SELECT gen_random_uuid(), id, '{"portfolio": "sold"}', '2020-01-02', '2022-12-28', 0, '', 100, 'done', now()
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
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/terminal-values"), ("GET", "/paths")):
            assert client.request(method, f"{JOBS}/{others}{path}", headers=alice).status_code == 404
        assert client.get(f"{JOBS}/{own}/paths", headers=alice).status_code == 422  # found, with nothing to fit to
        assert client.get(f"{JOBS}/{own}/paths", headers=vera).status_code == 403
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
