"""Value at risk and expected shortfall of a portfolio by every method: stored, or computed on request."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import numpy as np
from fastapi import APIRouter
from psycopg import Connection
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.types import FloatArray
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.measures.tail_forecasts import PUBLISHED_WINDOW_SESSIONS
from pipeline.risk.measures.tail_spec import MINIMUM_PATHS, Scaling, TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS, VarMethod
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL, read_portfolio_tails
from pipeline.store.portfolios import Portfolio, read_portfolio
from serving.answers import Collection, Resource, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import PastDay, PortfolioPath, Windowed, require_number
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS, end_of, read_reaching_panel
from serving.routing import ThreadedRoute, computing

MOST_SIMULATED_SESSIONS = 2_500_000
"""Paths × sessions of a request: under a second and 100 MiB."""

LONGEST_HORIZON_SESSIONS = 252

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["risk"])

TAILS = Order.of_series(PORTFOLIO_TAIL, "portfolio_id")

Fraction = Annotated[float, Strict(), AllowInfNan(False), BeforeValidator(require_number), Field(gt=0.0, lt=1.0)]
"""A confidence; the three that are published are 0.95, 0.975 and 0.99."""


def require_method(name: str) -> str:
    """A name of `VAR_METHODS`."""
    if name not in VAR_METHODS:
        raise PydanticCustomError("unknown_method", "Input should be one of {names}", {"names": ", ".join(VAR_METHODS)})
    return name


MethodName = Annotated[str, BeforeValidator(lambda value: require_method(str(value)))]


@described_by(PORTFOLIO_TAIL)
class TailOut(Row):
    """One method on one session."""

    session: date
    method: str
    window_sessions: int
    var_95_1d: float | None
    var_975_1d: float | None
    var_99_1d: float | None
    es_95_1d: float | None
    es_975_1d: float | None
    es_99_1d: float | None
    var_95_1d_error: float | None
    var_975_1d_error: float | None
    var_99_1d_error: float | None
    es_95_1d_error: float | None
    es_975_1d_error: float | None
    es_99_1d_error: float | None
    reason: str | None
    materialization_id: int


class TailRequest(BaseModel):
    """How to estimate the tail; everything has a default."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"method": "filtered_historical", "confidence": 0.99, "horizon_sessions": 1}]},
    )

    method: MethodName = Field("historical", description=f"One of {', '.join(VAR_METHODS)}.")
    confidence: Fraction = Field(0.99, description="Of both figures.")
    horizon_sessions: Annotated[int, Strict()] = Field(
        1, ge=1, le=LONGEST_HORIZON_SESSIONS, description="Sessions over which the loss is counted."
    )
    scaling: Scaling | None = Field(
        None, description="How several sessions are reached; null for the first way that the method has."
    )
    window_sessions: Annotated[int, Strict()] = Field(
        PUBLISHED_WINDOW_SESSIONS, ge=2, le=LONGEST_WINDOW_SESSIONS, description="Returns to use."
    )
    as_of: PastDay | None = Field(None, description="Last day whose price may be used; null for the newest.")
    seed: Annotated[int, Strict()] = Field(0, ge=0, lt=2**63, description="Of a simulation.")
    paths: Annotated[int, Strict()] = Field(10_000, ge=MINIMUM_PATHS, le=200_000, description="Of a simulation.")

    @model_validator(mode="after")
    def _require_little_work(self) -> TailRequest:
        if self.paths * self.horizon_sessions > MOST_SIMULATED_SESSIONS:
            raise PydanticCustomError(
                "too_much_work",
                "paths: times horizon_sessions more than {most}; ask for fewer of either",
                {"most": MOST_SIMULATED_SESSIONS},
            )
        return self

    @property
    def spec(self) -> TailSpec:
        """The request as the core takes it."""
        return TailSpec(
            confidence=self.confidence,
            horizon_sessions=self.horizon_sessions,
            scaling=self.scaling or VAR_METHODS[self.method].scalings[0],
            seed=self.seed,
            paths=self.paths,
        )


class PortfolioTailOut(Resource):
    """The tail of the holdings at `as_of`, estimated for this request."""

    portfolio_id: int
    as_of: date = Field(description="Last session that was used: all positions have a price on it.")
    window_start: date = Field(description="Session before the first return of the window.")
    window_sessions: int
    method: str
    description: str = Field(description="What the method does.")
    source: str = Field(description="Where its formula is published.")
    confidence: float
    horizon_sessions: int
    scaling: Scaling | None = Field(description="How several sessions were reached; null for one.")
    seed: int | None = Field(description="Of the simulation; null if nothing was simulated.")
    paths: int | None = Field(description="Of the simulation; null if nothing was simulated.")
    var: float | None = Field(description="Value at risk [fraction of value, positive loss]")
    expected_shortfall: float | None = Field(description="Expected shortfall [fraction of value, positive loss]")
    var_standard_error: float | None = Field(description="Of the simulation; null if nothing was simulated.")
    expected_shortfall_standard_error: float | None = Field(description="As var_standard_error.")
    undefined_because: str | None = Field(description="Why there are no figures; null where there are.")


@router.get("/{reference}/tail")
def list_portfolio_tails(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[TailOut]:
    """The newest stored figures inside a window, oldest first: a row a session and method."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_tails(connection, portfolio.id, query.page(TAILS))
        return Collection[TailOut].page(rows, query.limit, TAILS, database.notice(connection))


@router.post("/{reference}/tail")
@computing
def compute_portfolio_tail(
    reference: PortfolioPath, database: Database, request: TailRequest | None = None
) -> PortfolioTailOut:
    """Estimate the tail of today's holdings now, from what they would have earned; nothing is stored."""
    asked = request or TailRequest()
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        series = read_held(connection, portfolio, end_of(connection, asked.as_of), asked.window_sessions)
        notice = database.notice(connection)
    return PortfolioTailOut.of(estimated(portfolio, series, asked), notice)


def read_held(connection: Connection, portfolio: Portfolio, end: date, sessions: int) -> HeldSeries:
    """Hold a portfolio on the sessions before `end`, on enough of them for so many returns if there are."""
    ids = [position.instrument_id for position in portfolio.positions]
    holdings, currency = Holdings(portfolio.amounts, *portfolio.policy), portfolio.base_currency
    panel = read_reaching_panel(connection, ids, None, portfolio.rebalancing, end, sessions, currency)
    return held_series(panel.columns(ids, currency), panel.sessions, None, holdings)


def estimated(portfolio: Portfolio, series: HeldSeries, asked: TailRequest) -> PortfolioTailOut:
    """The answer to a request from the series that it asks about.

    Raises
    ------
    MeasureInputError
        If the series is shorter than the window, the window than the method needs, or the method lacks the scaling.
    """
    method, spec = VAR_METHODS[asked.method], asked.spec
    scenarios = scenario_returns(series.held, len(series.held.returns), asked.window_sessions)
    estimate = method.estimate(scenarios, spec)
    is_simulated = estimate.var_standard_error is not None
    var = _finite(estimate.var)
    return PortfolioTailOut(
        portfolio_id=portfolio.id,
        as_of=series.sessions[-1].astype(date),
        window_start=series.sessions[-1 - asked.window_sessions].astype(date),
        window_sessions=asked.window_sessions,
        **_described(method),
        confidence=asked.confidence,
        horizon_sessions=asked.horizon_sessions,
        scaling=spec.scaling if asked.horizon_sessions > 1 else None,
        seed=asked.seed if is_simulated else None,
        paths=asked.paths if is_simulated else None,
        var=var,
        expected_shortfall=_finite(estimate.es),
        var_standard_error=_finite(estimate.var_standard_error),
        expected_shortfall_standard_error=_finite(estimate.es_standard_error),
        undefined_because=None if var is not None else method.undefined_because or "undefined",
    )


def _described(method: VarMethod) -> dict[str, str]:
    return {"method": method.name, "description": method.description, "source": method.source}


def _finite(value: FloatArray | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
