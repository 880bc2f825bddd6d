"""A portfolio through time, as far back as a chart reaches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from pipeline.base.errors import NotFoundError
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.report import HeldSeries, held_series
from pipeline.store.portfolios import Portfolio
from pipeline.store.prices import read_price_panel
from serving.routes.portfolio_risk import end_of
from serving.routes.tails import read_held


class Years(StrEnum):
    """How far back the charts of wealth and drawdown reach."""

    ONE = "1"
    FIVE = "5"
    ALL = "all"


SESSIONS = {Years.ONE: 252, Years.FIVE: 1_260}
YEARS_WORDS = {Years.ONE: "one year", Years.FIVE: "five years", Years.ALL: "all years"}


@dataclass(frozen=True, slots=True)
class History:
    """A portfolio through time, or why there is none."""

    series: HeldSeries | None
    reason: str = ""


def read_history(connection: Connection, portfolio: Portfolio, years: Years) -> History:
    """Hold the portfolio through the newest sessions; without prices, the reason."""
    try:
        end = end_of(connection, None)
        sessions = SESSIONS.get(years)
        if sessions is not None:
            return History(newest(read_held(connection, portfolio, end, sessions), sessions))
        ids = [position.instrument_id for position in portfolio.positions]
        panel = read_price_panel(connection, ids, None, end)
        close = panel.columns(ids, portfolio.base_currency)
        return History(held_series(close, panel.sessions, None, Holdings(portfolio.amounts, *portfolio.policy)))
    except (MeasureInputError, NotFoundError) as error:
        return History(None, str(error))


def newest(series: HeldSeries, sessions: int) -> HeldSeries:
    """The last sessions of a series."""
    return HeldSeries(series.sessions[-sessions - 1 :], series.held.part(slice(-sessions, None)), None)
