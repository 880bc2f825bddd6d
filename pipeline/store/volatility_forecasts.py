"""Volatility forecasts: one row an instrument, session and model, a column a horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from psycopg import Connection, sql
from sqlalchemy import Date, Double, Integer, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, VOLATILITY, WRITER, column, key, session_key, writer

VOLATILITY_FORECAST = Table(
    "volatility_forecast",
    METADATA,
    key("instrument_id", Integer(), "Instrument."),
    session_key("as_of"),
    key("model", Text(), "Forecast model."),
    column("volatility_1d", Double(), "Annualised volatility of the next session.", VOLATILITY),
    column("volatility_5d", Double(), "Annualised volatility over the next 5 sessions.", VOLATILITY),
    column("volatility_21d", Double(), "Annualised volatility over the next 21 sessions.", VOLATILITY),
    column("model_version", Text(), "Version of the model.", nullable=False),
    column("trained_through", Date(), "Last session that entered the model's fit.", nullable=False),
    writer(),
    comment="Daily volatility forecasts of every instrument by each model.",
)


@dataclass(frozen=True, slots=True)
class VolatilityForecastRow:
    """A stored volatility forecast."""

    as_of: date
    model: str
    model_version: str
    trained_through: date
    volatility_1d: float | None
    volatility_5d: float | None
    volatility_21d: float | None
    materialization_id: int


def read_volatility_forecasts(
    connection: Connection, instrument_id: int, window: Window
) -> list[VolatilityForecastRow]:
    """The newest forecasts of an instrument inside a window, oldest first."""
    return read_newest(connection, VOLATILITY_FORECAST, {"instrument_id": instrument_id}, window, VolatilityForecastRow)


def read_volatility_writes(connection: Connection, models: Sequence[str], last: date) -> list[int]:
    """Numbers of the writes that stored the forecasts of some models up to a session."""
    query = sql.SQL(
        "SELECT DISTINCT {} FROM volatility_forecast WHERE model = ANY({}) AND as_of <= {} ORDER BY 1"
    ).format(sql.Identifier(WRITER), sql.Literal(list(models)), sql.Literal(last))
    return [row[0] for row in connection.execute(query)]
