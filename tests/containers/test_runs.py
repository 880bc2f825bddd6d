"""Runs in containers of their own: where they land, how soon they begin, and what is left of one that is killed."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import pytest

from pipeline.base.types import MonthRange
from pipeline.orchestration.partitions import known_months
from tests.containers.measured import NOISE, measure
from tests.containers.stack import Stack

LAUNCH_SECONDS = 8.0
"""From the launch of a run's container to its first step."""
LOOKS = 3
"""Launches that are timed; the quickest counts, since others use the machine."""
SEEN_SECONDS = 120.0
YEAR = [f"2022-{month:02}-01" for month in range(1, 13)]
YEAR_BEFORE = date(2021, 12, 1)
ROWS = "SELECT count(*) FROM price WHERE session BETWEEN %s AND %s"


@pytest.fixture(scope="module")
def listed(stack: Stack) -> Stack:
    """With the instruments, on which all else stands."""
    stack.dagster.wait_for_success(stack.dagster.materialize("market_data", ["instruments"]))
    return stack


def test_a_backfill_runs_in_a_container_of_its_own_and_lands_in_postgres(listed: Stack) -> None:
    assert listed.query(ROWS, "2022-01-01", "2022-12-31") == [(0,)]
    runs = listed.dagster.backfill(["prices"], YEAR)
    assert runs
    [(rows,)] = listed.query(ROWS, "2022-01-01", "2022-12-31")
    assert rows > 5_000
    image = listed.images["market-data-ingestion"]
    for run in runs:
        messages = listed.dagster.messages(run)
        assert [text for text in messages if "Launching run in a new container" in text and image in text], messages
        gone(listed, run)


def test_a_runs_container_is_as_closed_as_the_others(listed: Stack) -> None:
    run = listed.dagster.materialize("market_data", ["instruments"])
    [found] = container_of(listed, run)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] == 2 * 2**30
    assert host["AutoRemove"]
    assert found["Config"]["Healthcheck"]["Test"] == ["NONE"]
    assert list(found["NetworkSettings"]["Networks"]) == [f"{listed.name}_dagster"]
    assert not [mount for mount in found["Mounts"] if "docker.sock" in mount["Source"]]
    assert found["Config"]["User"] == "10001"
    listed.dagster.wait_for_success(run)
    gone(listed, run)


def test_a_run_begins_soon(listed: Stack) -> None:
    seconds = []
    for _ in range(LOOKS):
        run = listed.dagster.materialize("market_data", ["instruments"])
        listed.dagster.wait_for_success(run)
        moments = listed.dagster.moments(run)
        seconds.append(moments["ExecutionStepStartEvent"] - moments["RunStartingEvent"])
    measure("run container, launch to first step", min(seconds), LAUNCH_SECONDS, "s")
    assert min(seconds) < NOISE * LAUNCH_SECONDS


def test_a_killed_run_has_failed_and_left_nothing_behind(listed: Stack) -> None:
    """Its whole history is one transaction, and is killed within it."""
    history = MonthRange(known_months()[0], YEAR_BEFORE)
    run = listed.dagster.materialize("market_data", ["prices"], history)
    [found] = container_of(listed, run)
    address = found["NetworkSettings"]["Networks"][f"{listed.name}_dagster"]["IPAddress"]
    wait_until_it_writes(listed, address)
    listed.engine.docker("kill", "--signal", "KILL", found["Id"])
    killed = time.monotonic()
    while (status := listed.dagster.status(run)) != "FAILURE":
        assert status == "STARTED"
        assert time.monotonic() < killed + SEEN_SECONDS
        time.sleep(0.5)
    measure("kill -9 of a run container, until the run has failed", time.monotonic() - killed, 30, "s")
    assert listed.query(ROWS, history.first, "2021-12-31") == [(0,)]
    assert not [text for text in listed.dagster.messages(run) if text.startswith("Materialized value")]
    again = listed.dagster.materialize("market_data", ["prices"], history)
    listed.dagster.wait_for_success(again)
    [(rows,)] = listed.query(ROWS, history.first, "2021-12-31")
    assert rows > 100_000


def container_of(stack: Stack, run: str) -> list[dict[str, Any]]:
    """The container of a run, once it runs."""
    deadline = time.monotonic() + SEEN_SECONDS
    while not (found := [one for one in stack.run_containers(run) if one["State"]["Running"]]):
        assert time.monotonic() < deadline, stack.dagster.status(run)
        time.sleep(0.05)
    return found


def gone(stack: Stack, run: str) -> None:
    """Wait until no container of a run is left."""
    deadline = time.monotonic() + SEEN_SECONDS
    while stack.run_containers(run):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_until_it_writes(stack: Stack, address: str) -> None:
    """Wait until a transaction of a container has written something."""
    writing = "SELECT count(*) FROM pg_stat_activity WHERE client_addr = %s AND backend_xid IS NOT NULL"
    deadline = time.monotonic() + SEEN_SECONDS
    while stack.query(writing, address) == [(0,)]:
        assert time.monotonic() < deadline
