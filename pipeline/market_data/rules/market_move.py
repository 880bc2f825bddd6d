"""A day on which the whole market moved, up or down."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context
from pipeline.market_data.rules.moves import moves_of

MARKET_RETURN = 0.07
"""Level 1 of the market-wide circuit breakers (NYSE rule 7.12), which halts trading."""


def flag_market_move(bars: Bars, context: Context) -> BoolArray:
    """(m,) bars of sessions on which ten or more instruments moved by 7 % on average.

    So a crash such as those of 1987, 2008 and 2020 is in the prices and in the report: its bars are accepted,
    and every one of them is counted here.
    """
    flagged: BoolArray = np.abs(np.expm1(moves_of(bars, context).market)) >= MARKET_RETURN
    return flagged
