"""Stored simulations of a portfolio."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated

from fastapi import APIRouter
from pydantic import BeforeValidator, ConfigDict, Field

from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION, read_portfolio_simulations
from pipeline.store.portfolios import read_portfolio
from serving.answers import Collection, Row, described_by
from serving.answers.cursors import Order
from serving.deps import Database
from serving.inputs import PortfolioPath, Windowed
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/portfolios", tags=["simulations"])

SIMULATIONS = Order.of_series(PORTFOLIO_SIMULATION, "portfolio_id")


@described_by(PORTFOLIO_SIMULATION)
class SimulationFigures(Row):
    """What is told of each simulated distribution, stored or computed on request.

    What has a default was added since: jobs of before, and a service of the release before, answer without it.
    """

    model_config = ConfigDict(protected_namespaces=())

    session: date
    model: str
    horizon_sessions: int
    paths: int
    seed: int
    fit_window_sessions: int
    return_mean: float | None
    return_mean_error: float | None
    return_05: float | None
    return_25: float | None
    return_50: float | None
    return_75: float | None
    return_95: float | None
    var_95: float | None
    var_95_error: float | None = None
    var_99: float | None
    var_99_error: float | None
    es_975: float | None
    es_975_error: float | None
    es_99: float | None = None
    es_99_error: float | None = None
    probability_of_loss: float | None
    probability_of_loss_error: float | None = None
    max_drawdown_mean: float | None
    max_drawdown_mean_error: float | None = None
    max_drawdown_05: float | None = None
    max_drawdown_25: float | None = None
    max_drawdown_50: float | None = None
    max_drawdown_75: float | None = None
    max_drawdown_95: float | None = None


class ParameterOut(Row):
    """A fitted parameter; the unit is part of the name where there is one."""

    name: str
    value: float


def _of_json(stored: object) -> object:
    """As they are stored, or as another service has answered."""
    if not isinstance(stored, str):
        return stored
    return [{"name": name, "value": value} for name, value in json.loads(stored).items()]


StoredParameters = Annotated[list[ParameterOut], BeforeValidator(_of_json)]
"""The type itself reads what is stored: tables of rows look at types alone."""


@described_by(PORTFOLIO_SIMULATION)
class SimulationOut(SimulationFigures):
    """A simulated distribution by one model."""

    parameters: StoredParameters | None = Field(
        None, description="Of the fitted model; null in rows of before they were kept."
    )
    materialization_id: int


@router.get("/{reference}/simulations")
def list_simulations(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[SimulationOut]:
    """The newest simulations inside a window, oldest first: a row a session and model."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_simulations(connection, portfolio.id, query.page(SIMULATIONS))
        return Collection[SimulationOut].page(rows, query.limit, SIMULATIONS, database.notice(connection))
