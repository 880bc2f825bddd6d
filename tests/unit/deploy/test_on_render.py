"""What a command on Render is given, which the blueprint cannot put together."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from deploy.on_render import addresses, dagster_address
from pipeline.base.settings import PROJECT_ROOT

DATABASE = "postgresql://fintech:p%40ss@dpg-1-a:5432/fintech_x7d2"
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def call(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.on_render", *words]
    environment = {"PATH": os.defpath, **variables}
    return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_command_is_given_the_addresses() -> None:
    done = call(
        sys.executable, "-c", SHOW, DATABASE_URL=DATABASE, RISK_ENGINE_HOSTPORT="risk-abc:8000", LOG_LEVEL="info"
    )
    given = json.loads(done.stdout)
    assert given["DATABASE_URL"] == DATABASE
    assert given["DAGSTER_DATABASE_URL"] == "postgresql+psycopg2://fintech:p%40ss@dpg-1-a:5432/fintech_x7d2_dagster"
    assert given["RISK_ENGINE_URL"] == "http://risk-abc:8000"
    assert given["LOG_LEVEL"] == "info"


def test_the_command_takes_the_place_of_the_process() -> None:
    """So that the platform's signals reach it, and its exit code the platform."""
    assert call("sh", "-c", "exit 7").returncode == 7
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.on_render", "sh", "-c", "echo $$"],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate(timeout=60)
    assert int(said) == process.pid


def test_what_is_set_is_kept() -> None:
    given = {
        "DATABASE_URL": DATABASE,
        "DAGSTER_DATABASE_URL": "postgresql+psycopg2://other/db",
        "AI_ENGINE_URL": "http://a",
    }
    assert addresses({**given, "AI_ENGINE_HOSTPORT": "b:8003"}) == {}


def test_nothing_is_made_of_nothing() -> None:
    assert addresses({"PATH": "/bin", "RISK_ENGINE_HOSTPORT": ""}) == {}


def test_options_of_the_address_are_kept() -> None:
    made = dagster_address("postgres://u:p@h/db?sslmode=require")
    assert made == "postgresql+psycopg2://u:p@h/db_dagster?sslmode=require"


@pytest.mark.parametrize("address", ["", "redis://h/0", "postgresql://h:5432", "postgresql://h:5432/"])
def test_what_is_no_database_is_refused(address: str) -> None:
    done = call("true", DATABASE_URL=address)
    assert done.returncode == 1
    assert "DATABASE_URL is no address of a database; write postgresql://" in done.stderr


def test_no_command_and_an_unknown_one_are_told() -> None:
    assert "no command was given" in call().stderr
    unknown = call("no-such-command")
    assert unknown.returncode == 1
    assert "no-such-command cannot be run (No such file or directory)" in unknown.stderr
