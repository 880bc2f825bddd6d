"""The factor of each corporate action, by which earlier closes are multiplied (see `adjusted_close`)."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.market_data.measures.adjusted_close import SplitsAndDividends, TradedCloses
from pipeline.market_data.measures.errors import ActionInputError


def action_factors(bars: TradedCloses, actions: SplitsAndDividends) -> FloatArray:
    """(1 - D / C) / units of each action, C being the last close before its ex-date.

    Of several actions since the same close, each is measured on what the ones before it have left, so that their
    product is the adjustment over all of them.

    Parameters
    ----------
    bars
        (m,) accepted closes as traded, sorted by instrument and date.
    actions
        (a,) splits and dividends, in any order.

    Returns
    -------
    FloatArray
        (a,) in the order of the actions; without a close before its date, an action has only the split's factor.

    Raises
    ------
    ActionInputError
        If a dividend is negative, not finite or not below the close before it, or a split ratio is not positive.
    """
    factors = np.ones(len(actions.ex_sessions))
    base_row, base = -1, np.nan
    for action in np.lexsort((actions.ex_sessions, actions.symbol_index)).tolist():
        row = _row_before(bars, int(actions.symbol_index[action]), actions.ex_sessions[action])
        if row != base_row or row < 0:
            base_row, base = row, float(bars.close[row]) if row >= 0 else np.nan
        factors[action] = _factor(actions, action, base)
        base *= factors[action]
    return factors


def _row_before(bars: TradedCloses, instrument: int, day: np.datetime64) -> int:
    """Position of the last bar before a day; -1 if there is none."""
    first, stop = np.searchsorted(bars.symbol_index, [instrument, instrument + 1])
    row = int(first + np.searchsorted(bars.sessions[first:stop], day)) - 1
    return row if row >= first else -1


def _factor(actions: SplitsAndDividends, action: int, close: float) -> float:
    numerator, denominator = int(actions.split_numerator[action]), int(actions.split_denominator[action])
    dividend, day = float(actions.dividend[action]), actions.ex_sessions[action]
    instrument = int(actions.symbol_index[action])
    if numerator <= 0 or denominator <= 0:
        raise ActionInputError(
            f"Instrument {instrument} has a split of {numerator}:{denominator} on {day}. Correct it."
        )
    if not (np.isfinite(dividend) and dividend >= 0):
        raise ActionInputError(
            f"Instrument {instrument} has a dividend of {dividend} on {day}. Correct or leave it out."
        )
    if dividend >= close:
        raise ActionInputError(
            f"Instrument {instrument} has a dividend of {dividend:g} on {day}, and was at {close:g}. Correct it."
        )
    kept = 1.0 if np.isnan(close) else 1.0 - dividend / close
    return kept * denominator / numerator
