"""The main job on an empty machine and again, and a backfill: time, where it goes, and the largest process's memory."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.base.settings import inherited_environment
from tests.load.measuring import Figures

POLL_SECONDS = 0.1
_DONE = re.compile(r"Done in ([\d.]+) s: ([\d.]+) s in the assets, ([\d.]+) s in Dagster")
_ROWS = re.compile(r"([\d,]+)\s+rows\s+written")


@dataclass(frozen=True, slots=True)
class MainJob:
    """One execution of ``fintech run`` or ``fintech backfill``."""

    wall_s: float
    ours_s: float
    dagster_s: float
    rows_written: int
    peak_mib: float


def measure() -> Figures:
    """Run twice in a folder of its own, and backfill in another."""
    with empty_folder() as folder:
        first, second = execute(folder, "run"), execute(folder, "run")
    with empty_folder() as folder:
        backfill = execute(folder, "backfill", "--from", "1990-01", "--to", "2022-12")
    return {
        "total_s": first.wall_s,
        "ours_s": first.ours_s,
        "dagster_s": first.dagster_s,
        "rows_written": first.rows_written,
        "second_total_s": second.wall_s,
        "second_rows_written": second.rows_written,
        "peak_mib": max(first.peak_mib, second.peak_mib, backfill.peak_mib),
        "backfill_total_s": backfill.wall_s,
        "backfill_ours_s": backfill.ours_s,
    }


@contextmanager
def empty_folder() -> Iterator[str]:
    """A data folder without anything in it."""
    with tempfile.TemporaryDirectory(prefix="fintech-bench-") as folder:
        Path(folder).chmod(0o755)  # root's embedded server runs as another user
        yield folder


def execute(folder: str, *arguments: str) -> MainJob:
    """Run the command as a user would, watching every process that it starts."""
    environment = inherited_environment() | {"FINTECH_DATA_DIR": folder, "DATABASE_URL": ""}
    command = [sys.executable, "-m", "fintech", *arguments]
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, largest_resident(process.pid, folder))
            time.sleep(POLL_SECONDS)
        wall = time.perf_counter() - started
        output = process.stdout.read() if process.stdout else ""
    done, rows = _DONE.search(output), _ROWS.search(output)
    if process.returncode or done is None or rows is None:
        raise RuntimeError(f"fintech {arguments[0]} ended with {process.returncode}:\n{output}")
    return MainJob(wall, float(done[2]), float(done[3]), int(rows[1].replace(",", "")), peak / 2**20)


def largest_resident(pid: int, folder: str) -> int:
    """Bytes of the largest process of a tree and of the embedded server in a folder, shared pages counted."""
    largest = 0
    for root in (pid, *server_pids(folder)):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            process = psutil.Process(root)
            largest = max(largest, *map(resident, [process, *process.children(recursive=True)]))
    return largest


def server_pids(folder: str) -> list[int]:
    """Processes that name the server's data folder: it is a daemon, no child of the command that started it."""
    data = str(Path(folder).resolve() / "pg")
    return [process.pid for process in psutil.process_iter(["cmdline"]) if data in (process.info["cmdline"] or ())]


def resident(process: psutil.Process) -> int:
    """Bytes of a process; none once it has ended."""
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
