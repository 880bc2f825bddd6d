"""A Dask scheduler and workers on loopback, each a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.base.settings import PROJECT_ROOT, inherited_environment

START_SECONDS = 120.0
"""On a machine that is busy with other tests."""


class DaskCluster:
    """Started and stopped with a test.

    Parameters
    ----------
    folder
        For the scheduler's file, logs and spilled data.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scheduler = self._start("dask_scheduler", "--port", "0", "--scheduler-file", str(folder / "scheduler"))
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = self._address()

    def add_worker(self) -> None:
        """Without a nanny, which would replace one that is killed."""
        options = ("--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--local-directory", str(self._folder))
        self.workers.append(self._start("dask_worker", self.address, *options))

    def kill_worker(self, number: int) -> None:
        """As the kernel does when memory runs out."""
        self.workers[number].send_signal(signal.SIGKILL)
        self.workers[number].wait()

    def stop(self) -> None:
        """End every process."""
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()

    def _start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{program}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *options, "--host", "127.0.0.1", "--no-dashboard"],
                stdout=log,
                stderr=log,
                cwd=PROJECT_ROOT,
                env=inherited_environment() | {"OMP_NUM_THREADS": "1"},
            )

    def _address(self) -> str:
        deadline, file = time.monotonic() + START_SECONDS, self._folder / "scheduler"
        while time.monotonic() < deadline:
            try:
                return str(json.loads(file.read_text())["address"])
            except (OSError, ValueError):
                time.sleep(0.1)
        raise AssertionError((self._folder / "dask_scheduler.log").read_text())
