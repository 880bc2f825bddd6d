"""The day's range contains its open and its close."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context

ROUNDING = 1e-6
"""Relative. Vendors that scale all four prices by one factor leave differences of a few 1e-7 (float32)."""


def flag_ohlc_order(bars: Bars, _: Context) -> BoolArray:
    """(m,) bars whose high is below, or whose low is above, one of the other prices that are given."""
    highest, lowest = bars.high * (1 + ROUNDING), bars.low * (1 - ROUNDING)
    flagged: BoolArray = highest < bars.low  # comparisons with NaN are false
    for price in (bars.open, bars.close):
        flagged |= (highest < price) | (lowest > price)
    return np.asarray(flagged, dtype=bool)
