"""Strategies: the weights that each has set at a month's end, and what following them was worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from psycopg import Connection, sql
from psycopg.rows import class_row
from sqlalchemy import Double, Integer, SmallInteger, Table, Text

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.store.binary_copy import POSTGRES_EPOCH
from pipeline.store.reading import Window, read_newest, window_condition
from pipeline.store.schema import METADATA, RETURN, SESSIONS, Unit, column, key, session_key, writer

NET_ASSET_VALUE = Unit("value of 1 at the start", minimum=0)
WEIGHT = Unit("fraction of value", minimum=0, maximum=1)
TURNOVER = Unit("fraction of value, bought and sold", minimum=0)
COST = Unit("fraction of value", minimum=0)
STOCKS = Unit("stocks", minimum=1)

STRATEGY_WEIGHTS = "strategy_weights"
"""Asset that writes the table of weights."""

STRATEGY_WEIGHT = Table(
    "strategy_weight",
    METADATA,
    key("strategy", Text(), "Strategy, such as min_variance."),
    session_key(),
    key("instrument_id", Integer(), "Stock."),
    column(
        "weight", Double(), "Weight from the next session on; a stock of weight 0 has no row.", WEIGHT, nullable=False
    ),
    column("method", Text(), "Strategy that gave the weights: itself, or the one it falls back to.", nullable=False),
    column("window_sessions", SmallInteger(), "Returns that were used.", SESSIONS, nullable=False),
    column("eligible", SmallInteger(), "Stocks that could have been held.", STOCKS, nullable=False),
    column("reason", Text(), "Why another strategy's weights were taken."),
    writer(),
    comment="Weights of every strategy, set at the last session of each month from prices up to it.",
)

STRATEGY_NAV = Table(
    "strategy_nav",
    METADATA,
    key("strategy", Text(), "Strategy, such as min_variance."),
    session_key(),
    column("nav", Double(), "Net asset value after costs.", NET_ASSET_VALUE, nullable=False),
    column("daily_return", Double(), "Simple return after costs.", RETURN, nullable=False),
    column("turnover", Double(), "Traded at the close before, at which weights were set.", TURNOVER, nullable=False),
    column("cost", Double(), "What that trade cost.", COST, nullable=False),
    writer(),
    comment="Net asset value of every strategy, walked forward and rebalanced monthly, after costs.",
)


@dataclass(frozen=True, slots=True)
class NavRow:
    """A strategy on one session."""

    session: date
    nav: float
    daily_return: float
    turnover: float
    cost: float
    materialization_id: int


@dataclass(frozen=True, slots=True)
class SetWeights:
    """What a strategy was to hold from a month's end on.

    Parameters
    ----------
    instrument_ids, weights
        (k,) held stocks, ascending, and their weights.
    """

    session: date
    method: str
    window_sessions: int
    eligible: int
    reason: str | None
    instrument_ids: Sequence[int]
    weights: Sequence[float]
    materialization_id: int


@dataclass(frozen=True, slots=True)
class StrategyHistory:
    """What a strategy has come to.

    Parameters
    ----------
    start, session
        First session and newest.
    nav
        Newest.
    sessions
        How many there are.
    turnover
        Sum over all of them.
    cost
        Sum over all of them.
    """

    strategy: str
    start: date
    session: date
    nav: float
    sessions: int
    turnover: float
    cost: float


@dataclass(frozen=True, slots=True)
class AllWeights:
    """Every weight of one strategy, by session and instrument.

    Parameters
    ----------
    sessions, instrument_ids, weights
        (m,) each.
    """

    sessions: DateArray
    instrument_ids: IntArray
    weights: FloatArray


def read_all_weights(connection: Connection, end: date) -> dict[str, AllWeights]:
    """Strategy → its weights set before `end`: a message a strategy, as `pipeline.store.packed_series` reads."""
    order = "ORDER BY session, instrument_id"
    query = (
        f"SELECT strategy, string_agg(date_send(session), '' {order}), string_agg(int4send(instrument_id), '' {order}),"
        f" string_agg(float8send(weight), '' {order}) FROM strategy_weight WHERE session < %s GROUP BY strategy"
        " ORDER BY strategy"
    )
    with connection.cursor(binary=True) as cursor:
        return {row[0]: _unpacked(*row[1:]) for row in cursor.execute(query, [end])}


def _unpacked(days: bytes, ids: bytes, weights: bytes) -> AllWeights:
    return AllWeights(
        POSTGRES_EPOCH + np.frombuffer(days, dtype=">i4").astype("timedelta64[D]"),
        np.frombuffer(ids, dtype=">i4").astype(np.int64),
        np.frombuffer(weights, dtype=">f8").astype(np.float64),
    )


def read_strategy_nav(connection: Connection, strategy: str, window: Window) -> list[NavRow]:
    """The newest values of a strategy inside a window, oldest first."""
    return read_newest(connection, STRATEGY_NAV, {"strategy": strategy}, window, NavRow)


def read_strategy_weights(connection: Connection, strategy: str, window: Window) -> list[SetWeights]:
    """The newest weights of a strategy inside a window, oldest first: a row a month's end.

    Those rows are what `window` means by `limit`, and `before` is the session of one.
    """
    if window.before is not None:
        last = window.before[0] - timedelta(days=1)
        window = replace(window, end=min(last, window.end or last), before=None)
    query = sql.SQL(
        "SELECT session, min(method) AS method, min(window_sessions) AS window_sessions, min(eligible) AS eligible,"
        " min(reason) AS reason, array_agg(instrument_id ORDER BY instrument_id) AS instrument_ids,"
        " array_agg(weight ORDER BY instrument_id) AS weights, max(materialization_id) AS materialization_id"
        " FROM strategy_weight WHERE {} GROUP BY session ORDER BY session DESC LIMIT {}"
    ).format(window_condition(STRATEGY_WEIGHT, {"strategy": strategy}, window), sql.Literal(window.limit))
    with connection.cursor(row_factory=class_row(SetWeights)) as cursor:
        return cursor.execute(query).fetchall()[::-1]


def read_strategy_histories(connection: Connection, strategy: str | None = None) -> dict[str, StrategyHistory]:
    """Strategy → what it has come to, of one or of all; those without any value are left out."""
    query = (
        "SELECT strategy, min(session) AS start, max(session) AS session,"
        " (array_agg(nav ORDER BY session DESC))[1] AS nav, count(*) AS sessions, sum(turnover) AS turnover,"
        " sum(cost) AS cost FROM strategy_nav WHERE strategy = coalesce(%s, strategy) GROUP BY strategy"
    )
    with connection.cursor(row_factory=class_row(StrategyHistory)) as cursor:
        return {row.strategy: row for row in cursor.execute(query, [strategy])}
