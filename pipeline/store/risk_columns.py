"""The measures that instruments and portfolios share, described once for both tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Column, Double, SmallInteger, Text

from pipeline.store.schema import DRAWDOWN, GROWTH, LOSS, RATIO, SESSIONS, VOLATILITY, Unit, column

DRAWDOWN_SIZE = Unit("fraction, positive", minimum=0, maximum=1)
RATE_OF_RETURN = Unit("fraction per year")
SHARE = Unit("share", minimum=0, maximum=1)

MEASURE_COLUMNS: tuple[tuple[str, Unit, str], ...] = (
    ("cagr", GROWTH, "Compound annual growth rate."),
    ("volatility", VOLATILITY, "Standard deviation of returns (ddof 1), annualised by √252."),
    ("volatility_ewma", VOLATILITY, "Exponentially weighted volatility about zero (λ 0.94), annualised."),
    ("sharpe_ratio", RATIO, "Mean excess return over its standard deviation, annualised."),
    ("sortino_ratio", RATIO, "Mean excess return over √LPM2 of all observations, annualised."),
    ("max_drawdown", DRAWDOWN, "Deepest compounded fall from a peak; the start is the first peak."),
    ("average_drawdown", DRAWDOWN, "Mean over the sessions of the fall from the peak."),
    ("ulcer_index", DRAWDOWN_SIZE, "Root mean square of the falls from the peak."),
    ("cdar_95", DRAWDOWN_SIZE, "Mean of the worst 5 % of the falls from the peak."),
    ("calmar_ratio", RATIO, "CAGR over the absolute maximum drawdown."),
    ("skewness", RATIO, "Third standardised moment, without bias correction."),
    ("excess_kurtosis", RATIO, "Fourth standardised moment minus 3, without bias correction."),
    ("var_95_1d", LOSS, "Historical value at risk, 95 %, one session."),
    ("var_99_1d", LOSS, "Historical value at risk, 99 %, one session."),
    ("es_975_1d", LOSS, "Historical expected shortfall, 97.5 %, one session."),
    ("es_99_1d", LOSS, "Historical expected shortfall, 99 %, one session."),
    ("beta", RATIO, "Slope of the regression on the benchmark's returns (OLS)."),
    ("alpha", RATE_OF_RETURN, "Jensen's alpha: intercept of that regression of excess returns, annualised."),
    ("r_squared", SHARE, "Share of the variance that the benchmark explains."),
    ("tracking_error", VOLATILITY, "Standard deviation of the returns less the benchmark's, annualised."),
    ("information_ratio", RATIO, "Mean of the returns less the benchmark's over the tracking error, annualised."),
    ("up_capture", RATIO, "Mean return by the benchmark's on the sessions on which that rose (geometric)."),
    ("down_capture", RATIO, "Mean return by the benchmark's on the sessions on which that fell (geometric)."),
)
"""Name, unit and meaning of each measure that both risk tables carry."""

TAIL_MEASURES = ("var_95_1d", "var_99_1d", "es_99_1d")
"""The values at risk of both risk tables, and the expected shortfall that has one of its confidence beside it."""


def measure_columns() -> list[Column[Any]]:
    """New column objects for every rolling measure, its sample size and the reason where it is missing."""
    return [
        column("sessions_in_window", SmallInteger(), "Returns in the window.", SESSIONS, nullable=False),
        *(column(name, Double(), meaning, unit) for name, unit, meaning in MEASURE_COLUMNS),
        column("risk_free", Text(), 'Series of the risk-free rate, such as DTB3; "none stored: 0" for a rate of 0.'),
        column("reason", Text(), "Why measures are missing; empty when all are there."),
    ]


@dataclass(frozen=True, slots=True)
class RiskRow:
    """The measures of one subject on one session; None where `reason` says why."""

    session: date
    sessions_in_window: int
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
    risk_free: str | None
    reason: str | None
    materialization_id: int
