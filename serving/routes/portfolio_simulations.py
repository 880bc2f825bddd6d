"""Stored simulations of a portfolio."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter
from pydantic import ConfigDict

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
    """What is told of each simulated distribution, stored or computed on request."""

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
    var_99: float | None
    var_99_error: float | None
    es_975: float | None
    es_975_error: float | None
    probability_of_loss: float | None
    max_drawdown_mean: float | None


@described_by(PORTFOLIO_SIMULATION)
class SimulationOut(SimulationFigures):
    """A simulated distribution by one model."""

    materialization_id: int


@router.get("/{reference}/simulations")
def list_simulations(reference: PortfolioPath, query: Windowed, database: Database) -> Collection[SimulationOut]:
    """The newest simulations inside a window, oldest first: a row a session and model."""
    with database.reading() as connection:
        portfolio = read_portfolio(connection, reference)
        rows = read_portfolio_simulations(connection, portfolio.id, query.page(SIMULATIONS))
        return Collection[SimulationOut].page(rows, query.limit, SIMULATIONS, database.notice(connection))
