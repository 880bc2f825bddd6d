"""Correlations of a covariance matrix in which something may stand still."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import correlation_of


def known_correlation(covariance: FloatArray) -> FloatArray:
    """(k, k) correlations; NaN in the row and column of what does not vary."""
    moving = np.flatnonzero(np.diag(covariance) > 0.0)
    correlation = np.full(covariance.shape, np.nan)
    if len(moving):
        block = np.ix_(moving, moving)
        correlation[block] = correlation_of(covariance[block])
    return correlation
