"""Runs whose driver was killed: Dagster would show them as running for ever."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

import dagster as dg
import psutil

PID_TAG = "fintech/driver_pid"
HOST_TAG = "fintech/driver_host"
ABANDONED_SECONDS = 86_400.0
"""After this time a run of another host, whose processes cannot be seen from here, counts as dead."""
CLOCK_SECONDS = 60.0
"""A process's time of creation moves with the correction of the system's clock."""


def driver_tags() -> dict[str, str]:
    """What a run says about this process, which drives it."""
    return {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname()}


def forget_dead_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs of drivers that were killed as canceled; runs of living ones and of other launchers are left alone.

    Returns
    -------
    int
        How many were marked.
    """
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.NOT_STARTED])
    dead = [
        record.dagster_run
        for record in instance.get_run_records(unfinished)
        if is_dead(record.dagster_run.tags, record.start_time or record.create_timestamp.timestamp(), time.time())
    ]
    for run in dead:
        instance.report_run_canceled(run, message="Its process ended without finishing it.")
    return len(dead)


def is_dead(tags: Mapping[str, str], began: float, now: float) -> bool:
    """Whether an unfinished run has lost its driver.

    Parameters
    ----------
    tags
        Of the run.
    began, now
        Seconds since 1970.
    """
    if PID_TAG not in tags:
        return False
    if tags.get(HOST_TAG) != socket.gethostname():
        return now - began > ABANDONED_SECONDS
    return not _lives(int(tags[PID_TAG]), began)


def _lives(pid: int, began: float) -> bool:
    """Whether the process of that number at that time is still there, and not a later one of the same number."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= began + CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return False
