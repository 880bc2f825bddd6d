"""`fintech simulate`: the API's engine at the terminal, with progress."""

from __future__ import annotations

import json
import re

import pytest

from pipeline.store.engine import Database
from serving.routes.simulating.forms import SimulatedRow
from tests.integration.fintech.conftest import CommandLine
from tests.integration.serving.running import local_settings, running_service
from tests.integration.serving.seeding import NOTICE, seed

ASKED = ("--fit-window", "500", "--horizon", "2520", "--paths", "8000", "--seed", "3")


@pytest.mark.slow
def test_it_prints_progress_and_the_digits_of_the_api(compiled_command_line: CommandLine, database: Database) -> None:
    seed(database)
    options = (*ASKED, "--goal", "0.5", "--ruin", "0.3")
    ended = compiled_command_line.run("simulate", "held", *options, "--json", DATABASE_URL=database.url)
    assert ended.exit_code == 0, ended.errors
    assert "8000/8000 paths" in ended.errors
    assert len(ended.errors.splitlines()) >= 3
    body = {"portfolio": "held", "fit_window_sessions": 500, "horizon_sessions": 2_520, "paths": 8_000, "seed": 3}
    with running_service("portfolio-simulation", local_settings(database.url)) as service:
        answer = service.client.post("/api/v1/simulate", json={**body, "goal_return": 0.5, "ruin_drawdown": 0.3})
    printed, answered = json.loads(ended.output), answer.json()
    assert answered["probability_of_goal"]["value"] > 0.0
    told = SimulatedRow.model_fields.keys() | {"notice"}
    assert {name: printed[name] for name in told} == {name: answered[name] for name in told}


@pytest.mark.slow
def test_weights_are_simulated_into_a_table(compiled_command_line: CommandLine, database: Database) -> None:
    seed(database)
    weights = ("--weight", "AAPL=0.6", "--weight", "MSFT=0.4")
    ended = compiled_command_line.run("simulate", *weights, *ASKED, DATABASE_URL=database.url)
    assert (ended.exit_code, ended.errors) == (0, "")
    assert "8000/8000 paths" in ended.output
    assert "VaR 99 at the horizon" in ended.output
    assert re.search(r"ES 99 at the horizon +[0-9.]+ +[0-9.]+", ended.output)
    assert "8000 paths of 2520 sessions, stationary_bootstrap, seed 3" in ended.output
    assert NOTICE in ended.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "exit_code", "cause"),
    [
        (("held", "--paths", "0"), 2, "paths: Input should be greater than or equal to 100"),
        ((), 2, "Give exactly one of portfolio and positions"),
        (("held", "--model", "crystal_ball"), 1, "model='crystal_ball' is unknown"),
        (("--weight", "AAPL"), 2, "--weight 'AAPL' is no position"),
        (("nobody",), 1, "No portfolio has the id or slug 'nobody'"),
    ],
)
def test_what_cannot_be_simulated_is_one_line(
    command_line: CommandLine, database: Database, arguments: tuple[str, ...], exit_code: int, cause: str
) -> None:
    seed(database)
    refused = command_line.run("simulate", *arguments, DATABASE_URL=database.url)
    assert cause in refused.error_line
    assert refused.exit_code == exit_code
