"""Simulate a stored portfolio under its own address: at once, or as a job."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from pipeline.store.portfolios import read_portfolio
from serving.deps import Connections, Database
from serving.errors import problem_responses
from serving.inputs import PortfolioPath
from serving.routes.simulating.engine import checked_spec
from serving.routes.simulating.forms import JobOut, SimulatedOut, SimulateIn, SimulationIn
from serving.routes.simulating.jobs import Asked, answered, read_asked
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
        **problem_responses(409, 501),
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
    read = partial(_read, database, reference, asked or SimulationIn.model_validate({}))
    return await answered(read, request, database, prefer)


def _read(database: Connections, reference: str, asked: SimulationIn) -> Asked:
    """Of the portfolio of the address; without it there is nothing to simulate, whatever the body says."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        whole = SimulateIn(portfolio=str(portfolio.id), **asked.model_dump(exclude_unset=True))
        checked_spec(whole)
        return read_asked(connection, database, whole)
