"""Why a number is what it is: the explanation of any served number, and a table's columns with the write behind a row.

The address of a page is that of the explanation without ``/api/v1``. The page asks the application for it, so that a
number is explained by the service that it belongs to.
"""

from __future__ import annotations

import json
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool

from pipeline.base.errors import NotFoundError
from pipeline.store.provenance import read_materialization
from pipeline.store.schema import unit_of
from pipeline.store.tables import all_tables
from serving.deps import Database
from serving.inputs import InstrumentPath, PortfolioPath
from serving.pages.asking import asked
from serving.pages.charts import Bars, TimeChart
from serving.pages.explained_inputs import input_tables
from serving.pages.rendering import PageRoute, page
from serving.routes.explaining.envelope import ExplanationOut, InputsOut

API = "/api/v1"
SESSIONS_SHOWN = 504
"""Of the returns' chart: two years of a history that may be thirty."""

INSTRUMENTS_SHOWN = 40
"""Of the table of inputs; a matrix has hundreds."""

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,63}$"), Path(description="Name of a table.")]
JobPath = Annotated[UUID, Path(description="Id of a simulation.")]
StrategyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{1,31}$"), Path(description="Of a strategy.")]
WriteNumber = Annotated[int, Path(ge=1, lt=2**31, description="Number of a write.")]
KindPath = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,20}(/[a-z]{1,20})?$"), Path(description="Of a number.")]

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/portfolios/{reference}/explain")
async def explain_portfolio_risk(reference: PortfolioPath, request: Request) -> Response:
    """A stored risk measure of a portfolio and all that it follows from."""
    return await _explained(request, f"/portfolios/{reference}", "risk")


@router.get("/portfolios/{reference}/{kind:path}/explain")
async def explain_portfolio(reference: PortfolioPath, kind: KindPath, request: Request) -> Response:
    """Any other number of a portfolio."""
    return await _explained(request, f"/portfolios/{reference}", kind)


@router.get("/instruments/{symbol}/explain")
async def explain_instrument_risk(symbol: InstrumentPath, request: Request) -> Response:
    """A stored risk measure of an instrument and all that it follows from."""
    return await _explained(request, f"/instruments/{quote(symbol)}", "risk")


@router.get("/instruments/{symbol}/{kind:path}/explain")
async def explain_instrument(symbol: InstrumentPath, kind: KindPath, request: Request) -> Response:
    """Any other number of an instrument."""
    return await _explained(request, f"/instruments/{quote(symbol)}", kind)


@router.get("/covariance/explain")
async def explain_covariance(request: Request) -> Response:
    """An entry of the covariance matrix."""
    return await _explained(request, "", "covariance")


@router.get("/simulations/{job_id}/explain")
async def explain_simulation_job(job_id: JobPath, request: Request) -> Response:
    """A figure of a simulation in the background."""
    return await _explained(request, "", f"simulations/{job_id}")


@router.get("/strategies/{name}/explain")
async def explain_strategy(name: StrategyName, request: Request) -> Response:
    """A figure of a strategy."""
    return await _explained(request, "", f"strategies/{name}")


@router.get("/scores/explain")
async def explain_score(request: Request) -> Response:
    """How past forecasts did."""
    return await _explained(request, "", "scores")


@router.get("/writes/{number}")
def write_page(number: WriteNumber, database: Database) -> Response:
    """A write: which asset it wrote, when, in which run and by which code."""
    with database.reading() as connection:
        written = read_materialization(connection, number)
        return page("write.html", database.notice(connection), write=written)


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


async def _explained(request: Request, subject: str, kind: str) -> Response:
    """The page of an explanation, or the failure that the application answered with."""
    query = request.scope["query_string"].decode("ascii", "replace")
    path = f"{API}{subject}/{kind}/explain"
    status, body = await asked(request, path)
    if status != 200:
        problem = json.loads(body)
        values = {"title": problem["title"], "cause": problem["detail"], "remedy": problem.get("remedy", "")}
        return page("failure.html", None, status, **values)
    return await run_in_threadpool(_page, body, subject, f"{path}?{query}")


def _page(body: bytes, subject: str, api: str) -> Response:
    explained = ExplanationOut.model_validate_json(body)
    inputs = explained.inputs
    return page(
        "explanation.html",
        explained.notice,
        explained=explained,
        subject=subject,
        unit=explained.definition.unit,
        api=api,
        sessions=(inputs.sessions[0], inputs.sessions[-1], len(inputs.sessions)),
        instruments=list(inputs.close)[:INSTRUMENTS_SHOWN],
        tables=input_tables(explained, subject),
        returns_chart=_returns_chart(inputs),
    )


def _returns_chart(inputs: InputsOut) -> str:
    """The newest returns of the window, at the session that each ends with."""
    shown = inputs.returns[-SESSIONS_SHOWN:]
    returns = np.array(shown, dtype=np.float64)
    days = inputs.sessions if inputs.forecasts is None else inputs.forecasts.sessions
    sessions = np.array(days, dtype="datetime64[D]")[len(days) - len(returns) :]
    return TimeChart("Returns of the window", sessions, [Bars("daily return", returns, "a")]).svg()
