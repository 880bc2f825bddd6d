"""Positions that are simulated together: their weights, and when they return to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipeline.base.types import FloatArray, Rebalancing

POSITIONS_OF_ONE_SERIES = 4
"""Positions that together take about the time of one series."""


class HeldPosition(BaseModel):
    """A position at the start, and the weight to which it returns; fractions of the portfolio's value."""

    model_config = ConfigDict(frozen=True)

    symbol: str
    weight: float
    target: float


class Held(BaseModel):
    """What a portfolio holds at the start of its paths, and its policy."""

    model_config = ConfigDict(frozen=True)

    rebalancing: Rebalancing
    drift_band: float | None
    positions: tuple[HeldPosition, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of the positions."""
        return tuple(position.symbol for position in self.positions)

    @property
    def weights(self) -> FloatArray:
        """(n,) at the start."""
        return np.array([position.weight for position in self.positions])

    @property
    def targets(self) -> FloatArray:
        """(n,) to which the weights return."""
        return np.array([position.target for position in self.positions])

    @property
    def times_of_one_series(self) -> int:
        """By which their paths take longer than those of one series: correlating takes the square of their number."""
        count = len(self.positions)
        return max(1, count // POSITIONS_OF_ONE_SERIES + count * count // 400)

    def columns(self, returns: FloatArray) -> FloatArray:
        """(t, n) of returns that are stored row by row."""
        return returns.reshape(-1, len(self.positions))


def held_of(stored: dict[str, Any] | None) -> Held | None:
    """As it is stored with a job; None for one series."""
    return None if stored is None else Held.model_validate(stored)
