"""Simulations of the release before, which knew no 99 % shortfall: they are answered, with nothing in its place."""

from __future__ import annotations

import httpx

from pipeline.base.types import MonthRange
from pipeline.simulation.assets.portfolio_simulation import simulated_rows
from pipeline.simulation.run import SimulationSpec
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.portfolios import read_portfolio
from pipeline.store.prices import read_price_panel
from pipeline.store.writing import concatenated, open_write
from serving.routes.explaining.simulations import NOT_YET
from tests.integration.serving.running import wait_until
from tests.integration.serving.seeding import MONTHS, Seeded
from tests.integration.serving.simulations import AS_JOB, BODY, JOBS, SIMULATE, WINDOW
from tests.integration.serving.test_explanations import write_prices

ADDED = (
    *("var_95_error", "es_99", "es_99_error", "probability_of_loss_error", "max_drawdown_mean_error"),
    *(f"max_drawdown_{percent:02d}" for percent in (5, 25, 50, 75, 95)),
    "parameters",
)
NEW_IN_JOBS = ("es_99", "es_99_error", *(f"max_drawdown_{percent}" for percent in (25, 50, 75, 95)))
"""The others were in the results of jobs from the first."""


def forget(seeded: Seeded) -> None:
    """As the release before has left its rows."""
    nothing = ", ".join(f"{name} = NULL" for name in ADDED)
    write_prices(seeded, "run-of-prices", {symbol: 2.0 * close for symbol, close in seeded.close.items()})
    with open_write(seeded.database, "portfolio_simulation", "run-of-before", "code-1") as write:
        portfolio = read_portfolio(write.connection, "held")
        ids = [position.instrument_id for position in portfolio.positions]
        panel = read_price_panel(write.connection, ids, None, MONTHS.end)
        spec = SimulationSpec("student_t", paths=500, fit_window_sessions=WINDOW, fan_steps=())
        rows = simulated_rows(panel, portfolio, MonthRange(MONTHS.last, MONTHS.last), [spec])
        write.replace(PORTFOLIO_SIMULATION, concatenated(PORTFOLIO_SIMULATION, rows), MONTHS)
    with seeded.database.connect() as connection:
        connection.execute(f"UPDATE portfolio_simulation SET {nothing}")
        connection.execute("UPDATE simulation_job SET result = result - %s::text[]", [list(NEW_IN_JOBS)])
        connection.commit()


def test_rows_and_jobs_of_the_release_before_are_answered(own_seeded: Seeded, own_api: httpx.Client) -> None:
    job = own_api.post(SIMULATE, json=BODY, headers=AS_JOB).json()["id"]
    wait_until(lambda: own_api.get(f"{JOBS}/{job}").json()["state"] == "done", seconds=60.0)
    forget(own_seeded)
    [row, *_] = own_api.get("/api/v1/portfolios/held/simulations").json()["data"]
    assert [row[name] for name in ADDED] == [None] * len(ADDED)
    assert row["es_975"] is not None
    result = own_api.get(f"{JOBS}/{job}").json()["result"]
    assert [result[name] for name in NEW_IN_JOBS] == [None] * len(NEW_IN_JOBS)
    assert all(result[name] is not None for name in ADDED if name not in NEW_IN_JOBS)
    page = own_api.get("/portfolios/held")
    assert page.status_code == 200
    assert ">ES 99 %</a>" in page.text
    report = own_api.get("/api/v1/portfolios/held/report").json()
    assert report["simulations"]["simulations"][0]["es_99"] is None
    asked = {"model": row["model"], "measure": "es_99", "session": row["session"]}
    explained = own_api.get("/api/v1/portfolios/held/simulations/explain", params=asked).json()
    assert (explained["value"], explained["undefined_because"]) == (None, NOT_YET)
    assert explained["recomputed"] > row["var_99"]
