"""Value at risk and expected shortfall of portfolios by every method: one row a portfolio, session and method."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import Double, Integer, SmallInteger, Table, Text

from pipeline.store.packed_series import Series, read_series
from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import LOSS, METADATA, SESSIONS, STANDARD_ERROR, column, key, session_key, writer

ERROR = "Standard error of the simulation in {}; empty for a method that does not simulate."
"""Of a column that holds one."""

TAIL_COLUMNS = ("var_95_1d", "var_975_1d", "var_99_1d", "es_95_1d", "es_975_1d", "es_99_1d")

PORTFOLIO_TAIL = Table(
    "portfolio_tail",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    session_key(),
    key("method", Text(), "How the tail is estimated, such as filtered_historical."),
    column("window_sessions", SmallInteger(), "Returns that were used.", SESSIONS, nullable=False),
    column("var_95_1d", Double(), "Value at risk of the next session, 95 %.", LOSS),
    column("var_975_1d", Double(), "Value at risk of the next session, 97.5 %.", LOSS),
    column("var_99_1d", Double(), "Value at risk of the next session, 99 %.", LOSS),
    column("es_95_1d", Double(), "Expected shortfall of the next session, 95 %.", LOSS),
    column("es_975_1d", Double(), "Expected shortfall of the next session, 97.5 %.", LOSS),
    column("es_99_1d", Double(), "Expected shortfall of the next session, 99 %.", LOSS),
    *(column(f"{name}_error", Double(), ERROR.format(name), STANDARD_ERROR) for name in TAIL_COLUMNS),
    column("reason", Text(), "Why figures are missing; empty when all are there."),
    writer(),
    comment="VaR and ES of every portfolio's holdings by seven methods; monte_carlo with 10,000 paths of seed 0.",
)


@dataclass(frozen=True, slots=True)
class TailRow:
    """One method on one session; None where `reason` says why."""

    session: date
    method: str
    window_sessions: int
    var_95_1d: float | None
    var_975_1d: float | None
    var_99_1d: float | None
    es_95_1d: float | None
    es_975_1d: float | None
    es_99_1d: float | None
    var_95_1d_error: float | None
    var_975_1d_error: float | None
    var_99_1d_error: float | None
    es_95_1d_error: float | None
    es_975_1d_error: float | None
    es_99_1d_error: float | None
    reason: str | None
    materialization_id: int


def read_portfolio_tails(
    connection: Connection, portfolio_id: int, window: Window, method: str | None = None
) -> list[TailRow]:
    """The newest figures of a portfolio inside a window, oldest first; a row a session and method, or of one method."""
    subject: dict[str, int | str] = {"portfolio_id": portfolio_id}
    if method is not None:
        subject["method"] = method
    return read_newest(connection, PORTFOLIO_TAIL, subject, window, TailRow)


def read_tail_history(connection: Connection, start: date, end: date) -> dict[tuple[int, str], Series]:
    """(portfolio_id, method) → sessions in ``[start, end)`` and the figures on them; NaN where missing."""
    names = ("var_95_1d", "es_95_1d", "var_975_1d", "es_975_1d", "var_99_1d", "es_99_1d")
    return read_series(connection, PORTFOLIO_TAIL, ("portfolio_id", "method"), names, start, end)
