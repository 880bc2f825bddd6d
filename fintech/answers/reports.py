"""Everything that is known of a portfolio, and the same before and after trades."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from fintech.answers.portfolios import Holdings, LimitState
from fintech.answers.records import Answer, Record, table
from fintech.answers.risk import MEASURED, Measured, Tail, measured_frame
from fintech.answers.stress import StoredScenario

if TYPE_CHECKING:
    import pandas as pd


class Concentration(Record):
    """How much lies in few positions."""

    largest_weight: float
    top_5_weight: float
    herfindahl_index: float
    effective_positions: float


class PositionPart(Record):
    """A position, and its part of the risk of one session."""

    symbol: str
    weight: float
    volatility_component: float
    var_99_1d_component: float
    es_975_1d_component: float


class TailPair(Record):
    """Value at risk and expected shortfall of one session by one method."""

    method: str
    confidence: float
    var: float | None
    es: float | None


class Side(Record):
    """A portfolio before or after trades."""

    value: float | None
    measures: dict[str, float | None]
    tails: tuple[TailPair, ...]
    concentration: Concentration
    contributions: tuple[PositionPart, ...]
    limits: tuple[LimitState, ...]


class Difference(Record):
    """After less before."""

    value: float | None
    measures: dict[str, float | None]
    tails: tuple[TailPair, ...]
    concentration: Concentration
    weights: dict[str, float]
    newly_breached: tuple[str, ...]
    no_longer_breached: tuple[str, ...]


class WhatIf(Answer):
    """What trades would do to a portfolio; nothing is stored."""

    portfolio_id: int
    as_of: date
    window_start: date
    window_sessions: int
    base_currency: str
    benchmark: str | None
    before: Side
    after: Side
    difference: Difference

    def to_df(self) -> pd.DataFrame:
        """The measures by name: before, after, and their difference."""
        sides = {name: getattr(self, name).measures for name in ("before", "after", "difference")}
        return measured_frame(sides, self.told)


class Section(Record):
    """A part of a report: what it stands on, and the address that explains its figures."""

    as_of: date | None
    source: str
    explain: str | None


class Performance(Section):
    """What it has earned: over trailing periods, by year and month, and along its curve."""

    value: float | None
    trailing: tuple[dict[str, Any], ...]
    years: tuple[dict[str, Any], ...]
    months: tuple[dict[str, Any], ...]
    curve: dict[str, Any]
    drawdowns: tuple[dict[str, Any], ...]


class Measures(Section):
    """Every measure of the newest window."""

    window_start: date
    window_sessions: int
    benchmark: str | None
    risk_free: str
    measures: tuple[Measured, ...]


class Tails(Section):
    """Value at risk and expected shortfall by every method."""

    window_sessions: int
    tails: tuple[Tail, ...]


class Backtests(Section):
    """How the published values at risk have done."""

    backtests: tuple[dict[str, Any], ...]


class Stress(Section):
    """Every stored scenario."""

    scenarios: tuple[StoredScenario, ...]


class Contributions(Section):
    """Whose risk it is."""

    concentration: Concentration
    positions: tuple[PositionPart, ...]


class Limits(Section):
    """Where it stands against its limits."""

    limits: tuple[LimitState, ...]


class Simulations(Section):
    """Its simulated years."""

    simulations: tuple[dict[str, Any], ...]


class PortfolioForecasts(Section):
    """What is expected of it."""

    forecasts: dict[str, Any]


class Report(Answer):
    """Everything that is known of a portfolio; a section that could not be made is None, and `unavailable` says why."""

    portfolio: Holdings
    as_of: date
    performance: Performance | None
    measures: Measures | None
    tails: Tails | None
    backtests: Backtests | None
    stress: Stress | None
    contributions: Contributions | None
    limits: Limits | None
    simulations: Simulations | None
    forecasts: PortfolioForecasts | None
    unavailable: dict[str, str]

    def to_df(self) -> pd.DataFrame:
        """The measures by name: value and unit."""
        return table(self.measures.measures if self.measures is not None else (), MEASURED, self.told)
