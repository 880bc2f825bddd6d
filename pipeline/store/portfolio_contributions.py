"""What each position has to do with the risk of its portfolio, at the last session of each month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Integer, SmallInteger, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, SESSIONS, Unit, column, key, session_key, writer

WEIGHT = Unit("fraction of value")
DAILY_PART = Unit("fraction of value, per session")
PER_WEIGHT = Unit("fraction of value, per unit of weight")

MEASURED = (
    ("volatility", "volatility of one session (Ledoit–Wolf covariance)"),
    ("var_99_1d", "historical value at risk, 99 %, one session"),
    ("es_975_1d", "historical expected shortfall, 97.5 %, one session"),
)
"""What is decomposed, and in words."""

PORTFOLIO_CONTRIBUTION = Table(
    "portfolio_contribution",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    session_key(),
    key("instrument_id", Integer(), "Position."),
    column("window_sessions", SmallInteger(), "Returns that were used.", SESSIONS, nullable=False),
    column("weight", Double(), "Share of the portfolio's value.", WEIGHT, nullable=False),
    *(
        made
        for name, words in MEASURED
        for made in (
            column(f"{name}_component", Double(), f"Part of the {words}; parts sum to it.", DAILY_PART),
            column(f"{name}_marginal", Double(), f"Change of the {words} per unit of weight.", PER_WEIGHT),
            column(f"{name}_incremental", Double(), f"The {words}, less that without the position.", DAILY_PART),
        )
    ),
    column("reason", Text(), "Why figures are missing; empty when all are there."),
    writer(),
    comment="Component, marginal and incremental risk of every position, at the last session of each month.",
)


@dataclass(frozen=True, slots=True)
class ContributionRow:
    """One position on one session; None where `reason` says why."""

    session: date
    instrument_id: int
    window_sessions: int
    weight: float
    volatility_component: float | None
    volatility_marginal: float | None
    volatility_incremental: float | None
    var_99_1d_component: float | None
    var_99_1d_marginal: float | None
    var_99_1d_incremental: float | None
    es_975_1d_component: float | None
    es_975_1d_marginal: float | None
    es_975_1d_incremental: float | None
    reason: str | None
    materialization_id: int


def read_portfolio_contributions(connection: Connection, portfolio_id: int, window: Window) -> list[ContributionRow]:
    """The newest rows of a portfolio inside a window, oldest first; a row a session and position."""
    return read_newest(connection, PORTFOLIO_CONTRIBUTION, {"portfolio_id": portfolio_id}, window, ContributionRow)
