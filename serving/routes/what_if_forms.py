"""What ``POST /portfolios/{reference}/what-if`` is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.base.types import Rebalancing
from pipeline.risk.measures.full_report import ReportSpec
from pipeline.risk.measures.limits import Direction, Status
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from serving.answers import Resource, Row
from serving.positions import BAND_MEANING, MAXIMUM_POSITIONS, DriftBand, PositionIn, require_replaceable
from serving.routes.calculate_forms import MOST_CONFIDENCES, ConcentrationOut, Confidence, Name
from serving.routes.portfolio_risk import LONGEST_WINDOW_SESSIONS


class WhatIfIn(BaseModel):
    """What to do with a portfolio: trades, or the positions that it would have."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"trades": [{"symbol": "AAPL", "quantity": -20}, {"symbol": "MSFT", "quantity": 15}]},
                {
                    "positions": [
                        {"symbol": "AAPL", "target_weight": 0.3},
                        {"symbol": "MSFT", "target_weight": 0.7},
                    ],
                    "rebalancing": "monthly",
                },
            ]
        },
    )

    trades: list[PositionIn] | None = Field(
        None,
        min_length=1,
        max_length=MAXIMUM_POSITIONS,
        description="Changes: a quantity bought, or sold if negative, in units of today; of target weights what is"
        " added to each, where the sum stays 1.",
    )
    positions: list[PositionIn] | None = Field(
        None, min_length=1, max_length=MAXIMUM_POSITIONS, description="All positions that there would be."
    )
    rebalancing: Rebalancing | None = Field(
        None,
        description="Of `positions`: target weights need daily, monthly, quarterly or drift_band; null keeps the"
        " portfolio's.",
    )
    drift_band: DriftBand | None = Field(
        None, description="Of drift_band: fraction of value by which a weight may leave its target."
    )
    window_sessions: Annotated[int, Strict()] = Field(
        252, ge=2, le=LONGEST_WINDOW_SESSIONS, description="Newest returns to measure, the same before and after."
    )
    confidence: list[Confidence] = Field(
        [0.99], min_length=1, max_length=MOST_CONFIDENCES, description="Of the tails by method."
    )
    var_methods: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=len(VAR_METHODS),
        description=f"Some of {', '.join(VAR_METHODS)}; null for all.",
    )

    @model_validator(mode="after")
    def _require_one_change(self) -> WhatIfIn:
        if (self.trades is None) == (self.positions is None):
            raise PydanticCustomError("one_change", "Give exactly one of trades and positions")
        if self.positions is not None:
            require_replaceable(self.positions, self.rebalancing, self.drift_band)
        elif self.rebalancing is not None:
            raise PydanticCustomError("rebalancing", "rebalancing: trades keep the portfolio's; leave it out")
        elif self.drift_band is not None:
            raise PydanticCustomError("drift_band", "drift_band: trades keep the portfolio's; leave it out")
        elif self.trades is not None:
            _require_one_kind(self.trades)
        return self

    @property
    def spec(self) -> ReportSpec:
        """The request as the core takes it.

        Raises
        ------
        MeasureInputError
            For methods that are not registered.
        """
        return ReportSpec(
            confidences=tuple(dict.fromkeys(self.confidence)),
            methods=tuple(self.var_methods or VAR_METHODS),
            drawdowns=1,
        )


def _require_one_kind(trades: Sequence[PositionIn]) -> None:
    symbols = [trade.symbol for trade in trades]
    if len(set(symbols)) < len(symbols):
        raise PydanticCustomError("duplicate_symbol", "trades: a symbol is given twice; sum its trades")
    if len({trade.quantity is None for trade in trades}) > 1:
        raise PydanticCustomError("mixed_amounts", "trades: give quantities or target weights, not both")


class TailPairOut(Row):
    """Value at risk and expected shortfall of one session by one method."""

    method: str
    confidence: float
    var: float | None = Field(description="[fraction of value, positive loss]")
    es: float | None = Field(description="[fraction of value, positive loss]")
    var_standard_error: float | None = Field(description="Of a simulation.")
    es_standard_error: float | None = Field(description="Of a simulation.")
    undefined: str | None = Field(description="Why there is no value.")


class PositionPartOut(Row):
    """A position, and its part of the risk of one session."""

    symbol: str
    weight: float = Field(description="Share of the value at the last close; negative if short.")
    volatility_component: float = Field(description="Of the daily volatility (Ledoit–Wolf); parts sum to it.")
    var_99_1d_component: float = Field(description="Of the historical value at risk.")
    es_975_1d_component: float = Field(description="Of the historical expected shortfall.")


class LimitStateOut(Row):
    """Where the portfolio stands against one of its limits."""

    measure: str
    direction: Direction
    warn: float
    breach: float
    status: Status
    value: float | None
    headroom: float | None = Field(description="Distance to the breach; 0 or negative where it is breached.")
    reason: str = Field(description="Why it is not known; empty otherwise.")


class SideOut(Row):
    """A portfolio before or after."""

    value: float | None = Field(description="In the portfolio's currency; null for target weights.")
    rebalancing: Rebalancing
    drift_band: float | None = Field(None, description=BAND_MEANING)
    measures: dict[str, float | None] = Field(description="Of GET /api/v1/measures.")
    tails: list[TailPairOut]
    concentration: ConcentrationOut
    contributions: list[PositionPartOut]
    limits: list[LimitStateOut]


class TailChangeOut(Row):
    """After less before."""

    method: str
    confidence: float
    var: float | None
    es: float | None


class DifferenceOut(Row):
    """After less before; null where one of the two has no value."""

    value: float | None
    measures: dict[str, float | None]
    tails: list[TailChangeOut]
    concentration: ConcentrationOut
    weights: dict[str, float] = Field(description="Symbol → change of its share of the value.")
    newly_breached: list[str] = Field(description="Measures of limits that would be breached and are not.")
    no_longer_breached: list[str]


class WhatIfOut(Resource):
    """A portfolio before and after a change, on the same sessions."""

    portfolio_id: int
    as_of: date = Field(description="Last session: everything that is held before or after has a price on it.")
    window_start: date = Field(description="Session before the first return.")
    window_sessions: int
    base_currency: str
    benchmark: str | None
    risk_free: str = Field(description="Series of the risk-free rates, or that none is stored and the rate 0.")
    before: SideOut
    after: SideOut
    difference: DifferenceOut
