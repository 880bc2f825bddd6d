"""Tail risk: value at risk and expected shortfall, as positive losses."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.tail_spec import FittedTail, TailEstimate


def historical_var(returns: FloatArray, confidence: float) -> FloatArray:
    """Historical value at risk: the order statistic ⌈αn⌉ of the losses (Hyndman & Fan 1996, type 1).

    Without interpolation, so that it is a loss that was made.

    Parameters
    ----------
    returns
        (..., n) simple returns.
    confidence
        α in (0, 1), for example 0.99.

    Returns
    -------
    FloatArray
        (...) loss as a positive fraction of value; negative if even that scenario earns, NaN if one is missing.
    """
    return tail_losses(returns, confidence)[..., 0]


def historical_es(returns: FloatArray, confidence: float) -> FloatArray:
    """Historical expected shortfall with the fractional atom at the value at risk.

    ES = [(k/n - α) L(k) + Σ_{i>k} L(i) / n] / (1 - α) with k = ⌈αn⌉ and ascending losses L
    (Rockafellar & Uryasev 2002, proposition 8). Coherent, and never below the value at risk.

    Parameters
    ----------
    returns
        (..., n) simple returns.
    confidence
        α in (0, 1).

    Returns
    -------
    FloatArray
        (...) loss as a positive fraction of value.
    """
    return _mean_beyond(tail_losses(returns, confidence), returns.shape[-1], confidence)


def fitted_historical_tail(returns: FloatArray) -> FittedTail:
    """`historical_var` and `historical_es` at any confidence, the windows (..., n) being sorted once."""
    ascending = _without_gaps(np.sort(-returns, axis=-1))

    def at(confidence: float) -> TailEstimate:
        losses = ascending[..., quantile_rank(returns.shape[-1], confidence) - 1 :]
        return TailEstimate(losses[..., 0], _mean_beyond(losses, returns.shape[-1], confidence))

    return at


def quantile_rank(sessions: int, confidence: float) -> int:
    """⌈αn⌉, from 1, with products such as 0.28 × 25 not lifted over the integer by rounding."""
    if not 0.0 < confidence < 1.0:
        raise MeasureInputError(f"confidence={confidence}: give a fraction between 0 and 1, such as 0.99")
    return max(1, math.ceil(confidence * sessions - 1e-9))


def tail_losses(returns: FloatArray, confidence: float) -> FloatArray:
    """(..., n - ⌈αn⌉ + 1) ascending losses from the value at risk upwards."""
    first = quantile_rank(returns.shape[-1], confidence) - 1
    losses = np.partition(-returns, first, axis=-1)[..., first:]
    return _without_gaps(np.sort(losses, axis=-1))


def _without_gaps(ascending: FloatArray) -> FloatArray:
    """Windows (..., k) all NaN where a loss is: it sorts behind the largest, and would leave those below it shifted."""
    missing = np.isnan(ascending[..., -1])
    if missing.any():
        ascending[missing] = np.nan
    return ascending


def _mean_beyond(losses: FloatArray, sessions: int, confidence: float) -> FloatArray:
    """Expected shortfall of `sessions` scenarios from the `tail_losses` of them."""
    weights = np.full(losses.shape[-1], 1.0 / sessions)
    weights[0] = quantile_rank(sessions, confidence) / sessions - confidence
    shortfall: FloatArray = np.sum(losses * (weights / (1.0 - confidence)), axis=-1)
    # With a flat tail the weighted mean can round to an ulp below the value at risk.
    return np.maximum(shortfall, losses[..., 0])
