"""Growth: what was earned."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.windows import quotient


def cagr(returns: FloatArray, periods_per_year: int) -> FloatArray:
    """Compound annual growth rate, (Π(1+r))^(periods/n) - 1 (Bacon 2008, chapter 2).

    Parameters
    ----------
    returns
        (..., n) simple returns.
    periods_per_year
        Returns per year.

    Returns
    -------
    FloatArray
        (...) fraction per year.
    """
    wealth = np.multiply.reduce(1.0 + returns, axis=-1)
    # Not `**`, which rounds a single number by another routine than an array.
    growth: FloatArray = np.power(wealth, periods_per_year / returns.shape[-1]) - 1.0
    return growth


def total_return(returns: FloatArray) -> FloatArray:
    """What the whole window earned, Π(1+r) - 1 (Bacon 2008, chapter 2).

    Returns
    -------
    FloatArray
        (...) fraction, not annualised.
    """
    earned: FloatArray = np.multiply.reduce(1.0 + returns, axis=-1) - 1.0
    return earned


def hit_rate(returns: FloatArray) -> FloatArray:
    """Share of the sessions that gained, a session that stood still being none (López de Prado 2018, chapter 14).

    Returns
    -------
    FloatArray
        (...) from 0 to 1.
    """
    # sign, not a comparison: it passes NaN on.
    share: FloatArray = np.mean(np.maximum(np.sign(returns), 0.0), axis=-1)
    return share


def gain_loss_ratio(returns: FloatArray) -> FloatArray:
    """Mean gain of the sessions that gained by the mean loss of those that lost (López de Prado 2018, chapter 14).

    The Omega ratio at 0 is this times the number of gains by that of losses.

    Returns
    -------
    FloatArray
        (...) ratio; NaN where no session gained or none lost.
    """
    gains, losses = np.maximum(returns, 0.0), np.maximum(-returns, 0.0)
    gained, lost = (np.sum(np.sign(part), axis=-1) for part in (gains, losses))
    return quotient(np.sum(gains, axis=-1) * lost, np.sum(losses, axis=-1) * gained, (gained > 0.0) & (lost > 0.0))
