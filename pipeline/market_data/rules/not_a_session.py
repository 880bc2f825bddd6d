"""A bar must lie on a session of its exchange."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context


def flag_not_a_session(bars: Bars, context: Context) -> BoolArray:
    """(m,) dates on which the exchange was closed."""
    flagged: BoolArray = ~np.isin(bars.sessions, context.sessions)
    return flagged
