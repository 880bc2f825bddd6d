"""The measures that instruments and portfolios share, described once for both tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Column, Double, SmallInteger, Text

from pipeline.store.schema import DRAWDOWN, GROWTH, LOSS, RATIO, SESSIONS, VOLATILITY, Unit, column

MEASURE_COLUMNS: tuple[tuple[str, Unit, str], ...] = (
    ("cagr", GROWTH, "Compound annual growth rate."),
    ("volatility", VOLATILITY, "Standard deviation of returns (ddof 1), annualised by √252."),
    ("sharpe_ratio", RATIO, "Mean excess return over its standard deviation, annualised."),
    ("sortino_ratio", RATIO, "Mean excess return over √LPM2 of all observations, annualised."),
    ("max_drawdown", DRAWDOWN, "Deepest compounded fall from a peak; the start is the first peak."),
    ("calmar_ratio", RATIO, "CAGR over the absolute maximum drawdown."),
    ("skewness", RATIO, "Third standardised moment, without bias correction."),
    ("excess_kurtosis", RATIO, "Fourth standardised moment minus 3, without bias correction."),
    ("var_95_1d", LOSS, "Historical value at risk, 95 %, one session."),
    ("var_99_1d", LOSS, "Historical value at risk, 99 %, one session."),
    ("es_975_1d", LOSS, "Historical expected shortfall, 97.5 %, one session."),
    ("es_99_1d", LOSS, "Historical expected shortfall, 99 %, one session."),
    ("beta", RATIO, "Slope of the regression on the benchmark's returns (OLS)."),
)
"""Name, unit and meaning of each measure that both risk tables carry."""


def measure_columns() -> list[Column[Any]]:
    """New column objects for every rolling measure, its sample size and the reason where it is missing."""
    return [
        column("sessions_in_window", SmallInteger(), "Returns in the window.", SESSIONS, nullable=False),
        *(column(name, Double(), meaning, unit) for name, unit, meaning in MEASURE_COLUMNS),
        column("reason", Text(), "Why measures are missing; empty when all are there."),
    ]


@dataclass(frozen=True, slots=True)
class RiskRow:
    """The measures of one subject on one session; None where `reason` says why."""

    session: date
    sessions_in_window: int
    cagr: float | None
    volatility: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    max_drawdown: float | None
    calmar_ratio: float | None
    skewness: float | None
    excess_kurtosis: float | None
    var_95_1d: float | None
    var_99_1d: float | None
    es_975_1d: float | None
    es_99_1d: float | None
    beta: float | None
    reason: str | None
    materialization_id: int
