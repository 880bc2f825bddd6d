"""Bad input: one line with cause and remedy, an exit code that is not 0, and nothing begun."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from pipeline.store.engine import CONNECT_TIMEOUT_SECONDS
from tests.integration.fintech.conftest import CommandLine, wait_until
from tests.integration.fintech.loopback_postgres import old_postgres, silent_server

START_UP_SECONDS = 20
"""For a Python that imports the platform on a busy machine."""


def nothing_was_made(command_line: CommandLine) -> bool:
    return not (command_line.data_dir / "pg").exists() and not (command_line.data_dir / "dagster").exists()


@pytest.mark.parametrize(
    ("variable", "value", "cause"),
    [
        ("FINTECH_PROVIDER", "bloomberg", "FINTECH_PROVIDER='bloomberg' is not a provider. Use one of: bundled"),
        ("FINTECH_ENV", "production", "FINTECH_ENV=production needs DATABASE_URL"),
        ("FINTECH_PROVIDER", "[/red]", "FINTECH_PROVIDER='[/red]' is not a provider"),
        ("FINTECH_PORT_OFFSET", "many", "FINTECH_PORT_OFFSET='many' cannot be used"),
        ("DATABASE_URL", "mysql://me:secret@127.0.0.1/fintech", "DATABASE_URL is not the address of a Postgres"),
        ("DATABASE_URL", "postgresql://me:secret@127.0.0.1", "DATABASE_URL is not the address of a Postgres"),
        ("DATABASE_URL", "postgresql://me:secret@[bad/fintech", "DATABASE_URL or DAGSTER_DATABASE_URL) cannot be read"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(command_line: CommandLine, variable: str, value: str, cause: str) -> None:
    refused = command_line.run("run", **{variable: value})
    assert refused.error_line.startswith("error: ")
    assert cause in refused.error_line
    assert "secret" not in refused.errors
    assert refused.exit_code == 2
    assert nothing_was_made(command_line)


def test_a_server_that_refuses_is_named_without_its_password(command_line: CommandLine) -> None:
    with socket.socket() as taken:  # bound but not listening: nobody else can begin to listen there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = command_line.run("run", DATABASE_URL=f"postgresql://me:secret@{address}/fintech")
    assert f"No Postgres answers at postgresql://me@{address}/fintech" in refused.error_line
    assert "Connection refused" in refused.error_line
    assert "correct DATABASE_URL" in refused.error_line
    assert "secret" not in refused.errors
    assert refused.exit_code == 1
    assert nothing_was_made(command_line)


def test_a_server_that_stays_silent_is_given_up_after_the_connect_time_out(command_line: CommandLine) -> None:
    with silent_server() as port:
        started = time.monotonic()
        refused = command_line.run("run", DATABASE_URL=f"postgresql://me@127.0.0.1:{port}/fintech")
        seconds = time.monotonic() - started
    assert f"No Postgres answers at postgresql://me@127.0.0.1:{port}/fintech" in refused.error_line
    assert refused.exit_code == 1
    assert seconds < CONNECT_TIMEOUT_SECONDS + START_UP_SECONDS


@pytest.mark.parametrize("command", ["run", "migrate", "up"])
def test_an_old_server_is_refused_before_it_is_asked_anything(command_line: CommandLine, command: str) -> None:
    """A protocol stand-in, because no old server ships in a wheel."""
    with old_postgres("15.4") as (port, received):
        refused = command_line.run(command, DATABASE_URL=f"postgresql://me@127.0.0.1:{port}/fintech")
    assert "DATABASE_URL names a Postgres 15 server, and 18 or newer is needed" in refused.error_line
    assert refused.exit_code == 1
    assert not [message for message in received if b"CREATE" in message]
    assert nothing_was_made(command_line)


def test_a_data_folder_that_is_a_file_is_refused(command_line: CommandLine) -> None:
    command_line.data_dir.write_text("mine")
    refused = command_line.run("run")
    assert f"The data folder {command_line.data_dir} cannot be written (File exists)" in refused.error_line
    assert "FINTECH_DATA_DIR" in refused.error_line
    assert refused.exit_code == 1
    assert command_line.data_dir.read_text() == "mine"


def test_a_data_folder_that_cannot_be_written_is_refused(command_line: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    # Root may write anywhere but here.
    data_dir = Path("/proc/fintech") if os.geteuid() == 0 else folder / "data"
    refused = command_line.run("run", FINTECH_DATA_DIR=str(data_dir))
    assert f"The data folder {data_dir} cannot be written" in refused.error_line
    assert refused.exit_code == 1


@pytest.mark.parametrize("port_before_offset", [8003, 3030])
def test_a_taken_port_is_named_with_its_owner_before_anything_starts(
    command_line: CommandLine, port_before_offset: int
) -> None:
    port = port_before_offset + command_line.port_offset
    with socket.create_server(("127.0.0.1", port)):
        refused = command_line.run("up")
    assert f"Port {port} is taken by " in refused.error_line
    assert f"(pid {os.getpid()})" in refused.error_line
    assert "FINTECH_PORT_OFFSET" in refused.error_line
    assert refused.exit_code == 1
    assert nothing_was_made(command_line)


def test_a_second_run_on_the_same_folder_is_refused(command_line: CommandLine) -> None:
    first = command_line.start("run")
    wait_until((command_line.data_dir / "run.lock").exists)
    refused = command_line.run("run")
    assert f"Another 'fintech run' works on {command_line.data_dir}" in refused.error_line
    assert refused.exit_code == 1
    assert first.process.poll() is None
