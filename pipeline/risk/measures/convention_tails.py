"""Value at risk and expected shortfall as other libraries define them."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base import special
from pipeline.base.types import FloatArray
from pipeline.risk.measures.convention_spec import ConventionSpec
from pipeline.risk.measures.tail import historical_es

_ROUNDING = float(np.finfo(np.float64).eps)


def gaussian_quantile(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """A return, so negative for a loss: normal law, standard deviation with ddof 1."""
    deviation: FloatArray = np.std(returns, axis=-1, ddof=1)
    quantile: FloatArray = np.mean(returns, axis=-1) + deviation * float(special.ndtri(1.0 - spec.confidence))
    return quantile


def gaussian_tail_mean(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Mean return below the normal law's quantile; negative for a loss."""
    z = float(special.ndtri(1.0 - spec.confidence))
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    deviation: FloatArray = np.std(returns, axis=-1, ddof=1)
    mean: FloatArray = np.mean(returns, axis=-1) - deviation * (density / (1.0 - spec.confidence))
    return mean


def percentile(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """A return, interpolated between order statistics (type 7 of Hyndman & Fan 1996)."""
    quantile: FloatArray = np.percentile(returns, 100.0 * spec.tail_probability, axis=-1)
    return quantile


def mean_of_lowest(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Mean of the ⌊(n-1)(1-α)⌋ + 1 lowest returns, each counting the same."""
    last = int((returns.shape[-1] - 1) * spec.tail_probability)
    mean: FloatArray = np.mean(np.partition(returns, last, axis=-1)[..., : last + 1], axis=-1)
    return mean


def loss_after_the_tail(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Loss number ⌊n(1-α)⌋ + 1 from the worst: the tail is strictly beyond it."""
    sessions = returns.shape[-1]
    position = min(sessions - 1, math.floor((1.0 - spec.confidence) * sessions + 4 * _ROUNDING * sessions))
    return -np.partition(returns, position, axis=-1)[..., position]


def loss_that_fills_the_tail(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Loss number ⌈n(1-α)⌉ from the worst: the tail includes it."""
    position = math.ceil(spec.tail_probability * returns.shape[-1]) - 1
    return -np.partition(returns, position, axis=-1)[..., position]


def shortfall(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Expected shortfall with the fractional atom, as the platform's."""
    return historical_es(returns, spec.confidence)
