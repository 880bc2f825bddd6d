"""Higher moments, without bias correction."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.windows import quotient


def skewness(returns: FloatArray) -> FloatArray:
    """Third standardised moment m3 / m2^1.5 (Fisher-Pearson g1).

    Returns
    -------
    FloatArray
        (...) ratio; NaN for a constant series.
    """
    return _standardised_moment(returns, 3)


def excess_kurtosis(returns: FloatArray) -> FloatArray:
    """Fourth standardised moment minus 3, m4 / m2² - 3 (Fisher's g2).

    Returns
    -------
    FloatArray
        (...) ratio, 0 for a normal distribution; NaN for a constant series.
    """
    return _standardised_moment(returns, 4) - 3.0


def _standardised_moment(returns: FloatArray, order: int) -> FloatArray:
    deviation = returns - np.mean(returns, axis=-1, keepdims=True)
    squared = deviation * deviation
    variance = np.mean(squared, axis=-1)
    moment = np.mean(squared * deviation if order == 3 else squared * squared, axis=-1)
    varies = np.ptp(returns, axis=-1) > 0.0
    return quotient(moment, variance ** (order / 2), varies)
