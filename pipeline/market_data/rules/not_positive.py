"""A price must be a finite number above zero."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context


def flag_not_positive(bars: Bars, _: Context) -> BoolArray:
    """(m,) closes that are NaN, infinite, zero or negative."""
    close = bars.judged_close
    flagged: BoolArray = ~(np.isfinite(close) & (close > 0))
    return flagged
