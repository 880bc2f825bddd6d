"""`fintech up` over the data of a run: everything answers, and everything ends together."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster
import psutil
import pytest

from serving.services import SERVICES
from tests.integration.fintech.conftest import CommandLine, Ended, Running, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shared_data_folder")]

STARTS_WITHIN_SECONDS = 120
ENDS_WITHIN_SECONDS = 60


def answer(port: int, path: str) -> bytes:
    """The body of a successful answer on loopback."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        assert response.status == 200
        body: bytes = response.read()
        return body


def descendants(running: Running) -> list[psutil.Process]:
    """Every process below the command."""
    return psutil.Process(running.process.pid).children(recursive=True)


def commands(running: Running) -> dict[str, psutil.Process]:
    """Every process below the command, by the last word of its command line."""
    found = {}
    for process in descendants(running):
        with suppress(psutil.Error):  # it ended meanwhile
            found.update(dict.fromkeys(process.cmdline()[-1:], process))
    return found


def living(processes: list[psutil.Process]) -> list[str]:
    return [str(process) for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@contextmanager
def serving_platform(command_line: CommandLine) -> Iterator[Running]:
    running = command_line.start("up")
    try:
        yield running
    finally:
        if running.process.poll() is None:
            below = descendants(running)
            os.killpg(running.process.pid, signal.SIGKILL)
            for process in below:
                process.kill()


def test_everything_answers_over_the_data_of_the_run_and_ctrl_c_ends_it(
    completed_run: Ended, shared_command_line: CommandLine
) -> None:
    offset = shared_command_line.port_offset
    with serving_platform(shared_command_line) as running:
        wait_until(lambda: running.says("Ctrl-C stops everything."), STARTS_WITHIN_SECONDS)
        for service in SERVICES:
            for path in ("/health", "/health/ready"):
                assert json.loads(answer(service.port + offset, path))["service"] == service.name
        assert answer(3030 + offset, "/").startswith(b"<!DOCTYPE html>")
        assert json.loads(answer(3030 + offset, "/server_info"))["dagster_version"] == dagster.__version__
        assert b"defensive" in answer(3000 + offset, "/api/v1/portfolios")
        # A daemon that has just begun has no heartbeat yet.
        wait_until(lambda: shared_command_line.run("health").exit_code == 0, STARTS_WITHIN_SECONDS)
        assert shared_command_line.run("logs", "--errors").exit_code == 0
        below = descendants(running)
        programs = [" ".join(process.cmdline()) for process in below]
        assert any("dagster_webserver" in program for program in programs)
        assert any("dagster._daemon" in program for program in programs)
        started = time.monotonic()
        running.signal(signal.SIGINT)
        time.sleep(0.5)
        running.signal(signal.SIGINT)  # the impatient press it twice
        stopped = running.ended(ENDS_WITHIN_SECONDS)
    assert time.monotonic() - started < ENDS_WITHIN_SECONDS
    assert (stopped.exit_code, stopped.errors) == (0, "")
    assert stopped.output.endswith("Everything has stopped.\n")
    assert living(below) == []
    assert shared_command_line.leftovers() == []


def test_a_child_that_dies_ends_the_others_with_one_line(command_line: CommandLine) -> None:
    with serving_platform(command_line) as running:
        wait_until(lambda: "serve" in commands(running))
        below = descendants(running)
        commands(running)["serve"].kill()
        failed = running.ended(ENDS_WITHIN_SECONDS)
    assert failed.error_line.startswith("error: api ended, exit code -9 ")
    assert str(command_line.data_dir / "logs" / "api.log") in failed.error_line
    assert failed.exit_code == 1
    assert living(below) == []
    assert command_line.leftovers() == []
