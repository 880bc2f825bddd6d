"""The commands as processes: what they print, and how they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.store.audit import read_audit
from tests.integration.fintech.conftest import CommandLine
from tests.integration.fintech.operations.conftest import Platform

pytestmark = pytest.mark.slow


def test_backup_restore_prune_and_flags(command_line: CommandLine, platform: Platform, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": platform.database.url}
    folder = str(tmp_path / "backups")
    made = command_line.run("backup", "--folder", folder, "--keep", "1", **variables)
    assert (made.exit_code, made.errors) == (0, "")
    assert made.output.startswith(f"Backed up to {folder}/")

    refused = command_line.run("restore", "--from", folder, **variables)
    assert refused.exit_code == 1
    assert refused.error_line.endswith("Add --replace; what is there stays as …_before.")
    restored = command_line.run("restore", "--from", folder, "--replace", **variables)
    assert (restored.exit_code, restored.errors) == (0, "")
    assert "every sum equal." in restored.output

    for arguments, word in ((("--dry-run",), "would go"), ((), "deleted")):
        pruned = command_line.run("prune", *arguments, **variables)
        assert (pruned.exit_code, pruned.errors) == (0, "")
        assert word in pruned.output
        assert "audit entries" in pruned.output


def test_flags_are_set_listed_and_unset(command_line: CommandLine, platform: Platform) -> None:
    variables = {"DATABASE_URL": platform.database.url}
    told = command_line.run("flags", "set", "build_anew", "off", "--reason", "wrong rows", **variables)
    assert (told.exit_code, told.errors) == (0, "")
    assert "build_anew      off" in command_line.run("flags", "list", **variables).output
    assert command_line.run("flags", "unset", "build_anew", **variables).exit_code == 0
    with platform.database.connect() as connection:
        actions = [entry.action for entry in read_audit(connection, None, 2)]
    assert actions == ["flag.unset", "flag.set"]
    for arguments, said in (
        (("set", "fast", "on", "--reason", "x"), "There is no flag 'fast'"),
        (("set", "build_anew", "maybe", "--reason", "x"), "Write on or off"),
        (("set", "build_anew", "on", "--reason", " "), "reason: is empty"),
        (("unset", "build_anew"), "is not set"),
    ):
        assert said in command_line.run("flags", *arguments, **variables).error_line
    with platform.database.connect() as connection:
        connection.execute("DROP TABLE feature_flag")
    assert "fintech migrate" in command_line.run("flags", "list", **variables).error_line


def test_health_names_what_is_ill_and_fails(command_line: CommandLine, platform: Platform) -> None:
    ill = command_line.run("health", DATABASE_URL=platform.database.url)
    assert ill.exit_code == 1
    assert ill.error_line.startswith("error: 6 of 7 are ill: backend-api, python-risk-engine, ")
    assert "Postgres 18" in ill.output


def test_logs_without_a_log_say_where_they_would_be(command_line: CommandLine) -> None:
    refused = command_line.run("logs", "--errors")
    assert refused.exit_code == 2
    assert f"There is no log in {command_line.data_dir / 'logs'}" in refused.error_line
