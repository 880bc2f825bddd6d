"""What each scenario states, and what it does to a portfolio as a whole, at the last session of each month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Integer, Table, Text

from pipeline.base.types import MonthRange
from pipeline.store.offering import Columns, Span
from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import LOSS, METADATA, PROBABILITY, Unit, column, key, session_key, writer
from pipeline.store.stress_results import KIND, PNL
from pipeline.store.writing import Write, WriteOutcome, replace_rows

STRESS_SCENARIO = Table(
    "stress_scenario",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    session_key(),
    key("scenario", Text(), "Scenario, such as equity_down_20."),
    column("kind", Text(), KIND, nullable=False),
    column("parameters", Text(), "What the scenario states, as JSON; fractions and sessions.", nullable=False),
    column("source", Text(), "Where its sizes come from.", nullable=False),
    column("total", Double(), "Sum of the positions' profit and loss; 0 where no price moves.", PNL),
    column("worst_total", Double(), "The same where the portfolio stood lowest on the way.", PNL),
    column(
        "mahalanobis_distance",
        Double(),
        "Distance of the move of one session from none; reverse scenarios only.",
        Unit("standard deviations", minimum=0),
    ),
    column(
        "gaussian_probability",
        Double(),
        "Of a loss at least as large in one session, normal law; reverse scenarios only.",
        PROBABILITY,
    ),
    column("var_99_1d_before", Double(), "Value at risk as it is; of volatility and correlation only.", LOSS),
    column("var_99_1d_after", Double(), "Value at risk under the scenario; likewise.", LOSS),
    column("es_99_1d_before", Double(), "Expected shortfall as it is; of volatility only.", LOSS),
    column("es_99_1d_after", Double(), "Expected shortfall under the scenario; of volatility only.", LOSS),
    column("reason", Text(), "Why a figure that the scenario has is missing; empty when all are there."),
    writer(),
    comment="Every stored scenario with what it states and its total, at the last session of each month.",
)


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """A portfolio under one scenario on one session; None where the scenario has no such figure, or `reason`."""

    session: date
    scenario: str
    kind: str
    parameters: str
    source: str
    total: float | None
    worst_total: float | None
    mahalanobis_distance: float | None
    gaussian_probability: float | None
    var_99_1d_before: float | None
    var_99_1d_after: float | None
    es_99_1d_before: float | None
    es_99_1d_after: float | None
    reason: str | None
    materialization_id: int


def replace_scenarios(write: Write, rows: Columns, months: MonthRange) -> WriteOutcome:
    """Make the scenarios of `months` equal to `rows`, in the write of the positions' results."""
    return replace_rows(
        write.connection, STRESS_SCENARIO, rows, Span(months.first, months.end), write.materialization_id
    )


def read_stress_scenarios(
    connection: Connection, portfolio_id: int, window: Window, kind: str | None = None
) -> list[ScenarioRow]:
    """The newest scenarios of a portfolio inside a window, oldest first; a row a session and scenario.

    Parameters
    ----------
    kind
        Of the scenarios; None for every kind.
    """
    subject: dict[str, int | str] = {"portfolio_id": portfolio_id, **({} if kind is None else {"kind": kind})}
    return read_newest(connection, STRESS_SCENARIO, subject, window, ScenarioRow)
