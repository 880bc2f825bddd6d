"""A price must be a finite number above zero."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.market_data.rules.bars import Bars, Context

PRICES = ("open", "high", "low", "close", "close_adjusted")


def flag_not_positive(bars: Bars, _: Context) -> BoolArray:
    """(m,) bars without a close, with a price that is zero, negative or infinite, or with a volume that is no amount.

    NaN in another column than the close means that the provider does not give that number. A provider that
    gives closes as traded owes one for every bar.
    """
    flagged: BoolArray = np.isnan(bars.close if bars.has_traded_closes else bars.close_adjusted)
    for name in PRICES:
        flagged |= _is_wrong(getattr(bars, name), allows_zero=False)
    flagged |= _is_wrong(bars.volume, allows_zero=True)
    return flagged


def _is_wrong(numbers: FloatArray, *, allows_zero: bool) -> BoolArray:
    """Numbers that are given and cannot be; comparisons with NaN are false."""
    below = numbers < 0 if allows_zero else numbers <= 0
    wrong: BoolArray = below | (numbers == np.inf)
    return wrong
