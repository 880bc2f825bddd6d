"""P-values of Acerbi & Szekely's statistics from sums that are simulated once, for thousands of backtests.

The model is that of `shortfall_backtests`: a loss beyond VaR is r + (1-r) E as a multiple of ES, where r = VaR / ES of
its session and E is a generalised Pareto excess with mean 1. One simplification makes a table possible: every session
of a backtest is given the same r, with 1-r the root mean square of theirs. The mean of the loss is 1 whatever r
is, so both statistics keep their mean and variance under the null; ratios that vary little, as those of all
`VAR_METHODS` do, leave the rest of the law nearly unchanged. Both p-values then follow from the law of the sum of N
excesses alone, which depends on neither confidence nor length. Z2 adds up over the binomial number of exceptions,
so its p-value carries less noise than a direct simulation's.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from pipeline.base import special
from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.shortfall_backtests import DEFAULT_SIMULATIONS, TAIL_SHAPE, pareto_excesses

TABLE_EXCEPTIONS = 256
"""Longest sum in the table; beyond it a gamma law with the same mean, variance and skewness takes its place."""

SEED = 0
_SKEWNESS = 2.0 * (1.0 + TAIL_SHAPE) * np.sqrt(1.0 - 2.0 * TAIL_SHAPE) / (1.0 - 3.0 * TAIL_SHAPE)
_DEVIATION = 1.0 / np.sqrt(1.0 - 2.0 * TAIL_SHAPE)
"""Of a generalised Pareto excess with mean 1 (McNeil, Frey & Embrechts 2015, section 5.2)."""

_ROUNDING = 1e-9
_NEGLIGIBLE = 1e-9
"""Probability of a number of exceptions that is left out of a sum."""


def z1_p_values(z1: FloatArray, exceptions: IntArray, spread: FloatArray) -> FloatArray:
    """Probability of as low a Z1 given its exceptions.

    Parameters
    ----------
    z1
        (m,) statistics.
    exceptions
        (m,) at least 1 each.
    spread
        (m,) root mean square of 1 - VaR / ES over the exceptions.
    """
    sums = exceptions + exceptions * _over(-z1, spread)
    p_values = np.empty(len(z1))
    for number in np.unique(exceptions).tolist():
        rows = exceptions == number
        p_values[rows] = _probability_above(number, sums[rows])
    return p_values


def z2_p_values(z2: FloatArray, observations: IntArray, spread: FloatArray, confidence: float) -> FloatArray:
    """Probability of as low a Z2.

    Parameters
    ----------
    z2
        (m,) statistics.
    observations
        (m,) sessions.
    spread
        (m,) root mean square of 1 - VaR / ES over the sessions.
    confidence
        α.
    """
    expected = (1.0 - confidence) * observations
    p_values = np.zeros(len(z2))
    for number in range(int(observations.max(initial=-1)) + 1):
        chance = _binomial(number, observations, 1.0 - confidence)
        rows = np.flatnonzero(chance > _NEGLIGIBLE)
        if len(rows):
            beyond = (1.0 - z2[rows]) * expected[rows] - number
            p_values[rows] += chance[rows] * _probability_above(number, number + _over(beyond, spread[rows]))
        elif number > expected.max():
            break
    return np.clip(p_values, 1.0 / (1.0 + DEFAULT_SIMULATIONS), 1.0)


def _over(distance: FloatArray, spread: FloatArray) -> FloatArray:
    """How many spreads above the expected a sum must lie; where nothing spreads, always or never, rounding aside."""
    infinite = np.where(distance <= _ROUNDING, -np.inf, np.inf)
    divided: FloatArray = np.divide(distance, spread, out=infinite, where=spread > _ROUNDING)
    return divided


def _binomial(number: int, observations: IntArray, probability: float) -> FloatArray:
    """(m,) probability of exactly `number` among each of the observations."""
    other = np.maximum(observations - number, 0)
    ways = special.gammaln(observations + 1.0) - special.gammaln(number + 1.0) - special.gammaln(other + 1.0)
    chance: FloatArray = np.exp(ways + special.xlogy(number, probability) + special.xlog1py(other, -probability))
    return np.where(observations >= number, chance, 0.0)


def _probability_above(number: int, sums: FloatArray) -> FloatArray:
    """(m,) probability that the sum of `number` excesses is at least each of `sums`; never 0, as in a simulation."""
    if number > TABLE_EXCEPTIONS:
        skewness = _SKEWNESS / np.sqrt(number)
        shape = 4.0 / (skewness * skewness)
        scale = _DEVIATION * np.sqrt(number) / np.sqrt(shape)
        from_gamma = special.gammaincc(shape, np.maximum((sums - number) / scale + shape, 0.0))
        floored: FloatArray = np.maximum(from_gamma, 1.0 / (1.0 + DEFAULT_SIMULATIONS))
        return floored
    below = np.searchsorted(_simulated_sums()[number], sums).astype(np.float64)
    return (1.0 + DEFAULT_SIMULATIONS - below) / (1.0 + DEFAULT_SIMULATIONS)


@cache
def _simulated_sums() -> FloatArray:
    """(`TABLE_EXCEPTIONS` + 1, simulations) ascending sums of 0, 1, 2, … excesses: 20 MiB, made in 0.1 s."""
    generator = np.random.Generator(np.random.Philox(key=SEED))
    sums = np.zeros((TABLE_EXCEPTIONS + 1, DEFAULT_SIMULATIONS))
    np.cumsum(pareto_excesses(generator.random((TABLE_EXCEPTIONS, DEFAULT_SIMULATIONS))), axis=0, out=sums[1:])
    sums.sort(axis=1)
    return sums
