"""Forecasts of a caller's own series: volatility and quantiles of returns by horizon; nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from math import isfinite
from typing import Annotated, TypeVar

from fastapi import APIRouter
from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import ForecastSpec, latest_quantiles, latest_volatility, quantile_needs
from pipeline.forecast.models import PANEL_MODELS, QUANTILE_MODELS, VOLATILITY_MODELS, QuantileModel, VolatilityModel
from pipeline.forecast.models.records import QuantileForecasts
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.schema import LOSS, RETURN, VOLATILITY
from serving.answers import Resource, Row
from serving.routes.calculate_forms import SeriesIn
from serving.routes.scores import ModelName
from serving.routing import ComputingRoute

LONGEST_HORIZON_SESSIONS = 252
MOST_HORIZONS = 12
MOST_LEVELS = 25

router = APIRouter(route_class=ComputingRoute, tags=["forecasts"])

Level = Annotated[float, Strict(), AllowInfNan(False), Field(ge=0.001, le=0.999)]
Horizon = Annotated[int, Strict(), Field(ge=1, le=LONGEST_HORIZON_SESSIONS)]
AnyModel = TypeVar("AnyModel", VolatilityModel, QuantileModel)
LONGER_HORIZONS = ForecastSpec().quantile_horizons_sessions[1:]
"""Of quantiles: those that are stored of instruments, on which the models were chosen."""
LONGER = " and ".join(map(str, LONGER_HORIZONS))
NEEDS_A_PANEL = "forecasts a panel of instruments, not a single series"
NAMES = (*(model.name for model in VOLATILITY_MODELS), *(model.name for model in QUANTILE_MODELS))


class PricesIn(SeriesIn):
    """Prices of consecutive sessions, oldest first, adjusted for splits and dividends."""

    @model_validator(mode="after")
    def _require_positive(self) -> PricesIn:
        for position, price in enumerate(self.values):
            if price <= 0.0:
                raise PydanticCustomError(
                    "price_positive",
                    "values: {price} at position {position}; give prices above 0",
                    {"price": price, "position": position},
                )
        return self


class ForecastIn(BaseModel):
    """What to forecast; give returns or prices."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"returns": {"values": [round(0.01 * (-1) ** n * (1 + n % 7) / 4, 6) for n in range(24)]}},
            ]
        },
    )

    returns: SeriesIn | None = None
    prices: PricesIn | None = None
    horizons_sessions: list[Horizon] = Field(
        [1, 5, 21], min_length=1, max_length=MOST_HORIZONS, description="Of the volatility."
    )
    levels: list[Level] = Field(
        list(ForecastSpec().levels), min_length=1, max_length=MOST_LEVELS, description="Of quantiles, ascending."
    )
    shortfall_levels: list[Level] = Field(
        list(ForecastSpec().shortfall_levels),
        min_length=1,
        max_length=MOST_LEVELS,
        description="Of expected shortfall.",
    )
    periods_per_year: Annotated[int, Strict()] = Field(252, ge=1, le=366, description="For annualising.")
    models: list[ModelName] | None = Field(
        None, min_length=1, max_length=16, description=f"Some of {', '.join(NAMES)}; null for all that can be used."
    )

    @model_validator(mode="after")
    def _require_one_series(self) -> ForecastIn:
        if (self.returns is None) == (self.prices is None):
            raise PydanticCustomError("one_series", "body: give either returns or prices")
        return self

    @property
    def values(self) -> FloatArray:
        """The returns."""
        if self.returns is not None:
            return self.returns.series.values
        assert self.prices is not None  # checked before
        return simple_returns(self.prices.series.values)

    @property
    def as_of(self) -> date | None:
        """Last session; None where dates are not given."""
        given = self.returns or self.prices
        return given.dates[-1] if given is not None and given.dates else None


def _example(**figures: float) -> ConfigDict:
    """A row of a model that the example of the request, which is short, has none of."""
    return ConfigDict(json_schema_extra={"examples": [{"model": "filtered_historical", "version": "1", **figures}]})


class OwnVolatilityOut(Row):
    """A volatility forecast."""

    model: str
    version: str
    horizon_sessions: int
    volatility: float = Field(description=f"Of the sessions of the horizon, annualised. [{VOLATILITY.name}]")


class OwnQuantileOut(Row):
    """A quantile of the next session's return."""

    model: str
    version: str
    level: float
    quantile: float = Field(description=f"Return. [{RETURN.name}]")


class OwnShortfallOut(Row):
    """An expected shortfall of the next session."""

    model: str
    version: str
    level: float
    expected_shortfall: float = Field(description=f"Mean loss below the quantile. [{LOSS.name}]")


class OwnLongerQuantileOut(Row):
    """A quantile of the return over several sessions."""

    model_config = _example(horizon_sessions=5, level=0.01, quantile=-0.061)

    model: str
    version: str
    horizon_sessions: int
    level: float
    quantile: float = Field(description=f"Return. [{RETURN.name}]")


class OwnLongerShortfallOut(Row):
    """An expected shortfall over several sessions."""

    model_config = _example(horizon_sessions=5, level=0.01, expected_shortfall=0.078)

    model: str
    version: str
    horizon_sessions: int
    level: float
    expected_shortfall: float = Field(description=f"Mean loss below the quantile. [{LOSS.name}]")


class LeftOutOut(Row):
    """A model that was not used."""

    model: str
    reason: str


class OwnForecastOut(Resource):
    """Forecasts as of the last session of a caller's series."""

    as_of: date | None = Field(description="Last session; null where no dates were given.")
    returns: int = Field(description="Returns that were seen.")
    volatility: list[OwnVolatilityOut]
    quantiles: list[OwnQuantileOut]
    expected_shortfalls: list[OwnShortfallOut]
    longer_quantiles: list[OwnLongerQuantileOut] = Field(description=f"Over {LONGER} sessions.")
    longer_expected_shortfalls: list[OwnLongerShortfallOut] = Field(description="As longer_quantiles.")
    left_out: list[LeftOutOut] = Field(
        description="Models for which the series is too short, for all of their horizons or a longer one; or that need"
        " a panel."
    )


@router.post("/forecast")
def forecast_series(asked: ForecastIn) -> OwnForecastOut:
    """Forecast a series of one's own by the models that stored forecasts are made by."""
    values = asked.values
    _require_known(asked.models)
    longest = max(asked.horizons_sessions)
    needed = {model.name: model.minimum_returns(longest) for model in VOLATILITY_MODELS}
    needed |= {model.name: model.minimum_returns for model in QUANTILE_MODELS}
    short = {} if asked.models else {name: count for name, count in needed.items() if len(values) < count}
    used = set(asked.models or NAMES) - short.keys()
    if not used:
        raise InvalidInputError(
            f"returns: {len(values)} given, and every model needs more", f"Give at least {min(needed.values())}."
        )
    spec = ForecastSpec(
        horizons_sessions=tuple(asked.horizons_sessions),
        levels=tuple(asked.levels),
        shortfall_levels=tuple(asked.shortfall_levels),
        periods_per_year=asked.periods_per_year,
        volatility_models=_chosen(VOLATILITY_MODELS, used),
        quantile_models=_chosen(QUANTILE_MODELS, used),
    )
    made = latest_quantiles(values, spec)
    return OwnForecastOut(
        as_of=asked.as_of,
        returns=len(values),
        volatility=_volatility(values, spec),
        quantiles=[row for one in made for row in _quantiles(one)],
        expected_shortfalls=[row for one in made for row in _shortfalls(one)],
        longer_quantiles=[row for one in made for row in _longer_quantiles(one)],
        longer_expected_shortfalls=[row for one in made for row in _longer_shortfalls(one)],
        left_out=[
            *(LeftOutOut(model=n, reason=f"needs {c} returns, {len(values)} given") for n, c in short.items()),
            *_left_out_longer(spec, len(values)),
            *(LeftOutOut(model=m.name, reason=NEEDS_A_PANEL) for m in PANEL_MODELS if not asked.models),
        ],
        notice=None,
    )


def _left_out_longer(spec: ForecastSpec, given: int) -> Iterator[LeftOutOut]:
    """Models of which the next session is forecast, and a longer horizon is not."""
    for model, needs in quantile_needs(spec).items():
        for horizon, need in needs.items():
            if need > given:
                yield LeftOutOut(model=model, reason=f"over {horizon} sessions it needs {need} returns, {given} given")


def _require_known(models: Sequence[str] | None) -> None:
    unknown = sorted(set(models or ()) - set(NAMES))
    if unknown:
        raise InvalidInputError(f"models: {unknown[0]!r} is not known", f"Choose some of {', '.join(NAMES)}.")


def _chosen(models: tuple[AnyModel, ...], names: set[str]) -> tuple[AnyModel, ...]:
    return tuple(model for model in models if model.name in names)


def _volatility(values: FloatArray, spec: ForecastSpec) -> list[OwnVolatilityOut]:
    return [
        OwnVolatilityOut(model=made.model, version=made.versions[-1], horizon_sessions=horizon, volatility=float(value))
        for made in latest_volatility(values, spec)
        for horizon, value in zip(made.horizons_sessions, made.volatility_annual[-1], strict=True)
    ]


def _named(made: QuantileForecasts) -> dict[str, str]:
    return {"model": made.model, "version": made.versions[-1]}


def _quantiles(made: QuantileForecasts) -> Iterator[OwnQuantileOut]:
    for level, value in zip(made.levels, made.quantiles[-1].tolist(), strict=True):
        yield OwnQuantileOut(**_named(made), level=level, quantile=value)


def _shortfalls(made: QuantileForecasts) -> Iterator[OwnShortfallOut]:
    for level, value in zip(made.shortfall_levels, made.shortfalls[-1].tolist(), strict=True):
        yield OwnShortfallOut(**_named(made), level=level, expected_shortfall=value)


def _longer_quantiles(made: QuantileForecasts) -> Iterator[OwnLongerQuantileOut]:
    for over in made.longer:
        named = {**_named(made), "horizon_sessions": over.horizon_sessions}
        for level, value in zip(made.levels, over.quantiles[-1].tolist(), strict=True):
            if isfinite(value):
                yield OwnLongerQuantileOut(**named, level=level, quantile=value)


def _longer_shortfalls(made: QuantileForecasts) -> Iterator[OwnLongerShortfallOut]:
    for over in made.longer:
        named = {**_named(made), "horizon_sessions": over.horizon_sessions}
        for level, value in zip(made.shortfall_levels, over.shortfalls[-1].tolist(), strict=True):
            if isfinite(value):
                yield OwnLongerShortfallOut(**named, level=level, expected_shortfall=value)
