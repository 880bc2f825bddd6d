"""Whose memory the bench of the main job counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load.run import largest_resident

SERVER_MIB = 96
_CHILD = f"memory = bytearray({SERVER_MIB} * 2**20); print('ready', flush=True); import sys; sys.stdin.read()"
_SERVER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_CHILD!r}])"


@pytest.fixture
def ended_pid() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def server_folder(tmp_path: Path) -> Iterator[str]:
    """A folder whose server is no child of the command, and holds its memory in a child that does not name it."""
    command = [sys.executable, "-c", _SERVER, "-D", str(tmp_path / "pg")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield str(tmp_path)
        assert server.stdin is not None
        server.stdin.close()


def test_a_command_that_has_ended_counts_nothing(ended_pid: int, tmp_path: Path) -> None:
    assert largest_resident(ended_pid, str(tmp_path)) == 0


def test_the_server_and_its_children_count(ended_pid: int, server_folder: str) -> None:
    assert largest_resident(ended_pid, server_folder) >= SERVER_MIB * 2**20
