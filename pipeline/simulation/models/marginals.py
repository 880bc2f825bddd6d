"""Marginal laws for a copula: the past returns of a position in the middle, fitted laws in the tails.

Between the thresholds, the order statistics at a twentieth of the sessions from each end, a quantile is interpolated
between order statistics at the probabilities (k - ½)/t. Beyond them excesses follow generalised Pareto laws, fitted by
probability-weighted moments: Hosking & Wallis (1987), "Parameter and quantile estimation for the generalized Pareto
distribution", Technometrics 29; McNeil & Frey (2000), Journal of Empirical Finance 7, model returns in this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba.extending import register_jitable
from scipy.special import stdtr

from pipeline.base.types import FloatArray
from pipeline.simulation.models.arithmetic import SingleArray
from pipeline.simulation.models.inversion import bits_of, float_of
from pipeline.simulation.models.philox import WordArray

TAIL_SHARE = 0.05
LEAST_EXCESSES = 10
SHAPE_BOUNDS = (-0.5, 0.4)
"""Of the Pareto laws: with 0.4 the variance is finite, and so nearly is the third moment."""

CELL_BITS = 6
"""64 cells for each doubling of 1 + |x|: the first, where most draws lie, are 1/64 wide."""

_CELLS = 2**CELL_BITS
_OCTAVES = 20
SIDE_CELLS = _CELLS * _OCTAVES
HIGHEST = 2.0**_OCTAVES - 2.0
_MANTISSA_BITS = 52
_CELL_SHIFT = np.uint64(_MANTISSA_BITS - CELL_BITS)
_CELL_OF_ONE = np.uint64(1023 << CELL_BITS)
_WITHIN_CELL = np.uint64((1 << (_MANTISSA_BITS - CELL_BITS)) - 1)
_WITHIN_SHIFT = np.uint64(CELL_BITS)
_ONE = np.uint64(1023 << _MANTISSA_BITS)


@dataclass(frozen=True, slots=True)
class Tail:
    """A generalised Pareto law of the excesses over a threshold.

    Parameters
    ----------
    threshold
        Of the numbers, seen from the middle: positive towards the tail.
    share
        Of the numbers beyond it.
    scale, shape
        σ and ξ of P(excess > y) = (1 + ξ y / σ)^(-1/ξ).
    """

    threshold: float
    share: float
    scale: float
    shape: float

    def quantile(self, beyond: FloatArray) -> FloatArray:
        """The numbers with these probabilities, at most `share`, of lying farther out."""
        ratio = np.log(self.share / beyond)
        shape = self.shape if abs(self.shape) > 1e-9 else 1e-9
        found: FloatArray = self.threshold + self.scale / shape * np.expm1(shape * ratio)
        return found


def fit_tail(values: FloatArray) -> Tail:
    """The upper tail of numbers.

    Parameters
    ----------
    values
        (t,) ascending, t > `LEAST_EXCESSES` + 1.
    """
    t = len(values)
    count = min(max(LEAST_EXCESSES, round(TAIL_SHARE * t)), t // 3)
    threshold = 0.5 * (values[-count - 1] + values[-count])
    excesses = values[-count:] - threshold
    mean = float(excesses.mean())
    if not mean > 0.0:
        return Tail(float(threshold), count / t, 1e-12, 0.0)
    # a(s) = E[y (1 - F(y))^s]; ranks from the largest down.
    weights = (np.arange(count, 0, -1) - 0.65) / count
    weighted = float((weights * excesses).mean())
    shape = 2.0 - mean / (mean - 2.0 * weighted) if mean > 2.0 * weighted else SHAPE_BOUNDS[1]
    shape = min(max(shape, SHAPE_BOUNDS[0]), SHAPE_BOUNDS[1])
    return Tail(float(threshold), count / t, mean * (1.0 - shape), shape)


@dataclass(frozen=True, slots=True)
class Marginal:
    """The law of one position's returns.

    Parameters
    ----------
    ordered
        (t,) its returns, ascending.
    lower, upper
        Its tails; of the lower one with the sign turned.
    shift
        Added to every quantile, so that the mean is that of the returns.
    """

    ordered: FloatArray
    lower: Tail
    upper: Tail
    shift: float

    def quantile(self, below: FloatArray, above: FloatArray) -> FloatArray:
        """Returns with probabilities of lying below and above, which add up to 1; each is exact where it is small."""
        t = len(self.ordered)
        places = (np.arange(t) + 0.5) / t
        found = np.interp(below, places, self.ordered)
        low, high = below < self.lower.share, above < self.upper.share
        found[low] = -self.lower.quantile(below[low])
        found[high] = self.upper.quantile(above[high])
        return found + self.shift


def fit_marginal(returns: FloatArray) -> Marginal:
    """The law of (t,) returns."""
    ordered = np.sort(returns)
    made = Marginal(ordered, fit_tail(-ordered[::-1]), fit_tail(ordered), 0.0)
    return Marginal(made.ordered, made.lower, made.upper, float(returns.mean()) - _mean(made))


def _mean(marginal: Marginal) -> float:
    """Of a law, by Gauss and Legendre's rule in the logarithm of the probability on each side of the median."""
    probability, masses = _quadrature()
    both = marginal.quantile(probability, 1.0 - probability) + marginal.quantile(1.0 - probability, probability)
    return float(masses @ both)


@cache
def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Probabilities below the median and their masses, which add up to ½: the nodes take 30 ms to find."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    lowest = np.log(1e-15)
    probability = np.exp(np.log(0.5) + (lowest - np.log(0.5)) * 0.5 * (nodes + 1.0))
    masses = weights * probability
    masses /= 2.0 * masses.sum()
    for kept in (probability, masses):
        kept.flags.writeable = False
    return probability, masses


def transfer_table(marginal: Marginal, degrees_of_freedom: float) -> FloatArray:
    """The returns that Student's quantiles become, F⁻¹(T(x)), for `transfer`.

    Returns
    -------
    FloatArray
        (2 cells, 2) value at the start of a cell of 1 + |x|, and its change over it; first of x ≥ 0, then of x < 0.
    """
    octaves = np.ldexp(1.0, np.arange(_OCTAVES))
    edges = np.append(np.outer(octaves, 1.0 + np.arange(_CELLS) / _CELLS).ravel(), 2.0**_OCTAVES) - 1.0
    far = np.maximum(stdtr(degrees_of_freedom, -edges), 1e-15)
    high, low = marginal.quantile(1.0 - far, far), marginal.quantile(far, 1.0 - far)
    return np.ascontiguousarray(np.vstack([np.column_stack([side[:-1], np.diff(side)]) for side in (high, low)]))


@register_jitable
def transfer(table: FloatArray, spread: FloatArray, cells: WordArray, x: SingleArray) -> None:
    """Turn draws into returns through `transfer_table`, in loops of their own for the reasons of `inversion.draw`.

    Parameters
    ----------
    table
        Of one position.
    spread
        (n,) by which the draws are multiplied first.
    cells
        (n,) room.
    x
        (n,) draws, and then returns, at least -1.
    """
    for lane in range(len(x)):
        drawn = spread[lane] * x[lane]
        bits = bits_of(min(abs(drawn), HIGHEST) + 1.0)
        side = np.uint64(SIDE_CELLS) if drawn < 0.0 else np.uint64(0)
        cells[lane] = (bits >> _CELL_SHIFT) - _CELL_OF_ONE + side
        x[lane] = float_of(((bits & _WITHIN_CELL) << _WITHIN_SHIFT) | _ONE) - 1.0
    for lane in range(len(x)):
        cell = cells[lane]
        x[lane] = max(table[cell, 0] + x[lane] * table[cell, 1], -1.0)
