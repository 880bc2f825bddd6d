"""Backtests of every published series of value at risk, at the last session of each month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Integer, SmallInteger, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, PROBABILITY, RATIO, SESSIONS, Unit, column, key, session_key, writer

TESTS = (
    ("kupiec", "Kupiec's likelihood ratio of the number of exceptions"),
    ("independence", "Christoffersen's likelihood ratio of independent exceptions"),
    ("conditional_coverage", "Christoffersen's likelihood ratio of both"),
    ("duration", "Christoffersen and Pelletier's likelihood ratio of the durations between exceptions"),
    ("shortfall_z1", "Acerbi and Szekely's Z1 of the expected shortfall, given the exceptions"),
    ("shortfall_z2", "Acerbi and Szekely's Z2 of the expected shortfall and the exceptions"),
)
"""Prefix of the two columns of each test, and the test in words."""

VAR_BACKTEST = Table(
    "var_backtest",
    METADATA,
    key("subject_kind", Text(), "portfolio or instrument."),
    key("subject_id", Integer(), "Number of the portfolio or instrument."),
    session_key(),
    key("method", Text(), "How the value at risk was estimated."),
    key("measure", Text(), "Which value at risk, such as var_99_1d."),
    column("observations", SmallInteger(), "Sessions up to this one that were tested.", SESSIONS, nullable=False),
    column("exceptions", SmallInteger(), "Sessions with a larger loss.", SESSIONS, nullable=False),
    column("expected_exceptions", Double(), "Exceptions that the confidence lets expect.", Unit("sessions", minimum=0)),
    *(
        made
        for name, words in TESTS
        for made in (
            column(f"{name}_statistic", Double(), f"{words}.", RATIO),
            column(f"{name}_p_value", Double(), f"Its probability of being as bad by chance ({name}).", PROBABILITY),
        )
    ),
    column("traffic_light", Text(), "Basel's zone over 250 sessions: green, yellow or red; 99 % only."),
    column("basel_multiplier", Double(), "Multiplication factor of that zone (MAR99).", RATIO),
    column("reason", Text(), "Why figures are missing; empty when all are there."),
    writer(),
    comment="Backtests of every published value at risk, at the last session of each month. Of an instrument,"
    " historical is that of instrument_risk; of a portfolio, historical_252 is that of portfolio_risk and the other"
    " methods are those of portfolio_tail. An expected shortfall is judged with the value at risk of its confidence:"
    " es_975_1d by the methods of portfolio_tail, as instrument_risk and portfolio_risk have no VaR 97.5 %.",
)


@dataclass(frozen=True, slots=True)
class BacktestRow:
    """The backtest of one series as of one session; None where `reason` says why."""

    session: date
    method: str
    measure: str
    observations: int
    exceptions: int
    expected_exceptions: float | None
    kupiec_statistic: float | None
    kupiec_p_value: float | None
    independence_statistic: float | None
    independence_p_value: float | None
    conditional_coverage_statistic: float | None
    conditional_coverage_p_value: float | None
    duration_statistic: float | None
    duration_p_value: float | None
    shortfall_z1_statistic: float | None
    shortfall_z1_p_value: float | None
    shortfall_z2_statistic: float | None
    shortfall_z2_p_value: float | None
    traffic_light: str | None
    basel_multiplier: float | None
    reason: str | None
    materialization_id: int


def read_var_backtests(connection: Connection, kind: str, subject_id: int, window: Window) -> list[BacktestRow]:
    """The newest backtests of a subject inside a window, oldest first; a row a session, method and measure."""
    subject: dict[str, int | str] = {"subject_kind": kind, "subject_id": subject_id}
    return read_newest(connection, VAR_BACKTEST, subject, window, BacktestRow)
