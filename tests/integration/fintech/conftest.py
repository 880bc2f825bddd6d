"""The command line as a user starts it: processes of their own, in a data folder of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import pytest

from pipeline.base.settings import PROJECT_ROOT
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import libpq_url, with_database
from tests.kernels import give_kernels
from tests.ports import free_port_offset

ENDS_WITHIN_SECONDS = 600
POLL_SECONDS = 0.05
EMBEDDED_PROGRAMS = ("postgres", "initdb", "pg_ctl")


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    exit_code: int
    output: str
    errors: str

    @property
    def error_line(self) -> str:
        """The one line on standard error; a traceback or a second line fails here."""
        lines = self.errors.splitlines()
        assert len(lines) == 1, self.errors
        return lines[0]


@dataclass(frozen=True)
class Running:
    """A command that runs; its output goes to files, so that it can be read meanwhile."""

    process: subprocess.Popen[bytes]
    output_file: Path
    error_file: Path

    def says(self, text: str) -> bool:
        """Whether the output holds a text so far; fails if the command has ended without it."""
        said = text in self.output_file.read_text()
        assert said or self.process.poll() is None, self.error_file.read_text()
        return said

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command's whole group, as a terminal does with Ctrl-C."""
        os.killpg(self.process.pid, number)

    def ended(self, seconds: float = ENDS_WITHIN_SECONDS) -> Ended:
        """Wait for the end."""
        self.process.wait(seconds)
        return Ended(self.process.returncode, self.output_file.read_text(), self.error_file.read_text())


@dataclass
class CommandLine:
    """Starts `fintech` on one data folder; every process that it started is ended with the test."""

    data_dir: Path
    port_offset: int
    started: list[Running] = field(default_factory=list)

    def start(self, *arguments: str, **variables: str) -> Running:
        """Start a command, as the leader of a process group."""
        number = len(self.started)
        output_file, error_file = (self.data_dir.parent / f"{kind}.{number}" for kind in ("output", "errors"))
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.data_dir.parent),
            "FINTECH_DATA_DIR": str(self.data_dir),
            "FINTECH_PORT_OFFSET": str(self.port_offset),
            **variables,
        }
        with output_file.open("wb") as output, error_file.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "fintech", *arguments],
                cwd=PROJECT_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        self.started.append(Running(process, output_file, error_file))
        return self.started[-1]

    def run(self, *arguments: str, **variables: str) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, **variables).ended()

    def leftovers(self) -> list[str]:
        """Command lines of processes that work on the data folder or belong to a command's session."""
        leaders = {running.process.pid for running in self.started}
        found = []
        for process in psutil.process_iter(["name", "cmdline", "status"]):
            with suppress(psutil.Error, ProcessLookupError):
                words = process.info["cmdline"] or []
                server = process.info["name"] in EMBEDDED_PROGRAMS and str(self.data_dir / "pg") in words
                child = os.getsid(process.pid) in leaders and process.info["status"] != psutil.STATUS_ZOMBIE
                if server or child:
                    found.append(" ".join(words))
        return found

    @contextmanager
    def rows(self) -> Iterator[Callable[[str], list[tuple]]]:
        """Ask queries of the database in the data folder, whose server runs meanwhile."""
        with (
            embedded_server(self.data_dir / "pg") as address,
            psycopg.connect(libpq_url(with_database(address, "fintech"))) as connection,
        ):
            yield lambda query: connection.execute(query).fetchall()

    def end(self) -> None:
        """End whatever still runs."""
        for running in self.started:
            with suppress(ProcessLookupError):
                running.signal(signal.SIGKILL)
            running.process.wait()
        if (self.data_dir / "pg" / "postmaster.pid").exists():
            with embedded_server(self.data_dir / "pg"):
                pass  # the last one to leave a server stops it


MOMENT_COMES_WITHIN_SECONDS = 300.0
"""A machine that runs other tests meanwhile takes its time."""


def wait_until(condition: Callable[[], bool], seconds: float = MOMENT_COMES_WITHIN_SECONDS) -> None:
    """Poll a condition until it holds.

    Raises
    ------
    TimeoutError
        If it does not within the time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The condition did not hold within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    """A command line with an empty data folder."""
    made = CommandLine(tmp_path / "data", free_port_offset())
    yield made
    made.end()


@pytest.fixture
def compiled_command_line(command_line: CommandLine) -> CommandLine:
    """A command line whose data folder has compiled code and nothing else."""
    give_kernels(command_line.data_dir)
    return command_line


@pytest.fixture(scope="session")
def shared_command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A command line whose data folder tests of one xdist group disturb, fill and serve, in this order."""
    made = CommandLine(tmp_path_factory.mktemp("shared") / "data", free_port_offset())
    yield made
    made.end()


@pytest.fixture(scope="module")
def backfill_command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A command line whose data folder has compiled code, and a module of tests fills."""
    made = CommandLine(tmp_path_factory.mktemp("backfill") / "data", free_port_offset())
    give_kernels(made.data_dir)
    yield made
    made.end()


@pytest.fixture(scope="session")
def completed_run(shared_command_line: CommandLine) -> Ended:
    """The run that completes, after those that were interrupted before it."""
    return shared_command_line.run("run")
