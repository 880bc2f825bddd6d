"""Independent normal draws made to move together: the factor of a covariance, and its product with draws."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import ledoit_wolf_covariance
from pipeline.simulation.models.arithmetic import SingleArray, fused
from pipeline.simulation.models.errors import SimulationInputError
from pipeline.simulation.models.philox import LANES

NEGATIVE_TOLERANCE = 1e-8
"""Relative to the largest eigenvalue: a smallest one above minus that is rounding."""


def covariance_of(returns: FloatArray) -> FloatArray:
    """(n, n) by Ledoit & Wolf (2004), which is positive definite with more positions than sessions too; of one, s²."""
    if returns.shape[1] == 1:
        return np.array([[returns.var()]])
    return ledoit_wolf_covariance(returns)


def factor_of(covariance: FloatArray) -> FloatArray:
    """The lower triangular L with L L' = the covariance; of a singular one a row may have zeros on the diagonal.

    Parameters
    ----------
    covariance
        (n, n).

    Raises
    ------
    SimulationInputError
        If it is not symmetric, or no covariance: it gives some portfolio a negative variance.
    """
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not np.isfinite(covariance).all():
        raise SimulationInputError("covariance: not square, or NaN or infinite; give a finite (n, n) matrix")
    if not np.allclose(covariance, covariance.T, rtol=1e-10, atol=0.0):
        raise SimulationInputError("covariance: not symmetric; give the mean of it and its transpose")
    if len(covariance) == 1 and covariance[0, 0] >= 0.0:
        return np.array([[math.sqrt(covariance[0, 0])]])
    try:
        return np.ascontiguousarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        return _factor_of_singular(covariance)


def _factor_of_singular(covariance: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -NEGATIVE_TOLERANCE * max(values[-1], 0.0) or values[-1] < 0.0:
        raise SimulationInputError(
            f"covariance: not positive semidefinite, its smallest eigenvalue is {values[0]:.3g};"
            " repair it by pipeline.risk.measures.covariance.nearest_psd, or estimate it again"
        )
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.ascontiguousarray(np.linalg.qr(root.T)[1].T)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def correlate(mean: SingleArray, factor: SingleArray, z: SingleArray, x: SingleArray) -> None:
    """Fill `x` with means plus the product of a lower triangular factor and draws.

    Two rows and four columns at a time, which halves what is read from memory for each product.

    Parameters
    ----------
    mean
        (n,).
    factor
        (n, n) lower triangular.
    z, x
        (n, LANES).
    """
    n = len(factor)
    for i in range(0, n - 1, 2):
        corner, below, end = factor[i, i], factor[i + 1, i], factor[i + 1, i + 1]
        for lane in range(LANES):
            x[i, lane] = fused(corner, z[i, lane], mean[i])
            x[i + 1, lane] = fused(end, z[i + 1, lane], fused(below, z[i, lane], mean[i + 1]))
        whole = i - i % 4
        for j in range(0, whole, 4):
            a0, a1, a2, a3 = factor[i, j], factor[i, j + 1], factor[i, j + 2], factor[i, j + 3]
            b0, b1, b2, b3 = factor[i + 1, j], factor[i + 1, j + 1], factor[i + 1, j + 2], factor[i + 1, j + 3]
            for lane in range(LANES):
                z0, z1, z2, z3 = z[j, lane], z[j + 1, lane], z[j + 2, lane], z[j + 3, lane]
                x[i, lane] = fused(a0, z0, fused(a1, z1, fused(a2, z2, fused(a3, z3, x[i, lane]))))
                x[i + 1, lane] = fused(b0, z0, fused(b1, z1, fused(b2, z2, fused(b3, z3, x[i + 1, lane]))))
        for j in range(whole, i):
            a0, b0 = factor[i, j], factor[i + 1, j]
            for lane in range(LANES):
                x[i, lane] = fused(a0, z[j, lane], x[i, lane])
                x[i + 1, lane] = fused(b0, z[j, lane], x[i + 1, lane])
    if n % 2 == 1:
        last = n - 1
        for lane in range(LANES):
            x[last, lane] = fused(factor[last, last], z[last, lane], mean[last])
        for j in range(last):
            for lane in range(LANES):
                x[last, lane] = fused(factor[last, j], z[j, lane], x[last, lane])
