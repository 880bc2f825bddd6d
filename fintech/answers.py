"""Answers of the API as Python objects: records, and series that become DataFrames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fintech.series import Columns, Kind, Series, Told, columns_of, frame
from pipeline.base.types import Rebalancing
from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.risk_columns import MEASURE_COLUMNS
from pipeline.store.var_backtests import VAR_BACKTEST
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST

if TYPE_CHECKING:
    import pandas as pd


def _all(kind: Kind, *names: str) -> dict[str, Kind]:
    return dict.fromkeys(names, kind)


SYMBOL: Columns = _all("text", "symbol")
PRICES: Columns = _all("date", "session") | _all("float", "open", "high", "low", "close", "volume", "close_adjusted")
RISK = columns_of(PORTFOLIO_RISK, "portfolio_id")
SIMULATIONS = columns_of(PORTFOLIO_SIMULATION, "portfolio_id")
VOLATILITY = columns_of(VOLATILITY_FORECAST, "instrument_id")
QUANTILES = columns_of(QUANTILE_FORECAST, "instrument_id")
TAILS = columns_of(PORTFOLIO_TAIL, "portfolio_id")
BACKTESTS = columns_of(VAR_BACKTEST, "subject_kind", "subject_id")
EXPOSURES = columns_of(FACTOR_EXPOSURE, "instrument_id")
CONTRIBUTIONS: Columns = {
    "session": "date",
    "symbol": "text",
    **columns_of(PORTFOLIO_CONTRIBUTION, "portfolio_id", "instrument_id"),
}
FX_RATES: Columns = {"session": "date", "units_per_euro": "float"}
INTEREST_RATES: Columns = {"session": "date", "annual_rate": "float"}
LIMIT_EVENTS: Columns = {
    **_all("date", "session", "opened"),
    **_all("text", "key", "kind", "measure", "direction", "last_error"),
    **_all("float", "value", "warn", "breach"),
    **_all("time", "recorded_at", "delivered_at"),
    "attempts": "int",
}


class Record(BaseModel):
    """A part of an answer. What a newer API adds is kept as it came."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Answer(Record):
    """A whole answer."""

    notice: str | None = Field(None, description="What every reader of the data must be told.")
    warnings: tuple[Mapping[str, str], ...] = Field((), description="What else to know, by code.")
    staleness: Mapping[str, Any] | None = Field(None, description="How new the data is.")


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
        return frame(rows, columns, Told.of(self.model_dump())).set_index("name")


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
    kind: str
    parameters: dict[str, Any]
    source: str
    total: float | None
    worst_total: float | None
    mahalanobis_distance: float | None
    gaussian_probability: float | None
    var_99_1d_before: float | None
    var_99_1d_after: float | None
    es_99_1d_before: float | None
    es_99_1d_after: float | None
    reason: str | None
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
STRESS: Columns = {
    "session": "date",
    **_all("text", "scenario", "kind"),
    **_all("float", "total", "worst_total", "var_99_1d_before", "var_99_1d_after"),
}


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Several records.

    Parameters
    ----------
    columns
        Those of the records that a DataFrame has.
    told
        What the answer tells of its data.
    """

    items: tuple[T, ...]
    columns: Columns
    told: Told

    @property
    def notice(self) -> str | None:
        """What every reader of the data must be told; None if there is nothing."""
        return self.told.notice

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __getitem__(self, position: int) -> T:
        return self.items[position]

    def to_df(self) -> pd.DataFrame:
        """A DataFrame in the order of the records, by their first column; ``attrs`` has what the answer tells."""
        rows = [item.model_dump() for item in self.items]
        return frame(rows, self.columns, self.told).set_index(next(iter(self.columns)))
