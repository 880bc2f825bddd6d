"""Two providers that cover a symbol tell the same returns; where they do not, one of them is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.market_data.rules.bars import Bars, Context
from pipeline.market_data.rules.moves import log_moves, market_moves, mask_of, next_of, sigma_before

AGREED: Final = 0
FIRST_IS_RIGHT: Final = 1
SECOND_IS_RIGHT: Final = 2
OPEN: Final = 3
"""How a bar stands: not disputed, or disputed and settled for the first or the second source, or not settled."""

DISPUTED_RETURN = 0.005
"""Log return: half of the smallest error to be found (1 %). Two vendors that read one tape differ by less than a
tenth of it, except where one takes the primary exchange's close and the other the consolidated one."""

ROUNDING = 0.005
"""Half a cent. Adjusted closes of long ago are small, and vendors round them; closes as traded are of whole ticks."""

SHARE_TAKEN_BACK = 0.75

SETTLING_SIGMAS = 6.0
"""By how much one source's path must be the rougher one before it is the wrong one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Bars that two sources cover.

    Parameters
    ----------
    rows
        (k,) positions of the compared bars in the first source.
    first_return, second_return
        (k,) log total returns since the session before that both cover; NaN on the first.
    standing
        (k,) `AGREED`, `FIRST_IS_RIGHT`, `SECOND_IS_RIGHT` or `OPEN`.
    """

    rows: IntArray
    first_return: FloatArray
    second_return: FloatArray
    standing: NDArray[np.int8]

    @property
    def disputed(self) -> BoolArray:
        """(k,) bars whose returns differ."""
        disputed: BoolArray = self.standing != AGREED
        return disputed


def compare_sources(first: Bars, second: Bars, context: Context) -> Comparison:
    """Compare the total returns of two sources, session by session.

    A bar is disputed if the returns to it differ by more than half a percent, or for adjusted closes by half a
    cent where that is more. A difference that takes back the one before it belongs to the bar before: one wrong
    close bends two returns.

    A disputed bar resolves in this order:

    1. the second source's close lies outside its own day's range: the first is right;
    2. one source jumps away from the market and back by 6 σ more than the other: that source is wrong;
    3. otherwise it stays open.

    Parameters
    ----------
    first, second
        Bars sorted by instrument and date, one a key; symbols are matched by name.
    context
        Splits and dividends; they apply to both sources where these give closes as traded.
    """
    rows, second_rows, renamed = _common(first, second)
    ours, theirs = first.take(rows), renamed.take(second_rows)
    first_return, second_return = log_moves(ours, context), log_moves(theirs, _of_second(context, first.symbols))
    tolerance = np.full(len(rows), DISPUTED_RETURN)
    if not (first.has_traded_closes and second.has_traded_closes):
        tolerance = np.maximum(tolerance, ROUNDING / np.minimum(ours.judged_close, theirs.judged_close))
    disputed = _disputed(first_return - second_return, tolerance)
    standing = np.zeros(len(rows), dtype=np.int8)
    where = np.flatnonzero(disputed)
    standing[where] = _settle(ours, theirs, first_return, second_return, where)
    return Comparison(rows, first_return, second_return, standing)


def flag_second_source(bars: Bars, context: Context) -> BoolArray:
    """(m,) closes that a second source contradicts, unless the dispute is settled for this source.

    Settled for the second source or open, the row waits in quarantine: a wrong price costs more than a missing
    one, and the next load judges it again, with whatever either vendor has corrected.
    """
    if context.second_source is None:
        return np.zeros(len(bars), dtype=bool)
    compared = compare_sources(bars, _unique(context.second_source), context)
    lost = (compared.standing == SECOND_IS_RIGHT) | (compared.standing == OPEN)
    return mask_of(compared.rows[lost], len(bars))


def moves_of_second_source(bars: Bars, rows: IntArray, context: Context) -> FloatArray:
    """(k,) log total return that the second source has at `rows` since the bar before in `bars`; NaN if it has none."""
    moves = np.full(len(rows), np.nan)
    if context.second_source is None or not len(rows):
        return moves
    wanted = np.unique(np.r_[rows, np.maximum(rows - 1, 0)])
    ours, theirs, renamed = _common(bars.take(wanted), _unique(context.second_source))
    known = np.full(len(bars), np.nan)
    is_matched = mask_of(wanted[ours], len(bars))
    known[wanted[ours]] = log_moves(renamed.take(theirs), _of_second(context, bars.symbols))
    has_both = is_matched[rows] & is_matched[np.maximum(rows - 1, 0)]
    moves[has_both] = known[rows[has_both]]
    return moves


def _unique(bars: Bars) -> Bars:
    """Bars in order, without those of a key that comes with different numbers or again."""
    bars = bars.sorted()
    repeat = bars.is_repeat
    return bars.take(~repeat) if repeat.any() else bars


def _of_second(context: Context, symbols: tuple[str, ...]) -> Context:
    """The context of the second source's bars once they go by the first one's symbols."""
    actions = context.second_actions
    if actions is None:
        return context
    index_of = _positions(actions.symbols, symbols)
    # an action of a symbol that is not compared lies before all bars
    renamed = replace(actions, symbols=symbols, symbol_index=index_of[actions.symbol_index])
    return replace(context, actions=renamed, moves=None)


def _positions(names: tuple[str, ...], symbols: tuple[str, ...]) -> IntArray:
    """Position of each name in `symbols`; -1 where it is not there."""
    position = {symbol: index for index, symbol in enumerate(symbols)}
    return np.array([position.get(name, -1) for name in names], dtype=np.int64)


def _common(first: Bars, second: Bars) -> tuple[IntArray, IntArray, Bars]:
    """Positions of the common keys in both, and the second source by the first one's symbols."""
    index_of = _positions(second.symbols, first.symbols)
    renamed = replace(second, symbols=first.symbols, symbol_index=index_of[second.symbol_index])
    renamed = renamed.take((renamed.symbol_index >= 0) & (renamed.judged_close > 0)).sorted()
    keys, other = first.keys, renamed.keys
    found = np.searchsorted(other, keys)
    found[found == len(other)] = 0
    is_common = (other[found] == keys) if len(other) else np.zeros(len(keys), dtype=bool)
    return np.flatnonzero(is_common), found[is_common], renamed


def _disputed(difference: FloatArray, tolerance: FloatArray) -> BoolArray:
    """(k,) differences above the tolerance that do not merely take back the one before."""
    size = np.abs(difference)
    differs = size > tolerance
    takes_back = np.zeros(len(size), dtype=bool)
    rest = np.abs(difference[1:] + difference[:-1])
    takes_back[1:] = differs[:-1] & (rest < (1 - SHARE_TAKEN_BACK) * size[:-1])
    disputed: BoolArray = differs & ~takes_back
    return disputed


def _settle(
    ours: Bars, theirs: Bars, first_return: FloatArray, second_return: FloatArray, rows: IntArray
) -> NDArray[np.int8]:
    """(k,) how each of the disputed `rows` resolves."""
    market = market_moves(ours, first_return)
    sigma = sigma_before(
        np.where(np.abs(first_return) < np.abs(second_return), first_return, second_return), rows, ours
    )
    lead = _roughness(first_return - market, ours)[rows] - _roughness(second_return - market, ours)[rows]
    settled = np.full(len(rows), OPEN, dtype=np.int8)
    settled[lead > SETTLING_SIGMAS * sigma] = SECOND_IS_RIGHT
    settled[lead < -SETTLING_SIGMAS * sigma] = FIRST_IS_RIGHT
    close, high, low = theirs.close[rows], theirs.high[rows], theirs.low[rows]
    settled[(close > high) | (close < low)] = FIRST_IS_RIGHT
    return settled


def _roughness(moves: FloatArray, bars: Bars) -> FloatArray:
    """(k,) size of the move to a bar and of the one that follows."""
    following = next_of(moves, bars)
    return np.abs(moves) + np.where(np.isnan(following), 0.0, np.abs(following))
