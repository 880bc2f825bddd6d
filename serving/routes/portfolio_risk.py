"""Risk measures of a portfolio: stored by the pipeline, or computed on request by the same functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from enum import Enum
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter
from psycopg import Connection
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, Strict

from pipeline.base.errors import NotFoundError
from pipeline.base.types import DateArray, FloatArray, Rebalancing
from pipeline.risk.measures import MEASURES, RiskSpec
from pipeline.risk.measures.holdings import Holdings, period_ids, scenario_returns
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.risk.report import HeldSeries, held_series, latest_report
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import PricePanel, read_last_session, read_price_panel
from serving.answers import Collection, Resource
from serving.deps import Database
from serving.inputs import IsoDate, PortfolioPath, Windowed, require_number
from serving.measures import MeasureValues, RiskOut

LONGEST_WINDOW_SESSIONS = 8_400
"""A little more than the 33 years of the bundled prices."""
QUARTER_DAYS = 92
_PERIOD_DAYS: dict[Rebalancing, int] = {"buy_and_hold": 0, "daily": 1, "monthly": 31, "quarterly": QUARTER_DAYS}

router = APIRouter(prefix="/portfolios", tags=["risk"])


class Confidence(float, Enum):
    """Confidence of the tail measures."""

    P95 = 0.95
    P975 = 0.975
    P99 = 0.99


class RiskRequest(BaseModel):
    """How to measure; everything has a default."""

    model_config = ConfigDict(extra="forbid")

    confidence: Annotated[Confidence, BeforeValidator(require_number)] = Field(
        Confidence.P99, description="Of var and expected_shortfall."
    )
    window_sessions: Annotated[int, Strict()] = Field(
        252, ge=2, le=LONGEST_WINDOW_SESSIONS, description="Returns to measure."
    )
    risk_free_rate_annual: Annotated[float, Strict(), AllowInfNan(False)] = Field(
        0.0, gt=-1.0, lt=1.0, description="Annual effective rate, as a fraction."
    )
    as_of: IsoDate | None = Field(None, description="Last day whose price may be used; null for the newest.")


class PortfolioRiskOut(MeasureValues, Resource):
    """The measures of one window, computed for this request."""

    portfolio_id: int
    as_of: date = Field(description="Last session that was used: all positions have a price on it.")
    window_start: date = Field(description="Session before the first return of the window.")
    window_sessions: int = Field(description="Returns in the window.")
    risk_free_rate_annual: float = Field(description="Annual effective rate, as a fraction.")
    rebalancing: Rebalancing
    var: float | None = Field(description="Value at risk at `confidence` [fraction of value, positive loss]")
    expected_shortfall: float | None = Field(
        description="Expected shortfall at `confidence` [fraction of value, positive loss]"
    )
    confidence: float
    horizon_sessions: Literal[1] = Field(1, description="Horizon of var and expected_shortfall.")
    var_method: Literal["historical"] = Field(
        "historical", description="Order statistic of what today's weights would have earned, no interpolation."
    )
    expected_shortfall_method: Literal["historical"] = Field(
        "historical", description="Rockafellar–Uryasev, with the fractional atom."
    )
    benchmark: str | None = Field(description="Symbol that beta refers to.")
    undefined: dict[str, str] = Field(description="Measures without a value, and why.")


@router.get("/{reference}/risk")
def list_portfolio_risk(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[RiskOut]:
    """The newest stored 252-session measures inside a window, oldest first."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_risk(connection, portfolio.id, query.window)
        return Collection[RiskOut](data=rows, notice=database.notice(connection))


@router.post("/{reference}/risk")
def compute_portfolio_risk(
    reference: PortfolioPath, database: Database, request: RiskRequest | None = None
) -> PortfolioRiskOut:
    """Measure the newest window now, from the stored prices; nothing is stored."""
    asked = request or RiskRequest()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        benchmark = benchmark_of(read_instruments(connection))
        end = end_of(connection, asked.as_of)
        series = _read_series(connection, portfolio, benchmark, end, asked.window_sessions)
        notice = database.notice(connection)
    return PortfolioRiskOut.of(measured(portfolio, series, benchmark, asked), notice)


def measured(
    portfolio: Portfolio, series: HeldSeries, benchmark: Instrument | None, asked: RiskRequest
) -> PortfolioRiskOut:
    """The answer to a request from the series that it asks about.

    Raises
    ------
    MeasureInputError
        If the series is shorter than the window.
    """
    spec = RiskSpec(window_sessions=asked.window_sessions, risk_free_rate_annual=asked.risk_free_rate_annual)
    held = series.held
    values = latest_report(held.returns, series.benchmark, spec, held)
    scenarios = scenario_returns(held, len(held.returns), spec.window_sessions)
    confidence = float(asked.confidence.value)
    finite = {name: value if np.isfinite(value) else None for name, value in values.items()}
    return PortfolioRiskOut(
        portfolio_id=portfolio.id,
        as_of=series.sessions[-1].astype(date),
        window_start=series.sessions[-1 - spec.window_sessions].astype(date),
        window_sessions=spec.window_sessions,
        risk_free_rate_annual=spec.risk_free_rate_annual,
        rebalancing=portfolio.rebalancing,
        var=float(historical_var(scenarios, confidence)),
        expected_shortfall=float(historical_es(scenarios, confidence)),
        confidence=confidence,
        benchmark=benchmark.symbol if benchmark and series.benchmark is not None else None,
        undefined={m.name: m.undefined_because or "undefined" for m in MEASURES if finite[m.name] is None},
        **finite,
    )


def end_of(connection: Connection, as_of: date | None) -> date:
    """The day after the last one whose price may be used."""
    last = as_of or read_last_session(connection)
    if last is None:
        raise NotFoundError("There are no prices yet", "Run 'fintech run', which loads them.")
    return last + timedelta(days=1)


def _read_series(
    connection: Connection, portfolio: Portfolio, benchmark: Instrument | None, end: date, window_sessions: int
) -> HeldSeries:
    """Hold the portfolio on enough sessions for the window."""
    held_ids = [position.instrument_id for position in portfolio.positions]
    holdings, currency = Holdings(portfolio.amounts, portfolio.rebalancing), portfolio.base_currency
    panel = read_reaching_panel(connection, held_ids, benchmark, holdings.rebalancing, end, window_sessions, currency)
    index = panel.column(benchmark.id, currency) if benchmark else None
    return held_series(panel.columns(held_ids, currency), panel.sessions, index, holdings)


def read_reaching_panel(
    connection: Connection,
    held_ids: Sequence[int],
    benchmark: Instrument | None,
    rebalancing: Rebalancing,
    end: date,
    window_sessions: int,
    currency: str | None = None,
) -> PricePanel:
    """Prices before `end` on enough sessions for the window: of as few days as will do, or all of them.

    Parameters
    ----------
    currency
        What the window is measured in: a session without a rate does not count. None leaves prices in their own.
    """
    ids = list(dict.fromkeys([*held_ids, *([benchmark.id] if benchmark else [])]))
    panel = PricePanel(np.empty(0, "datetime64[D]"), np.array(ids), np.empty((0, len(ids))))
    for days in (_fewest_days(rebalancing, window_sessions), 2 * window_sessions + 2 * QUARTER_DAYS, None):
        start = None if days is None else end - timedelta(days=days)
        panel = read_price_panel(connection, ids, start, end, currency=currency)
        held = panel.columns(held_ids, currency)
        if reaches_back(held, panel.sessions, rebalancing, window_sessions):
            break
    return panel


def _fewest_days(rebalancing: Rebalancing, window_sessions: int) -> int:
    """Days in which 252 sessions a year, with a fortnight to spare, fill the window and the period before it."""
    return math.ceil(1.45 * window_sessions) + 14 + _PERIOD_DAYS[rebalancing]


def reaches_back(close: FloatArray, sessions: DateArray, rebalancing: Rebalancing, window_sessions: int) -> bool:
    """Whether prices from earlier sessions could not change the newest window.

    They could if the window is not full, or if its first session lies in the first rebalancing period, whose
    weights drift from a close that was not read.
    """
    complete = sessions[np.isfinite(close).all(axis=1)]
    if len(complete) <= window_sessions:
        return False
    if rebalancing == "buy_and_hold":
        return True
    periods = period_ids(complete, rebalancing)
    return bool(periods[0] != periods[-1 - window_sessions])
