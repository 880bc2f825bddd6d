"""Risk of anything on request: every measure of a series of returns or of positions; nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter
from pydantic import AllowInfNan, BaseModel, ConfigDict, Discriminator, Field, Strict, Tag, model_validator
from pydantic import StringConstraints as Text
from pydantic_core import PydanticCustomError

from pipeline.base.errors import InvalidInputError, NotFoundError
from pipeline.base.types import DateArray, Rebalancing
from pipeline.risk.measures import MEASURES, RiskSpec
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.drawdown import DrawdownSpell
from pipeline.risk.measures.full_report import Convention, FullReport, ReportSpec, full_report
from pipeline.risk.measures.liquidity import DEFAULT_PARTICIPATION, liquidation_horizons, liquidity_adjusted_var
from pipeline.risk.measures.tail_spec import Scaling
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.store.instruments import read_instrument
from pipeline.store.risk_columns import MEASURE_COLUMNS
from pipeline.store.schema import DRAWDOWN, LOSS
from serving.answers import Resource, Row
from serving.deps import Database
from serving.inputs import Currency, IsoDate, Symbol
from serving.positions import MAXIMUM_POSITIONS, PositionIn, require_consistency
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS
from serving.routes.subjects import (
    DEFAULT_CURRENCY,
    Held,
    Series,
    Subject,
    against_instrument,
    against_returns,
    subject_of_positions,
    subject_of_returns,
)

DEFAULT_POSITIONS_WINDOW = 252
MOST_CONFIDENCES = 5
LONGEST_HORIZON_SESSIONS = 63
"""A quarter: three methods simulate each session of 10,000 paths."""
MOST_DRAWDOWNS = 50
UNITS = {name: unit.name for name, unit, _ in MEASURE_COLUMNS}

Number = Annotated[float, Strict(), AllowInfNan(False)]
Name = Annotated[str, Text(pattern=r"^[a-z0-9_]{1,40}$")]
Confidence = Annotated[Number, Field(ge=0.5, le=0.9999)]

router = APIRouter(tags=["risk"])


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
        None, description="Of target weights: daily, monthly or quarterly. Quantities are held (buy_and_hold)."
    )
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
        None, min_length=1, max_length=len(MEASURES), description="Names of GET /api/v1/measures; null for all."
    )
    convention: Convention = Field(
        "platform", description="A library's name gives its figures, in its unit and sign, where it has one."
    )
    risk_free_rate_annual: Number = Field(0.0, gt=-1.0, lt=1.0, description="Annual effective rate, as a fraction.")
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
        if self.positions is not None:
            require_consistency(self.positions, self.rebalancing)
        elif self.rebalancing is not None:
            raise PydanticCustomError("rebalancing", "rebalancing: only positions have one; leave it out")
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
            RiskSpec(risk_free_rate_annual=self.risk_free_rate_annual),
            tuple(self.measures) if self.measures else ReportSpec().measures,
            self.convention,
            tuple(dict.fromkeys(self.confidence)),
            tuple(self.var_methods or VAR_METHODS),
            self.horizon_sessions,
            self.scaling,
            self.drawdowns,
        )


class MeasuredOut(Row):
    """One measure."""

    name: str
    value: float | None
    unit: str
    formula: str
    convention: str = Field(description="Whose definition it is: the platform's where the library has none.")
    undefined: str | None = Field(description="Why there is no value.")


class TailOut(Row):
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


class PositionOut(Row):
    """A position at the end of the window."""

    symbol: str
    weight: float = Field(description="Share of the value; negative if short.")
    liquidation_sessions: float | None = Field(description="To sell it; null if unknown.")


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
    undefined: str | None = Field(description="Why there are no adjusted values.")


class CalculateOut(Resource):
    """Every figure of one window."""

    as_of: date | None = Field(description="Last session; null without dates.")
    window_start: date | None = Field(description="Session before the first return; null if not known.")
    window_sessions: int
    risk_free_rate_annual: float
    convention: str
    rebalancing: Rebalancing | None
    base_currency: str | None = Field(description="In which positions were measured; null for returns.")
    benchmark: str | None = Field(description='Symbol, or "given" for the caller\'s returns.')
    measures: list[MeasuredOut]
    tails: list[TailOut]
    entropic: list[EntropicOut]
    drawdowns: list[DrawdownOut] = Field(description="The deepest, deepest first.")
    positions: list[PositionOut] | None
    concentration: ConcentrationOut | None
    liquidity: LiquidityOut | None


@router.post("/calculate")
def calculate(asked: CalculateIn, database: Database) -> CalculateOut:
    """Measure returns, or positions at the stored prices, without storing anything."""
    spec = asked.spec
    subject, notice = _read_subject(asked, database)
    return _answer(asked, spec, subject, notice)


def _read_subject(asked: CalculateIn, database: Database) -> tuple[Subject, str | None]:
    """What is measured, and the notice of the data that it was read from; a caller's own returns have none."""
    if asked.returns is not None:
        subject = subject_of_returns(asked.returns.series, asked.window_sessions)
        if isinstance(asked.benchmark, SeriesIn):
            return against_returns(subject, _newest(asked.benchmark.series, asked, subject)), None
        if asked.benchmark is None:
            return subject, None
    with database.reading() as connection:
        symbol = asked.benchmark if isinstance(asked.benchmark, str) else None
        try:
            benchmark = None if symbol is None else read_instrument(connection, symbol)
        except NotFoundError as error:
            # The address exists; it is the body that names nothing.
            raise InvalidInputError(f"benchmark: {error.cause}", error.remedy) from error
        notice = database.notice(connection)
        if asked.positions is None:
            assert benchmark is not None  # decided above
            return against_instrument(connection, subject, benchmark), notice
        window = asked.window_sessions or DEFAULT_POSITIONS_WINDOW
        policy = asked.rebalancing or "buy_and_hold"
        subject = subject_of_positions(connection, asked.positions, policy, benchmark, window, asked.base_currency)
    if isinstance(asked.benchmark, SeriesIn):
        subject = against_returns(subject, asked.benchmark.series)
    return subject, notice


def _newest(benchmark: Series, asked: CalculateIn, subject: Subject) -> Series:
    """The benchmark's part that belongs to the window, where its returns are as many as the subject's."""
    assert asked.returns is not None
    if benchmark.dates is not None and subject.sessions is not None:
        return benchmark
    count = len(subject.windows.returns) if len(benchmark.values) == len(asked.returns.values) else None
    return benchmark if count is None else Series(benchmark.values[-count:], None)


def _answer(asked: CalculateIn, spec: ReportSpec, subject: Subject, notice: str | None) -> CalculateOut:
    report = full_report(subject.windows, spec)
    sessions, held = subject.sessions, subject.held
    positions, liquidity = (None, None) if held is None else _liquidity(asked.liquidity, spec, held)
    return CalculateOut(
        notice=notice,
        as_of=None if sessions is None else _day(sessions, -1),
        window_start=None if sessions is None else _day(sessions, 0),
        window_sessions=len(subject.windows.returns),
        risk_free_rate_annual=spec.risk.risk_free_rate_annual,
        convention=spec.convention,
        rebalancing=None if held is None else asked.rebalancing or "buy_and_hold",
        base_currency=None if held is None else held.currency,
        benchmark=subject.benchmark,
        positions=positions,
        concentration=None if held is None else ConcentrationOut.model_validate(_concentration(held)),
        liquidity=liquidity,
        **_figures(report, sessions),
    )


def _figures(report: FullReport, sessions: DateArray | None) -> dict[str, Any]:
    return {
        "measures": [
            MeasuredOut(
                name=m.name,
                value=m.value,
                unit=m.unit or UNITS[m.name],
                formula=m.formula,
                convention=m.convention,
                undefined=m.undefined,
            )
            for m in report.measures
        ],
        "tails": [
            TailOut(
                method=t.method,
                confidence=t.confidence,
                horizon_sessions=t.horizon_sessions,
                scaling=t.scaling,
                var=t.var,
                es=t.es,
                var_standard_error=t.var_standard_error,
                es_standard_error=t.es_standard_error,
                unit=t.unit or LOSS.name,
                undefined=t.undefined,
            )
            for t in report.tails
        ],
        "entropic": [EntropicOut.model_validate(figure) for figure in report.entropic],
        "drawdowns": [_drawdown(spell, sessions) for spell in report.drawdowns],
    }


def _drawdown(spell: DrawdownSpell, sessions: DateArray | None) -> DrawdownOut:
    def day(position: int | None) -> date | None:
        return None if sessions is None or position is None else _day(sessions, position)

    return DrawdownOut(
        depth=spell.depth,
        start=day(spell.start),
        trough=day(spell.trough),
        recovery=day(spell.recovery),
        start_position=spell.start,
        trough_position=spell.trough,
        recovery_position=spell.recovery,
        duration_sessions=spell.duration_sessions,
    )


def _day(sessions: DateArray, position: int) -> date | None:
    """A session; None where it is not known (NaT)."""
    found: date | None = sessions[position].astype(date)
    return found


def _concentration(held: Held) -> dict[str, float]:
    return {name: float(value) for name, value in concentration(held.weights).items()}


def _liquidity(asked: LiquidityIn, spec: ReportSpec, held: Held) -> tuple[list[PositionOut], LiquidityOut]:
    """Positions with the sessions that selling them takes, and the risk over those.

    Money stands for units on both sides of the quotient, so that splits do not matter.
    """
    value = asked.portfolio_value if held.value is None else held.value
    amounts = held.weights * (0.0 if value is None else value)
    horizons = liquidation_horizons(amounts, held.turnover, held.symbols, asked.participation)
    without_volume = [s for s, turnover in zip(held.symbols, held.turnover, strict=True) if not turnover > 0.0]
    figures, undefined = [], None
    if value is None:
        undefined = "no_portfolio_value: give liquidity.portfolio_value with target weights"
    elif horizons.unknown and asked.days_if_unknown is None:
        undefined = "volume_unknown: leave those positions out, or give liquidity.days_if_unknown"
    for confidence in spec.confidences:
        found = liquidity_adjusted_var(held.weights, held.asset_returns, horizons, confidence, asked.days_if_unknown)
        adjusted = None if undefined else found.liquidity_adjusted_var
        figures.append(
            LiquidityFigureOut(confidence=confidence, var=found.value_at_risk, liquidity_adjusted_var=adjusted)
        )
    days: Iterable[float | None] = [None if value is None or np.isnan(d) else float(d) for d in horizons.days]
    positions = [
        PositionOut(symbol=symbol, weight=float(weight), liquidation_sessions=sessions)
        for symbol, weight, sessions in zip(held.symbols, held.weights, days, strict=True)
    ]
    return positions, LiquidityOut(
        participation=asked.participation, figures=figures, without_volume=without_volume, undefined=undefined
    )
