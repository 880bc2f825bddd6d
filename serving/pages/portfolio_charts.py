"""Charts of a portfolio, from what the store and the core say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray
from pipeline.risk.measures.backtests import exceptions_of
from pipeline.risk.measures.drawdown import drawdowns
from pipeline.risk.report import HeldSeries
from pipeline.store.portfolio_contributions import ContributionRow
from pipeline.store.portfolio_simulations import SimulationRow
from pipeline.store.portfolio_tails import TailRow
from serving.pages.charts import Bar, BarChart, Bars, Interval, IntervalChart, Layer, Line, TimeChart, number
from serving.pages.formats import words
from serving.routes.stress import StoredScenarioOut

CONTRIBUTION_BARS = 25


@dataclass(frozen=True, slots=True)
class Judged:
    """What was forecast of sessions, and what came.

    Parameters
    ----------
    sessions
        (m,) that the forecasts are of, the session after each forecast's.
    returns, var
        (m,) of the portfolio, and the value at risk of the session before.
    exceptions
        (m,) losses above it.
    """

    sessions: DateArray
    returns: FloatArray
    var: FloatArray
    exceptions: BoolArray

    @property
    def count(self) -> int:
        """Exceptions."""
        return int(self.exceptions.sum())


def wealth_chart(series: HeldSeries, years: str) -> str:
    """What 1 has become since the first close."""
    wealth = np.cumprod(np.r_[1.0, 1.0 + series.held.returns], dtype=np.float64)
    title = f"Wealth of 1 invested on {series.sessions[0]}, {years}"
    return TimeChart(title, series.sessions, [Line("wealth", wealth)], number).svg()


def drawdown_chart(series: HeldSeries) -> str:
    """Fall from the peak since the first close."""
    falls = np.r_[0.0, drawdowns(series.held.returns)]
    return TimeChart("Drawdown from the running peak", series.sessions, [Line("drawdown", falls, "loss", True)]).svg()


def judged(series: HeldSeries, tails: Sequence[TailRow]) -> Judged:
    """Each stored 99 % value at risk beside the return of the session after it."""
    sessions = np.array([row.session for row in tails], dtype="datetime64[D]")
    var = np.array([np.nan if row.var_99_1d is None else row.var_99_1d for row in tails])
    rows = np.searchsorted(series.sessions, sessions)
    known = rows < len(series.held.returns)
    known[known] &= series.sessions[rows[known]] == sessions[known]
    returns = series.held.returns[rows[known]]
    return Judged(series.sessions[rows[known] + 1], returns, var[known], exceptions_of(returns, var[known]))


def exceptions_chart(found: Judged, method: str) -> str:
    """Daily returns against the value at risk that was published for each."""
    layers: list[Layer] = [
        Bars("daily return", found.returns, "muted", found.exceptions, "exception: a larger loss"),
        Line("−VaR 99 %", -found.var, "a"),
    ]
    title = f"Daily returns against the 99 % value at risk by {words(method).lower()}: {found.count} exceptions"
    return TimeChart(title, found.sessions, layers).svg()


def contribution_chart(rows: Sequence[ContributionRow], names: Mapping[int, str]) -> str:
    """Each position's part of the volatility, the largest first."""
    ordered = sorted(rows, key=lambda row: -(row.volatility_component or 0.0))[:CONTRIBUTION_BARS]
    bars = [Bar(names.get(row.instrument_id, str(row.instrument_id)), row.volatility_component) for row in ordered]
    return BarChart("Parts of the volatility by position", bars, decimals=2).svg()


def stress_chart(scenarios: Sequence[StoredScenarioOut]) -> str:
    """Total of each scenario, with its deepest point."""
    bars = [Bar(words(scenario.scenario), scenario.total, scenario.worst_total) for scenario in scenarios]
    title = "Profit or loss of today's holdings in past crises"
    return BarChart(title, bars, value_name="at the end", point_name="deepest point").svg()


def simulation_chart(rows: Sequence[SimulationRow]) -> str:
    """Quantiles of the simulated return by model."""
    intervals = [
        Interval(words(row.model), row.return_05, row.return_25, row.return_50, row.return_75, row.return_95)
        for row in rows
    ]
    return IntervalChart("Simulated return by model: 5, 25, 50, 75 and 95 % quantiles", intervals).svg()
