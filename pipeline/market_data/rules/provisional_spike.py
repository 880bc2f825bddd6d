"""A jump on the newest session, which only the next one can confirm or take back."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context
from pipeline.market_data.rules.confirmation import is_confirmed
from pipeline.market_data.rules.moves import mask_of, moves_of, sigma_before
from pipeline.market_data.rules.spike import is_jump, newest_rows


def flag_provisional_spike(bars: Bars, context: Context) -> BoolArray:
    """(m,) bars of the newest session that jump as a spike does and that nothing confirms.

    Such a row is kept out until the next session: then it is either a `spike`, or it is accepted with a
    warning. A crash must not wait, so three things confirm a jump at once: the market as a whole moved that
    way, the instrument traded three times its usual units and money, or a second source has the same move
    (`confirmation`). An instrument that has stopped trading earlier has nobody to confirm its last bar and is
    not held.
    """
    moves = moves_of(bars, context)
    rows = newest_rows(bars, context)
    own = moves.own[rows]
    known = np.isfinite(own)
    rows, own = rows[known], own[known]
    rows = rows[is_jump(own, sigma_before(moves.total, rows, bars))]
    return mask_of(rows[~is_confirmed(moves, rows, context)], len(bars))
