"""The three measures that are decomposed for every portfolio at each month's end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import ledoit_wolf_covariance
from pipeline.risk.measures.decomposition import RiskParts, historical_es_parts, historical_var_parts, volatility_parts

SUM_TOLERANCE = 1e-9
"""What components may miss of their total: the contract of the numbers."""


def position_parts(weights: FloatArray, returns: FloatArray) -> dict[str, RiskParts]:
    """Volatility (Ledoit–Wolf), historical VaR 99 % and ES 97.5 % of one session, by position.

    Parameters
    ----------
    weights
        (k,) fractions of the portfolio's value today.
    returns
        (n, k) simple returns of the window, each row a scenario.

    Returns
    -------
    dict
        Name of the measure, as its columns begin → its parts.

    Raises
    ------
    MeasureInputError
        For input that cannot be used.
    """
    return {
        "volatility": volatility_parts(weights, ledoit_wolf_covariance(returns)),
        "var_99_1d": historical_var_parts(weights, returns, 0.99),
        "es_975_1d": historical_es_parts(weights, returns, 0.975),
    }


def largest_miss(parts: Mapping[str, RiskParts]) -> float:
    """Largest difference of a total and the sum of its components; infinite where one is no number."""
    misses = np.array([abs(made.component.sum() - made.total) for made in parts.values()])
    return float(np.where(np.isfinite(misses), misses, np.inf).max())
