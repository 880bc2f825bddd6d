"""From the histories of single instruments, as most vendors give them, to bars and actions of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.market_data.rules.bars import VALUE_FIELDS, Actions, Bars

LARGEST_SPLIT_PART = 1_000
"""Vendors give splits as decimals; a ratio of small numbers is what was decided, and 1/3 is not 0.3333."""
SIX_DIGITS = Fraction(5, 10**6)
"""Largest rounding of a number to six digits, as a share of it."""

_NO_DAYS = np.array([], dtype="datetime64[D]")
_NO_NUMBERS = np.array([], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class History:
    """One instrument's bars, with the actions that its vendor tells on the same rows.

    Parameters
    ----------
    sessions
        (m,) days.
    values
        (m, 6) numbers in the order of `VALUE_FIELDS`; NaN where there is none.
    split_factor
        (m,) new units for one old; 1 without a split.
    dividend
        (m,) cash for one unit; 0 without one.
    """

    symbol: str
    sessions: DateArray
    values: FloatArray
    split_factor: FloatArray
    dividend: FloatArray

    @property
    def has_values(self) -> BoolArray:
        """(m,) which rows are bars: those with any number."""
        given: BoolArray = np.logical_or.reduce(~np.isnan(self.values), axis=1)
        return given

    @property
    def has_action(self) -> BoolArray:
        """(m,) which rows have a split or a dividend."""
        acting: BoolArray = (self.split_factor != 1) | (self.dividend != 0)
        return acting

    def inside(self, first: date, last: date) -> History:
        """The rows from the first to the last day, both included."""
        kept = inside(self.sessions, first, last)
        return History(
            self.symbol, self.sessions[kept], self.values[kept], self.split_factor[kept], self.dividend[kept]
        )


def inside(sessions: DateArray, first: date, last: date) -> BoolArray:
    """(m,) which days lie from the first to the last, both included."""
    edges = np.array([first, last], dtype="datetime64[D]")
    kept: BoolArray = (sessions >= edges[0]) & (sessions <= edges[1])
    return kept


def bars_of(histories: Sequence[History]) -> Bars:
    """The bars of all; rows without any number are none."""
    given = [history.has_values for history in histories]
    values = _joined([history.values for history in histories], given, np.empty((0, len(VALUE_FIELDS))))
    return Bars(
        tuple(history.symbol for history in histories),
        _positions(given),
        _joined([history.sessions for history in histories], given, _NO_DAYS),
        *(np.ascontiguousarray(column) for column in values.T),
    )


def actions_of(histories: Sequence[History]) -> Actions:
    """The splits and dividends of all."""
    acting = [history.has_action for history in histories]
    factors = _joined([history.split_factor for history in histories], acting, _NO_NUMBERS)
    ratios = np.array([split_ratio(factor) for factor in factors.tolist()], dtype=np.int64).reshape(-1, 2)
    return Actions(
        tuple(history.symbol for history in histories),
        _positions(acting),
        _joined([history.sessions for history in histories], acting, _NO_DAYS),
        ratios[:, 0],
        ratios[:, 1],
        _joined([history.dividend for history in histories], acting, _NO_NUMBERS),
    )


def split_ratio(factor: float) -> tuple[int, int]:
    """New units for old ones, in lowest terms: 4.0 is 4 for 1, 0.1 is 1 for 10, 0.3333 is 1 for 3, 1.281 is itself."""
    stated = Fraction(repr(factor))
    if stated.denominator <= LARGEST_SPLIT_PART:
        return stated.numerator, stated.denominator
    found = _simplest_within(stated, stated * SIX_DIGITS)
    if found.denominator > LARGEST_SPLIT_PART:  # fewer digits were given than it takes, such as 0.3333
        places = len(repr(factor).partition(".")[2])
        found = _simplest_within(stated, max(Fraction(1, 10**places), Fraction(math.ulp(factor))))
    return found.numerator, found.denominator


def _simplest_within(stated: Fraction, rounding: Fraction) -> Fraction:
    return _simplest_between(stated - rounding, stated + rounding)


def _simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """The fraction of an interval above 0 with the smallest parts, by continued fractions (Stern–Brocot tree)."""
    whole = low.numerator // low.denominator
    if whole == low:
        return Fraction(whole)
    if whole + 1 <= high:
        return Fraction(whole + 1)
    return whole + 1 / _simplest_between(1 / (high - whole), 1 / (low - whole))


def _positions(kept: Sequence[BoolArray]) -> IntArray:
    return np.repeat(np.arange(len(kept), dtype=np.int64), [int(rows.sum()) for rows in kept])


def _joined(columns: Sequence[NDArray[Any]], kept: Sequence[BoolArray], none: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([none, *(column[rows] for column, rows in zip(columns, kept, strict=True))])
