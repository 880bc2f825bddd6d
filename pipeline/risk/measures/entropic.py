"""Entropic value at risk: the tightest bound on the tail that Chernoff's inequality gives (Ahmadi-Javid 2012)."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError

STEP_TOLERANCE = 1e-10
"""Relative step of the tilt that ends its search; at a minimum the value errs by the square of that."""


def entropic_var(returns: FloatArray, confidence: float) -> FloatArray:
    """Entropic value at risk, inf over z > 0 of z (ln E[exp(L/z)] - ln(1-α)) with L the loss.

    Coherent, between expected shortfall and the largest loss; it is the largest loss where that one's probability
    alone is 1 - α or more.

    Parameters
    ----------
    returns
        (..., n) simple returns.
    confidence
        α in (0, 1), for example 0.95.

    Returns
    -------
    FloatArray
        (...) loss as a positive fraction of value; NaN for a window with NaN or infinity.

    Raises
    ------
    MeasureInputError
        If the confidence is not between 0 and 1.
    """
    if not 0.0 < confidence < 1.0:
        raise MeasureInputError(f"confidence={confidence}: give a fraction between 0 and 1, such as 0.99")
    losses = np.ascontiguousarray(-np.reshape(returns, (-1, returns.shape[-1])))
    known = np.isfinite(losses).all(axis=-1)
    values = np.full(len(losses), np.nan)
    values[known] = _entropic_losses(losses[known], -math.log1p(-confidence))
    return values.reshape(returns.shape[:-1])


def _entropic_losses(losses: FloatArray, entropy: float) -> FloatArray:
    """(m,) EVaR of rows of equally likely losses, at -ln(1-α) of relative entropy.

    Losses are first moved to [-1, 0]: the measure moves and scales with them, and no exponential overflows.
    """
    largest, spread = np.max(losses, axis=-1), np.ptp(losses, axis=-1)
    scaled = (losses - largest[:, None]) / np.where(spread > 0.0, spread, 1.0)[:, None]
    most_entropy = np.log(losses.shape[-1] / np.count_nonzero(scaled == 0.0, axis=-1))
    inside = most_entropy > entropy * (1.0 + 1e-12)
    values = np.zeros(len(losses))
    tilts = _tilts(scaled[inside], entropy)
    cumulants = np.log(np.mean(np.exp(tilts[:, None] * scaled[inside]), axis=-1))
    values[inside] = np.minimum((cumulants + entropy) / tilts, 0.0)
    entropic: FloatArray = largest + spread * values
    return entropic


def _tilts(scaled: FloatArray, entropy: float) -> FloatArray:
    """(m,) the 1/z of each row's minimum, by Newton's method on its logarithm, kept inside a bracket.

    There the derivative is 0: the distribution tilted by exp(L/z) has just that relative entropy. It grows with
    the tilt t, from 0 to the logarithm of n over the number of largest losses; of losses within an interval of
    length 1 it is at most t²/8 (Hoeffding 1963), which gives the lower end. Doubling finds the upper one.
    """
    low = np.full(len(scaled), math.sqrt(8.0 * entropy))
    high = _above(scaled, entropy, low)
    tilts, searching = np.sqrt(low * high), np.arange(len(scaled))
    while len(searching):
        tilt = tilts[searching]
        reached, slope = _relative_entropy(scaled[searching], tilt)
        too_low = reached < entropy
        low[searching] = np.where(too_low, tilt, low[searching])
        high[searching] = np.where(too_low, high[searching], tilt)
        # Far from the root a step can be long; clipped to four it overflows nowhere and still leaves the bracket.
        step = np.clip((entropy - reached) / np.maximum(slope, np.finfo(np.float64).tiny), -4.0, 4.0)
        moved = tilt * np.exp(step)
        outside = (moved <= low[searching]) | (moved >= high[searching])
        moved = np.where(outside, np.sqrt(low[searching] * high[searching]), moved)
        tilts[searching] = moved
        searching = searching[np.abs(moved / tilt - 1.0) > STEP_TOLERANCE]
    return tilts


def _above(scaled: FloatArray, entropy: float, low: FloatArray) -> FloatArray:
    """(m,) tilts of at least that relative entropy."""
    high, below = 2.0 * low, np.arange(len(scaled))
    while len(below):
        reached, _ = _relative_entropy(scaled[below], high[below])
        below = below[reached < entropy]
        high[below] *= 2.0
    return high


def _relative_entropy(scaled: FloatArray, tilts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(m,) of the tilted distribution against equal weights, t K'(t) - K(t), and its derivative by ln t, t² K''(t).

    K is the cumulant generating function: its derivatives are the tilted mean and variance.
    """
    weights = np.exp(tilts[:, None] * scaled)
    total = np.sum(weights, axis=-1)
    mean = np.sum(weights * scaled, axis=-1) / total
    variance = np.sum(weights * (scaled - mean[:, None]) ** 2, axis=-1) / total
    return tilts * mean - np.log(total / scaled.shape[-1]), tilts * tilts * variance
