"""Child processes that live and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.base.errors import PlatformError
from pipeline.base.settings import PROJECT_ROOT
from pipeline.store.embedded import uninterrupted

STOP_SECONDS = 12.0
INSIST_SECONDS = 3.0
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Child:
    """A running process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Children:
    """Starts processes in groups of their own, so that Ctrl-C reaches only the parent, which ends them in order."""

    def __init__(self, log_folder: Path, environment: Mapping[str, str]) -> None:
        self._log_folder = log_folder
        self._environment = dict(environment)
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process; its output goes to a file of that name, beginning anew."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        log = self._log_folder / f"{name}.log"
        with log.open("wb") as output, uninterrupted():  # a started process must be known, to be ended
            process = subprocess.Popen(  # noqa: S603 - commands are the platform's own
                command,
                cwd=PROJECT_ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._children.append(Child(name, process, log))

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition while every child lives.

        Raises
        ------
        PlatformError
            If a child ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.require_alive()
            if time.monotonic() > deadline:
                logs = ", ".join(str(child.log) for child in self._children)
                raise PlatformError(f"Not everything answered within {seconds:.0f} s", f"Read {logs}.")
            time.sleep(POLL_SECONDS)

    def watch(self) -> None:
        """Return never, unless a child ends.

        Raises
        ------
        PlatformError
            Naming the child and its last line.
        """
        while True:
            self.require_alive()
            time.sleep(POLL_SECONDS)

    def require_alive(self) -> None:
        """Raise if a child has ended (see `watch`)."""
        for child in self._children:
            if child.process.poll() is not None:
                lines = child.log.read_text(errors="replace").strip().splitlines()
                raise PlatformError(
                    f"{child.name} ended, exit code {child.process.returncode} ({lines[-1] if lines else 'silent'})",
                    f"Read {child.log}.",
                )

    def stop(self) -> None:
        """Ask every child to end as Ctrl-C would, then insist; nothing that a child started outlives it."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(deadline - time.monotonic(), 0.1))
        _end(self._members())
        for child in self._children:
            child.process.wait()

    def finish(self, seconds: float) -> bool:
        """Wait until every child has ended by itself; gives whether all have, well or not."""
        deadline = time.monotonic() + seconds
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(deadline - time.monotonic(), 0.0))
        return all(child.process.poll() is not None for child in self._children)

    def kill(self) -> None:
        """End every child at once: for those that leave nothing half-done and have no children."""
        for child in self._children:
            child.process.kill()
            child.process.wait()

    def _members(self) -> list[psutil.Process]:
        """Every process of the children's sessions, whoever its parent is by now."""
        sessions = {child.process.pid for child in self._children}
        members = []
        for process in psutil.process_iter():
            with suppress(OSError):  # it ended meanwhile
                if os.getsid(process.pid) in sessions:
                    members.append(process)
        return members


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, insistent = psutil.wait_procs(processes, timeout=INSIST_SECONDS)
    for process in insistent:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(insistent, timeout=INSIST_SECONDS)
