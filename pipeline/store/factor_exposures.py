"""What each instrument has to do with the factor funds, at the last session of each month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Integer, SmallInteger, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import (
    METADATA,
    PROBABILITY,
    RATIO,
    SESSIONS,
    VOLATILITY,
    Unit,
    column,
    key,
    session_key,
    writer,
)

FACTOR_EXPOSURE = Table(
    "factor_exposure",
    METADATA,
    key("instrument_id", Integer(), "Instrument that is explained."),
    session_key(),
    key("factor", Text(), "Symbol of the factor fund."),
    column("window_sessions", SmallInteger(), "Returns that were used.", SESSIONS, nullable=False),
    column("exposure_ols", Double(), "Slope of the multiple regression (OLS) with intercept.", RATIO),
    column("standard_error", Double(), "Standard error of the OLS slope.", Unit("ratio", minimum=0)),
    column("t_statistic", Double(), "OLS slope over its standard error.", RATIO),
    column("exposure_ridge", Double(), "Slope of the ridge regression; its penalty is cross-validated.", RATIO),
    column("ridge_penalty", Double(), "Penalty of the ridge regression.", Unit("ratio", minimum=0)),
    column("r_squared", Double(), "Share of the variance that the factors explain together (OLS).", PROBABILITY),
    column("residual_volatility", Double(), "Volatility of what they do not explain (OLS), annualised.", VOLATILITY),
    column("reason", Text(), "Why figures are missing; empty when all are there."),
    writer(),
    comment="Exposure of every instrument to the factor funds, at the last session of each month.",
)


@dataclass(frozen=True, slots=True)
class FactorExposureRow:
    """One instrument's exposure to one factor on one session; None where `reason` says why."""

    session: date
    factor: str
    window_sessions: int
    exposure_ols: float | None
    standard_error: float | None
    t_statistic: float | None
    exposure_ridge: float | None
    ridge_penalty: float | None
    r_squared: float | None
    residual_volatility: float | None
    reason: str | None
    materialization_id: int


def read_factor_exposures(connection: Connection, instrument_id: int, window: Window) -> list[FactorExposureRow]:
    """The newest exposures of an instrument inside a window, oldest first; a row a session and factor."""
    return read_newest(connection, FACTOR_EXPOSURE, {"instrument_id": instrument_id}, window, FactorExposureRow)
