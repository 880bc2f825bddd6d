"""Simulate a stored portfolio under its own address: at once, or as a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from pipeline.store.portfolios import Portfolio, read_portfolio
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.inputs import PortfolioPath
from serving.routes.simulating.forms import JobOut, SimulatedOut, SimulateIn, SimulationIn
from serving.routes.simulating.jobs import simulate
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["simulations"])


@router.post(
    "/{reference}/simulate",
    response_model=SimulatedOut,
    responses={
        202: {
            "model": JobOut,
            "description": "Too large to be answered at once, or asked as a job: Location says where it is followed.",
        },
        **problem_responses(409),
    },
)
async def simulate_portfolio(
    reference: PortfolioPath,
    request: Request,
    database: Database,
    asked: SimulationIn | None = None,
    prefer: Annotated[
        str | None, Header(description="respond-async makes it a job of whatever size (RFC 7240).", max_length=200)
    ] = None,
) -> SimulatedOut | Response:
    """Simulate the newest holdings, as POST /api/v1/simulate does: at once, or as a job where it is large."""
    portfolio = await run_in_threadpool(_read, database, reference)
    given = (asked or SimulationIn.model_validate({})).model_dump(exclude_unset=True)
    return await simulate(SimulateIn(portfolio=str(portfolio.id), **given), request, database, prefer)


def _read(database: Connections, reference: str) -> Portfolio:
    """The portfolio of the address; without it there is nothing to simulate, whatever the body says."""
    with database.reading() as connection:
        return read_portfolio(connection, reference)
