"""Answers of the API as Python objects: records, and series that become DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Date, Double, Table, Text

from pipeline.base.types import Rebalancing
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.risk_columns import MEASURE_COLUMNS
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["date", "float", "int", "text"]
Columns = Mapping[str, Kind]
Value = float | int | str | date | None

_DTYPES: dict[Kind, str] = {"date": "datetime64[ns]", "float": "float64", "int": "int64", "text": "string"}
"""The same for an answer without rows. Missing numbers are NaN, missing dates NaT, missing texts <NA>."""


def columns_of(table: Table, subject: str) -> Columns:
    """The columns that the API answers with for rows of a table: all but the one that says whose they are."""
    return {column.name: _kind(column.type) for column in table.columns if column.name != subject}


def _kind(type_: object) -> Kind:
    if isinstance(type_, Date):
        return "date"
    if isinstance(type_, Double):
        return "float"
    return "text" if isinstance(type_, Text) else "int"


def _all(kind: Kind, *names: str) -> dict[str, Kind]:
    return dict.fromkeys(names, kind)


PRICES: Columns = _all("date", "session") | _all("float", "open", "high", "low", "close", "volume", "close_adjusted")
RISK = columns_of(PORTFOLIO_RISK, "portfolio_id")
SIMULATIONS = columns_of(PORTFOLIO_SIMULATION, "portfolio_id")
VOLATILITY = columns_of(VOLATILITY_FORECAST, "instrument_id")
QUANTILES = columns_of(QUANTILE_FORECAST, "instrument_id")


@dataclass(frozen=True, slots=True)
class Series:
    """Rows by day, oldest first.

    Parameters
    ----------
    rows
        Column → value; days are dates, and None is missing.
    columns
        Every column and what it holds, also where there are no rows; the first is the day.
    notice
        What every reader of the data must be told; None if there is nothing.
    """

    rows: tuple[Mapping[str, Value], ...]
    columns: Columns
    notice: str | None

    @classmethod
    def of(cls, data: Iterable[Mapping[str, Any]], columns: Columns, notice: str | None) -> Series:
        """The series of the rows of an answer."""
        return cls(tuple(_row(found, columns) for found in data), columns, notice)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Value]]:
        return iter(self.rows)

    def to_df(self) -> pd.DataFrame:
        """A DataFrame by day (``datetime64[ns]``), numbers as ``float64``; ``attrs["notice"]`` has the notice."""
        return frame(self.rows, self.columns, self.notice).set_index(next(iter(self.columns)))


def _row(found: Mapping[str, Any], columns: Columns) -> Mapping[str, Value]:
    return {
        name: date.fromisoformat(found[name]) if kind == "date" and found[name] is not None else found[name]
        for name, kind in columns.items()
    }


def frame(rows: Sequence[Mapping[str, object]], columns: Columns, notice: str | None) -> pd.DataFrame:
    """A DataFrame whose columns have the same types whatever the rows are."""
    import pandas as pd  # noqa: PLC0415 - half a second that only DataFrames need

    made = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=_DTYPES[kind]) for name, kind in columns.items()}
    )
    made.attrs["notice"] = notice
    return made


class Record(BaseModel):
    """A part of an answer. What a newer API adds is kept as it came."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Answer(Record):
    """A whole answer."""

    notice: str | None = Field(None, description="What every reader of the data must be told.")


class Instrument(Record):
    """What can be priced."""

    symbol: str
    name: str
    kind: str
    sector: str
    currency: str
    exchange: str
    provider: str
    listed_from: date | None
    delisted_on: date | None


class Position(Record):
    """A holding: a quantity, or a target weight as a fraction."""

    symbol: str
    quantity: float | None = None
    target_weight: float | None = None


class Portfolio(Answer):
    """A stored portfolio."""

    id: int
    slug: str | None
    name: str
    base_currency: str
    rebalancing: Rebalancing
    created_at: datetime
    positions: tuple[Position, ...]


class RiskReport(Answer):
    """The measures of one window, computed on request; losses are positive fractions of value."""

    portfolio_id: int
    as_of: date
    window_start: date
    window_sessions: int
    var: float | None
    expected_shortfall: float | None
    confidence: float
    benchmark: str | None
    measures: dict[str, float | None]
    undefined: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _gather_measures(cls, given: dict[str, Any]) -> dict[str, Any]:
        names = {name for name, _, _ in MEASURE_COLUMNS}
        rest = {name: value for name, value in given.items() if name not in names}
        return rest | {"measures": {name: value for name, value in given.items() if name in names}}


class Measured(Record):
    """One measure."""

    name: str
    value: float | None
    unit: str
    formula: str
    convention: str
    undefined: str | None


class Tail(Record):
    """Value at risk and expected shortfall by one method."""

    method: str
    confidence: float
    horizon_sessions: int
    var: float | None
    es: float | None
    unit: str
    undefined: str | None


class Calculation(Answer):
    """Every figure of one window of returns or positions."""

    as_of: date | None
    window_start: date | None
    window_sessions: int
    convention: str
    benchmark: str | None
    measures: tuple[Measured, ...]
    tails: tuple[Tail, ...]

    def to_df(self) -> pd.DataFrame:
        """The measures by name: value and unit."""
        rows = [measured.model_dump() for measured in self.measures]
        columns: Columns = {"name": "text", "value": "float", "unit": "text", "undefined": "text"}
        return frame(rows, columns, self.notice).set_index("name")


class Forecasts(Answer):
    """Forecasts of an instrument by every model."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    symbol: str
    volatility: Series
    quantiles: Series


class StressedPosition(Record):
    """A position under a scenario; profit and loss as fractions of the portfolio's value."""

    symbol: str
    weight: float | None
    shock: float | None
    pnl: float | None
    shocked_by: str


class StoredScenario(Record):
    """A portfolio under a scenario, as the pipeline stored it."""

    session: date
    scenario: str
    total: float | None
    worst_total: float | None
    positions: tuple[StressedPosition, ...]


class Scenario(Record):
    """A portfolio under a scenario, computed on request."""

    scenario: str
    kind: str
    method: str
    total: float
    total_amount: float | None
    worst_total: float | None
    positions: tuple[StressedPosition, ...]


class StressReport(Answer):
    """Stress of the holdings at their newest close."""

    portfolio_id: int
    as_of: date
    currency: str
    value: float | None
    method: str
    scenarios: tuple[Scenario, ...]
    unavailable: dict[str, str]


class Explanation(Answer):
    """A stored number, the same computed again, and all that it follows from."""

    subject: str
    session: date
    value: float | None
    recomputed: float | None
    difference: float | None
    undefined_because: str | None
    definition: dict[str, Any]
    parameters: dict[str, float]
    inputs: dict[str, Any]
    written_by: dict[str, Any]
    partitions: dict[str, tuple[date, ...]]


T = TypeVar("T", bound=Record)

INSTRUMENTS: Columns = {
    **_all("text", "symbol", "name", "kind", "sector", "currency", "exchange", "provider"),
    **_all("date", "listed_from", "delisted_on"),
}
PORTFOLIOS: Columns = _all("int", "id") | _all("text", "slug", "name", "base_currency", "rebalancing")
STRESS: Columns = {"session": "date", "scenario": "text", "total": "float", "worst_total": "float"}


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Several records.

    Parameters
    ----------
    columns
        Those of the records that a DataFrame has.
    notice
        What every reader of the data must be told; None if there is nothing.
    """

    items: tuple[T, ...]
    columns: Columns
    notice: str | None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __getitem__(self, position: int) -> T:
        return self.items[position]

    def to_df(self) -> pd.DataFrame:
        """A DataFrame in the order of the records, by their first column; ``attrs["notice"]`` has the notice."""
        rows = [item.model_dump() for item in self.items]
        return frame(rows, self.columns, self.notice).set_index(next(iter(self.columns)))
