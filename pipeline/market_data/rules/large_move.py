"""A move that a risk officer would want to see, such as a crash."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.market_data.rules.bars import Bars, Context
from pipeline.market_data.rules.moves import mask_of, moves_of, rows_where

LARGE_RETURN = 0.25
"""Absolute simple return; between 20 S&P 500 stocks it comes about once a year."""


def flag_large_move(bars: Bars, context: Context) -> BoolArray:
    """(m,) closes more than 25 % above or below the one before, after splits and dividends.

    Those that neither market, volume nor a second source confirms are counted again by `unconfirmed_move`.
    """
    return mask_of(large_rows(moves_of(bars, context).total), len(bars))


def large_rows(moves: FloatArray) -> IntArray:
    """Positions of the large ones among log returns."""
    with np.errstate(over="ignore"):
        return rows_where(np.abs(np.expm1(moves)) > LARGE_RETURN)
