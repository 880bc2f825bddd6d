"""The measures as answers carry them; a test keeps the fields equal to the registered ones."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

from pydantic import Field

from pipeline.risk.measures.on_request import ON_REQUEST
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.risk_columns import MEASURE_COLUMNS
from pipeline.store.schema import WRITER
from serving.answers import Row, described_by

UNITS: Mapping[str, str] = MappingProxyType(
    {name: unit.name for name, unit, _ in MEASURE_COLUMNS} | {measure.name: measure.unit for measure in ON_REQUEST}
)
"""Of every measure that a report may hold, by name."""

WORDS: Mapping[str, str] = MappingProxyType(
    {name: meaning for name, _, meaning in MEASURE_COLUMNS}
    | {
        measure.name: " ".join((inspect.getdoc(measure.definition) or "").partition("\n\n")[0].split())
        for measure in ON_REQUEST
    }
)
"""What each means: the comment of its column, or the first paragraph of its definition."""


@described_by(INSTRUMENT_RISK)
class MeasureValues(Row):
    """A value of each registered measure; null where it has none."""

    cagr: float | None
    volatility: float | None
    volatility_ewma: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    max_drawdown: float | None
    average_drawdown: float | None
    ulcer_index: float | None
    cdar_95: float | None
    calmar_ratio: float | None
    skewness: float | None
    excess_kurtosis: float | None
    var_95_1d: float | None
    var_99_1d: float | None
    es_975_1d: float | None
    es_99_1d: float | None
    beta: float | None
    alpha: float | None
    r_squared: float | None
    tracking_error: float | None
    information_ratio: float | None
    up_capture: float | None
    down_capture: float | None


@described_by(INSTRUMENT_RISK)
class RiskOut(MeasureValues):
    """The stored measures of the window that ends with a session."""

    session: date
    sessions_in_window: int
    risk_free: str | None
    reason: str | None
    materialization_id: int = Field(description=INSTRUMENT_RISK.columns[WRITER].comment)
