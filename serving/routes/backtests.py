"""Whether published values at risk were right: stored backtests, or one of a portfolio on request."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.risk.measures.backtests import VarBacktest, Zone, backtest
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.rolling_backtests import MOST_OBSERVATIONS
from pipeline.risk.measures.statistic import Statistic
from pipeline.risk.measures.tail_forecasts import PUBLISHED_WINDOW_SESSIONS, held_forecasts
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.report import HeldSeries
from pipeline.store.instruments import read_instrument
from pipeline.store.portfolios import Portfolio, read_portfolio
from pipeline.store.var_backtests import VAR_BACKTEST, read_var_backtests
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import InstrumentPath, PastDay, PortfolioPath, Windowed
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS, end_of
from serving.routes.tails import Fraction, MethodName, read_held
from serving.routing import ThreadedRoute, computing

MOST_OBSERVATIONS_ASKED = 2_520
"""Ten years: under a second of the slowest method."""

MOST_RETURNS_READ = 4_000_000
"""Observations × window of a request."""

router = APIRouter(route_class=ThreadedRoute, tags=["risk"])

BACKTESTS = Order.of_series(VAR_BACKTEST, "subject_kind", "subject_id")


@described_by(VAR_BACKTEST)
class BacktestOut(Row):
    """One series at a month's end."""

    session: date
    method: str
    measure: str
    observations: int
    exceptions: int
    expected_exceptions: float | None
    kupiec_statistic: float | None
    kupiec_p_value: float | None
    independence_statistic: float | None
    independence_p_value: float | None
    conditional_coverage_statistic: float | None
    conditional_coverage_p_value: float | None
    duration_statistic: float | None
    duration_p_value: float | None
    shortfall_z1_statistic: float | None
    shortfall_z1_p_value: float | None
    shortfall_z2_statistic: float | None
    shortfall_z2_p_value: float | None
    traffic_light: str | None
    basel_multiplier: float | None
    reason: str | None
    materialization_id: int


class BacktestRequest(BaseModel):
    """What to backtest; everything has a default."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"method": "filtered_historical", "observations": 500}]}
    )

    method: MethodName = Field("historical", description=f"One of {', '.join(VAR_METHODS)}.")
    confidence: Fraction = Field(0.99, description="Of value at risk and expected shortfall.")
    window_sessions: Annotated[int, Strict()] = Field(
        PUBLISHED_WINDOW_SESSIONS, ge=2, le=LONGEST_WINDOW_SESSIONS, description="Returns that each forecast uses."
    )
    observations: Annotated[int, Strict()] = Field(
        MOST_OBSERVATIONS, ge=2, le=MOST_OBSERVATIONS_ASKED, description="Forecasts to judge, the newest ones."
    )
    as_of: PastDay | None = Field(None, description="Last day whose price may be used; null for the newest.")

    @model_validator(mode="after")
    def _require_little_work(self) -> BacktestRequest:
        if self.observations * self.window_sessions > MOST_RETURNS_READ:
            raise PydanticCustomError(
                "too_much_work",
                "observations: times window_sessions more than {most}; ask for fewer of either",
                {"most": MOST_RETURNS_READ},
            )
        return self


class StatisticOut(Row):
    """A test; nulls with a reason where it is undefined."""

    value: float | None
    p_value: float | None = Field(description="Probability of being as bad by chance.")
    undefined_because: str | None


class TrafficLightOut(Row):
    """Basel's view of the last 250 sessions at 99 %."""

    zone: Zone | None
    exceptions: int | None
    plus_factor: float | None = Field(description="Of 1996, added to 3.")
    multiplier: float | None = Field(description="Of MAR99 (2019).")
    undefined_because: str | None


class PortfolioBacktestOut(Resource):
    """The backtest of one method, computed for this request."""

    portfolio_id: int
    as_of: date = Field(description="Last session that was used: the one that judges the last forecast.")
    first_judged: date = Field(description="Session that judges the first forecast.")
    method: str
    confidence: float
    window_sessions: int
    observations: int = Field(description="Sessions with a forecast, of those asked for.")
    undefined_forecasts: int = Field(description="Sessions on which the method has no figure; they are left out.")
    exceptions: int = Field(description="Sessions with a loss above the value at risk.")
    expected_exceptions: float
    kupiec: StatisticOut = Field(description="Is the number of exceptions right?")
    independence: StatisticOut = Field(description="Is an exception as likely after an exception as after none?")
    conditional_coverage: StatisticOut = Field(description="Both together.")
    duration: StatisticOut = Field(description="Do exceptions come without memory of the last?")
    shortfall_z1: StatisticOut = Field(description="Acerbi and Szekely's Z1, given the exceptions.")
    shortfall_z2: StatisticOut = Field(description="Acerbi and Szekely's Z2, with their number.")
    traffic_light: TrafficLightOut


@router.get("/portfolios/{reference}/backtests")
def list_portfolio_backtests(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[BacktestOut]:
    """The newest stored backtests inside a window, oldest first: a row a month's end, method and measure."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_var_backtests(connection, "portfolio", portfolio.id, query.page(BACKTESTS))
        return Collection[BacktestOut].page(rows, query.limit, BACKTESTS, database.notice(connection))


@router.get("/instruments/{symbol}/backtests")
def list_instrument_backtests(symbol: InstrumentPath, query: Windowed, database: Database) -> Collection[BacktestOut]:
    """The newest stored backtests inside a window, oldest first: a row a month's end and measure."""
    with database.reading() as connection:
        instrument = read_instrument(connection, symbol)
        rows = read_var_backtests(connection, "instrument", instrument.id, query.page(BACKTESTS))
        return Collection[BacktestOut].page(rows, query.limit, BACKTESTS, database.notice(connection))


@router.post("/portfolios/{reference}/backtests")
@computing
def compute_portfolio_backtest(
    reference: PortfolioPath, database: Database, request: BacktestRequest | None = None
) -> PortfolioBacktestOut:
    """Forecast each of the newest sessions as was possible before it, and judge; nothing is stored."""
    asked = request or BacktestRequest()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        sessions = asked.window_sessions + asked.observations
        series = read_held(connection, portfolio, end_of(connection, asked.as_of), sessions)
        notice = database.notice(connection)
    return PortfolioBacktestOut.of(judged(portfolio, series, asked), notice)


def judged(portfolio: Portfolio, series: HeldSeries, asked: BacktestRequest) -> PortfolioBacktestOut:
    """The answer to a request from the series that it asks about.

    Raises
    ------
    MeasureInputError
        If the series is shorter than windows and observations need, or the window than the method does.
    """
    returns, needed = series.held.returns, asked.window_sessions + asked.observations
    if len(returns) < needed:
        raise MeasureInputError(
            f"observations: {len(returns)} returns up to that day, and {asked.observations} forecasts from windows of"
            f" {asked.window_sessions} need {needed}; choose fewer observations, a shorter window or a later as_of"
        )
    rows = slice(len(returns) - asked.observations, len(returns))
    method = VAR_METHODS[asked.method]
    forecast = held_forecasts(series.held, rows, asked.window_sessions, method, TailSpec(asked.confidence))
    known = np.isfinite(forecast.var)
    if known.sum() < 2:
        raise MeasureInputError(
            f"method={method.name}: without a figure on {asked.observations - int(known.sum())} of"
            f" {asked.observations} sessions ({method.undefined_because}); choose another method or window_sessions"
        )
    made = backtest(returns[rows][known], forecast.var[known], forecast.es[known], asked.confidence)
    return PortfolioBacktestOut(
        portfolio_id=portfolio.id,
        as_of=series.sessions[-1].astype(date),
        first_judged=series.sessions[rows.start + 1].astype(date),
        method=method.name,
        window_sessions=asked.window_sessions,
        undefined_forecasts=int((~known).sum()),
        confidence=asked.confidence,
        observations=made.observations,
        exceptions=made.exceptions,
        expected_exceptions=made.expected_exceptions,
        traffic_light=TrafficLightOut.model_validate(made.traffic_light),
        **_tests(made),
    )


def _tests(made: VarBacktest) -> dict[str, StatisticOut]:
    found = {name: getattr(made, name) for name in VarBacktest.__dataclass_fields__}
    return {name: StatisticOut.model_validate(test) for name, test in found.items() if isinstance(test, Statistic)}
