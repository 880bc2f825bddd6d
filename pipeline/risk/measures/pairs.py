"""Symmetric matrices as the pairs of their upper triangle, row by row: how they are stored and read again."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray, IntArray
from pipeline.risk.measures.covariance import correlation_of
from pipeline.risk.measures.errors import MeasureInputError


def pair_positions(size: int) -> tuple[IntArray, IntArray]:
    """Rows and columns (size (size + 1) / 2,) of the pairs, the row never above the column."""
    first, second = np.triu_indices(size)
    return first, second


def matrix_of_pairs(pairs: FloatArray) -> FloatArray:
    """(k, k) symmetric matrix of its k (k + 1) / 2 pairs.

    Raises
    ------
    MeasureInputError
        If the number of pairs is that of no matrix.
    """
    size = (math.isqrt(8 * len(pairs) + 1) - 1) // 2
    if size * (size + 1) // 2 != len(pairs):
        raise MeasureInputError(f"pairs: {len(pairs)} make no triangle; give one for every row and column from it on")
    matrix = np.empty((size, size))
    first, second = pair_positions(size)
    matrix[first, second] = matrix[second, first] = pairs
    return matrix


def known_correlation(covariance: FloatArray) -> FloatArray:
    """(k, k) correlations; NaN in the row and column of what does not vary."""
    moving = np.flatnonzero(np.diag(covariance) > 0.0)
    correlation = np.full(covariance.shape, np.nan)
    if len(moving):
        block = np.ix_(moving, moving)
        correlation[block] = correlation_of(covariance[block])
    return correlation
