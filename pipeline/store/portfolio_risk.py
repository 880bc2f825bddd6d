"""Rolling risk measures of portfolios: one row a portfolio and session."""

from __future__ import annotations

from datetime import date

from psycopg import Connection
from sqlalchemy import Integer, Table

from pipeline.store.packed_series import Series, read_series
from pipeline.store.reading import Window, read_newest
from pipeline.store.risk_columns import TAIL_MEASURES, RiskRow, measure_columns
from pipeline.store.schema import METADATA, key, session_key, writer

PORTFOLIO_RISK = Table(
    "portfolio_risk",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    session_key(),
    *measure_columns(),
    writer(),
    comment="Rolling 252-session risk measures of every portfolio.",
)


def read_portfolio_risk(connection: Connection, portfolio_id: int, window: Window) -> list[RiskRow]:
    """The newest rows of a portfolio inside a window, oldest first."""
    return read_newest(connection, PORTFOLIO_RISK, {"portfolio_id": portfolio_id}, window, RiskRow)


def read_portfolio_risk_tails(connection: Connection, start: date, end: date) -> dict[tuple[int], Series]:
    """(portfolio_id,) → its sessions in ``[start, end)`` and its tail measures on them; NaN where missing."""
    return read_series(connection, PORTFOLIO_RISK, ("portfolio_id",), TAIL_MEASURES, start, end)
