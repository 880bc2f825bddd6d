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
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from pipeline.base.errors import NotFoundError
from pipeline.base.types import DateArray, FloatArray, Rebalancing
from pipeline.risk.measures import MEASURES, RiskSpec
from pipeline.risk.measures.holdings import Holdings, period_ids, scenario_returns
from pipeline.risk.measures.risk_free import NONE_STORED, RiskFree, why_unknown
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.risk.report import HeldSeries, held_series, latest_report
from pipeline.store.instruments import Instrument, benchmark_of, read_instruments
from pipeline.store.portfolio_risk import PORTFOLIO_RISK, read_portfolio_risk
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.prices import PricePanel, read_last_session, read_price_panel
from serving.answers import Collection, Resource, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import PastDay, PortfolioPath, Windowed, require_number
from serving.measures import MeasureValues, RiskOut
from serving.positions import BAND_MEANING
from serving.risk_free import GIVEN, RATE_MEANING, SAID_MEANING, Rate, read_currency_rates
from serving.routing import ThreadedRoute, computing

LONGEST_WINDOW_SESSIONS = 8_400
"""A little more than the 33 years of the bundled prices."""
QUARTER_DAYS = 92
_PERIOD_DAYS: dict[Rebalancing, int] = {"buy_and_hold": 0, "daily": 1, "monthly": 31, "quarterly": QUARTER_DAYS}
"""Of the policies that forget; what a drift band does follows from everything since the portfolio's first session."""

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["risk"])

ROWS = Order.of_series(PORTFOLIO_RISK, "portfolio_id")


@described_by(PORTFOLIO_RISK)
class StoredRiskOut(RiskOut):
    """As `RiskOut`, of a portfolio."""


class Confidence(float, Enum):
    """Confidence of the tail measures."""

    P95 = 0.95
    P975 = 0.975
    P99 = 0.99


class RiskRequest(BaseModel):
    """How to measure; everything has a default."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"confidence": 0.99, "window_sessions": 252}]},
    )

    confidence: Annotated[Confidence, BeforeValidator(require_number)] = Field(
        Confidence.P99, description="Of var and expected_shortfall."
    )
    window_sessions: Annotated[int, Strict()] = Field(
        252, ge=2, le=LONGEST_WINDOW_SESSIONS, description="Returns to measure."
    )
    risk_free_rate_annual: Rate | None = Field(
        None,
        description=f"{RATE_MEANING} Null takes the stored rates of the portfolio's base currency, and 0 where none is"
        " known.",
    )
    as_of: PastDay | None = Field(None, description="Last day whose price may be used; null for the newest.")


class PortfolioRiskOut(MeasureValues, Resource):
    """The measures of one window, computed for this request."""

    portfolio_id: int
    as_of: date = Field(description="Last session that was used: all positions have a price on it.")
    window_start: date = Field(description="Session before the first return of the window.")
    window_sessions: int = Field(description="Returns in the window.")
    risk_free_rate_annual: float | None = Field(
        description="Annual effective rate, as a fraction; null where the stored rates of a series were taken."
    )
    risk_free: str = Field(description=SAID_MEANING)
    rebalancing: Rebalancing
    drift_band: float | None = Field(None, description=BAND_MEANING)
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
def list_portfolio_risk(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[StoredRiskOut]:
    """The newest stored 252-session measures inside a window, oldest first."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_risk(connection, portfolio.id, query.page(ROWS))
        return Collection[StoredRiskOut].page(rows, query.limit, ROWS, database.notice(connection))


@router.post("/{reference}/risk")
@computing
def compute_portfolio_risk(
    reference: PortfolioPath, database: Database, request: RiskRequest | None = None
) -> PortfolioRiskOut:
    """Measure the newest window now, from the stored prices; nothing is stored."""
    asked = request or RiskRequest()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        benchmark = benchmark_of(read_instruments(connection), portfolio.benchmark_id)
        found = read_measured(connection, portfolio, benchmark, asked)
        notice = database.notice(connection)
    return PortfolioRiskOut.of(found, notice)


def read_measured(
    connection: Connection, portfolio: Portfolio, benchmark: Instrument | None, asked: RiskRequest
) -> PortfolioRiskOut:
    """The answer to a request from the stored prices and rates.

    Raises
    ------
    MeasureInputError
        If the prices do not fill the window.
    NotFoundError
        If there are none.
    """
    end = end_of(connection, asked.as_of)
    series = _read_series(connection, portfolio, benchmark, end, asked.window_sessions)
    rates = None
    if asked.risk_free_rate_annual is None and len(series.sessions) > asked.window_sessions:
        window = series.sessions[-1 - asked.window_sessions :]
        rates = read_currency_rates(connection, portfolio.base_currency, window)
    return measured(portfolio, series, benchmark, asked, rates)


def measured(
    portfolio: Portfolio,
    series: HeldSeries,
    benchmark: Instrument | None,
    asked: RiskRequest,
    rates: RiskFree | None = None,
) -> PortfolioRiskOut:
    """The answer to a request from the series that it asks about.

    Parameters
    ----------
    rates
        Of the returns in the window; None for the request's rate, or 0.

    Raises
    ------
    MeasureInputError
        If the series is shorter than the window.
    """
    given = asked.risk_free_rate_annual
    spec = RiskSpec(window_sessions=asked.window_sessions, risk_free_rate_annual=given or 0.0)
    held = series.held
    values = latest_report(held.returns, series.benchmark, spec, held, rates)
    partly = None if rates is None else why_unknown(rates.daily)
    scenarios = scenario_returns(held, len(held.returns), spec.window_sessions)
    confidence = float(asked.confidence.value)
    finite = {name: value if np.isfinite(value) else None for name, value in values.items()}
    return PortfolioRiskOut(
        portfolio_id=portfolio.id,
        as_of=series.sessions[-1].astype(date),
        window_start=series.sessions[-1 - spec.window_sessions].astype(date),
        window_sessions=spec.window_sessions,
        risk_free_rate_annual=spec.risk_free_rate_annual if rates is None else None,
        risk_free=rates.series if rates else NONE_STORED if given is None else GIVEN,
        rebalancing=portfolio.rebalancing,
        drift_band=portfolio.drift_band,
        var=float(historical_var(scenarios, confidence)),
        expected_shortfall=float(historical_es(scenarios, confidence)),
        confidence=confidence,
        benchmark=benchmark.symbol if benchmark and series.benchmark is not None else None,
        undefined={
            m.name: (partly if m.reads_risk_free else None) or m.undefined_because or "undefined"
            for m in MEASURES
            if finite[m.name] is None
        },
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
    holdings, currency = Holdings(portfolio.amounts, *portfolio.policy), portfolio.base_currency
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
    for days in _days_to_try(rebalancing, window_sessions):
        start = None if days is None else end - timedelta(days=days)
        panel = read_price_panel(connection, ids, start, end, currency=currency)
        held = panel.columns(held_ids, currency)
        if reaches_back(held, panel.sessions, rebalancing, window_sessions):
            break
    return panel


def _days_to_try(rebalancing: Rebalancing, window_sessions: int) -> tuple[int | None, ...]:
    """Days to read, fewest first; None for all.

    In the first, 252 sessions a year, with a fortnight to spare, fill the window and the period before it.
    """
    if rebalancing not in _PERIOD_DAYS:
        return (None,)
    fewest = math.ceil(1.45 * window_sessions) + 14 + _PERIOD_DAYS[rebalancing]
    return fewest, 2 * window_sessions + 2 * QUARTER_DAYS, None


def reaches_back(close: FloatArray, sessions: DateArray, rebalancing: Rebalancing, window_sessions: int) -> bool:
    """Whether prices from earlier sessions could not change the newest window.

    They could if the window is not full, or if its first session lies in the first rebalancing period, whose
    weights drift from a close that was not read; and always with a drift band.
    """
    complete = sessions[np.isfinite(close).all(axis=1)]
    if len(complete) <= window_sessions or rebalancing not in _PERIOD_DAYS:
        return False
    if rebalancing == "buy_and_hold":
        return True
    periods = period_ids(complete, rebalancing)
    return bool(periods[0] != periods[-1 - window_sessions])
