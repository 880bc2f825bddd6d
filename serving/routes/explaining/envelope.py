"""The form of every explanation: a number, what it is, all that it follows from, and the writes behind it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, TypeAlias

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from pipeline.base.types import Rebalancing
from serving.answers import Resource, Row
from serving.inputs import IsoDate, Symbol
from serving.routes.explaining.input_forms import (
    BarInputsOut,
    BookInputsOut,
    PartsOut,
    ScoreInputsOut,
    StrategyInputsOut,
    ValuedOut,
)

Value: TypeAlias = float | str | None
"""Of a figure; a text where it is a state, such as a traffic light."""

Parameter: TypeAlias = int | float | str

FigureName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
AskedSession = Annotated[IsoDate | None, Query(description="Session of the row; null for the newest.")]
PositionSymbol = Annotated[Symbol, Query(description="Symbol of a position.", examples=["AAPL"])]


class ExplainQuery(BaseModel):
    """Which number to explain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: FigureName = Field(description="Name of the measure.", examples=["var_99_1d"])
    session: IsoDate | None = Field(None, description="Session of the row; null for the newest.")


Explained = Annotated[ExplainQuery, Query()]


class DefinitionOut(BaseModel):
    """What a measure is."""

    name: str
    function: str = Field(description="Where it is defined in the source.")
    meaning: str
    unit: str
    formula: str
    source: str
    parameters: dict[str, float] = Field(description="Fixed arguments of the definition.")


class JudgedForecastsOut(BaseModel):
    """Stored forecasts that a figure judges, oldest first."""

    sessions: list[date] = Field(
        description="At whose close they were made; `returns` are those of the sessions after."
    )
    values: dict[str, list[float]] = Field(description="Column of their table → figures.")


class RiskFreeOut(BaseModel):
    """The risk-free rate of each return."""

    series: str = Field(description="Name of the published series.")
    daily: list[float | None] = Field(
        description="Rate of one session of each of the newest returns between `sessions`; null where none was new"
        " enough."
    )
    formula: str = Field(description="Annual effective rate from what the series quotes.")
    source: str = Field(description="Where that is from.")


class InputsOut(BaseModel):
    """Everything that the value was made of, oldest first."""

    sessions: list[date] = Field(
        description="Closes that were used; the returns are those between them. Of returns that the caller gave, their"
        " own dates; none without those."
    )
    close: dict[str, list[float]] = Field(
        description="Adjusted closes by symbol, as they were known to the write; of a portfolio in its base currency:"
        " what one unit held since the instrument's first split or dividend has become."
    )
    exchange_rates: dict[str, list[float]] = Field(
        description="Currency → units of the base currency for one of it at each close, by which closes in it were"
        " multiplied; none where nothing was converted."
    )
    currencies: dict[str, str] = Field(
        default_factory=dict, description="Symbol → currency of its own prices; none where nothing was converted."
    )
    amounts: dict[str, float] | None = Field(
        None, description="Target weights, or quantities in the units of `close` by symbol; null for one alone."
    )
    rebalancing: Rebalancing | None = None
    drift_band: float | None = Field(
        None,
        description="By how much a weight may leave its target; `close` then begins at a trade, which bought the"
        " targets.",
    )
    weights: dict[str, float] | None = Field(
        None, description="Weights at the last close, by which scenarios are made; of a stress, at the row's session."
    )
    returns: list[float] = Field(default_factory=list, description="What was earned in the window.")
    scenarios: list[float] = Field(
        default_factory=list, description="What the weights at the last close would have earned in the window."
    )
    benchmark: str | None = None
    benchmark_close: list[float] | None = Field(None, description="As `close`.")
    benchmark_returns: list[float] | None = Field(
        None, description="Of the same sessions as `returns`; null where they follow from `benchmark_close`."
    )
    risk_free: RiskFreeOut | None = Field(
        None, description="Null for a measure without one, and where `parameters` have the rate."
    )
    forecasts: JudgedForecastsOut | None = Field(None, description="Of a backtest: what is judged.")
    betas: dict[str, float] | None = Field(
        None, description="Of a stress: symbol → slope on the benchmark, where it was used and is known."
    )
    exposures: dict[str, dict[str, float]] | None = Field(
        None, description="Of a stress: symbol → factor fund → exposure (OLS)."
    )
    turnover: dict[str, float | None] | None = Field(
        None, description="Of a liquidation: symbol → money traded a session, at the newest rates; null if unknown."
    )
    factors: dict[str, list[float]] | None = Field(None, description="Of a decomposition by factor: funds, as `close`.")
    groups: dict[str, str] | None = Field(None, description="Symbol → sector, where it matters.")
    bars: BarInputsOut | None = Field(None, description="Of a price: as it was given, and what adjusts it.")
    positions: list[ValuedOut] | None = Field(None, description="Of a value: what is held, and what each is worth.")
    cash: float | None = Field(None, description="Of the value of a book.")
    book: BookInputsOut | None = Field(None, description="Of a book: its transactions.")
    strategy: StrategyInputsOut | None = Field(None, description="Of a strategy: weights that were set, and values.")
    scores: ScoreInputsOut | None = Field(None, description="Of a score: what is stored of each month.")
    parts: PartsOut | None = Field(None, description="Of a forecast by a model of all instruments: what it adds up.")


class WriteOut(Row):
    """A write of an asset."""

    id: int
    asset: str
    run_id: str
    code_version: str
    started_at: datetime
    finished_at: datetime


class ExplanationOut(Resource):
    """A served number and all that it follows from."""

    subject: str
    session: date | None = Field(description="Null of returns that the caller gave without dates.")
    value: Value
    recomputed: Value = Field(description="The value from `inputs`, computed for this answer.")
    difference: float | None = Field(description="Recomputed less served; null where one of both is no number.")
    undefined_because: str | None
    definition: DefinitionOut
    parameters: dict[str, Parameter]
    inputs: InputsOut
    code_version: str = Field(
        description="Digest of the source that computed it again; as in `written_by` where the code has not changed"
        " since, and without a write that of the code behind the value."
    )
    written_by: WriteOut | None = Field(description="Null for a figure that is computed for each request.")
    prices_written_by: list[WriteOut]
    inputs_written_by: list[WriteOut] = Field(
        default_factory=list, description="Writes of the other stored figures among the inputs."
    )
    partitions: dict[str, list[date]] = Field(description="Asset → months that the number rests on.")
    doubts: list[str] = Field(
        default_factory=list, description="What a reader must know before relying on the explanation."
    )
