"""Higher moments: of the returns as they are, or corrected for the bias of a small sample."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import quotient

MomentMethod: TypeAlias = Literal["population", "adjusted"]
"""``population`` divides by n; ``adjusted`` corrects the bias of a small sample (Joanes & Gill 1998: G1 and G2)."""


def skewness(returns: FloatArray, method: MomentMethod = "population") -> FloatArray:
    """Third standardised moment m3 / m2^1.5 (Joanes & Gill 1998: g1).

    Parameters
    ----------
    returns
        (..., n) simple returns.
    method
        ``"adjusted"`` multiplies by √(n(n-1)) / (n-2): the G1 of scipy's ``bias=False`` and of spreadsheets.

    Returns
    -------
    FloatArray
        (...) ratio; NaN for a constant series, and if adjusted with fewer than 3 returns.

    Raises
    ------
    MeasureInputError
        For another method.
    """
    factor = _skewness_factor(returns.shape[-1], method)
    deviation = _deviation(returns)
    squared = deviation * deviation
    variance = np.mean(squared, axis=-1)
    # Not `variance**1.5`: a power rounds a single number by another routine than an array.
    ratio = quotient(np.mean(squared * deviation, axis=-1), variance * np.sqrt(variance), _varies(returns))
    return ratio * factor


def excess_kurtosis(returns: FloatArray, method: MomentMethod = "population") -> FloatArray:
    """Fourth standardised moment minus 3, m4 / m2² - 3 (Joanes & Gill 1998: g2).

    Parameters
    ----------
    returns
        (..., n) simple returns.
    method
        ``"adjusted"`` gives G2 = (n-1) / ((n-2)(n-3)) × ((n+1) g2 + 6), as scipy's ``bias=False``.

    Returns
    -------
    FloatArray
        (...) ratio, 0 for a normal distribution; NaN for a constant series, and if adjusted with fewer than 4 returns.

    Raises
    ------
    MeasureInputError
        For another method.
    """
    factor, shift = _kurtosis_terms(returns.shape[-1], method)
    squared = _deviation(returns) ** 2
    variance = np.mean(squared, axis=-1)
    ratio = quotient(np.mean(squared * squared, axis=-1), variance * variance, _varies(returns)) - 3.0
    return ratio * factor + shift


def _skewness_factor(sessions: int, method: MomentMethod) -> float:
    if not _is_adjusted(method):
        return 1.0
    return math.sqrt(sessions * (sessions - 1)) / (sessions - 2) if sessions > 2 else math.nan


def _kurtosis_terms(sessions: int, method: MomentMethod) -> tuple[float, float]:
    """What multiplies the population's excess kurtosis, and what is added."""
    if not _is_adjusted(method):
        return 1.0, 0.0
    if sessions < 4:
        return math.nan, math.nan
    scale = (sessions - 1) / ((sessions - 2) * (sessions - 3))
    return scale * (sessions + 1), 6.0 * scale


def _is_adjusted(method: MomentMethod) -> bool:
    if method not in ("population", "adjusted"):
        raise MeasureInputError(f"method={method!r}: no such correction; give population or adjusted")
    return method == "adjusted"


def _deviation(returns: FloatArray) -> FloatArray:
    deviation: FloatArray = returns - np.mean(returns, axis=-1, keepdims=True)
    return deviation


def _varies(returns: FloatArray) -> BoolArray:
    varies: BoolArray = np.ptp(returns, axis=-1) > 0.0
    return varies
