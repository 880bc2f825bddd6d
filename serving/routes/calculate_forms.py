"""What ``POST /calculate`` is asked, and what it answers."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import numpy as np
from pydantic import AllowInfNan, BaseModel, ConfigDict, Discriminator, Field, Strict, Tag, model_validator
from pydantic import StringConstraints as Text
from pydantic_core import PydanticCustomError

from pipeline.base.types import Rebalancing
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.full_report import Convention, ReportSpec
from pipeline.risk.measures.liquidity import DEFAULT_PARTICIPATION, SPREAD_DEVIATIONS_99
from pipeline.risk.measures.moments import MomentMethod
from pipeline.risk.measures.on_request import REPORTED
from pipeline.risk.measures.tail_spec import Scaling
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR
from pipeline.store.schema import DRAWDOWN, LOSS
from serving.answers import Resource, Row
from serving.inputs import Currency, IsoDate, Symbol
from serving.positions import BAND_MEANING, MAXIMUM_POSITIONS, DriftBand, PositionIn, require_consistency
from serving.risk_free import (
    RATE_MEANING,
    SAID_MEANING,
    SERIES_MEANING,
    Rate,
    SeriesName,
    require_one_rate,
)
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS
from serving.routes.subjects import (
    DEFAULT_CURRENCY,
    Series,
)

DEFAULT_POSITIONS_WINDOW = 252
MOST_CONFIDENCES = 5
LONGEST_HORIZON_SESSIONS = 63
"""A quarter: three methods simulate each session of 10,000 paths."""
MOST_DRAWDOWNS = 50
MOST_PERIODS_PER_YEAR = 366
"""Returns of calendar days, in a leap year."""

Number = Annotated[float, Strict(), AllowInfNan(False)]
Name = Annotated[str, Text(pattern=r"^[a-z0-9_]{1,40}$")]
Confidence = Annotated[Number, Field(ge=0.5, le=0.9999)]


class SeriesIn(BaseModel):
    """Simple returns of consecutive sessions, oldest first."""

    model_config = ConfigDict(extra="forbid")

    values: list[Number] = Field(
        min_length=2, max_length=LONGEST_WINDOW_SESSIONS, fail_fast=True, description="Fractions: 0.01 is 1 %."
    )
    dates: list[IsoDate] | None = Field(
        None, max_length=LONGEST_WINDOW_SESSIONS, fail_fast=True, description="Session of each return, ascending."
    )

    @model_validator(mode="after")
    def _require_dates_in_order(self) -> SeriesIn:
        if self.dates is None:
            return self
        if len(self.dates) != len(self.values):
            raise PydanticCustomError(
                "dates_count",
                "dates: {dates} for {values} values; give one for each",
                {"dates": len(self.dates), "values": len(self.values)},
            )
        for position, (one, next_one) in enumerate(zip(self.dates, self.dates[1:], strict=False), start=1):
            if next_one <= one:
                raise PydanticCustomError(
                    "dates_order",
                    "dates: {given} at position {position} does not come after {before}; give each session once,"
                    " oldest first",
                    {"given": str(next_one), "position": position, "before": str(one)},
                )
        return self

    @property
    def series(self) -> Series:
        """The returns as arrays."""
        dates = None if self.dates is None else np.array(self.dates, dtype="datetime64[D]")
        return Series(np.array(self.values, dtype=np.float64), dates)


class SpreadIn(BaseModel):
    """The relative spread of a position, (ask − bid) / mid."""

    model_config = ConfigDict(extra="forbid")

    symbol: Symbol
    mean: Annotated[Number, Field(ge=0, le=2)] = Field(description="Fraction: 0.001 is 10 basis points.")
    deviation: Annotated[Number, Field(ge=0, le=2)] = Field(0.0, description="Standard deviation of it.")


class LiquidityIn(BaseModel):
    """How positions would be sold."""

    model_config = ConfigDict(extra="forbid")

    participation: Annotated[Number, Field(ge=0.001, le=1)] = Field(
        DEFAULT_PARTICIPATION, description="Share of a session's turnover that the seller may be."
    )
    days_if_unknown: Annotated[Number, Field(ge=0.01, le=10_000)] | None = Field(
        None, description="Sessions assumed for positions without a known volume; null assumes nothing."
    )
    portfolio_value: Annotated[Number, Field(ge=0.01, le=1e15)] | None = Field(
        None, description="Value of the portfolio in its base_currency; quantities have their own."
    )
    spreads: list[SpreadIn] | None = Field(
        None,
        min_length=1,
        max_length=MAXIMUM_POSITIONS,
        description="Of the positions; half of each, at its worst, is what selling costs.",
    )
    spread_deviations: Annotated[Number, Field(ge=0, le=10)] = Field(
        SPREAD_DEVIATIONS_99, description="Standard deviations that the worst spread lies above its mean."
    )


def _kind_of_benchmark(value: Any) -> str:
    return "symbol" if isinstance(value, str) else "returns"


BenchmarkIn = Annotated[
    Annotated[Symbol, Tag("symbol")] | Annotated[SeriesIn, Tag("returns")], Discriminator(_kind_of_benchmark)
]


class CalculateIn(BaseModel):
    """What to measure, and how; give returns or positions."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"returns": {"values": [0.01, -0.02, 0.005, 0.012, -0.007]}, "measures": ["sharpe_ratio"]},
                {
                    "positions": [
                        {"symbol": "AAPL", "target_weight": 0.6},
                        {"symbol": "MSFT", "target_weight": 0.4},
                    ],
                    "rebalancing": "monthly",
                    "benchmark": "SP500",
                },
            ]
        },
    )

    returns: SeriesIn | None = None
    positions: list[PositionIn] | None = Field(None, min_length=1, max_length=MAXIMUM_POSITIONS)
    rebalancing: Rebalancing | None = Field(
        None,
        description="Of target weights: daily, monthly, quarterly or drift_band. Quantities are held (buy_and_hold).",
    )
    drift_band: DriftBand | None = Field(None, description=BAND_MEANING)
    base_currency: Currency | None = Field(
        None,
        description="ISO 4217 currency in which positions and their benchmark are measured; null for that of all"
        f" positions, {DEFAULT_CURRENCY} if they have several. Returns have none.",
    )
    benchmark: BenchmarkIn | None = Field(
        None, description="Symbol, or returns of the same sessions. A symbol beside returns needs their dates."
    )
    window_sessions: Annotated[int, Strict()] | None = Field(
        None,
        ge=2,
        le=LONGEST_WINDOW_SESSIONS,
        description=f"Newest returns to measure; null for all of a series, {DEFAULT_POSITIONS_WINDOW} of positions.",
    )
    measures: list[Name] | None = Field(
        None, min_length=1, max_length=len(REPORTED), description="Names of GET /api/v1/measures; null for all."
    )
    moments: MomentMethod = Field(
        "population",
        description='Of skewness and excess kurtosis: "adjusted" corrects the bias of a small sample (G1 and G2 of'
        " Joanes & Gill 1998).",
    )
    convention: Convention = Field(
        "platform", description="A library's name gives its figures, in its unit and sign, where it has one."
    )
    periods_per_year: Annotated[int, Strict()] = Field(
        TRADING_DAYS_PER_YEAR,
        ge=1,
        le=MOST_PERIODS_PER_YEAR,
        description="Returns in a year, by which figures are annualised and annual rates divided: 252 of sessions, 52"
        " of weeks, 12 of months. What is counted in sessions is then counted in those.",
    )
    risk_free_rate_annual: Rate | None = Field(
        None,
        description=f"{RATE_MEANING} Null takes risk_free_series; without it the stored rates of the currency in which"
        " positions are measured, and 0 for returns or where none is stored.",
    )
    risk_free_series: SeriesName | None = Field(
        None, description=f"{SERIES_MEANING} Returns need dates for it.", examples=["DTB3"]
    )
    confidence: list[Confidence] = Field(
        [0.95, 0.975, 0.99], min_length=1, max_length=MOST_CONFIDENCES, description="Of the tails and entropic figures."
    )
    var_methods: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=len(VAR_METHODS),
        description=f"Some of {', '.join(VAR_METHODS)}; null for all.",
    )
    horizon_sessions: Annotated[int, Strict()] = Field(
        1, ge=1, le=LONGEST_HORIZON_SESSIONS, description="Sessions over which a tail's loss is counted."
    )
    scaling: Scaling | None = Field(
        None,
        description="How several sessions are reached; null takes overlapping windows, and simulation for methods that"
        " do not allow them.",
    )
    drawdowns: Annotated[int, Strict()] = Field(5, ge=1, le=MOST_DRAWDOWNS, description="Deepest drawdowns to list.")
    liquidity: LiquidityIn = Field(default_factory=lambda: LiquidityIn.model_validate({}))

    @model_validator(mode="after")
    def _require_one_subject(self) -> CalculateIn:
        if (self.returns is None) == (self.positions is None):
            raise PydanticCustomError("one_subject", "Give exactly one of returns and positions")
        require_one_rate(self.risk_free_rate_annual, self.risk_free_series)
        if self.positions is not None:
            require_consistency(self.positions, self.rebalancing, self.drift_band)
        elif self.rebalancing is not None:
            raise PydanticCustomError("rebalancing", "rebalancing: only positions have one; leave it out")
        elif self.drift_band is not None:
            raise PydanticCustomError("drift_band", "drift_band: only positions have one; leave it out")
        elif self.base_currency is not None:
            raise PydanticCustomError("base_currency", "base_currency: only positions have one; leave it out")
        return self

    @property
    def spec(self) -> ReportSpec:
        """The request as the core takes it.

        Raises
        ------
        MeasureInputError
            For names that are not registered.
        """
        return ReportSpec(
            RiskSpec(periods_per_year=self.periods_per_year, risk_free_rate_annual=self.risk_free_rate_annual or 0.0),
            tuple(self.measures or (measure.name for measure in REPORTED)),
            self.convention,
            tuple(dict.fromkeys(self.confidence)),
            tuple(self.var_methods or VAR_METHODS),
            self.horizon_sessions,
            self.scaling,
            self.drawdowns,
            self.moments,
        )


class MeasuredOut(Row):
    """One measure."""

    name: str
    value: float | None
    unit: str
    formula: str
    convention: str = Field(description="Whose definition it is: the platform's where the library has none.")
    undefined: str | None = Field(description="Why there is no value.")


class MeasuredTailOut(Row):
    """Value at risk and expected shortfall by one method."""

    method: str = Field(description="A method of the platform, or the library of the convention.")
    confidence: float
    horizon_sessions: int
    scaling: str | None = Field(description="How the horizon was reached; null for one session.")
    var: float | None
    es: float | None
    var_standard_error: float | None = Field(description="Of a simulation.")
    es_standard_error: float | None = Field(description="Of a simulation.")
    unit: str
    undefined: str | None = Field(description="Why there is no value.")


class EntropicOut(Row):
    """Entropic value at risk, and the same of the drawdowns."""

    confidence: float
    evar: float = Field(description=f"Of one session [{LOSS.name}]")
    edar: float = Field(description="Of the falls from the peak [fraction, positive]")


class DrawdownOut(Row):
    """A fall from a peak and, if it ended, the way back; dates are null without those of the returns."""

    depth: float = Field(description=f"Compounded [{DRAWDOWN.name}]")
    start: date | None = Field(description="Last session at the peak; null too if it lies before the first date.")
    trough: date | None
    recovery: date | None = Field(description="First session at the peak again; null if there is none yet.")
    start_position: int = Field(description="Returns before it.")
    trough_position: int
    recovery_position: int | None
    duration_sessions: int = Field(description="From the start to the recovery, or to the end.")


class LiquidationOut(Row):
    """A position at the end of the window."""

    symbol: str
    weight: float = Field(description="Share of the value; negative if short.")
    liquidation_sessions: float | None = Field(description="To sell it; null if unknown.")
    spread_cost: float | None = Field(
        description="Half of its worst spread [fraction of the portfolio's value]; null if unknown."
    )


class ConcentrationOut(Row):
    """How much of the portfolio lies in few positions."""

    largest_weight: float
    top_5_weight: float
    herfindahl_index: float = Field(description="Sum of squared shares of the gross exposure.")
    effective_positions: float


class LiquidityFigureOut(Row):
    """Historical value at risk of one session, without and with the time that selling takes."""

    confidence: float
    var: float
    liquidity_adjusted_var: float | None


class LiquidityOut(Row):
    """Risk while positions are sold."""

    participation: float
    figures: list[LiquidityFigureOut]
    without_volume: list[str] = Field(description="Symbols of positions whose volume is not known.")
    spread_cost: float | None = Field(
        description="Of all positions [fraction of value], to be added to a value at risk; null if one is unknown."
    )
    without_spread: list[str] = Field(description="Symbols of positions whose spread is not given.")
    undefined: str | None = Field(description="Why there are no adjusted values.")


class CalculateOut(Resource):
    """Every figure of one window."""

    as_of: date | None = Field(description="Last session; null without dates.")
    window_start: date | None = Field(description="Session before the first return; null if not known.")
    window_sessions: int
    risk_free_rate_annual: float | None = Field(description="Null where the stored rates of a series were taken.")
    risk_free: str = Field(description=SAID_MEANING)
    convention: str
    moments: MomentMethod = Field(description="Of skewness and excess kurtosis, where the platform's.")
    periods_per_year: int = Field(description="By which figures are annualised.")
    rebalancing: Rebalancing | None
    drift_band: float | None = Field(None, description=BAND_MEANING)
    base_currency: str | None = Field(description="In which positions were measured; null for returns.")
    benchmark: str | None = Field(description='Symbol, or "given" for the caller\'s returns.')
    measures: list[MeasuredOut]
    tails: list[MeasuredTailOut]
    entropic: list[EntropicOut]
    drawdowns: list[DrawdownOut] = Field(description="The deepest, deepest first.")
    positions: list[LiquidationOut] | None
    concentration: ConcentrationOut | None
    liquidity: LiquidityOut | None
