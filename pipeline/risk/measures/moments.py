"""Higher moments, without bias correction."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.windows import quotient


def skewness(returns: FloatArray) -> FloatArray:
    """Third standardised moment m3 / m2^1.5 (Fisher-Pearson g1).

    Returns
    -------
    FloatArray
        (...) ratio; NaN for a constant series.
    """
    deviation = _deviation(returns)
    squared = deviation * deviation
    variance = np.mean(squared, axis=-1)
    # Not `variance**1.5`: a power rounds a single number by another routine than an array.
    return quotient(np.mean(squared * deviation, axis=-1), variance * np.sqrt(variance), _varies(returns))


def excess_kurtosis(returns: FloatArray) -> FloatArray:
    """Fourth standardised moment minus 3, m4 / m2² - 3 (Fisher's g2).

    Returns
    -------
    FloatArray
        (...) ratio, 0 for a normal distribution; NaN for a constant series.
    """
    squared = _deviation(returns) ** 2
    variance = np.mean(squared, axis=-1)
    return quotient(np.mean(squared * squared, axis=-1), variance * variance, _varies(returns)) - 3.0


def _deviation(returns: FloatArray) -> FloatArray:
    deviation: FloatArray = returns - np.mean(returns, axis=-1, keepdims=True)
    return deviation


def _varies(returns: FloatArray) -> BoolArray:
    varies: BoolArray = np.ptp(returns, axis=-1) > 0.0
    return varies
