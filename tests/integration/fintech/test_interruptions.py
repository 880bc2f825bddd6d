"""A run that is ended at any moment: one line, no process left, no half-written month.

The tests of this module and of `test_run` and `test_up` share one data folder in this order: each run begins
with what the one before it left half-done, and the last one completes.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest

from tests.integration.fintech.conftest import CommandLine, Ended, Running, wait_until
from tests.integration.fintech.contents import half_written

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shared_data_folder")]

ENDS_WITHIN_SECONDS = 120
"""Seconds on an idle machine; one that compiles kernels or runs other tests meanwhile takes its time."""
Moment = Callable[[CommandLine, Running], bool]


def begun(command_line: CommandLine, _: Running) -> bool:
    return (command_line.data_dir / "run.lock").exists()


def server_folder_is_being_made(command_line: CommandLine, _: Running) -> bool:
    return (command_line.data_dir / "pg" / "PG_VERSION").exists()


def server_starts(command_line: CommandLine, _: Running) -> bool:
    return (command_line.data_dir / "pg" / "postmaster.pid").exists()


def dagster_tables_are_being_made(command_line: CommandLine, _: Running) -> bool:
    with suppress(OSError, IndexError, psycopg.Error):
        socket_folder = (command_line.data_dir / "pg" / "postmaster.pid").read_text().splitlines()[4]
        address = f"postgresql://postgres@/fintech_dagster_draft?host={socket_folder}"
        with psycopg.connect(address) as connection:
            return connection.execute("SELECT FROM pg_tables WHERE tablename = 'event_logs'").fetchone() is not None
    return False


def prices_are_read(_: CommandLine, running: Running) -> bool:
    return running.says("market_data: prices")


def paths_are_simulated(_: CommandLine, running: Running) -> bool:
    return running.says("simulation: portfolio_simulation")


def end_at(command_line: CommandLine, moment: Moment, number: signal.Signals, *, after: float = 0.0) -> Ended:
    """Send a signal to a run at a moment, or so many seconds later."""
    running = command_line.start("run")

    def has_come() -> bool:
        assert running.process.poll() is None, "the run ended before the moment came"
        return moment(command_line, running)

    try:
        wait_until(has_come)
    except BaseException:
        running.signal(signal.SIGKILL)  # the tests that follow need the data folder
        running.process.wait()
        raise
    time.sleep(after)
    running.signal(number)
    return running.ended(ENDS_WITHIN_SECONDS)


def assert_ended_cleanly(command_line: CommandLine, interrupted: Ended) -> None:
    assert interrupted.error_line == "interrupted: nothing is half-written; the next run goes on from here."
    assert interrupted.exit_code == 130
    assert "Traceback" not in interrupted.output
    assert command_line.leftovers() == []


def test_a_run_that_has_just_begun_ends_cleanly(command_line: CommandLine) -> None:
    assert_ended_cleanly(command_line, end_at(command_line, begun, signal.SIGINT))


@pytest.mark.parametrize(
    ("moment", "number", "after"),
    [
        (server_folder_is_being_made, signal.SIGINT, 0.1),
        (server_starts, signal.SIGTERM, 0.0),
        (dagster_tables_are_being_made, signal.SIGTERM, 0.0),
        (prices_are_read, signal.SIGINT, 1.0),
        (paths_are_simulated, signal.SIGINT, 2.0),
    ],
    ids=lambda value: getattr(value, "__name__", None) or getattr(value, "name", ""),
)
def test_a_run_that_is_asked_to_end_ends_cleanly(
    shared_command_line: CommandLine, moment: Moment, number: signal.Signals, after: float
) -> None:
    assert_ended_cleanly(shared_command_line, end_at(shared_command_line, moment, number, after=after))


@pytest.mark.parametrize(
    ("moment", "after"),
    [(server_folder_is_being_made, 0.1), (dagster_tables_are_being_made, 0.0)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_start_that_is_killed_is_begun_again(command_line: CommandLine, moment: Moment, after: float) -> None:
    """Not even the server's folder is whole; the next command makes it anew."""
    killed = end_at(command_line, moment, signal.SIGKILL, after=after)
    assert (killed.exit_code, killed.errors) == (-signal.SIGKILL, "")
    assert_ended_cleanly(command_line, end_at(command_line, prices_are_read, signal.SIGINT))


def test_a_killed_run_leaves_no_half_written_month(shared_command_line: CommandLine) -> None:
    killed = end_at(shared_command_line, prices_are_read, signal.SIGKILL, after=2.0)
    assert (killed.exit_code, killed.errors) == (-signal.SIGKILL, "")
    with shared_command_line.rows() as ask:  # joins the server that nobody could stop, and stops it
        assert half_written(ask) == []
    assert shared_command_line.leftovers() == []
