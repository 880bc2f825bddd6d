"""How strategies are estimated and what their trades cost."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.simulation.strategies.errors import StrategyInputError

BASIS_POINT = 1e-4


@dataclass(frozen=True, slots=True)
class StrategySpec:
    """Parameters of every strategy.

    Parameters
    ----------
    window_sessions
        Returns that weights are estimated from: two years, so that 5 % of them are 25 sessions.
    cvar_confidence
        Of the expected shortfall that ``min_cvar`` makes small.
    cost_basis_points
        Cost of a trade, in hundredths of a percent of what is bought or sold: commission, half the spread and
        impact of a large American stock.
    """

    window_sessions: int = 504
    cvar_confidence: float = 0.95
    cost_basis_points: float = 10.0

    def __post_init__(self) -> None:
        if not 21 <= self.window_sessions <= 10_000:
            raise StrategyInputError(f"window_sessions={self.window_sessions}: give a number from 21 to 10000")
        if not 0.5 <= self.cvar_confidence < 1.0:
            raise StrategyInputError(f"cvar_confidence={self.cvar_confidence}: give a fraction from 0.5 to below 1")
        if not 0.0 <= self.cost_basis_points < 5_000.0:
            raise StrategyInputError(f"cost_basis_points={self.cost_basis_points}: give a number from 0 to below 5000")

    @property
    def cost_fraction(self) -> float:
        """Cost of a trade as a fraction of what is bought or sold."""
        return self.cost_basis_points * BASIS_POINT
