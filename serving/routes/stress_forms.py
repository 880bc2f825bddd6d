"""What stress on request is asked, and what it answers."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.risk.measures.stress_historical import (
    HISTORICAL_WINDOWS,
)
from pipeline.risk.measures.stress_hypothetical import ShockSet
from serving.answers import Resource, Row
from serving.inputs import Label, Symbol, require_number

Number = Annotated[float, Strict(), AllowInfNan(False), BeforeValidator(require_number), Field(ge=-1e6, le=1e6)]
Shocks = dict[Label, Number]


class ShockSetIn(BaseModel):
    """Stated shocks. A position takes its symbol's, else its sector's, else the market's, else 0."""

    model_config = ConfigDict(extra="forbid")

    name: Label = Field("hypothetical", description="Of the scenario.")
    market: Number | None = Field(None, description="What every position moves, as a fraction: -0.2 for -20 %.")
    sectors: Shocks = Field(default_factory=dict, description="GICS sector → fraction.")
    symbols: Shocks = Field(default_factory=dict, description="Symbol → fraction.")
    factors: Shocks = Field(default_factory=dict, description="Symbol of a factor fund → its return, as a fraction.")
    volatility_scale: Number | None = Field(None, description="Multiple of today's volatility.")
    correlation_shift: Number | None = Field(None, description="Fraction of the way from each correlation to 1.")

    @property
    def shock_set(self) -> ShockSet:
        """The scenario as the core takes it.

        Raises
        ------
        MeasureInputError
            For a shock below -1, a scale or shift out of range, or no shock at all.
        """
        return ShockSet(**self.model_dump())


class ReverseIn(BaseModel):
    """A loss whose most likely cause is looked for."""

    model_config = ConfigDict(extra="forbid")

    loss: Number = Field(description="Fraction of the value to lose in one session: 0.05 for 5 %.")
    degrees_of_freedom: Number | None = Field(None, description="Of a Student-t law beside the normal one; above 2.")


class StressRequest(BaseModel):
    """Exactly one kind of stress."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"historical": "all"}, {"hypothetical": {"market": -0.2}}]},
    )

    historical: Literal["all"] | Annotated[list[Symbol], Field(min_length=1, max_length=64)] | None = Field(
        None, description=f"all, or names of {', '.join(HISTORICAL_WINDOWS)}."
    )
    hypothetical: ShockSetIn | None = None
    reverse: ReverseIn | None = None
    volatility_scale: Number | None = Field(None, description="Multiple of today's volatility.")
    correlation_shift: Number | None = Field(None, description="Fraction of the way from each correlation to 1.")

    @model_validator(mode="after")
    def _require_one(self) -> StressRequest:
        kinds = list(StressRequest.model_fields)
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise PydanticCustomError("one_stress", f"Give exactly one of {', '.join(kinds)}")
        return self


class ShockedPositionOut(Row):
    """A position under a scenario."""

    symbol: str
    weight: float = Field(description="Share of the portfolio's value.")
    shock: float = Field(description="Move of the position [fraction of its value]")
    pnl: float = Field(description="Profit or loss [fraction of the portfolio's value]")
    amount: float | None = Field(description="Profit or loss in `currency`; null where the value is unknown.")
    shocked_by: str = Field(description="prices, benchmark_beta or scenario.")


class ScenarioOut(Row):
    """A portfolio under one scenario; the positions sum to the total."""

    scenario: str
    kind: Literal["historical", "hypothetical", "reverse"]
    method: str
    total: float = Field(description="[fraction of the portfolio's value]")
    total_amount: float | None = Field(description="In `currency`; null where the value is unknown.")
    worst_total: float | None = Field(None, description="At the deepest point on the way; historical only.")
    worst_session: date | None = Field(None, description="Session of that point.")
    positions: list[ShockedPositionOut]


class ReverseOut(Row):
    """How likely the loss is."""

    loss: float
    mahalanobis_distance: float = Field(description="Of the move from none [standard deviations]")
    gaussian_probability: float = Field(description="Of a loss at least as large in one session, normal law.")
    degrees_of_freedom: float | None
    student_t_probability: float | None


class VolatilityShiftOut(Row):
    """Historical tail risk before and after; positive losses as fractions of value."""

    scale: float
    confidence: float
    horizon_sessions: int
    var_before: float
    var_after: float
    es_before: float
    es_after: float


class CorrelationOut(Row):
    """Gaussian risk before and after; over one session, as fractions of value."""

    shift: float
    confidence: float
    horizon_sessions: int
    volatility_before: float
    volatility_after: float
    gaussian_var_before: float
    gaussian_var_after: float


class StressOut(Resource):
    """Stress of the holdings at their newest close, computed for this request."""

    portfolio_id: int
    as_of: date = Field(description="Newest session on which all positions have a price.")
    currency: str
    value: float | None = Field(description="Of the portfolio; null for target weights, which have none.")
    window_sessions: int | None = Field(None, description="Returns behind covariance, volatility or proxies.")
    method: str = Field(description="How the answer was computed.")
    scenarios: list[ScenarioOut] = Field(default_factory=list)
    unavailable: dict[str, str] = Field(
        default_factory=dict, description="Windows of `all` that cannot be replayed, and why."
    )
    reverse: ReverseOut | None = None
    volatility: VolatilityShiftOut | None = None
    correlation: CorrelationOut | None = None
