"""Which unfinished runs have lost the process that drives them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import dagster as dg
import psutil
import pytest

from fintech.dead_runs import (
    ABANDONED_SECONDS,
    CLOCK_SECONDS,
    HOST_TAG,
    PID_TAG,
    driver_tags,
    forget_dead_runs,
    is_dead,
)


@pytest.fixture(scope="module")
def ended_pid() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@dg.asset
def instruments() -> None: ...


def tags_of(pid: int, host: str | None = None) -> dict[str, str]:
    return {PID_TAG: str(pid), HOST_TAG: host or socket.gethostname()}


def test_runs_of_a_killed_driver_are_marked_and_others_are_left(ended_pid: int) -> None:
    job = dg.Definitions(assets=[instruments]).resolve_implicit_global_asset_job_def()
    tags = {
        "killed": tags_of(ended_pid),
        "living": driver_tags(),
        "elsewhere": tags_of(ended_pid, "another-host"),
        "of the UI": {},
    }
    with dg.DagsterInstance.ephemeral() as instance:
        runs = {
            name: instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags[name]).run_id
            for name in tags
        }
        assert forget_dead_runs(instance) == 1
        canceled = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED])
        assert [run.run_id for run in instance.get_runs(canceled)] == [runs["killed"]]


def test_a_later_process_of_the_same_number_is_not_the_driver() -> None:
    created = psutil.Process().create_time()
    assert is_dead(tags_of(os.getpid()), created - CLOCK_SECONDS - 1.0, time.time())
    assert not is_dead(tags_of(os.getpid()), created, time.time())


def test_a_process_that_nobody_has_waited_for_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    zombie = psutil.Process(process.pid)
    deadline = time.monotonic() + 30.0
    while zombie.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_dead(tags_of(process.pid), time.time(), time.time())
    process.wait()


@pytest.mark.parametrize("tags", [tags_of(os.getpid(), "another-host"), {PID_TAG: str(os.getpid())}])
def test_a_run_of_another_host_is_dead_after_a_day(tags: dict[str, str]) -> None:
    assert not is_dead(tags, 0.0, ABANDONED_SECONDS)
    assert is_dead(tags, 0.0, ABANDONED_SECONDS + 1.0)
