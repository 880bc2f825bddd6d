"""What portfolios with a drift band hold: the units that each trade left, and those that each month began with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from psycopg import Connection, sql
from sqlalchemy import Date, Double, Integer, Table

from pipeline.base.types import SetUnits
from pipeline.store.binary_copy import copy_out
from pipeline.store.portfolios import Portfolio
from pipeline.store.schema import METADATA, Unit, column, key, session_key, writer

PORTFOLIO_UNITS = "portfolio_units"
"""Asset that writes the table."""

PORTFOLIO_UNIT = Table(
    "portfolio_unit",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    session_key(),
    key("instrument_id", Integer(), "Position."),
    column(
        "units",
        Double(),
        "Held from this close on, per unit of the base currency that the portfolio was worth when they were set.",
        Unit("units per unit of value"),
        nullable=False,
    ),
    column("set_on", Date(), "Session at whose close they were set.", nullable=False),
    column(
        "traded",
        Double(),
        "Change of the weight by a trade at this close, negative if sold; 0 without one.",
        Unit("fraction of value"),
        nullable=False,
    ),
    writer(),
    comment="What portfolios with a drift band hold from each trade and from the first session of each month on.",
)

_ROW = np.dtype([("portfolio_id", "i4"), ("session", "datetime64[D]"), ("instrument_id", "i4"), ("units", "f8")])


def read_set_units(
    connection: Connection, portfolios: Sequence[Portfolio], start: date, end: date
) -> dict[int, SetUnits]:
    """Portfolio → what it holds from `start`, the first day of a month, up to `end`.

    Units are in the order of the positions. Of portfolios without a drift band there is nothing; one whose units are
    not stored, or only of other positions, has none on any session.
    """
    banded = {one.id: one for one in portfolios if one.rebalancing == "drift_band"}
    if not banded:
        return {}
    query = sql.SQL(
        "SELECT portfolio_id, session, instrument_id, units FROM portfolio_unit WHERE portfolio_id = ANY({ids})"
        " AND session >= {start} AND session < {end} ORDER BY portfolio_id, session, instrument_id"
    ).format(ids=sql.Literal(list(banded)), start=sql.Literal(start), end=sql.Literal(end))
    rows = copy_out(connection, query, _ROW)
    return {number: _of(one, rows[rows["portfolio_id"] == number]) for number, one in banded.items()}


def _of(portfolio: Portfolio, rows: np.ndarray) -> SetUnits:
    ids = np.array([position.instrument_id for position in portfolio.positions])
    ordered, sessions = np.sort(ids), np.unique(rows["session"])
    if not np.array_equal(rows["instrument_id"], np.tile(ordered, len(sessions))):
        return SetUnits(sessions[:0], np.empty((0, len(ids))))
    units = rows["units"].reshape(len(sessions), len(ids))
    return SetUnits(sessions, units[:, np.searchsorted(ordered, ids)])
