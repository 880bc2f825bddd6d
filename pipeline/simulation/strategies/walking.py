"""A strategy through time: weights set at each month's last close, drifting until the next, trades paid for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.simulation.strategies.errors import StrategyInputError

SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Walk:
    """What a strategy was worth.

    Parameters
    ----------
    rows
        Positions of its m sessions among those given: from the one after the first weights to the last.
    nav
        (m,) net asset value after costs; 1 before the first purchase.
    returns
        (m,) simple returns after costs.
    turnover
        (m,) bought and sold before the session, as a fraction of the value; 0 where nothing was traded.
    cost
        (m,) what that cost, as a fraction of the value.
    """

    rows: slice
    nav: FloatArray
    returns: FloatArray
    turnover: FloatArray
    cost: FloatArray


def walk_forward(
    close: FloatArray, sessions: DateArray, set_on: DateArray, weights: FloatArray, cost_fraction: float
) -> Walk:
    """Follow weights through prices.

    Weights of a month are traded at the last close of that month and earn from the next session on; in between they
    drift. They are paid for in the return of that next session, which alone tells that the month is over: nothing
    changes what is past. A stock without a price keeps its last one: a gap is made up for when it ends, and what is
    delisted lies as cash until the next month's weights.

    Parameters
    ----------
    close
        (t, n) prices, NaN where missing.
    sessions
        (t,) sorted.
    set_on
        (m,) ascending days on which weights were set, in different months.
    weights
        (m, n) 0 or positive; each row sums to 1.
    cost_fraction
        Cost of what is bought or sold.

    Raises
    ------
    StrategyInputError
        If weights do not sum to 1, or a stock is bought that has had no price yet.
    """
    _require_weights(weights)
    bases = _last_of_months(sessions, set_on)
    known = bases >= 0
    bases, weights = bases[known], weights[known]
    first = int(bases[0]) + 1 if len(bases) else len(sessions)
    filled = _filled(close)
    length = len(sessions) - first
    returns, turnover, cost = np.zeros(length), np.zeros(length), np.zeros(length)
    held = np.zeros(close.shape[1])
    ends = np.append(bases, len(sessions) - 1)[1:]
    for base, end, bought in zip(bases.tolist(), ends.tolist(), weights, strict=True):
        if base == end:
            continue
        growth = filled[base + 1 : end + 1] / filled[base]
        values = _values(growth, bought, base)
        total = _sum_columns(values)
        traded = float(_sum_columns(np.abs(bought - held)[None])[0])
        paid = cost_fraction * traded
        span = slice(base + 1 - first, end + 1 - first)
        returns[span] = total / np.r_[1.0, total[:-1]] - 1.0
        returns[span.start] = total[0] * (1.0 - paid) - 1.0
        turnover[span.start], cost[span.start] = traded, paid
        held = values[-1] / total[-1]
    nav: FloatArray = np.cumprod(1.0 + returns, dtype=np.float64)
    return Walk(slice(first, len(sessions)), nav, returns, turnover, cost)


def _require_weights(weights: FloatArray) -> None:
    sums = weights.sum(axis=1)
    if not (np.isfinite(weights).all() and (weights >= 0.0).all() and (np.abs(sums - 1.0) <= SUM_TOLERANCE).all()):
        raise StrategyInputError("weights: negative, or do not sum to 1; give those of `weigh`")


def _last_of_months(sessions: DateArray, days: DateArray) -> IntArray:
    """(m,) row of the last session of each day's month; -1 where all sessions are later."""
    next_months = (days.astype("datetime64[M]") + 1).astype("datetime64[D]")
    rows: IntArray = np.searchsorted(sessions, next_months) - 1
    return rows


def _filled(close: FloatArray) -> FloatArray:
    """(t, n) prices, the last one known where one is missing; NaN before the first."""
    rows = np.where(np.isfinite(close), np.arange(len(close))[:, None], 0)
    return np.take_along_axis(close, np.maximum.accumulate(rows, axis=0), axis=0)


def _values(growth: FloatArray, bought: FloatArray, base: int) -> FloatArray:
    values = np.where(bought > 0.0, bought * growth, 0.0)
    if not np.isfinite(values).all():
        raise StrategyInputError(f"close: no price up to row {base} of a stock that has a weight; leave it out")
    return values


def _sum_columns(values: FloatArray) -> FloatArray:
    """Sums in the order of the columns, whatever the shapes: further stocks of weight 0 change no bit."""
    total = np.zeros(len(values))
    for column in values.T:
        total += column
    return total
