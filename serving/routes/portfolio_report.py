"""The report of a portfolio, made of what the pipeline stored and of what is computed for the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter
from psycopg import Connection

from pipeline.base.errors import InvalidInputError, NotFoundError
from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import ForecastSpec
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.risk.measures.drawdown import drawdowns
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.full_report import ReportSpec
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.performance import Calendar, calendar_returns, trailing_return
from pipeline.risk.measures.risk_free import NONE_STORED
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.limits import read_limits
from pipeline.store.portfolio_simulations import read_portfolio_simulations
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import read_last_session
from pipeline.store.reading import LATEST, Window
from pipeline.store.var_backtests import read_var_backtests
from serving.deps import Database
from serving.errors import problem_responses
from serving.inputs import PortfolioPath
from serving.routes.backtests import BacktestOut
from serving.routes.calculate import calculate_figures
from serving.routes.portfolio_forecast import forecast_of
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS, read_reaching_panel
from serving.routes.portfolio_simulations import SimulationOut
from serving.routes.portfolios import PortfolioOut
from serving.routes.report_forms import (
    BacktestsSection,
    CalendarOut,
    ContributionsSection,
    CurveOut,
    ForecastsSection,
    LimitsSection,
    MeasuresSection,
    PerformanceSection,
    PortfolioReport,
    SimulationsSection,
    StressSection,
    TailsSection,
    TrailingOut,
)
from serving.routes.stress import read_stored_stress
from serving.routes.subjects import Subject, subject_of_instruments
from serving.routes.what_if import Side, measured_side, side_out, with_rates
from serving.routing import ComputingRoute

WINDOW_SESSIONS = 252
SPEC = ReportSpec()
CURVE_SESSIONS = 2_520
"""Of the curve of wealth: ten years."""
MOST_ROWS = 10_000
TRAILING: dict[str, int | None] = {"1m": 1, "3m": 3, "1y": 12, "3y": 36, "5y": 60, "10y": 120, "all": None}
_REFUSALS = (MeasureInputError, ForecastInputError, InvalidInputError, NotFoundError)

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["portfolios"])

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Known:
    """What the sections are made of, beside what is stored for them.

    Parameters
    ----------
    series
        Today's holdings on all sessions on which each has a price.
    """

    portfolio: Portfolio
    benchmark: Instrument | None
    series: HeldSeries

    @property
    def address(self) -> str:
        """Of the portfolio."""
        return f"/api/v1/portfolios/{self.portfolio.id}"

    @property
    def last(self) -> date:
        """Last session of the series."""
        found: date = self.series.sessions[-1].astype(date)
        return found


@router.get("/{reference}/report", responses=problem_responses(501))
def get_portfolio_report(reference: PortfolioPath, database: Database) -> PortfolioReport:
    """Everything that is known of a portfolio: value, performance, risk, stress, limits, simulations and forecasts."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        return read_report(connection, portfolio).model_copy(update={"notice": database.notice(connection)})


def read_report(connection: Connection, portfolio: Portfolio) -> PortfolioReport:
    """The report of a portfolio.

    Raises
    ------
    MeasureInputError
        If the portfolio holds nothing, or cannot be held.
    NotFoundError
        If there are no prices.
    """
    last = read_last_session(connection)
    if last is None:
        raise NotFoundError("There are no prices yet", "Run 'fintech run', which loads them.")
    known = _read_known(connection, portfolio, last)
    unavailable: dict[str, str] = {}

    def made(name: str, make: Callable[[], Made]) -> Made | None:
        """A section, or None and the reason."""
        try:
            return make()
        except _REFUSALS as error:
            unavailable[name] = str(error)
            return None

    subject = made("measures", lambda: read_report_subject(connection, portfolio, known.benchmark))
    side = None
    if subject is None:
        because = unavailable["measures"]
        unavailable |= dict.fromkeys(("tails", "contributions", "limits"), because)
    else:
        side = measured_side(subject, portfolio.policy, SPEC, read_limits(connection, portfolio.id))
    return PortfolioReport(
        portfolio=PortfolioOut.model_validate(portfolio),
        as_of=last,
        performance=made("performance", lambda: _performance(known, subject, side)),
        measures=None if subject is None or side is None else _measures(known, subject, side),
        tails=None if subject is None or side is None else _tails(known, subject, side),
        backtests=_backtests(connection, known),
        stress=_stress(connection, known),
        contributions=None if side is None else made("contributions", lambda: _contributions(known, side)),
        limits=None if side is None else _limits(known, side),
        simulations=_simulations(connection, known),
        forecasts=made("forecasts", lambda: _forecasts(known)),
        unavailable=unavailable,
    )


def _read_known(connection: Connection, portfolio: Portfolio, last: date) -> Known:
    benchmark = benchmark_of(read_instruments(connection), portfolio.benchmark_id)
    holdings, currency = Holdings(portfolio.amounts, *portfolio.policy), portfolio.base_currency
    ids, end = [position.instrument_id for position in portfolio.positions], last + timedelta(days=1)
    panel = read_reaching_panel(
        connection, ids, benchmark, holdings.rebalancing, end, LONGEST_WINDOW_SESSIONS, currency
    )
    index = panel.column(benchmark.id, currency) if benchmark else None
    series = held_series(panel.columns(ids, currency), panel.sessions, index, holdings)
    if len(series.sessions) < 2:
        raise MeasureInputError("positions: one session has a price for each; two are needed, so load more prices")
    return Known(portfolio, benchmark, series)


def read_report_subject(connection: Connection, portfolio: Portfolio, benchmark: Instrument | None) -> Subject:
    """The newest window, as ``/calculate`` reads it.

    Raises
    ------
    InvalidInputError
        If a currency has no exchange rate.
    MeasureInputError
        If prices are too few, or the value is not above 0.
    """
    instruments = {instrument.id: instrument for instrument in read_instruments(connection)}
    subject = subject_of_instruments(
        connection,
        [instruments[position.instrument_id] for position in portfolio.positions],
        lambda _: Holdings(portfolio.amounts, *portfolio.policy),
        portfolio.policy,
        benchmark,
        WINDOW_SESSIONS,
        portfolio.base_currency,
    )
    return with_rates(connection, subject, portfolio.base_currency)


def _performance(known: Known, subject: Subject | None, side: Side | None) -> PerformanceSection:
    series = known.series
    found = [] if subject is None or side is None else calculate_figures(side.report, subject.sessions)["drawdowns"]
    return PerformanceSection(
        as_of=known.last,
        source="computed",
        explain=f"{known.address}/history/explain{{?measure,start,session}}",
        explain_value=f"{known.address}/report/explain?figure=value",
        explain_drawdowns=f"{known.address}/report/explain{{?figure,drawdown}}",
        value=None if side is None else side.held.value,
        trailing=[out for name, months in TRAILING.items() for out in _trailing(series, name, months)],
        years=_calendar(series, "year"),
        months=_calendar(series, "month"),
        curve=_curve(series),
        drawdowns=found,
    )


def _trailing(series: HeldSeries, name: str, months: int | None) -> list[TrailingOut]:
    found = trailing_return(series.held.returns, series.sessions, months)
    if found is None:
        return []
    index = _index(series)
    other = None if index is None else trailing_return(index, series.sessions, months)
    return [
        TrailingOut(
            name=name,
            start=found.start.astype(date),
            sessions=found.sessions,
            total_return=found.total_return,
            annual_return=found.annual_return,
            benchmark_return=None if other is None else other.total_return,
        )
    ]


def _calendar(series: HeldSeries, calendar: Calendar) -> list[CalendarOut]:
    starts, own = calendar_returns(series.held.returns, series.sessions[1:], calendar)
    index = _index(series)
    others: list[float | None] = [None] * len(own)
    if index is not None:
        others = [*calendar_returns(index, series.sessions[1:], calendar)[1].tolist()]
    return [
        CalendarOut(start=start.astype(date), total_return=value, benchmark_return=other)
        for start, value, other in zip(starts, own.tolist(), others, strict=True)
    ]


def _curve(series: HeldSeries) -> CurveOut:
    kept, index = slice(-CURVE_SESSIONS, None), _index(series)
    fall = np.r_[0.0, drawdowns(series.held.returns)][-CURVE_SESSIONS - 1 :]
    return CurveOut(
        sessions=series.sessions[-CURVE_SESSIONS - 1 :].tolist(),
        wealth=_wealth(series.held.returns[kept]),
        benchmark=None if index is None else _wealth(index[kept]),
        drawdown=fall.tolist(),
    )


def _index(series: HeldSeries) -> FloatArray | None:
    """Returns of the benchmark, if it has one on every session."""
    index = series.benchmark
    return index if index is not None and np.isfinite(index).all() else None


def _wealth(returns: FloatArray) -> list[float]:
    found: list[float] = np.r_[1.0, np.cumprod(1.0 + returns)].tolist()
    return found


def _measures(known: Known, subject: Subject, side: Side) -> MeasuresSection:
    assert subject.sessions is not None  # stored prices have dates
    return MeasuresSection(
        as_of=known.last,
        source="computed",
        explain=f"{known.address}/report/explain{{?figure}}",
        window_start=subject.sessions[0].astype(date),
        window_sessions=WINDOW_SESSIONS,
        benchmark=subject.benchmark,
        risk_free=subject.risk_free or NONE_STORED,
        measures=calculate_figures(side.report, subject.sessions)["measures"],
    )


def _tails(known: Known, subject: Subject, side: Side) -> TailsSection:
    return TailsSection(
        as_of=known.last,
        source="computed",
        explain=f"{known.address}/report/explain{{?figure,method,at}}",
        window_sessions=WINDOW_SESSIONS,
        tails=calculate_figures(side.report, subject.sessions)["tails"],
    )


def _backtests(connection: Connection, known: Known) -> BacktestsSection:
    number = known.portfolio.id
    rows: list[Any] = []
    for newest in read_var_backtests(connection, "portfolio", number, LATEST):
        rows = read_var_backtests(connection, "portfolio", number, Window(newest.session, newest.session, MOST_ROWS))
    return BacktestsSection(
        as_of=rows[-1].session if rows else None,
        source="stored",
        explain=f"{known.address}/backtests/explain{{?method,measure,figure}}",
        backtests=[BacktestOut.model_validate(row) for row in rows],
    )


def _stress(connection: Connection, known: Known) -> StressSection:
    found = read_stored_stress(connection, known.portfolio.id)
    return StressSection(
        as_of=found[0].session if found else None,
        source="stored",
        explain=f"{known.address}/stress/explain{{?scenario,symbol,measure}}",
        scenarios=found,
    )


def _contributions(known: Known, side: Side) -> ContributionsSection:
    out = side_out(side)
    return ContributionsSection(
        as_of=known.last,
        source="computed",
        explain=f"{known.address}/report/explain{{?figure,symbol}}",
        concentration=out.concentration,
        positions=out.contributions,
    )


def _limits(known: Known, side: Side) -> LimitsSection:
    return LimitsSection(
        as_of=known.last,
        source="computed",
        explain=f"{known.address}/report/explain{{?figure,limit,direction}}",
        limits=side_out(side).limits,
    )


def _simulations(connection: Connection, known: Known) -> SimulationsSection:
    number, rows = known.portfolio.id, list[Any]()
    for newest in read_portfolio_simulations(connection, number, LATEST):
        rows = read_portfolio_simulations(connection, number, Window(newest.session, newest.session, MOST_ROWS))
    return SimulationsSection(
        as_of=rows[-1].session if rows else None,
        source="stored",
        explain=f"{known.address}/simulations/explain{{?model,measure}}",
        simulations=[SimulationOut.model_validate(row) for row in rows],
    )


def _forecasts(known: Known) -> ForecastsSection:
    return ForecastsSection(
        as_of=known.last,
        source="computed",
        explain=None,
        forecasts=forecast_of(known.portfolio, known.series, ForecastSpec()),
    )
