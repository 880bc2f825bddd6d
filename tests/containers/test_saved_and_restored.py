"""The drill of docs/disaster-recovery.md: both databases are saved, the server is lost, disk and all, and is back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from pipeline.base.settings import PROJECT_ROOT, inherited_environment
from pipeline.base.types import MonthRange
from pipeline.orchestration.partitions import known_months
from tests.containers.measured import NOISE, measure
from tests.containers.stack import Stack

RESTORE_SECONDS = 60.0
RECOVERED_SECONDS = 2.0
TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
SUM = "SELECT count(*), sum(hashtextextended(r::text, 0)::numeric) FROM {} r"
WRITERS = ("dagster-daemon", "dagster-webserver")
"""What writes by itself; whoever restores ends it first, as the runbook says."""


@pytest.fixture(scope="module")
def filled(stack: Stack) -> Stack:
    """With 33 years of prices, and a risk report on them."""
    dagster = stack.dagster
    dagster.wait_for_success(dagster.materialize("market_data", ["instruments"]))
    months = known_months()
    dagster.wait_for_success(dagster.materialize("market_data", ["prices"], MonthRange(months[0], months[-1])))
    return stack


def test_the_servers_own_programs_save_where_the_host_has_none(filled: Stack, tmp_path: Path) -> None:
    filled.compose("stop", *WRITERS)
    in_server(filled, "dump", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fintech.dump", "fintech_dagster.dump"]
    for database in ("fintech", "fintech_dagster"):
        in_server(filled, "fill", f"{database}_copy", str(tmp_path / f"{database}.dump"))
    server = filled.database_url.rpartition("/")[0]
    for database in ("fintech", "fintech_dagster"):
        copied = sums_of(f"{server}/{database}_copy")
        assert sum(count for count, _ in copied.values()) > 100
        assert copied == sums_of(f"{server}/{database}")


def test_what_was_saved_is_all_there_again(filled: Stack, tmp_path: Path) -> None:
    filled.compose("stop", *WRITERS)
    before = sums(filled)
    assert sum(count for count, _ in before.values()) > 100_000
    fintech(filled, "backup", "--folder", str(tmp_path))
    filled.compose("rm", "--stop", "--force", "postgres")
    filled.engine.docker("volume", "rm", f"{filled.name}_postgres")
    filled.compose("up", "--detach", "--wait", "--no-deps", "postgres")
    began = time.monotonic()
    fintech(filled, "restore", "--from", str(tmp_path))
    seconds = time.monotonic() - began
    assert sums(filled) == before
    measure("restore of both databases, sums equal", seconds, RESTORE_SECONDS, "s")
    assert seconds < NOISE * RESTORE_SECONDS


def test_the_platform_goes_on_with_what_was_restored(filled: Stack) -> None:
    filled.compose("up", "--detach", "--wait", "--no-deps", *WRITERS)
    headers = {"Authorization": f"Bearer {filled.key}"}
    with httpx.Client(base_url=filled.url, headers=headers, trust_env=False, timeout=60) as client:
        client.get("/api/v1/instruments")  # finds that the server of before is gone
        time.sleep(RECOVERED_SECONDS)
        answer = client.get("/api/v1/instruments")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) > 20
    filled.dagster.wait_for_success(filled.dagster.materialize("market_data", ["instruments"]))


def fintech(stack: Stack, *command: str) -> None:
    """Run a command of the platform on the project's databases, with the programs of Postgres that are at hand here."""
    variables = {
        "FINTECH_ENV": "production",
        "DATABASE_URL": stack.database_url,
        "DAGSTER_DATABASE_URL": f"{stack.database_url}_dagster".replace("postgresql:", "postgresql+psycopg2:"),
    }
    done = subprocess.run(
        [PROJECT_ROOT / ".venv/bin/fintech", *command],
        env={**inherited_environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def in_server(stack: Stack, *arguments: str) -> None:
    """Run deploy/compose/postgres.sh on the project, as the runbook says."""
    done = subprocess.run(
        [stack.file.parent / "compose/postgres.sh", *arguments],
        env={**inherited_environment(), "COMPOSE_PROJECT_NAME": stack.name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def sums(stack: Stack) -> dict[str, tuple[int, object]]:
    """Rows and a sum over them, of every table of both databases."""
    url = stack.database_url
    return {**sums_of(url, "fintech."), **sums_of(f"{url}_dagster", "fintech_dagster.")}


def sums_of(url: str, prefix: str = "") -> dict[str, tuple[int, object]]:
    """Rows and a sum over them, of every table of a database."""
    found = {}
    with psycopg.connect(url) as connection:
        for (table,) in connection.execute(TABLES).fetchall():
            row = connection.execute(SUM.format(table)).fetchone()  # its names are quoted
            assert row is not None
            found[f"{prefix}{table}"] = (row[0], row[1])
    return found
