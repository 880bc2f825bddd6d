"""A price without a known currency is no amount of money."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context


def flag_unknown_currency(bars: Bars, context: Context) -> BoolArray:
    """(m,) bars of instruments whose currency the platform cannot convert.

    Codes are compared as written: GBp and GBX are pence, not pounds, so guessing at case would be wrong by 100.
    Without `Context.currencies` or `Context.symbol_currencies` nothing is judged.
    """
    if not context.currencies or not context.symbol_currencies:
        return np.zeros(len(bars), dtype=bool)
    is_unknown = np.array([currency not in context.currencies for currency in context.symbol_currencies])
    flagged: BoolArray = is_unknown[bars.symbol_index]
    return flagged
