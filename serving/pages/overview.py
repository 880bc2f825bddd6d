"""The overview: every portfolio in a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response
from psycopg import Connection

from pipeline.risk.measures.limits import LimitState
from pipeline.store.limits import read_limits
from pipeline.store.portfolio_risk import read_portfolio_risk
from pipeline.store.portfolios import Portfolio, read_portfolios
from pipeline.store.reading import LATEST
from pipeline.store.risk_columns import RiskRow
from serving.deps import Database
from serving.pages.holdings import Standing, limit_states, read_newest_panel, read_worth, standing_of
from serving.pages.rendering import PageRoute, page

PAGE_ROWS = 50

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """A portfolio in a row."""

    portfolio: Portfolio
    reference: str
    standing: Standing | None
    worth: float | None
    risk: RiskRow | None
    limits: list[LimitState]


@router.get("/")
def overview(database: Database, first: Annotated[int, Query(ge=0, le=1_000_000)] = 0) -> Response:
    """Portfolios with their worth, risk and limits."""
    with database.reading() as connection:
        portfolios = read_portfolios(connection)
        rows = _summaries(connection, portfolios[first : first + PAGE_ROWS])
        notice = database.notice(connection)
    return page("overview.html", notice, rows=rows, first=first, total=len(portfolios), page_rows=PAGE_ROWS)


def _summaries(connection: Connection, portfolios: Sequence[Portfolio]) -> list[Summary]:
    panel = read_newest_panel(connection, portfolios)
    limits = read_limits(connection)
    found = []
    for portfolio in portfolios:
        standing = standing_of(portfolio, panel)
        risk = next(iter(read_portfolio_risk(connection, portfolio.id, LATEST)), None)
        own = [limit for limit in limits if limit.portfolio_id == portfolio.id]
        states = limit_states(own, risk, standing)
        worth = read_worth(connection, portfolio, standing)
        found.append(Summary(portfolio, portfolio.slug or str(portfolio.id), standing, worth, risk, states))
    return found
