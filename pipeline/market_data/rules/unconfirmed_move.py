"""A large move that nobody else saw."""

from __future__ import annotations

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Bars, Context
from pipeline.market_data.rules.confirmation import has_volume, is_confirmed
from pipeline.market_data.rules.large_move import large_rows
from pipeline.market_data.rules.moves import mask_of, moves_of


def flag_unconfirmed_move(bars: Bars, context: Context) -> BoolArray:
    """(m,) large moves of a bar with a volume, or with a second source, that nothing confirms.

    Spikes and suspected splits are out by then: what is left is a level that stays, such as after a spin-off
    that the provider does not report.
    """
    moves = moves_of(bars, context)
    rows = large_rows(moves.total)
    if context.second_source is None:
        rows = rows[has_volume(bars, rows)]
    return mask_of(rows[~is_confirmed(moves, rows, context)], len(bars))
