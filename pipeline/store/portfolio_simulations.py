"""Simulated one-year distributions of portfolios: one row a portfolio, session and model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from sqlalchemy import BigInteger, Double, Integer, SmallInteger, Table, Text

from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import (
    DRAWDOWN,
    LOSS,
    METADATA,
    PROBABILITY,
    RETURN,
    SESSIONS,
    STANDARD_ERROR,
    Unit,
    column,
    key,
    session_key,
    writer,
)

PORTFOLIO_SIMULATION = Table(
    "portfolio_simulation",
    METADATA,
    key("portfolio_id", Integer(), "Portfolio."),
    session_key(),
    key("model", Text(), "Simulation model."),
    column("horizon_sessions", SmallInteger(), "Sessions simulated.", SESSIONS, nullable=False),
    column("paths", Integer(), "Paths simulated.", Unit("paths", minimum=1), nullable=False),
    column("seed", BigInteger(), "Seed of the random numbers.", nullable=False),
    column("fit_window_sessions", SmallInteger(), "Returns that the model was fitted on.", SESSIONS, nullable=False),
    column("return_mean", Double(), "Mean terminal return.", RETURN, nullable=False),
    column("return_mean_error", Double(), "Standard error of the mean.", STANDARD_ERROR, nullable=False),
    *(
        column(
            f"return_{percent:02d}", Double(), f"{percent} % quantile of the terminal return.", RETURN, nullable=False
        )
        for percent in (5, 25, 50, 75, 95)
    ),
    column("var_95", Double(), "Value at risk at the horizon, 95 %.", LOSS, nullable=False),
    column("var_95_error", Double(), "Standard error of the 95 % value at risk.", STANDARD_ERROR),
    column("var_99", Double(), "Value at risk at the horizon, 99 %.", LOSS, nullable=False),
    column("var_99_error", Double(), "Standard error of the 99 % value at risk.", STANDARD_ERROR, nullable=False),
    column("es_975", Double(), "Expected shortfall at the horizon, 97.5 %.", LOSS, nullable=False),
    column(
        "es_975_error", Double(), "Standard error of the 97.5 % expected shortfall.", STANDARD_ERROR, nullable=False
    ),
    column("es_99", Double(), "Expected shortfall at the horizon, 99 %.", LOSS),
    column("es_99_error", Double(), "Standard error of the 99 % expected shortfall.", STANDARD_ERROR),
    column("probability_of_loss", Double(), "Share of paths that end below the start.", PROBABILITY, nullable=False),
    column("probability_of_loss_error", Double(), "Standard error of the probability of a loss.", STANDARD_ERROR),
    column("max_drawdown_mean", Double(), "Mean over the paths of the deepest fall.", DRAWDOWN, nullable=False),
    column("max_drawdown_mean_error", Double(), "Standard error of the mean of the deepest fall.", STANDARD_ERROR),
    *(
        column(f"max_drawdown_{percent:02d}", Double(), f"{percent} % quantile of the deepest fall.", DRAWDOWN)
        for percent in (5, 25, 50, 75, 95)
    ),
    column("parameters", Text(), "Fitted parameters of the model, as JSON: name and value, the unit in the name."),
    writer(),
    comment="Simulated one-year outcome of every portfolio, at the last session of each month.",
)


@dataclass(frozen=True, slots=True)
class SimulationRow:
    """A stored simulation; rows written before revision 0022 lack what may be empty."""

    session: date
    model: str
    horizon_sessions: int
    paths: int
    seed: int
    fit_window_sessions: int
    return_mean: float
    return_mean_error: float
    return_05: float
    return_25: float
    return_50: float
    return_75: float
    return_95: float
    var_95: float
    var_95_error: float | None
    var_99: float
    var_99_error: float
    es_975: float
    es_975_error: float
    es_99: float | None
    es_99_error: float | None
    probability_of_loss: float
    probability_of_loss_error: float | None
    max_drawdown_mean: float
    max_drawdown_mean_error: float | None
    max_drawdown_05: float | None
    max_drawdown_25: float | None
    max_drawdown_50: float | None
    max_drawdown_75: float | None
    max_drawdown_95: float | None
    parameters: str | None
    materialization_id: int


def read_portfolio_simulations(connection: Connection, portfolio_id: int, window: Window) -> list[SimulationRow]:
    """The newest simulations of a portfolio inside a window, oldest first."""
    return read_newest(connection, PORTFOLIO_SIMULATION, {"portfolio_id": portfolio_id}, window, SimulationRow)
