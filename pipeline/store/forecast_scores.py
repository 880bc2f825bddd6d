"""Scores of forecasts: one row an instrument, month in which horizons end, model, kind and horizon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from psycopg import Connection, sql
from sqlalchemy import Date, Double, Integer, SmallInteger, Table, Text

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.store.binary_copy import POSTGRES_EPOCH
from pipeline.store.schema import METADATA, SESSIONS, WRITER, Unit, column, key, writer

LOSS_UNIT = Unit("loss of its kind; lower is better")
SQUARED_ERROR = Unit("squared variance per year, or squared probability", minimum=0)

FORECAST_SCORES = "forecast_scores"
"""Asset key."""

FORECAST_SCORE = Table(
    "forecast_score",
    METADATA,
    key("instrument_id", Integer(), "Instrument."),
    key("month", Date(), "First day of the month in which the horizons end."),
    key("model", Text(), "Forecast model."),
    key(
        "kind",
        Text(),
        "variance, quantile_0.01 and other levels, es_0.01 and es_0.025, probability_positive, rank_quintiles.",
    ),
    key("horizon_sessions", SmallInteger(), "Sessions ahead."),
    column(
        "baseline",
        Text(),
        "Naive forecast beside it: ewma, for ewma constant, historical, or frequency.",
        nullable=False,
    ),
    column("forecasts", SmallInteger(), "Forecasts whose horizon ended in the month.", SESSIONS, nullable=False),
    column(
        "loss",
        Double(),
        "Mean loss: QLIKE of a variance, tick loss of a quantile, Fissler-Ziegel loss of a shortfall,"
        " log loss of a probability, ranked probability score of quintiles.",
        LOSS_UNIT,
        nullable=False,
    ),
    column("baseline_loss", Double(), "The same of the naive forecast.", LOSS_UNIT, nullable=False),
    column(
        "squared_error",
        Double(),
        "Mean squared error of the annual variance, or Brier score of a probability.",
        SQUARED_ERROR,
    ),
    column("baseline_squared_error", Double(), "The same of the naive forecast.", SQUARED_ERROR),
    column("hits", SmallInteger(), "Returns below their quantile; 0 for other kinds.", SESSIONS, nullable=False),
    column("hit_bits", Integer(), "Which they were: bit 0 is the first forecast of the month.", nullable=False),
    writer(),
    comment="Scores of every forecast whose horizon has passed, beside a naive forecast, by month.",
)

ScoreKey = tuple[str, str, int]
"""Model, kind and horizon in sessions."""


@dataclass(frozen=True, slots=True)
class ScoreFilter:
    """Which scores to read; None for all.

    Parameters
    ----------
    start, end
        First days of the first and the last month, both included.
    """

    instrument_id: int | None = None
    model: str | None = None
    kind: str | None = None
    horizon_sessions: int | None = None
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True, slots=True)
class MonthlyLosses:
    """Sums over the instruments of a month.

    Parameters
    ----------
    baseline
        Naive forecast that is compared with.
    months
        (m,) first days, sorted.
    forecasts, hits
        (m,) forecasts scored, and returns below their quantile.
    loss, baseline_loss, squared_error, baseline_squared_error
        (m,) sums over the forecasts; NaN where there is none.
    """

    baseline: str
    months: DateArray
    forecasts: IntArray
    hits: IntArray
    loss: FloatArray
    baseline_loss: FloatArray
    squared_error: FloatArray
    baseline_squared_error: FloatArray


@dataclass(frozen=True, slots=True)
class MonthlyHits:
    """Hits of one instrument: (m,) forecasts in each month with any, and their bits."""

    forecasts: IntArray
    hit_bits: IntArray


_SUMMED = ("loss", "baseline_loss", "squared_error", "baseline_squared_error")


def read_monthly_losses(connection: Connection, wanted: ScoreFilter) -> dict[ScoreKey, MonthlyLosses]:
    """Scores by model, kind and horizon, summed over the instruments of each month."""
    query = sql.SQL(
        "WITH summed AS (SELECT model, kind, horizon_sessions, month, min(baseline) AS baseline,"
        " sum(forecasts)::int8 AS forecasts, sum(hits)::int8 AS hits, {sums}"
        " FROM forecast_score WHERE {where} GROUP BY model, kind, horizon_sessions, month)"
        " SELECT model, kind, horizon_sessions, min(baseline), string_agg(date_send(month), '' ORDER BY month),"
        " string_agg(int8send(forecasts), '' ORDER BY month), string_agg(int8send(hits), '' ORDER BY month), {packed}"
        " FROM summed GROUP BY model, kind, horizon_sessions ORDER BY model, kind, horizon_sessions"
    ).format(
        sums=sql.SQL(", ").join(sql.SQL("sum({0} * forecasts) AS {0}").format(sql.Identifier(n)) for n in _SUMMED),
        packed=sql.SQL(", ").join(
            sql.SQL("string_agg(float8send(coalesce({}, 'NaN')), '' ORDER BY month)").format(sql.Identifier(n))
            for n in _SUMMED
        ),
        where=_condition(wanted),
    )
    with connection.cursor(binary=True) as cursor:
        return {(row[0], row[1], row[2]): _losses(row) for row in cursor.execute(query)}


def read_monthly_hits(connection: Connection, wanted: ScoreFilter) -> dict[ScoreKey, dict[int, MonthlyHits]]:
    """Hits of quantiles by model, kind and horizon, and by instrument."""
    query = sql.SQL(
        "SELECT model, kind, horizon_sessions, instrument_id, string_agg(int2send(forecasts), '' ORDER BY month),"
        " string_agg(int4send(hit_bits), '' ORDER BY month)"
        " FROM forecast_score WHERE starts_with(kind, 'quantile_') AND {} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    ).format(_condition(wanted))
    found: dict[ScoreKey, dict[int, MonthlyHits]] = {}
    with connection.cursor(binary=True) as cursor:
        for model, kind, horizon, instrument_id, forecasts, bits in cursor.execute(query):
            hits = MonthlyHits(_unpacked(forecasts, ">i2"), _unpacked(bits, ">i4"))
            found.setdefault((model, kind, horizon), {})[instrument_id] = hits
    return found


def count_scored_instruments(connection: Connection, wanted: ScoreFilter) -> dict[ScoreKey, int]:
    """Instruments with a score, by model, kind and horizon."""
    query = sql.SQL(
        "SELECT model, kind, horizon_sessions, count(DISTINCT instrument_id) FROM forecast_score WHERE {}"
        " GROUP BY 1, 2, 3"
    ).format(_condition(wanted))
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def read_score_writes(connection: Connection, wanted: ScoreFilter) -> list[int]:
    """Numbers of the writes that stored the scores."""
    query = sql.SQL("SELECT DISTINCT {} FROM forecast_score WHERE {} ORDER BY 1").format(
        sql.Identifier(WRITER), _condition(wanted)
    )
    return [row[0] for row in connection.execute(query)]


def _condition(wanted: ScoreFilter) -> sql.Composable:
    bounds = (
        ("instrument_id", "=", wanted.instrument_id),
        ("model", "=", wanted.model),
        ("kind", "=", wanted.kind),
        ("horizon_sessions", "=", wanted.horizon_sessions),
        ("month", ">=", wanted.start),
        ("month", "<=", wanted.end),
    )
    parts: list[sql.Composable] = [
        sql.SQL("{} {} {}").format(sql.Identifier(name), sql.SQL(operator), sql.Literal(value))
        for name, operator, value in bounds
        if value is not None
    ]
    return sql.SQL(" AND ").join(parts or [sql.SQL("true")])


def _losses(row: tuple[Any, ...]) -> MonthlyLosses:
    baseline, months, forecasts, hits = row[3:7]
    days = np.frombuffer(months, dtype=">i4").astype("timedelta64[D]")
    sums = (np.frombuffer(values, dtype=">f8").astype(np.float64) for values in row[7:])
    return MonthlyLosses(baseline, POSTGRES_EPOCH + days, _unpacked(forecasts, ">i8"), _unpacked(hits, ">i8"), *sums)


def _unpacked(packed: bytes, kind: str) -> IntArray:
    return np.frombuffer(packed, dtype=kind).astype(np.int64)
