"""Simulations by the API, and the same ones by the core."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import date
from typing import Any

import httpx

from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.report import held_series
from pipeline.simulation.run import SimulationResult, SimulationSpec, simulate
from pipeline.store.engine import Database
from pipeline.store.portfolios import read_portfolio
from pipeline.store.prices import read_price_panel
from tests.integration.serving.running import wait_until

SIMULATE = "/api/v1/simulate"
JOBS = "/api/v1/simulations"
WINDOW = 500
BODY: dict[str, Any] = {"portfolio": "held", "fit_window_sessions": WINDOW, "paths": 1_000, "horizon_sessions": 21}
LARGE: dict[str, Any] = {**BODY, "paths": 40_000, "horizon_sessions": 1_260}
"""50,400,000 paths × sessions: six parts."""
HUGE: dict[str, Any] = {**BODY, "paths": 400_000, "horizon_sessions": 2_520, "fan_steps": [2_520]}
"""Ten seconds or more: it is under way whenever a test looks."""
AS_JOB = {"Prefer": "respond-async"}
WEIGHTS = {
    "rebalancing": "monthly",
    "positions": [{"symbol": "AAPL", "target_weight": 0.6}, {"symbol": "MSFT", "target_weight": 0.4}],
}

RETRIES = 10


def returns_of(database: Database, slug: str = "held") -> tuple[int, Any]:
    """A portfolio's number and fit window, read from the start."""
    with database.connect() as connection:
        portfolio = read_portfolio(connection, slug)
        ids = [position.instrument_id for position in portfolio.positions]
        panel = read_price_panel(connection, ids, None, date(2023, 1, 1))
    close = panel.columns(ids, portfolio.base_currency)
    series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, portfolio.rebalancing))
    return portfolio.id, scenario_returns(series.held, len(series.held.returns), WINDOW)


def expected(database: Database, body: dict[str, Any], slug: str = "held") -> SimulationResult:
    number, returns = returns_of(database, slug)
    given = {
        name: body[name]
        for name in ("model", "paths", "horizon_sessions", "seed", "fit_window_sessions", "sampling")
        if name in body
    }
    steps = body.get("fan_steps")
    return simulate(returns, SimulationSpec(**given, fan_steps=None if steps is None else tuple(steps)), number)


def assert_same(answer: dict[str, Any], result: SimulationResult) -> None:
    """Every figure, bit for bit."""
    compared = 0
    for name, value in asdict(result).items():
        if name in ("fit_first", "fit_last", "fan", "parameters", "contributions"):
            continue
        assert answer[name] == json.loads(json.dumps(value)), name
        compared += 1
    assert compared >= 18
    assert answer["fan"]["steps"] == list(result.fan.steps)
    assert answer["fan"]["wealth"] == [list(row) for row in result.fan.wealth]
    assert answer["parameters"] == [asdict(parameter) for parameter in result.parameters]


def submit(client: httpx.Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = client.post(SIMULATE, json=body, headers={**AS_JOB, **headers})
    for _ in range(RETRIES):  # as a caller does whom a busy machine has told to
        if answer.status_code != 503:
            break
        time.sleep(float(answer.headers["retry-after"]))
        answer = client.post(SIMULATE, json=body, headers={**AS_JOB, **headers})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    seen = job_of(client, job["id"], headers)
    assert (job["warnings"], job["staleness"] is None) == (seen["warnings"], seen["staleness"] is None)
    assert answer.headers["location"] == f"{JOBS}/{job['id']}"
    assert answer.headers["retry-after"] == "1"
    return job


def job_of(client: httpx.Client, job_id: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    return _job_in(client.get(f"{JOBS}/{job_id}", headers=headers))


def _job_in(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def ended(client: httpx.Client, job_id: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """A job once it has ended; who follows one on a busy machine is told to come back now and then, and does."""
    found: list[dict[str, Any]] = []

    def has_ended() -> bool:
        answer = client.get(f"{JOBS}/{job_id}", headers=headers)
        if answer.status_code == 503 and "retry-after" in answer.headers:
            return False
        found[:] = [_job_in(answer)]
        return found[0]["state"] not in ("queued", "running")

    wait_until(has_ended, 240)
    return found[0]


def parts(database: Database) -> int:
    with database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM simulation_part").fetchone()
    assert row is not None
    return int(row[0])
