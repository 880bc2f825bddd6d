"""Forecasts of probabilities: one row an instrument, session and model; empty where `reason` says why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Date, Double, Integer, SmallInteger, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, PROBABILITY, SESSIONS, column, key, session_key, writer

QUINTILE_NUMBERS = (1, 2, 3, 4, 5)

PROBABILITY_FORECAST = Table(
    "probability_forecast",
    METADATA,
    key("instrument_id", Integer(), "Instrument."),
    session_key("as_of"),
    key("model", Text(), "Forecast model; frequency is the constant forecast."),
    column("horizon_sessions", SmallInteger(), "Sessions ahead.", SESSIONS, nullable=False),
    column("probability_positive", Double(), "Probability that the return is above 0.", PROBABILITY),
    *(
        column(
            f"rank_quintile_{number}",
            Double(),
            f"Probability that the return is in fifth {number} of all instruments' returns; 1 is the lowest.",
            PROBABILITY,
        )
        for number in QUINTILE_NUMBERS
    ),
    column("reason", Text(), "Why probabilities are missing; empty when all are there."),
    column("model_version", Text(), "Version of the model.", nullable=False),
    column("trained_through", Date(), "Last session that entered the model's fit; empty where nothing is forecast."),
    writer(),
    comment="Daily forecasts of the sign and the rank of every instrument's return by each model.",
)


@dataclass(frozen=True, slots=True)
class ProbabilityForecastRow:
    """A stored forecast of probabilities; None where `reason` says why."""

    as_of: date
    model: str
    model_version: str
    trained_through: date | None
    horizon_sessions: int
    probability_positive: float | None
    rank_quintile_1: float | None
    rank_quintile_2: float | None
    rank_quintile_3: float | None
    rank_quintile_4: float | None
    rank_quintile_5: float | None
    reason: str | None
    materialization_id: int


def read_probability_forecasts(
    connection: Connection, instrument_id: int, window: Window
) -> list[ProbabilityForecastRow]:
    """The newest forecasts of an instrument inside a window, oldest first."""
    subject = {"instrument_id": instrument_id}
    return read_newest(connection, PROBABILITY_FORECAST, subject, window, ProbabilityForecastRow)
