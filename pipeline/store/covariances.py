"""Covariance and correlation of every pair of instruments at the last session of each month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Integer, SmallInteger, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, SESSIONS, Unit, column, key, session_key, writer

CORRELATION = Unit("correlation", minimum=-1, maximum=1)
DAILY_COVARIANCE = Unit("fraction², per session")

COVARIANCE = Table(
    "covariance",
    METADATA,
    key("estimator", Text(), "Estimator, such as ledoit_wolf."),
    session_key(),
    key("instrument_id", Integer(), "Instrument."),
    key("other_instrument_id", Integer(), "The other one, with the same or a higher number."),
    column("window_sessions", SmallInteger(), "Returns that were used.", SESSIONS, nullable=False),
    column("covariance", Double(), "Covariance of daily returns; the variance of one.", DAILY_COVARIANCE),
    column("correlation", Double(), "Correlation of daily returns; 1 of one with itself.", CORRELATION),
    column("reason", Text(), "Why there is no correlation: an instrument without variation."),
    writer(),
    comment="Covariance of daily returns of every pair of instruments, at the last session of each month.",
)


@dataclass(frozen=True, slots=True)
class CovarianceRow:
    """One pair on one session."""

    session: date
    instrument_id: int
    other_instrument_id: int
    window_sessions: int
    covariance: float | None
    correlation: float | None
    reason: str | None
    materialization_id: int


MOST_PAIRS = 100_000
"""More than any session has."""


def read_newest_pairs(connection: Connection, estimator: str, last: date | None) -> list[CovarianceRow]:
    """Every pair of the newest session up to `last`, by instrument and other instrument; none while there is none."""
    for row in read_covariances(connection, estimator, Window(end=last, limit=1)):
        return read_covariances(connection, estimator, Window(row.session, row.session, MOST_PAIRS))
    return []


def read_covariances(connection: Connection, estimator: str, window: Window) -> list[CovarianceRow]:
    """The newest pairs inside a window, oldest first; `window.limit` counts pairs."""
    return read_newest(connection, COVARIANCE, {"estimator": estimator}, window, CovarianceRow)
