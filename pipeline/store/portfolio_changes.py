"""Changes of portfolios that are stored: each marks the pipeline's results as out of date if it changes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from psycopg import Connection, sql
from psycopg.errors import UniqueViolation

from pipeline.base.types import Policy
from pipeline.store import materializations
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Position, insert_positions, slug_taken

Changed = Literal["slug", "name", "benchmark_id", "rebalancing", "drift_band"]
COMPUTED_FROM: frozenset[Changed] = frozenset({"benchmark_id", "rebalancing", "drift_band"})
"""Columns that results depend on; a new name makes none of them wrong."""


def lock_portfolio(connection: Connection, portfolio_id: int) -> bool:
    """Have other changes of a portfolio wait for the end of this transaction.

    Returns
    -------
    bool
        Whether the caller of the connection may change it; others see it, or not even that.
    """
    found = connection.execute("SELECT FROM portfolio WHERE id = %s FOR NO KEY UPDATE", [portfolio_id])
    return found.rowcount == 1


def change_portfolio(connection: Connection, portfolio_id: int, values: Mapping[Changed, object]) -> None:
    """Set columns of a portfolio.

    Raises
    ------
    ConflictError
        If the slug is taken.
    """
    if not values:
        return
    parts = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in values.items()]
    query = sql.SQL("UPDATE portfolio SET {} WHERE id = {}").format(sql.SQL(", ").join(parts), portfolio_id)
    try:
        connection.execute(query)
    except UniqueViolation as error:
        raise slug_taken(str(values["slug"])) from error
    if not COMPUTED_FROM.isdisjoint(values):
        note_change(connection, "portfolio changed")


def replace_positions(
    connection: Connection, portfolio_id: int, positions: Collection[Position], policy: Policy
) -> None:
    """Put stated positions in the place of those before; quantities count in the units of today."""
    connection.execute("DELETE FROM position WHERE portfolio_id = %s", [portfolio_id])
    insert_positions(connection, portfolio_id, positions)
    connection.execute(
        "UPDATE portfolio SET positions_at = now(), rebalancing = %s, drift_band = %s WHERE id = %s",
        [*policy, portfolio_id],
    )
    note_change(connection, "positions replaced")


def delete_portfolio(connection: Connection, portfolio_id: int) -> None:
    """Remove a portfolio with its positions, transactions, limits and what was told of these.

    Its results have no reader from now on, since every answer begins with the portfolio, and a number is never given
    again; the next run of each asset removes their rows.
    """
    connection.execute("DELETE FROM portfolio WHERE id = %s", [portfolio_id])
    note_change(connection, "portfolio deleted")


def note_change(connection: Connection, why: str) -> None:
    """Mark the portfolios as changed, so that what is computed from them is out of date."""
    materializations.touch(connection, PORTFOLIOS_INPUT, run_id=why, code_version="")
