"""Stress: what today's positions lose when their prices jump; every kind of scenario ends in the same result.

A scenario is a vector of shocks, a fraction of its value for each position. The shocks are kept with the result,
and `replay` gives the same profit and loss from them, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.panels import require_symmetric

StressKind: TypeAlias = Literal["historical", "hypothetical", "reverse"]

LARGEST_LOSS = -1.0
"""No price falls by more than all of it."""


@dataclass(frozen=True, slots=True)
class Positions:
    """What is held today.

    Parameters
    ----------
    symbols
        Instruments, each once.
    weights
        (n,) value of each position as a fraction of the portfolio's, negative if short. What they miss of 1 is
        cash, which no shock moves.
    value
        Of the portfolio, in its currency; None where only fractions are wanted.
    """

    symbols: tuple[str, ...]
    weights: FloatArray
    value: float | None = None

    def __post_init__(self) -> None:
        if self.weights.shape != (len(self.symbols),) or not self.symbols:
            raise MeasureInputError(
                f"weights: shape {self.weights.shape} for {len(self.symbols)} symbols; give one a symbol, at least one"
            )
        if len(set(self.symbols)) != len(self.symbols):
            raise MeasureInputError("symbols: one is given twice; add up its positions first")
        if not np.isfinite(self.weights).all():
            raise MeasureInputError("weights: NaN or infinite; give the fraction of the portfolio in each position")
        if self.value is not None and not (math.isfinite(self.value) and self.value > 0.0):
            raise MeasureInputError(f"value={self.value}: give what the portfolio is worth, above 0, or leave it out")


@dataclass(frozen=True, slots=True)
class ProfitAndLoss:
    """What shocks earn and lose.

    Parameters
    ----------
    position
        (n,) of each position, in the unit of the values shocked.
    total
        Their sum, rounded once.
    """

    position: FloatArray
    total: float


@dataclass(frozen=True, slots=True)
class WorstPoint:
    """The deepest loss on the way through a scenario that takes time.

    Parameters
    ----------
    session
        At whose close it was; the close before the scenario if no later one lay below it.
    shocks
        (n,) what each position had moved by then, as a fraction.
    position_pnl
        (n,) as a fraction of the portfolio's value.
    total
        Sum of `position_pnl`; never above 0.
    """

    session: date
    shocks: FloatArray
    position_pnl: FloatArray
    total: float


@dataclass(frozen=True, slots=True)
class StressResult:
    """A portfolio under one scenario.

    Parameters
    ----------
    name
        Of the scenario.
    kind
        Where the shocks come from.
    positions
        What was held.
    shocks
        (n,) what each position moves, as a fraction of itself; with `positions` it reproduces the rest.
    position_pnl
        (n,) as a fraction of the portfolio's value.
    total
        Sum of `position_pnl`.
    worst
        The deepest point on the way; None for a shock without duration.
    proxied
        Symbols whose shock was derived from a benchmark, in the order of the positions.
    """

    name: str
    kind: StressKind
    positions: Positions
    shocks: FloatArray
    position_pnl: FloatArray
    total: float
    worst: WorstPoint | None = None
    proxied: tuple[str, ...] = ()

    @property
    def amounts(self) -> ProfitAndLoss | None:
        """Profit and loss in the portfolio's currency; None without its value."""
        if self.positions.value is None:
            return None
        return replay(self.shocks, self.positions.weights * self.positions.value)


def replay(shocks: FloatArray, values: FloatArray) -> ProfitAndLoss:
    """Profit and loss of positions under shocks.

    Parameters
    ----------
    shocks
        (n,) what each position moves, as a fraction of itself.
    values
        (n,) of the positions, as fractions of the portfolio or as amounts.

    Returns
    -------
    ProfitAndLoss
        Its total is the exact sum of the positions rounded once, so it does not depend on their order.

    Raises
    ------
    MeasureInputError
        For shapes that differ, NaN, infinity or a shock below -1.
    """
    if shocks.ndim != 1 or shocks.shape != values.shape:
        raise MeasureInputError(f"shocks: shape {shocks.shape} for values {values.shape}; give one a position")
    if not np.isfinite(values).all():
        raise MeasureInputError("values: NaN or infinite; give what each position is worth")
    if not np.isfinite(shocks).all():
        raise MeasureInputError("shocks: NaN or infinite; give fractions such as -0.2 for a fall by 20 %")
    if (shocks < LARGEST_LOSS).any():
        raise MeasureInputError("shocks: below -1, and no price falls by more than 100 %; give fractions, not percent")
    position = shocks * values
    return ProfitAndLoss(position, math.fsum(position.tolist()))


def stress_result(
    name: str,
    kind: StressKind,
    positions: Positions,
    shocks: FloatArray,
    worst: WorstPoint | None = None,
    proxied: tuple[str, ...] = (),
) -> StressResult:
    """Put positions under shocks; the result takes the arguments as they are.

    Raises
    ------
    MeasureInputError
        If a position is shocked below -1 (it is named) or by NaN.
    """
    beyond = [symbol for symbol, shock in zip(positions.symbols, shocks, strict=True) if shock < LARGEST_LOSS]
    if beyond:
        raise MeasureInputError(
            f"shocks: {', '.join(beyond)} would fall by more than 100 % in scenario {name}; ask for smaller shocks"
        )
    made = replay(shocks, positions.weights)
    return StressResult(name, kind, positions, shocks, made.position, made.total, worst, proxied)


def require_covariance(covariance: FloatArray, size: int, field: str = "covariance") -> FloatArray:
    """Check a covariance matrix that came from outside; give its eigenvalues, ascending.

    Raises
    ------
    MeasureInputError
        For another shape than ``(size, size)``, NaN, infinity, asymmetry or an eigenvalue below 0 by more than
        rounding.
    """
    symmetric = require_symmetric(covariance, field)
    if len(symmetric) != size:
        raise MeasureInputError(f"{field}: shape {covariance.shape}; give ({size}, {size}), in the order of the rest")
    eigenvalues = np.linalg.eigvalsh(symmetric).astype(np.float64, copy=False)
    if eigenvalues[0] < -1e-10 * np.abs(symmetric).max():
        raise MeasureInputError(
            f"{field}: not positive semidefinite (smallest eigenvalue {eigenvalues[0]:.3g}); repair it first"
        )
    return eigenvalues
