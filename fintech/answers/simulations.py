"""Simulated years, on request and in the background, and strategies that were simulated on the past."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fintech.answers.records import Answer, Record, each, table
from fintech.series import Columns, Told, columns_of, frame
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.strategies import STRATEGY_NAV

if TYPE_CHECKING:
    import pandas as pd

SIMULATIONS = columns_of(PORTFOLIO_SIMULATION, "portfolio_id", "parameters")
JOBS: Columns = {
    "id": "text",
    "state": "text",
    "portfolio_id": "count",
    "session": "date",
    **each("time", "created_at", "started_at", "finished_at", "kept_until"),
    "error": "text",
}
STRATEGIES: Columns = {
    **each("text", "name", "summary"),
    **each("date", "start", "session"),
    **each("float", "nav", "growth_annual", "turnover_annual", "cost_annual"),
}
NAV = columns_of(STRATEGY_NAV, "strategy")
STRATEGY_WEIGHTS: Columns = {
    "session": "date",
    "method": "text",
    **each("int", "window_sessions", "eligible"),
    "reason": "text",
}
HELD: Columns = {"symbol": "text", "weight": "float"}


class Fan(Record):
    """How wealth spreads over the horizon; the start is 1."""

    steps: tuple[int, ...]
    levels: tuple[float, ...]
    wealth: tuple[tuple[float, ...], ...]

    def to_df(self) -> pd.DataFrame:
        """Wealth: a row a number of sessions ahead, a column a quantile level."""
        return fan_frame(self, Told())


class StoredFan(Fan, Answer):
    """The fan of a stored simulation, drawn again; `difference` is how far its figures lie from the stored ones."""

    simulation: dict[str, Any]
    difference: float

    def to_df(self) -> pd.DataFrame:
        """Wealth: a row a number of sessions ahead, a column a quantile level."""
        return fan_frame(self, self.told)


class Contribution(Record):
    """What a position adds to the gain and to the expected shortfall; without a symbol, what trades cost."""

    symbol: str | None
    gain_mean: float
    gain_mean_error: float
    es_975: float
    es_975_error: float


class SimulatedFigures(Record):
    """A simulated distribution; losses are positive fractions of value."""

    session: date
    model: str
    horizon_sessions: int
    paths: int
    seed: int
    fit_window_sessions: int
    return_mean: float | None
    return_50: float | None
    var_95: float | None
    var_99: float | None
    es_975: float | None
    probability_of_loss: float | None
    portfolio_id: int | None
    fan: Fan
    probability_of_goal: dict[str, float] | None
    probability_of_ruin: dict[str, float] | None
    probability_of_wealth: dict[str, float] | None = None
    drawdown: dict[str, tuple[float, ...]] | None = None
    wealth_mean: float | None = None
    cost_mean: float | None = None
    depletion: dict[str, float] | None = None
    contributions: tuple[Contribution, ...] | None = None
    sampling: str = "plain"
    var_95_error: float | None = None
    var_99_error: float | None = None
    es_975_error: float | None = None
    es_99: float | None = None
    es_99_error: float | None = None


class Simulated(SimulatedFigures, Answer):
    """A simulation that was asked for."""

    def to_df(self) -> pd.DataFrame:
        """The fan: wealth by sessions ahead and quantile level."""
        return fan_frame(self.fan, self.told)


class Progress(Record):
    """How far a job is."""

    paths_done: int
    paths_total: int


class JobRow(Record):
    """A simulation in the background."""

    id: UUID
    state: str
    progress: Progress
    portfolio_id: int | None
    session: date
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    kept_until: datetime | None
    error: str | None
    request: dict[str, Any]


class JobAnswer(JobRow, Answer):
    """A simulation in the background, with its result once it is done."""

    result: SimulatedFigures | None


class Strategy(Record):
    """A strategy, and where it stands."""

    name: str
    summary: str
    start: date | None
    session: date | None
    nav: float | None
    growth_annual: float | None
    turnover_annual: float | None
    cost_annual: float | None


class HeldStock(Record):
    """A stock of a strategy, and its share."""

    symbol: str
    weight: float


class StrategyWeights(Record):
    """What a strategy held from a session on, or the reason why it could not choose."""

    session: date
    method: str
    window_sessions: int
    eligible: int
    reason: str | None
    stocks: tuple[HeldStock, ...]

    def to_df(self) -> pd.DataFrame:
        """The weights by symbol."""
        return table(self.stocks, HELD, Told())


class StrategyAnswer(Strategy, Answer):
    """One strategy, with the weights that it set last."""

    weights: StrategyWeights | None


def fan_frame(fan: Fan, told: Told) -> pd.DataFrame:
    """Wealth by sessions ahead; columns are quantile levels."""
    names = [str(level) for level in fan.levels]
    rows = [
        {"steps": step, **dict(zip(names, wealth, strict=True))}
        for step, wealth in zip(fan.steps, fan.wealth, strict=True)
    ]
    made = frame(rows, each("int", "steps") | each("float", *names), told).set_index("steps")
    return made.rename(columns=dict(zip(names, fan.levels, strict=True)))
