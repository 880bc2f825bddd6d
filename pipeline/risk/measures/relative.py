"""Measures against a benchmark."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.windows import quotient


def beta(returns: FloatArray, benchmark: FloatArray) -> FloatArray:
    """Slope of the ordinary least squares regression on the benchmark's returns.

    Parameters
    ----------
    returns, benchmark
        (..., n) simple returns on the same sessions.

    Returns
    -------
    FloatArray
        (...) ratio; NaN where the benchmark does not vary.
    """
    deviation = benchmark - np.mean(benchmark, axis=-1, keepdims=True)
    covariance = np.sum(deviation * (returns - np.mean(returns, axis=-1, keepdims=True)), axis=-1)
    variance = np.sum(deviation * deviation, axis=-1)
    varies = np.ptp(benchmark, axis=-1) > 0.0
    return quotient(covariance, variance, varies)
