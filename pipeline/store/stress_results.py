"""What each position would lose under every scenario, at the last session of each month.

A scenario has rows of the positions that it moves and of no others: a sector's shock leaves the rest where they are. So
33 years of three portfolios and 28 positions under 26 scenarios are 130 thousand rows and not 300 thousand, and each
can still be asked for by SQL, which one packed value a scenario could not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Integer, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, Unit, column, key, session_key, writer

PNL = Unit("fraction of portfolio value")
SHOCK = Unit("fraction of position value", minimum=-1)

KIND = "historical: a crisis replayed; hypothetical: stated shocks; reverse: the most likely way to a loss."

STRESS_RESULT = Table(
    "stress_result",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    session_key(),
    key("scenario", Text(), "Scenario, such as lehman_2008; stress_scenario has what it states."),
    key("instrument_id", Integer(), "Position that the scenario moves; it leaves the others where they are."),
    column("kind", Text(), KIND, nullable=False),
    column("weight", Double(), "Share of the portfolio's value at that session.", Unit("fraction of value")),
    column("shock", Double(), "Move of the position from the start to the end of the scenario.", SHOCK),
    column("pnl", Double(), "Profit or loss of the position; positions sum to the total.", PNL),
    column("worst_shock", Double(), "Move up to the session at which the whole portfolio stood lowest.", SHOCK),
    column("worst_pnl", Double(), "Profit or loss of the position up to there.", PNL),
    column(
        "shocked_by",
        Text(),
        "prices: its own; benchmark_beta: its beta, times the index's; sector, factor_exposure, largest_position,"
        " currency, covariance: by what the scenario states; none: nothing could.",
        nullable=False,
    ),
    column("reason", Text(), "Why figures are missing; empty when all are there."),
    writer(),
    comment="Today's holdings under every stored scenario, at the last session of each month.",
)


@dataclass(frozen=True, slots=True)
class StressRow:
    """One position under one scenario on one session."""

    session: date
    scenario: str
    instrument_id: int
    kind: str
    weight: float | None
    shock: float | None
    pnl: float | None
    worst_shock: float | None
    worst_pnl: float | None
    shocked_by: str
    reason: str | None
    materialization_id: int


def read_stress_results(
    connection: Connection, portfolio_id: int, window: Window, kind: str | None = None
) -> list[StressRow]:
    """The newest rows of a portfolio inside a window, oldest first; a row a session, scenario and position.

    Parameters
    ----------
    kind
        Of the scenarios; None for every kind.
    """
    subject: dict[str, int | str] = {"portfolio_id": portfolio_id, **({} if kind is None else {"kind": kind})}
    return read_newest(connection, STRESS_RESULT, subject, window, StressRow)
