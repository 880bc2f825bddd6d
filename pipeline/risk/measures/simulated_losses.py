"""Random numbers of the simulated tails, and value at risk, expected shortfall and their errors of simulated returns.

Random numbers come from numpy's Philox, which is counter-based and keyed by the seed alone. Every window is given
the same numbers, so a window's figures do not depend on the windows computed with it, and differences
between windows are not noise of the draw; nor does the error of a rolling series average out.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.tail import quantile_rank
from pipeline.risk.measures.tail_spec import TailEstimate

SMALLEST_UNIFORM = 2.0**-54
"""In place of 0, the generator's lowest value, whose quantile is infinite."""


def generator_of(seed: int) -> np.random.Generator:
    """The random numbers of a seed, from the first."""
    return np.random.Generator(np.random.Philox(key=seed))


def uniform_draws(seed: int, *shape: int) -> FloatArray:
    """The first numbers of a seed, in (0, 1)."""
    return np.maximum(generator_of(seed).random(shape), SMALLEST_UNIFORM)


def losses_tail(earned: FloatArray, confidence: float) -> TailEstimate:
    """Figures of simulated returns (..., paths) as `historical_var` and `historical_es`, with standard errors.

    ES is VaR plus the mean excess over it / (1-α), the objective of Rockafellar & Uryasev (2002) at its minimum: one
    partial sort serves all four figures. The error of ES is that of the mean excess; that of VaR is half the
    distance between the order statistics one standard deviation of the rank to either side (Serfling 1980,
    section 2.6; Glasserman 2003, section 9.1).
    """
    paths = earned.shape[-1]
    first = paths - tail_length(paths, confidence)
    return largest_losses_tail(np.sort(np.partition(-earned, first, axis=-1)[..., first:], axis=-1), paths, confidence)


def tail_length(paths: int, confidence: float) -> int:
    """How many of the largest losses `largest_losses_tail` reads."""
    return paths - _ranks(paths, confidence)[0] + 1


def largest_losses_tail(losses: FloatArray, paths: int, confidence: float) -> TailEstimate:
    """`losses_tail` from the `tail_length` largest losses (..., k), ascending."""
    low, rank, high, spread = _ranks(paths, confidence)
    var = losses[..., rank - low]
    var_error = (losses[..., high - low] - losses[..., 0]) * (spread / (high - low))
    excess = losses[..., rank - low :] - var[..., None]
    mean, square = np.sum(excess, axis=-1) / paths, np.sum(excess * excess, axis=-1) / paths
    es_error = np.sqrt(np.maximum(square - mean * mean, 0.0) / paths) / (1.0 - confidence)
    return TailEstimate(var, var + mean / (1.0 - confidence), var_error, es_error)


def compounded(wealth: FloatArray, earned: FloatArray) -> FloatArray:
    """Wealth after a session; it cannot fall below 0, whatever the tail of the law says."""
    grown: FloatArray = wealth * np.maximum(1.0 + earned, 0.0)
    return grown


def _ranks(paths: int, confidence: float) -> tuple[int, int, int, float]:
    """Rank of the value at risk, those one standard deviation below and above, and that deviation."""
    rank, spread = quantile_rank(paths, confidence), math.sqrt(paths * confidence * (1.0 - confidence))
    return max(1, math.floor(rank - spread)), rank, min(paths, math.ceil(rank + spread)), spread
