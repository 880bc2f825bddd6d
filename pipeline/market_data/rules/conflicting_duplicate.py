"""An instrument has one bar a session."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import VALUE_FIELDS, Bars, Context


def flag_conflicting_duplicate(bars: Bars, _: Context) -> BoolArray:
    """(m,) every bar of a key that comes more than once with different numbers.

    Which one is right cannot be told from one payload, so all of them wait in quarantine.
    """
    is_repeat = bars.is_repeat
    if not is_repeat.any():
        return is_repeat
    is_equal = np.ones(max(len(bars) - 1, 0), dtype=bool)
    for name in VALUE_FIELDS:
        numbers = getattr(bars, name)
        is_equal &= (numbers[1:] == numbers[:-1]) | (np.isnan(numbers[1:]) & np.isnan(numbers[:-1]))
    key_number = np.cumsum(~is_repeat) - 1
    in_conflict: BoolArray = np.zeros(len(bars), dtype=bool)
    in_conflict[key_number[1:][is_repeat[1:] & ~is_equal]] = True
    flagged: BoolArray = in_conflict[key_number]
    return flagged
