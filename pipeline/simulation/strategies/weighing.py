"""Weights of one strategy at one month's end, from the returns up to it and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.simulation.strategies.catalogue import FALLBACKS, MAX_SHARPE, STRATEGIES
from pipeline.simulation.strategies.errors import StrategyInputError
from pipeline.simulation.strategies.estimators import NotSolvedError, solved_weights
from pipeline.simulation.strategies.spec import StrategySpec

PARTS = 1_000_000
"""A solver stops near its solution. In millionths most of what it is off by is gone, and a weight of nothing is 0."""

BOUND_TOLERANCE = 1e-4
"""How far outside of its bounds a solution may lie before it counts as none."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """Weights of a month's end.

    Parameters
    ----------
    weights
        (k,) 0 or positive; they sum to 1.
    method
        Strategy that gave them: the one asked for, or a fallback.
    reason
        Why it was a fallback; empty otherwise.
    """

    weights: FloatArray
    method: str
    reason: str = ""


def weigh(name: str, returns: FloatArray, spec: StrategySpec) -> Weighing:
    """Weights of a strategy; where it has none, those of the first of `FALLBACKS` that has.

    Parameters
    ----------
    name
        Name in `STRATEGIES`.
    returns
        (n, k) simple returns, oldest first, k ≥ 1; all of them are used.

    Raises
    ------
    StrategyInputError
        If there is no such strategy, or the returns are not a matrix of finite numbers.
    """
    if name not in STRATEGIES:
        raise StrategyInputError(f"strategy={name!r} is unknown; use one of {', '.join(STRATEGIES)}")
    _require_returns(returns)
    if returns.shape[1] == 1:
        return Weighing(np.ones(1), name)
    reason = ""
    for method in (name, *FALLBACKS):
        try:
            return Weighing(_weights(method, returns, spec), method, reason)
        except NotSolvedError as error:
            reason = reason or str(error)
    raise AssertionError("equal weights need nothing that could fail")


def _weights(method: str, returns: FloatArray, spec: StrategySpec) -> FloatArray:
    if method == MAX_SHARPE and not (returns.mean(axis=0) > 0.0).any():
        raise NotSolvedError("no_positive_mean")
    weights = solved_weights(method, returns, spec)
    within = np.isfinite(weights) & (weights >= -BOUND_TOLERANCE) & (weights <= 1.0 + BOUND_TOLERANCE)
    if not within.all() or abs(weights.sum() - 1.0) > BOUND_TOLERANCE:
        raise NotSolvedError("not_solved: weights out of bounds")
    return in_millionths(weights) if STRATEGIES[method].is_costly else weights


def in_millionths(weights: FloatArray) -> FloatArray:
    """(k,) weights rounded to millionths that sum to 1; the largest takes what rounding leaves."""
    parts = np.rint(np.clip(weights, 0.0, 1.0) * PARTS).astype(np.int64)
    parts[np.argmax(parts)] += PARTS - parts.sum()
    return parts / PARTS


def _require_returns(returns: FloatArray) -> None:
    if returns.ndim != 2 or 0 in returns.shape:
        raise StrategyInputError(
            f"returns: shape {returns.shape}; give a row a session and a column a stock, one of each or more"
        )
    if not np.isfinite(returns).all():
        raise StrategyInputError("returns: NaN or infinite; drop those sessions or repair their prices")
