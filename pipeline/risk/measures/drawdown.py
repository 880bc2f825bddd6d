"""Drawdown: the fall from a peak of compounded wealth."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.windows import quotient


def max_drawdown(returns: FloatArray) -> FloatArray:
    """Deepest fall of compounded wealth from its running peak; the starting wealth is the first peak.

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    FloatArray
        (...) fraction, 0 or negative. A loss on the first session counts.
    """
    wealth = np.cumprod(1.0 + returns, axis=-1)
    peak = np.maximum(np.maximum.accumulate(wealth, axis=-1), 1.0)
    deepest: FloatArray = np.min(wealth / peak - 1.0, axis=-1)
    return deepest


def calmar_ratio(cagr_annual: FloatArray, drawdown: FloatArray) -> FloatArray:
    """CAGR over the absolute maximum drawdown (Young 1991).

    Parameters
    ----------
    cagr_annual, drawdown
        (...) of the same windows.

    Returns
    -------
    FloatArray
        (...) ratio; NaN where there was no drawdown.
    """
    return quotient(cagr_annual, np.abs(drawdown), np.asarray(drawdown) < 0.0)
