"""Growth: what was earned."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray


def cagr(returns: FloatArray, periods_per_year: int) -> FloatArray:
    """Compound annual growth rate, (Π(1+r))^(periods/n) - 1.

    Parameters
    ----------
    returns
        (..., n) simple returns.
    periods_per_year
        Returns per year.

    Returns
    -------
    FloatArray
        (...) fraction per year.
    """
    wealth = np.multiply.reduce(1.0 + returns, axis=-1)
    # Not `**`, which rounds a single number by another routine than an array.
    growth: FloatArray = np.power(wealth, periods_per_year / returns.shape[-1]) - 1.0
    return growth
