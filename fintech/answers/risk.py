"""Measures of portfolios, instruments and own returns, and what they follow from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from fintech.answers.records import Answer, Record, each, table
from fintech.series import Columns, Series, Told, columns_of, frame
from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.risk_columns import MEASURE_COLUMNS
from pipeline.store.var_backtests import VAR_BACKTEST

if TYPE_CHECKING:
    import pandas as pd

RISK = columns_of(PORTFOLIO_RISK, "portfolio_id")
TAILS = columns_of(PORTFOLIO_TAIL, "portfolio_id")
BACKTESTS = columns_of(VAR_BACKTEST, "subject_kind", "subject_id")
EXPOSURES = columns_of(FACTOR_EXPOSURE, "instrument_id")
CONTRIBUTIONS: Columns = {
    "session": "date",
    "symbol": "text",
    **columns_of(PORTFOLIO_CONTRIBUTION, "portfolio_id", "instrument_id"),
}
MEASURES: Columns = each("text", "name", "unit", "meaning", "formula", "source") | each("truth", "stored")
MEASURED: Columns = {"name": "text", "value": "float", "unit": "text", "undefined": "text"}
PARTS: Columns = each("text", "name") | each("float", "size", "component", "share", "marginal", "incremental")
SPLIT: Columns = each("date", "session") | each("float", "local", "fx", "cross", "total")
EXPLAINABLES: Columns = {"kind": "text", "session": "date", "explain": "text"}
TESTS: Columns = each("text", "test") | each("float", "value", "p_value") | each("text", "undefined_because")
_TESTS = ("kupiec", "independence", "conditional_coverage", "duration", "shortfall_z1", "shortfall_z2")


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


class Measure(Record):
    """What a measure is."""

    name: str
    unit: str
    meaning: str
    formula: str
    source: str
    parameters: dict[str, Any]
    stored: bool


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
        return table(self.measures, MEASURED, self.told)


class PortfolioTail(Answer):
    """Value at risk and expected shortfall by one method, computed on request; positive losses."""

    portfolio_id: int
    as_of: date
    window_start: date
    window_sessions: int
    method: str
    confidence: float
    horizon_sessions: int
    scaling: str | None
    var: float | None
    expected_shortfall: float | None
    var_standard_error: float | None
    expected_shortfall_standard_error: float | None
    undefined_because: str | None


class Statistic(Record):
    """A test, and the probability of being as bad by chance."""

    value: float | None
    p_value: float | None
    undefined_because: str | None


class Backtest(Answer):
    """How a value at risk has done, computed on request."""

    portfolio_id: int
    as_of: date
    first_judged: date
    method: str
    confidence: float
    observations: int
    exceptions: int
    expected_exceptions: float
    kupiec: Statistic
    independence: Statistic
    conditional_coverage: Statistic
    duration: Statistic
    shortfall_z1: Statistic
    shortfall_z2: Statistic
    traffic_light: dict[str, Any]

    def to_df(self) -> pd.DataFrame:
        """The tests by name."""
        rows = [{"test": name, **getattr(self, name).model_dump()} for name in _TESTS]
        return frame(rows, TESTS, self.told).set_index("test")


class Part(Record):
    """A position's, sector's or factor's part of a total."""

    name: str
    size: float | None
    component: float
    share: float | None
    marginal: float | None
    incremental: float


class Decomposition(Answer):
    """Whose risk it is: components sum to the total."""

    portfolio_id: int
    as_of: date
    window_start: date
    window_sessions: int
    measure: str
    by: str
    confidence: float | None
    total: float
    parts: tuple[Part, ...]

    def to_df(self) -> pd.DataFrame:
        """The parts by name."""
        return table(self.parts, PARTS, self.told)


class Covariance(Answer):
    """Covariances of daily returns; `computed` for this request, or by the pipeline."""

    session: date
    estimator: str
    window_sessions: int
    computed: bool
    symbols: tuple[str, ...]
    covariance: tuple[tuple[float, ...], ...]
    correlation: tuple[tuple[float | None, ...], ...]

    def to_df(self) -> pd.DataFrame:
        """The covariances, by symbol twice."""
        return self._square(self.covariance)

    def correlation_to_df(self) -> pd.DataFrame:
        """The correlations, by symbol twice; NaN where a return never moved."""
        return self._square(self.correlation)

    def _square(self, values: Sequence[Sequence[float | None]]) -> pd.DataFrame:
        rows = [
            {"symbol": symbol, **dict(zip(self.symbols, row, strict=True))}
            for symbol, row in zip(self.symbols, values, strict=True)
        ]
        return frame(rows, each("text", "symbol") | each("float", *self.symbols), self.told).set_index("symbol")


class PrincipalFactor(Record):
    """An eigenvector of the correlations: its share of the variance, and each instrument's loading."""

    explained: float
    volatility: float
    loadings: dict[str, float]


class PrincipalFactors(Answer):
    """What many instruments have in common."""

    as_of: date
    window_start: date
    window_sessions: int
    symbols: tuple[str, ...]
    left_out: tuple[str, ...]
    factors: tuple[PrincipalFactor, ...]

    def to_df(self) -> pd.DataFrame:
        """The loadings: a row an instrument, a column a factor, the one that explains most first."""
        numbers = [f"factor_{number}" for number in range(1, len(self.factors) + 1)]
        rows = [
            {"symbol": symbol}
            | {name: factor.loadings[symbol] for name, factor in zip(numbers, self.factors, strict=True)}
            for symbol in self.symbols
        ]
        return frame(rows, each("text", "symbol") | each("float", *numbers), self.told).set_index("symbol")


class Split(Record):
    """A return by what earned it: local prices, currencies, and both together."""

    local: float
    fx: float
    cross: float
    total: float


class CurrencySplit(Answer):
    """A portfolio's returns by what earned them."""

    portfolio_id: int
    base_currency: str
    window_start: date
    as_of: date
    sessions_left_out: int
    compounded: Split
    exposures: tuple[dict[str, Any], ...]
    sessions: tuple[dict[str, Any], ...]

    def to_df(self) -> pd.DataFrame:
        """The returns by session."""
        return Series.of(self.sessions, SPLIT, self.told).to_df()


class Explanation(Answer):
    """A number, the same computed again, and all that it follows from."""

    subject: str
    session: date | None
    value: float | str | None
    recomputed: float | str | None
    difference: float | None
    undefined_because: str | None
    definition: dict[str, Any]
    parameters: dict[str, Any]
    inputs: dict[str, Any]
    written_by: dict[str, Any] | None
    partitions: dict[str, tuple[date, ...]]


class Explainable(Record):
    """A stored figure, and the address that explains it."""

    kind: str
    query: dict[str, Any]
    session: date
    value: float | str | None
    explain: str


class Explainables(Answer):
    """The newest stored figures of a portfolio."""

    portfolio_id: int
    figures: tuple[Explainable, ...]
    templates: dict[str, Any]

    def to_df(self) -> pd.DataFrame:
        """The figures by kind, each with the address that `explanation` takes."""
        return table(self.figures, EXPLAINABLES, self.told)


def measured_frame(sides: dict[str, dict[str, float | None]], told: Told) -> pd.DataFrame:
    """The same measures of several portfolios: a row a measure."""
    names = list(next(iter(sides.values())))
    rows = [{"name": name, **{side: values[name] for side, values in sides.items()}} for name in names]
    return frame(rows, each("text", "name") | each("float", *sides), told).set_index("name")
