"""A move that a risk officer would want to see confirmed, such as a crash."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context

LARGE_RETURN = 0.25
"""Absolute simple return; between 20 S&P 500 stocks it comes about once a year."""


def flag_large_move(bars: Bars, _: Context) -> BoolArray:
    """(m,) closes more than 25 % above or below the one before."""
    flagged: BoolArray = np.zeros(len(bars), dtype=bool)
    close = bars.judged_close
    with np.errstate(invalid="ignore", divide="ignore"):
        returns = close[1:] / close[:-1] - 1.0
    flagged[1:] = (np.abs(returns) > LARGE_RETURN) & ~bars.is_first[1:]
    return flagged
