"""Forecasts of a portfolio's own returns, by the models that forecast instruments; nothing is stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import FloatArray, Rebalancing
from pipeline.forecast.backtest import ForecastSpec, latest_quantiles, latest_volatility
from pipeline.forecast.models.records import QuantileForecasts, VolatilityForecasts
from pipeline.risk.report import HeldSeries
from pipeline.store.portfolios import Portfolio, read_portfolio
from serving.answers import Resource, Row
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.inputs import IsoDate, PortfolioPath
from serving.positions import BAND_MEANING
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS, end_of
from serving.routes.tails import Fraction, read_held
from serving.routing import ComputingRoute

LONGEST_HORIZON_SESSIONS = 63
MOST_HORIZONS = 8
MOST_LEVELS = 32
_SPEC = ForecastSpec()

router = APIRouter(route_class=ComputingRoute, prefix="/portfolios", tags=["forecasts"])

Horizon = Annotated[int, Strict(), Field(ge=1, le=LONGEST_HORIZON_SESSIONS)]


class ForecastRequest(BaseModel):
    """What to forecast; everything has a default."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"horizons_sessions": [1, 10], "levels": [0.01, 0.05]}]}
    )

    horizons_sessions: list[Horizon] = Field(
        list(_SPEC.horizons_sessions),
        min_length=1,
        max_length=MOST_HORIZONS,
        description="Of the volatility, ascending.",
    )
    levels: list[Fraction] = Field(
        list(_SPEC.levels), min_length=1, max_length=MOST_LEVELS, description="Of the quantiles, ascending."
    )
    shortfall_levels: list[Fraction] = Field(
        list(_SPEC.shortfall_levels),
        min_length=1,
        max_length=MOST_LEVELS,
        description="Of the expected shortfall, ascending.",
    )
    as_of: IsoDate | None = Field(None, description="Last day whose price may be used; null for the newest.")

    @model_validator(mode="after")
    def _require_order(self) -> ForecastRequest:
        for name in ("horizons_sessions", "levels", "shortfall_levels"):
            values = getattr(self, name)
            if values != sorted(set(values)):
                message = f"{name}: give each once, ascending"
                raise PydanticCustomError("ascending", "{message}", {"message": message})
        return self

    @property
    def spec(self) -> ForecastSpec:
        """The request as the core takes it."""
        return ForecastSpec(tuple(self.horizons_sessions), tuple(self.levels), tuple(self.shortfall_levels))


class HorizonOut(Row):
    """Volatility over a horizon."""

    horizon_sessions: int
    volatility: float = Field(description="[fraction per year]")


class LevelOut(Row):
    """A figure at a level of the next return's distribution."""

    level: float
    value: float


class VolatilityModelOut(Row):
    """Volatility by one model."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    model_version: str
    horizons: list[HorizonOut]


class QuantileModelOut(Row):
    """The next return's distribution by one model."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    model_version: str
    horizon_sessions: int
    quantiles: list[LevelOut] = Field(description="Of the return [fraction]")
    expected_shortfalls: list[LevelOut] = Field(description="Below the level [fraction, positive loss]")


class PortfolioForecastRow(Row):
    """Forecasts as of one session, made of the returns up to it alone."""

    portfolio_id: int
    as_of: date = Field(description="Last session that was used: all positions have a price on it.")
    first_session: date = Field(description="Of the first return that was used.")
    returns: int = Field(description="That were used: all that there are.")
    rebalancing: Rebalancing = Field(description="By which today's holdings make the series.")
    drift_band: float | None = Field(None, description=BAND_MEANING)
    volatility: list[VolatilityModelOut]
    quantiles: list[QuantileModelOut]
    unavailable: dict[str, str] = Field(description="Models without a forecast, and why.")


class PortfolioForecastOut(PortfolioForecastRow, Resource):
    """Forecasts of a portfolio, made for this request."""


class ForecastQuery(BaseModel):
    """As of which session."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: IsoDate | None = Field(None, description="Last day whose price may be used; null for the newest.")


@router.get("/{reference}/forecast", responses=problem_responses(501))
def get_portfolio_forecast(
    reference: PortfolioPath, query: Annotated[ForecastQuery, Query()], database: Database
) -> PortfolioForecastOut:
    """Volatility and quantiles of the portfolio's next returns by every model, with the published horizons."""
    return _answered(reference, ForecastRequest(as_of=query.as_of), database)


@router.post("/{reference}/forecast", responses=problem_responses(501))
def compute_portfolio_forecast(
    reference: PortfolioPath, database: Database, request: ForecastRequest | None = None
) -> PortfolioForecastOut:
    """Volatility and quantiles of the portfolio's next returns by every model, for any horizons and levels."""
    return _answered(reference, request or ForecastRequest(), database)


def _answered(reference: str, asked: ForecastRequest, database: Connections) -> PortfolioForecastOut:
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        # All of them: refits are counted from the first session, as for instruments.
        series = read_held(connection, portfolio, end_of(connection, asked.as_of), LONGEST_WINDOW_SESSIONS)
        notice = database.notice(connection)
    return PortfolioForecastOut(**dict(forecast_of(portfolio, series, asked.spec)), notice=notice)


def forecast_of(portfolio: Portfolio, series: HeldSeries, spec: ForecastSpec) -> PortfolioForecastRow:
    """The forecasts of a portfolio that was held on sessions.

    Raises
    ------
    InvalidInputError
        If the series is too short for every model.
    """
    returns, longest = series.held.returns, max(spec.horizons_sessions)
    needed = {model.name: model.minimum_returns(longest) for model in spec.volatility_models}
    needed |= {model.name: model.minimum_returns for model in spec.quantile_models}
    unavailable = {
        name: f"{len(returns)} returns, and {least} are needed"
        for name, least in needed.items()
        if least > len(returns)
    }
    by_volatility = tuple(model for model in spec.volatility_models if model.name not in unavailable)
    by_quantile = tuple(model for model in spec.quantile_models if model.name not in unavailable)
    if not by_volatility and not by_quantile:
        raise InvalidInputError(
            f"reference: {len(returns)} sessions have a return of every position, which is too few for every model",
            "Give shorter horizons_sessions or a later as_of, or leave out the position that was listed last.",
        )
    usable = replace(
        spec, volatility_models=by_volatility, quantile_models=by_quantile, quantile_horizons_sessions=(1,)
    )
    return PortfolioForecastRow(
        portfolio_id=portfolio.id,
        as_of=series.sessions[-1].astype(date),
        first_session=series.sessions[1].astype(date),
        returns=len(returns),
        rebalancing=portfolio.rebalancing,
        drift_band=portfolio.drift_band,
        volatility=[_volatility(found) for found in latest_volatility(returns, usable)],
        quantiles=[_quantiles(found) for found in latest_quantiles(returns, usable)],
        unavailable=unavailable,
    )


def _volatility(found: VolatilityForecasts) -> VolatilityModelOut:
    figures = zip(found.horizons_sessions, found.volatility_annual[0].tolist(), strict=True)
    return VolatilityModelOut(
        model=found.model,
        model_version=found.versions[0],
        horizons=[
            HorizonOut(horizon_sessions=horizon, volatility=value) for horizon, value in figures if np.isfinite(value)
        ],
    )


def _quantiles(found: QuantileForecasts) -> QuantileModelOut:
    return QuantileModelOut(
        model=found.model,
        model_version=found.versions[0],
        horizon_sessions=found.horizon_sessions,
        quantiles=_levels(found.levels, found.quantiles[0]),
        expected_shortfalls=_levels(found.shortfall_levels, found.shortfalls[0]),
    )


def _levels(levels: tuple[float, ...], values: FloatArray) -> list[LevelOut]:
    return [LevelOut(level=level, value=float(value)) for level, value in zip(levels, values, strict=True)]
