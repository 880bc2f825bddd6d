"""Rolling risk measures of portfolios: one row a portfolio and session."""

from __future__ import annotations

from psycopg import Connection
from sqlalchemy import Integer, Table

from pipeline.store.reading import Window, read_newest
from pipeline.store.risk_columns import RiskRow, measure_columns
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
