"""What each position would lose in every crisis of the past, at the last session of each month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Integer, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, Unit, column, key, session_key, writer

PNL = Unit("fraction of portfolio value")
SHOCK = Unit("fraction of position value", minimum=-1)

STRESS_RESULT = Table(
    "stress_result",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    session_key(),
    key("scenario", Text(), "Scenario, such as lehman_2008."),
    key("instrument_id", Integer(), "Position."),
    column("weight", Double(), "Share of the portfolio's value at that session.", Unit("fraction of value")),
    column("shock", Double(), "Move of the position from the start to the end of the scenario.", SHOCK),
    column("pnl", Double(), "Profit or loss of the position; positions sum to the total.", PNL),
    column("worst_shock", Double(), "Move up to the session at which the whole portfolio stood lowest.", SHOCK),
    column("worst_pnl", Double(), "Profit or loss of the position up to there.", PNL),
    column(
        "shocked_by",
        Text(),
        "prices: its own; benchmark_beta: it had none, and the index stood in; none: neither could.",
        nullable=False,
    ),
    column("reason", Text(), "Why figures are missing; empty when all are there."),
    writer(),
    comment="Today's holdings through every crisis of the past, at the last session of each month.",
)


@dataclass(frozen=True, slots=True)
class StressRow:
    """One position under one scenario on one session."""

    session: date
    scenario: str
    instrument_id: int
    weight: float | None
    shock: float | None
    pnl: float | None
    worst_shock: float | None
    worst_pnl: float | None
    shocked_by: str
    reason: str | None
    materialization_id: int


def read_stress_results(connection: Connection, portfolio_id: int, window: Window) -> list[StressRow]:
    """The newest rows of a portfolio inside a window, oldest first; a row a session, scenario and position."""
    return read_newest(connection, STRESS_RESULT, {"portfolio_id": portfolio_id}, window, StressRow)
