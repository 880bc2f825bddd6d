"""What makes independent normal draws move together: the factor of a covariance (`session_growth` multiplies by it)."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import ledoit_wolf_covariance
from pipeline.simulation.models.errors import SimulationInputError

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
