"""Charts of a portfolio, from what the store and the core say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray
from pipeline.risk.measures.backtests import exceptions_of
from pipeline.risk.measures.drawdown import drawdown_spells, drawdowns
from pipeline.risk.report import HeldSeries
from pipeline.store.portfolio_contributions import ContributionRow
from pipeline.store.portfolio_simulations import SimulationRow
from pipeline.store.portfolio_tails import TailRow
from pipeline.store.quantile_forecasts import QuantileForecastRow
from serving.pages.chart_tables import over_time
from serving.pages.charts import Bars, Layer, Line, Span, TimeChart
from serving.pages.drawing import ChartTable, Drawn, number
from serving.pages.fan_chart import FanChart
from serving.pages.formats import percent, words
from serving.pages.links import why
from serving.pages.row_charts import Bar, BarChart, Interval, IntervalChart
from serving.routes.simulation_fans import FanOut
from serving.routes.stress import StoredScenarioOut

CONTRIBUTION_BARS = 25
WORST_FALLS = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """What was forecast of sessions, and what came.

    Parameters
    ----------
    sessions, made
        (m,) that the forecasts are of, and the ones before, at whose close they were made.
    returns, var
        (m,) of the portfolio, and the value at risk of the session before.
    exceptions
        (m,) losses above it.
    """

    sessions: DateArray
    made: DateArray
    returns: FloatArray
    var: FloatArray
    exceptions: BoolArray

    @property
    def count(self) -> int:
        """Exceptions."""
        return int(self.exceptions.sum())


def wealth_chart(series: HeldSeries, years: str, subject: str) -> Drawn:
    """What 1 has become since the first close.

    Parameters
    ----------
    subject
        Address of the portfolio's page.
    """
    wealth = np.cumprod(np.r_[1.0, 1.0 + series.held.returns], dtype=np.float64)
    title = f"Wealth of 1 invested on {series.sessions[0]}, {years}"
    chart, start = TimeChart(title, series.sessions, [Line("wealth", wealth)], number), str(series.sessions[0])
    explain = partial(_explained, subject, "wealth", start)
    return over_time(chart, {"wealth": explain})


def _explained(subject: str, measure: str, start: str, session: str) -> str:
    return why(f"{subject}/history", measure=measure, start=start, session=session)


def drawdown_chart(series: HeldSeries, subject: str) -> Drawn:
    """Fall from the peak since the first close, the deepest falls numbered."""
    return falls_chart(series.held.returns, series.sessions, subject)


def falls_chart(returns: FloatArray, sessions: DateArray, subject: str) -> Drawn:
    """Fall from the peak since the first close.

    Parameters
    ----------
    returns
        (n,) simple returns.
    sessions
        (n+1,) closes.
    """
    falls = np.r_[0.0, drawdowns(returns)]
    spells = worst_spells(returns, sessions)
    spans = [Span(spell.start, spell.end, str(place), spell.told) for place, spell in enumerate(spells, 1)]
    title = "Drawdown from the running peak"
    svg = TimeChart(title, sessions, [Line("drawdown", falls, "loss", True)], percent, spans).svg()
    heads = ("Fall", "Depth", "Peak", "Trough", "Recovered", "Sessions")
    rows = [
        [str(place), percent(s.depth), str(s.peak), str(s.trough), str(s.recovered or "not yet"), str(s.sessions)]
        for place, s in enumerate(spells, 1)
    ]
    links = [["", _explained(subject, "drawdown", str(sessions[0]), str(s.trough)), *[""] * 4] for s in spells]
    return Drawn(svg, ChartTable(f"The {len(rows)} deepest falls", heads, rows, links=links) if rows else None)


@dataclass(frozen=True, slots=True)
class Spell:
    """A fall from a peak by its sessions; `recovered` is None while it lasts."""

    depth: float
    start: int
    end: int
    peak: date
    trough: date
    recovered: date | None
    sessions: int

    @property
    def told(self) -> str:
        """The fall in words."""
        end = f"recovered {self.recovered}" if self.recovered else "not recovered"
        return f"{percent(self.depth)} from {self.peak} to {self.trough}, {end}"


def worst_spells(returns: FloatArray, sessions: DateArray, count: int = WORST_FALLS) -> list[Spell]:
    """The deepest falls, the deepest first."""
    days = [day.astype(date) for day in sessions]
    return [
        Spell(
            found.depth,
            found.start,
            found.start + found.duration_sessions,
            days[found.start],
            days[found.trough],
            None if found.recovery is None else days[found.recovery],
            found.duration_sessions,
        )
        for found in drawdown_spells(returns, count)
    ]


def judged(series: HeldSeries, tails: Sequence[TailRow]) -> Judged:
    """Each stored 99 % value at risk beside the return of the session after it."""
    sessions = np.array([row.session for row in tails], dtype="datetime64[D]")
    var = np.array([np.nan if row.var_99_1d is None else row.var_99_1d for row in tails])
    rows = np.searchsorted(series.sessions, sessions)
    known = rows < len(series.held.returns)
    known[known] &= series.sessions[rows[known]] == sessions[known]
    returns = series.held.returns[rows[known]]
    exceptions = exceptions_of(returns, var[known])
    return Judged(series.sessions[rows[known] + 1], sessions[known], returns, var[known], exceptions)


def exceptions_chart(found: Judged, method: str, subject: str) -> Drawn:
    """Daily returns against the value at risk that was published for each."""
    layers: list[Layer] = [
        Bars("daily return", found.returns, "muted", found.exceptions, "exception: a larger loss"),
        Line("−VaR 99 %", -found.var, "a"),
    ]
    title = f"Daily returns against the 99 % value at risk by {words(method).lower()}: {found.count} exceptions"
    heads = ("Session", "Return", "VaR 99 %", "Loss beyond it")
    rows = [
        [
            str(found.sessions[place]),
            percent(found.returns[place], 2),
            percent(found.var[place], 2),
            percent(-found.returns[place] - found.var[place], 2),
        ]
        for place in np.flatnonzero(found.exceptions)
    ]
    links = [
        [
            "",
            why(f"{subject}/history", measure="total_return", session=found.sessions[place]),
            why(f"{subject}/tail", method=method, measure="var_99_1d", session=found.made[place]),
            "",
        ]
        for place in np.flatnonzero(found.exceptions)
    ]
    table = ChartTable(f"The {len(rows)} exceptions", heads, rows, links=links) if rows else None
    return Drawn(TimeChart(title, found.sessions, layers).svg(), table)


def contribution_chart(rows: Sequence[ContributionRow], names: Mapping[int, str]) -> Drawn:
    """Each position's part of the volatility, the largest first."""
    ordered = sorted(rows, key=lambda row: -(row.volatility_component or 0.0))[:CONTRIBUTION_BARS]
    bars = [Bar(names.get(row.instrument_id, str(row.instrument_id)), row.volatility_component) for row in ordered]
    return Drawn(BarChart("Parts of the volatility by position", bars, decimals=2).svg())


def stress_chart(scenarios: Sequence[StoredScenarioOut]) -> Drawn:
    """Total of each scenario, with its deepest point."""
    bars = [Bar(words(scenario.scenario), scenario.total, scenario.worst_total) for scenario in scenarios]
    title = "Profit or loss of today's holdings in past crises"
    return Drawn(BarChart(title, bars, value_name="at the end", point_name="deepest point").svg())


def simulation_chart(rows: Sequence[SimulationRow]) -> Drawn:
    """Quantiles of the simulated return by model."""
    intervals = [
        Interval(words(row.model), row.return_05, row.return_25, row.return_50, row.return_75, row.return_95)
        for row in rows
    ]
    title = "Simulated return by model: 5, 25, 50, 75 and 95 % quantiles"
    return Drawn(IntervalChart(title, intervals).svg())


def fan_chart(fan: FanOut, subject: str) -> Drawn:
    """How the stored simulation of a model spreads on the way."""
    made = fan.simulation
    title = f"Simulated return over {fan.steps[-1]} sessions by {words(made.model).lower()}"

    def explain(step: int, level: float) -> str:
        measure = f"return_{100 * level:02.0f}"
        return why(f"{subject}/simulations/fan", model=made.model, measure=measure, step=step, session=made.session)

    return FanChart(title, fan.steps, fan.levels, fan.wealth, explain).drawn()


def forecast_chart(rows: Mapping[str, QuantileForecastRow]) -> Drawn:
    """What is expected of each position's next session."""
    intervals = [
        Interval(name, r.quantile_0050, r.quantile_0250, r.quantile_0500, r.quantile_0750, r.quantile_0950)
        for name, r in rows.items()
    ]
    title = "Expected return of the next session by position: 5, 25, 50, 75 and 95 % quantiles"
    return Drawn(IntervalChart(title, intervals[:CONTRIBUTION_BARS], row_height=30.0).svg())
