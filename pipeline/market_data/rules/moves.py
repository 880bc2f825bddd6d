"""Moves from one bar of an instrument to its next, as rules compare them: after splits, dividends and the market."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.market_data.rules.bars import Actions, Bars, Context, Moves, days_of, keys_of

VOLATILITY_SESSIONS = 63
"""A quarter of a year, as in the one-day-error study of the bundled prices (`spike`)."""

PRIOR_SIGMA, PRIOR_SESSIONS = 0.03, 5
"""Weight of an ordinary stock's volatility where an instrument has few moves of its own; with all 63 it is 7 %."""

MOVE_LIMIT = 0.2
"""A larger move counts as this one in a volatility, else one error would hide the next of the same quarter."""

_BLOCK = 50_000

MARKET_INSTRUMENTS = 10
"""Fewer instruments are no market: their common move could be the error of one of them."""

MARKET_CLIP = 0.35
MARKET_LIMIT = 0.3
"""The Dow's worst day is -22.6 % (19 October 1987), a log return of -.256; a larger "market move" is an error
of the payload, so nothing is explained by it."""


def moves_of(bars: Bars, context: Context) -> Moves:
    """The moves of bars, and the market's: those that the context knows if they are of these very bars."""
    if context.moves is not None and context.moves.bars is bars:
        return context.moves
    total = log_moves(bars, context)
    return Moves(bars, total, market_moves(bars, total))


def moves_at(rows: IntArray, bars: Bars, context: Context) -> FloatArray:
    """(k,) log total returns at some rows alone."""
    needed = np.unique(np.concatenate([np.maximum(rows - 1, 0), rows]))
    measured_alone: FloatArray = log_moves(bars.take(needed), context, has_traded_closes=bars.has_traded_closes)
    return measured_alone[np.searchsorted(needed, rows)]


def log_moves(bars: Bars, context: Context, *, has_traded_closes: bool | None = None) -> FloatArray:
    """(m,) log total return from the bar before; NaN on an instrument's first bar and where a close is no price.

    A split multiplies and a dividend adds to the close of its ex-date. Adjusted closes contain both already.

    Parameters
    ----------
    has_traded_closes
        Of all bars, where these are some of them; None where these are all.
    """
    moves = np.full(len(bars), np.nan)
    if len(bars) < 2:
        return moves
    close = bars.judged_close
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        np.divide(close[1:], close[:-1], out=moves[1:])
        np.log(moves, out=moves)
        moves[bars.is_first] = np.nan
        is_traded = bars.has_traded_closes if has_traded_closes is None else has_traded_closes
        if is_traded and len(context.actions):
            _apply(context.actions, bars, close, moves)
    return moves


def _apply(actions: Actions, bars: Bars, close: FloatArray, moves: FloatArray) -> None:
    """Overwrite the moves of the first bars on or after an ex-date.

    Only actions inside the span of the bars are looked up: a provider tells all of a history, and a load needs
    those of a few months.
    """
    days, ex_days = days_of(bars.sessions), days_of(actions.ex_sessions)
    inside = np.flatnonzero((ex_days > days.min()) & (ex_days <= days.max()))
    symbol_index = actions.symbol_index[inside]
    rows = np.searchsorted(bars.keys, keys_of(symbol_index, actions.ex_sessions[inside]))
    fits = rows < len(bars)
    fits[fits] = bars.symbol_index[rows[fits]] == symbol_index[fits]
    fits[fits] = ~bars.is_first[rows[fits]]
    acting = inside[fits]
    touched, place = np.unique(rows[fits], return_inverse=True)
    units, cash = np.ones(len(touched)), np.zeros(len(touched))
    np.multiply.at(units, place, actions.split_numerator[acting] / actions.split_denominator[acting])
    np.add.at(cash, place, actions.dividend[acting])
    moves[touched] = np.log((close[touched] * units + cash) / close[touched - 1])


def market_moves(bars: Bars, moves: FloatArray) -> FloatArray:
    """(m,) mean move of all instruments on the session of each bar, each move counted up to ±.35.

    0 on sessions where fewer than ten instruments have moved, and where the mean is beyond any real day.
    """
    if len(bars) < MARKET_INSTRUMENTS:
        return np.zeros(len(bars))
    days = days_of(bars.sessions)
    days = days - days.min()
    known = np.isfinite(moves)
    counted = np.where(known, np.clip(moves, -MARKET_CLIP, MARKET_CLIP), 0.0)
    instruments = np.bincount(days, known)
    mean = np.bincount(days, counted) / np.maximum(instruments, 1)
    mean[(instruments < MARKET_INSTRUMENTS) | (np.abs(mean) > MARKET_LIMIT)] = 0.0
    market: FloatArray = mean[days]
    return market


def next_of(values: FloatArray, bars: Bars) -> FloatArray:
    """(m,) the value of the instrument's next bar; NaN on its last."""
    following = np.full(len(values), np.nan)
    following[:-1] = values[1:]
    following[:-1][bars.is_first[1:]] = np.nan
    return following


def before(values: FloatArray, rows: IntArray, bars: Bars, width: int = VOLATILITY_SESSIONS) -> FloatArray:
    """(k, width) the values of the instrument's bars before each of `rows`; NaN where it has fewer."""
    positions = rows[:, None] - np.arange(width, 0, -1)
    own = positions >= np.searchsorted(bars.symbol_index, bars.symbol_index[rows])[:, None]
    windows: FloatArray = np.where(own, values[np.maximum(positions, 0)], np.nan)
    return windows


def after(values: FloatArray, rows: IntArray, bars: Bars, width: int) -> FloatArray:
    """(k, width) the values of the instrument's bars after each of `rows`; NaN where it has fewer."""
    positions = rows[:, None] + np.arange(1, width + 1)
    own = positions < np.searchsorted(bars.symbol_index, bars.symbol_index[rows], side="right")[:, None]
    windows: FloatArray = np.where(own, values[np.minimum(positions, len(values) - 1)], np.nan)
    return windows


def over_windows(
    measure: Callable[[FloatArray], FloatArray], values: FloatArray, rows: IntArray, bars: Bars
) -> FloatArray:
    """(k,) a number of the 63 values before each of `rows`; some rows at a time, as 63 numbers a row are gathered."""
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    numbers = [measure(before(values, block, bars)) for block in blocks]
    return np.concatenate([np.array([]), *numbers])


def sigma_before(moves: FloatArray, rows: IntArray, bars: Bars) -> FloatArray:
    """(k,) root mean square of the 63 moves before each of `rows`, drawn towards 3 % where there are fewer."""
    return over_windows(_sigma, moves, rows, bars)


def _sigma(windows: FloatArray) -> FloatArray:
    known = np.isfinite(windows)
    squares = np.where(known, np.clip(windows, -MOVE_LIMIT, MOVE_LIMIT), 0.0) ** 2
    total = squares.sum(axis=1) + PRIOR_SESSIONS * PRIOR_SIGMA**2
    sigma: FloatArray = np.sqrt(total / (known.sum(axis=1) + PRIOR_SESSIONS))
    return sigma


def rows_where(mask: BoolArray) -> IntArray:
    """Positions where a mask holds."""
    rows: NDArray[np.int64] = np.flatnonzero(mask).astype(np.int64)
    return rows


def mask_of(rows: IntArray, length: int) -> BoolArray:
    """A mask that holds at positions."""
    mask: BoolArray = np.zeros(length, dtype=bool)
    mask[rows] = True
    return mask
