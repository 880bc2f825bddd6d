"""What is asked of panels, weights and matrices before anything is computed from them."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError

SYMMETRY_TOLERANCE = 1e-8
"""Relative: an inverse or a product of matrices is no more symmetric than this."""


def require_panel(returns: FloatArray, minimum_sessions: int = 2, field: str = "returns") -> FloatArray:
    """Check a panel of simple returns.

    Parameters
    ----------
    returns
        (n, k) a row a session, a column an instrument or factor.
    minimum_sessions
        Rows that the caller needs.
    field
        What the caller calls it, for the message.

    Raises
    ------
    MeasureInputError
        For another shape, no column, too few rows, NaN or infinity.
    """
    if returns.ndim != 2 or returns.shape[1] == 0:
        raise MeasureInputError(
            f"{field}: shape {returns.shape}; give (sessions, instruments) with at least one column"
        )
    if len(returns) < minimum_sessions:
        raise MeasureInputError(
            f"{field}: {len(returns)} sessions given, at least {minimum_sessions} are needed; give a longer history"
        )
    broken = np.flatnonzero(~np.isfinite(returns).all(axis=0))
    if len(broken):
        raise MeasureInputError(
            f"{field}: NaN or infinite in column {broken[0]}; drop those sessions or repair their prices"
        )
    return returns


def require_row(values: FloatArray, columns: int, field: str) -> FloatArray:
    """Check one finite number a column of a panel, such as weights.

    Raises
    ------
    MeasureInputError
        For another length, NaN or infinity.
    """
    if values.shape != (columns,):
        raise MeasureInputError(f"{field}: shape {values.shape}, expected ({columns},); give one number a column")
    if not np.isfinite(values).all():
        raise MeasureInputError(f"{field}: NaN or infinite; give finite numbers")
    return values


def require_symmetric(matrix: FloatArray, field: str = "covariance") -> FloatArray:
    """Check a square symmetric matrix of finite numbers; rounding in its halves is averaged away.

    Returns
    -------
    FloatArray
        (k, k) exactly symmetric, a new array.

    Raises
    ------
    MeasureInputError
        For another shape, NaN, infinity or halves that differ.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) == 0:
        raise MeasureInputError(f"{field}: shape {matrix.shape}; give a square matrix")
    if not np.isfinite(matrix).all():
        raise MeasureInputError(f"{field}: NaN or infinite; estimate it from complete returns")
    if np.abs(matrix - matrix.T).max() > SYMMETRY_TOLERANCE * np.abs(matrix).max():
        raise MeasureInputError(f"{field}: not symmetric; give one number for each pair")
    symmetric: FloatArray = (matrix + matrix.T) / 2.0
    return symmetric
