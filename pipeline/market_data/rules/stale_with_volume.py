"""Yesterday's prices sent again while the instrument was trading."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray
from pipeline.market_data.rules.bars import Bars, Context

FLAT_REPEATS = 5
"""Equal closes in a row before a bar without a day's range is stale. A stock of a few ticks, whose close is the same on
a third of all days, gets there on 0.4 % of them; one of 100 ticks and 2 % volatility on less than 1 in 10 million."""


def flag_stale_with_volume(bars: Bars, _: Context) -> BoolArray:
    """(m,) bars that repeat the four prices of the bar before although units were traded.

    Trading cannot leave open, high, low and close of a day that has a range. Where the day has none, or the
    provider gives closes alone, the fifth repeat in a row is flagged. Without a volume nothing is judged: an
    instrument that does not trade keeps its price (see `halt`).
    """
    if len(bars) < 2 or not (bars.volume > 0).any():
        return np.zeros(len(bars), dtype=bool)
    repeats = np.zeros(len(bars), dtype=bool)
    repeats[1:] = _equal(bars.judged_close) & ~bars.is_first[1:]
    for prices in (bars.open, bars.high, bars.low):
        repeats[1:] &= _equal(prices)
    flagged: BoolArray = repeats & (bars.volume > 0) & ((bars.high > bars.low) | _is_long(repeats))
    return flagged


def _equal(prices: FloatArray) -> BoolArray:
    equal: BoolArray = (prices[1:] == prices[:-1]) | (np.isnan(prices[1:]) & np.isnan(prices[:-1]))
    return equal


def _is_long(repeats: BoolArray) -> BoolArray:
    """Repeats with at least four repeats straight before them."""
    position = np.arange(len(repeats))
    last_change = np.maximum.accumulate(np.where(repeats, -1, position))
    is_long: BoolArray = position - last_change >= FLAT_REPEATS
    return is_long
