"""Which risk-free rate a computation takes: the caller's, a stored series, or that of the currency."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

import numpy as np
from psycopg import Connection
from pydantic import AllowInfNan, Field, Strict, StringConstraints
from pydantic_core import PydanticCustomError

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import DateArray
from pipeline.risk.measures.risk_free import MOST_DAYS_OLD, NONE_STORED, QUOTATIONS, SERIES_OF, RiskFree, rate_series
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR
from pipeline.store.interest_rates import read_rate_quotes

GIVEN, NO_CURRENCY = "given", "no currency: 0"

Rate = Annotated[float, Strict(), AllowInfNan(False), Field(gt=-1.0, lt=1.0)]
SeriesName = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,32}$")]

RATE_MEANING = "Annual effective rate, as a fraction, on every session."
SERIES_MEANING = (
    f"Stored series whose rates are taken: one of {', '.join(QUOTATIONS)}. On each session the newest of a day before"
    f" it, up to {MOST_DAYS_OLD} days old."
)
SAID_MEANING = (
    f'Where the risk-free rate is from: a stored series; "{GIVEN}"; "{NONE_STORED}" where none of the currency is'
    f' known in the window; "{NO_CURRENCY}" for returns.'
)


def require_one_rate(rate: float | None, series: str | None) -> None:
    """Refuse a rate beside a series.

    Raises
    ------
    PydanticCustomError
        Naming both fields.
    """
    if rate is not None and series is not None:
        raise PydanticCustomError("one_rate", "Give at most one of risk_free_rate_annual and risk_free_series")


def read_currency_rates(
    connection: Connection, currency: str, sessions: DateArray, periods_per_year: int = TRADING_DAYS_PER_YEAR
) -> RiskFree | None:
    """(t-1,) rates of a currency between (t,) sessions; None if none is known there."""
    series = SERIES_OF.get(currency)
    return None if series is None else _read_rates(connection, series, sessions, periods_per_year)


def read_series_rates(
    connection: Connection, series: str, sessions: DateArray, periods_per_year: int = TRADING_DAYS_PER_YEAR
) -> RiskFree:
    """(t-1,) rates of a named series between (t,) sessions.

    Raises
    ------
    InvalidInputError
        If none is known there.
    MeasureInputError
        If it is not known how the series quotes its rates.
    """
    found = _read_rates(connection, series, sessions, periods_per_year)
    if found is None:
        raise InvalidInputError(
            f"risk_free_series: no rate of {series} is stored for the sessions up to {sessions[-1]}",
            "Load interest_rates (FINTECH_INTEREST_PROVIDER), or give risk_free_rate_annual.",
        )
    return found


def _read_rates(connection: Connection, series: str, sessions: DateArray, periods_per_year: int) -> RiskFree | None:
    first, last = sessions[1].astype(date), sessions[-1].astype(date)
    quotes = read_rate_quotes(connection, [series], first - timedelta(days=MOST_DAYS_OLD), last)
    none = np.array([], dtype="datetime64[D]"), np.array([])
    found = rate_series(series, quotes.get(series, none), periods_per_year).between(sessions)
    return found if np.isfinite(found.daily).any() else None
