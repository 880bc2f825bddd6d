"""An instrument has one close a session."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context


def flag_conflicting_duplicate(bars: Bars, _: Context) -> BoolArray:
    """(m,) every bar of a key that comes more than once with different closes.

    Which one is right cannot be told from one payload, so all of them wait in quarantine.
    """
    close = bars.close_adjusted
    is_repeat = bars.is_repeat
    is_equal = (close[1:] == close[:-1]) | (np.isnan(close[1:]) & np.isnan(close[:-1]))
    key_number = np.cumsum(~is_repeat) - 1
    in_conflict: BoolArray = np.zeros(len(bars), dtype=bool)
    in_conflict[key_number[1:][is_repeat[1:] & ~is_equal]] = True
    flagged: BoolArray = in_conflict[key_number]
    return flagged
