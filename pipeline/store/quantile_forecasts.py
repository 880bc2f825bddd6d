"""Return quantile forecasts: one row an instrument, session and model, a column a level and horizon.

The horizon is in the name of a column, as in ``volatility_forecast``: the key of the table stays what released code
reads and writes by (docs/decisions/0027).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Date, Double, Integer, SmallInteger, Table, Text

from pipeline.base.level_columns import level_column
from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, RETURN, SESSIONS, column, key, session_key, writer

QUANTILE_LEVELS = (0.01, 0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975, 0.99)
SHORTFALL_LEVELS = (0.01, 0.025)
LONGER_HORIZON = 5
"""Sessions, of the columns that may be empty."""


def quantile_name(level: float, horizon_sessions: int = 1) -> str:
    """Column of a quantile; see `level_column`."""
    return level_column("quantile", level, horizon_sessions)


def shortfall_name(level: float, horizon_sessions: int = 1) -> str:
    """Column of the expected shortfall below a quantile; see `level_column`."""
    return level_column("es", level, horizon_sessions)


QUANTILE_FORECAST = Table(
    "quantile_forecast",
    METADATA,
    key("instrument_id", Integer(), "Instrument."),
    session_key("as_of"),
    key("model", Text(), "Forecast model."),
    column(
        "horizon_sessions", SmallInteger(), "Sessions ahead of the columns that name none.", SESSIONS, nullable=False
    ),
    *(
        column(quantile_name(level), Double(), f"{level:.1%} quantile of the return.", RETURN, nullable=False)
        for level in QUANTILE_LEVELS
    ),
    column(
        "es_0010",
        Double(),
        "Expected shortfall below the 1 % quantile; positive loss.",
        RETURN,
        nullable=False,
    ),
    column(
        "es_0025",
        Double(),
        "Expected shortfall below the 2.5 % quantile; positive loss.",
        RETURN,
        nullable=False,
    ),
    *(
        column(
            quantile_name(level, LONGER_HORIZON),
            Double(),
            f"{level:.1%} quantile of the return over {LONGER_HORIZON} sessions.",
            RETURN,
        )
        for level in QUANTILE_LEVELS
    ),
    *(
        column(
            shortfall_name(level, LONGER_HORIZON),
            Double(),
            f"Expected shortfall over {LONGER_HORIZON} sessions below the {100 * level:g} % quantile; positive loss.",
            RETURN,
        )
        for level in SHORTFALL_LEVELS
    ),
    column("model_version", Text(), "Version of the model.", nullable=False),
    column("trained_through", Date(), "Last session that entered the model's fit.", nullable=False),
    writer(),
    comment="Daily forecasts of the distribution of every instrument's next return, and of that over 5 sessions.",
)


@dataclass(frozen=True, slots=True)
class QuantileForecastRow:
    """A stored quantile forecast."""

    as_of: date
    model: str
    model_version: str
    trained_through: date
    horizon_sessions: int
    quantile_0010: float
    quantile_0025: float
    quantile_0050: float
    quantile_0250: float
    quantile_0500: float
    quantile_0750: float
    quantile_0950: float
    quantile_0975: float
    quantile_0990: float
    es_0010: float
    es_0025: float
    quantile_0010_5d: float | None
    quantile_0025_5d: float | None
    quantile_0050_5d: float | None
    quantile_0250_5d: float | None
    quantile_0500_5d: float | None
    quantile_0750_5d: float | None
    quantile_0950_5d: float | None
    quantile_0975_5d: float | None
    quantile_0990_5d: float | None
    es_0010_5d: float | None
    es_0025_5d: float | None
    materialization_id: int


def read_quantile_forecasts(connection: Connection, instrument_id: int, window: Window) -> list[QuantileForecastRow]:
    """The newest forecasts of an instrument inside a window, oldest first."""
    return read_newest(connection, QUANTILE_FORECAST, {"instrument_id": instrument_id}, window, QuantileForecastRow)
