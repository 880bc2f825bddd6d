"""Why a number is what it is: a measure with its inputs, and a table's columns with the write behind a row."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from pydantic import StringConstraints

from pipeline.base.errors import NotFoundError
from pipeline.store.provenance import read_materialization
from pipeline.store.schema import unit_of
from pipeline.store.tables import all_tables
from serving.deps import Database
from serving.inputs import InstrumentPath, PortfolioPath
from serving.pages.charts import Bars, TimeChart
from serving.pages.rendering import PageRoute, page
from serving.routes.explanations import (
    Explained,
    ExplanationOut,
    InputsOut,
    explain_instrument_risk,
    explain_portfolio_risk,
)

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,63}$"), Path(description="Name of a table.")]

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/portfolios/{reference}/explain")
def explain_portfolio(reference: PortfolioPath, query: Explained, database: Database) -> Response:
    """A stored measure of a portfolio and all that it follows from."""
    return _page(explain_portfolio_risk(reference, query, database), f"/portfolios/{reference}", query.measure)


@router.get("/instruments/{symbol}/explain")
def explain_instrument(symbol: InstrumentPath, query: Explained, database: Database) -> Response:
    """A stored measure of an instrument and all that it follows from."""
    return _page(explain_instrument_risk(symbol, query, database), f"/instruments/{quote(symbol)}", query.measure)


@router.get("/tables/{name}")
def table_page(
    name: TableName, database: Database, write: Annotated[int | None, Query(ge=1, lt=2**31)] = None
) -> Response:
    """What the columns of a table mean, and the write that made a row of it."""
    table = all_tables().tables.get(name)
    if table is None:
        raise NotFoundError(f"There is no table {name!r}", "Follow a link beside a number.")
    with database.reading() as connection:
        written = None if write is None else read_materialization(connection, write)
        notice = database.notice(connection)
    columns = [
        (column.name, unit.name if (unit := unit_of(column)) else "", column.comment) for column in table.columns
    ]
    return page("table.html", notice, name=name, meaning=table.comment, columns=columns, write=written)


def _page(explained: ExplanationOut, subject: str, measure: str) -> Response:
    inputs = explained.inputs
    return page(
        "explanation.html",
        explained.notice,
        explained=explained,
        subject=subject,
        unit=explained.definition.unit,
        api=f"/api/v1{subject}/risk/explain?measure={measure}&session={explained.session}",
        sessions=(inputs.sessions[0], inputs.sessions[-1], len(inputs.sessions)),
        returns_chart=_returns_chart(inputs),
    )


def _returns_chart(inputs: InputsOut) -> str:
    """The returns of the window, at the session that each ends with."""
    returns = np.array(inputs.returns, dtype=np.float64)
    sessions = np.array(inputs.sessions, dtype="datetime64[D]")[len(inputs.sessions) - len(returns) :]
    return TimeChart("Returns of the window", sessions, [Bars("daily return", returns, "a")]).svg()
