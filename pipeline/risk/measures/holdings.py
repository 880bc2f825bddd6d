"""From holdings to returns: what a portfolio earned, and what today's holdings would have earned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base.types import DateArray, FloatArray, IntArray, Rebalancing, SetUnits
from pipeline.risk.measures.drift_band import setting_rows, units_on
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import rolling, simple_returns

_PERIOD_UNIT: dict[Rebalancing, str] = {"daily": "datetime64[D]", "monthly": "datetime64[M]"}
WEIGHT_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a portfolio holds, in the order of the price columns.

    Parameters
    ----------
    amounts
        (n,) units held for ``buy_and_hold``, target weights that sum to 1 otherwise.
    rebalancing
        When the weights return to their targets: at the last close of each period, or at one that is outside the band.
    drift_band
        For ``drift_band``: fraction of value by which a weight may leave its target, between 0 and 1. None otherwise.
    set_units
        For ``drift_band``: what was held before the prices begin. None where they begin with the portfolio, or with one
        of its trades.
    """

    amounts: FloatArray
    rebalancing: Rebalancing
    drift_band: float | None = None
    set_units: SetUnits | None = None

    def __post_init__(self) -> None:
        if self.amounts.ndim != 1 or len(self.amounts) == 0:
            raise MeasureInputError("positions: none given; a portfolio needs at least one")
        if not np.isfinite(self.amounts).all():
            raise MeasureInputError("positions: NaN or infinite amount; give finite numbers")
        total = float(self.amounts.sum())
        if self.rebalancing != "buy_and_hold" and abs(total - 1.0) > WEIGHT_SUM_TOLERANCE:
            raise MeasureInputError(f"target weights sum to {total:.6g}; they must sum to 1")
        if (self.rebalancing == "drift_band") != (self.drift_band is not None):
            raise MeasureInputError(
                "drift_band: rebalancing=drift_band needs one, and no other policy has one; give both or neither"
            )
        if self.drift_band is not None and not 0.0 < self.drift_band < 1.0:
            raise MeasureInputError(
                f"drift_band: {self.drift_band:g}, a fraction of value; give one between 0 and 1, such as 0.05"
            )

    @property
    def targets(self) -> FloatArray:
        """(n,) target weights that sum to 1 to the last bit that rounding leaves."""
        targets: FloatArray = self.amounts / self.amounts.sum()
        return targets

    def setting_rows(self, close: FloatArray) -> IntArray:
        """(t,) row at which a drift band set what is held from each close on, of prices that begin with a trade."""
        assert self.drift_band is not None  # of that policy alone
        return setting_rows(close, self.targets, self.drift_band)


@dataclass(frozen=True, slots=True)
class HeldPortfolio:
    """A portfolio through time.

    Parameters
    ----------
    returns
        (t-1,) simple returns of its value under the rebalancing policy.
    weights
        (t-1, n) weights at the close of the session of each return: the targets if that close rebalances, as every
        one does daily, and with a drift band one that is outside; otherwise as they have drifted up to that close.
        Whether a month or quarter has ended, only its next session tells, and a row must not change when that one
        comes.
    asset_returns
        (t-1, n) simple returns of what it holds.
    """

    returns: FloatArray
    weights: FloatArray
    asset_returns: FloatArray

    def part(self, span: slice) -> HeldPortfolio:
        """The same portfolio over a part of its returns."""
        return HeldPortfolio(self.returns[span], self.weights[span], self.asset_returns[span])


def hold(close: FloatArray, sessions: DateArray, holdings: Holdings) -> HeldPortfolio:
    """Value holdings through time.

    Parameters
    ----------
    close
        (t, n) prices, all finite and positive.
    sessions
        (t,) sorted.

    Raises
    ------
    MeasureInputError
        If prices are missing, or the portfolio is worth nothing or less on a session.
    """
    asset_returns = simple_returns(close)
    if holdings.rebalancing == "drift_band":
        return HeldPortfolio(*_held_in_band(close, _band_units(close, sessions, holdings)), asset_returns)
    if holdings.rebalancing == "buy_and_hold":
        values = close * holdings.amounts
    else:
        values = _target_weight_values(close, sessions, holdings)
    total = _sum_columns(values)
    _require_value(total)
    if holdings.rebalancing == "buy_and_hold":
        return HeldPortfolio(total[1:] / total[:-1] - 1.0, values[1:] / total[1:, None], asset_returns)
    return HeldPortfolio(*_rebalanced(values, total, sessions, holdings), asset_returns)


def opening_weights(close: FloatArray, sessions: DateArray, holdings: Holdings) -> FloatArray:
    """Weights with which each return was earned: those of the close before it, after a rebalancing at that close.

    Unlike `HeldPortfolio.weights` they know that a period has ended, as whoever looks back does: with them the
    portfolio's returns are the weighted sums of those of its positions.

    Parameters
    ----------
    close, sessions, holdings
        As for `hold`, which refuses what cannot be held.

    Returns
    -------
    FloatArray
        (t-1, n).
    """
    if holdings.rebalancing == "drift_band":
        values = (close * _band_units(close, sessions, holdings))[:-1]
        return values / _sum_columns(values)[:, None]
    if holdings.rebalancing == "buy_and_hold":
        values = close * holdings.amounts
        return values[:-1] / _sum_columns(values[:-1])[:, None]
    values = _target_weight_values(close, sessions, holdings)[:-1]
    opening = values / _sum_columns(values)[:, None]
    periods = period_ids(sessions, holdings.rebalancing)
    opening[periods[1:] != periods[:-1]] = holdings.amounts / holdings.amounts.sum()
    return opening


def scenario_windows(held: HeldPortfolio, window_sessions: int) -> FloatArray:
    """What the weights of each session would have earned over the window that ends there.

    Current holdings × historical returns: the default for value at risk of positions.

    Returns
    -------
    FloatArray
        (t-1 - window_sessions + 1, window_sessions).
    """
    scenarios = np.zeros((len(held.returns) - window_sessions + 1, window_sessions))
    # A loop over instruments: every element is summed in the same order, whatever the shapes, so bits agree.
    for weight, returns in zip(held.weights.T, held.asset_returns.T, strict=True):
        scenarios += weight[window_sessions - 1 :, None] * rolling(returns, window_sessions)
    return scenarios


def scenario_returns(held: HeldPortfolio, row: int, window_sessions: int) -> FloatArray:
    """What the weights at the close of one session would have earned over the window that ends there.

    Parameters
    ----------
    row
        Position of the session among the t; it follows return ``row - 1``.

    Returns
    -------
    FloatArray
        (window_sessions,).

    Raises
    ------
    MeasureInputError
        If the session has fewer returns before it.
    """
    if row < window_sessions:
        raise MeasureInputError(
            f"returns: {row} before that session, and the window needs {window_sessions};"
            " choose a later session or a shorter window"
        )
    part = held.part(slice(row - window_sessions, row))
    scenarios = np.zeros(window_sessions)
    for weight, returns in zip(part.weights[-1], part.asset_returns.T, strict=True):
        scenarios += weight * returns
    return scenarios


def period_ids(sessions: DateArray, rebalancing: Rebalancing) -> IntArray:
    """A number for each session that changes with each rebalancing period."""
    if rebalancing == "quarterly":
        return sessions.astype("datetime64[M]").astype(np.int64) // 3
    return sessions.astype(_PERIOD_UNIT[rebalancing]).astype(np.int64)


def _target_weight_values(close: FloatArray, sessions: DateArray, holdings: Holdings) -> FloatArray:
    """(t, n) value of each position per unit of portfolio value at the last rebalancing."""
    base = _base_rows(sessions, holdings.rebalancing)
    return holdings.amounts * (close / close[base])


def _base_rows(sessions: DateArray, rebalancing: Rebalancing) -> IntArray:
    """(t,) row of the close at which the weights of each session were last set: the period before's last."""
    periods = period_ids(sessions, rebalancing)
    is_first = np.r_[False, periods[1:] != periods[:-1]]
    rows = np.where(is_first, np.arange(len(sessions)) - 1, 0)
    return np.maximum.accumulate(rows)


def _rebalanced(
    values: FloatArray, total: FloatArray, sessions: DateArray, holdings: Holdings
) -> tuple[FloatArray, FloatArray]:
    """Returns and closing weights when the value restarts at each rebalancing."""
    periods = period_ids(sessions, holdings.rebalancing)
    # It restarts from the targets' own sum: what they miss of 1, within the tolerance, is neither gain nor loss.
    start = total[0]
    before = np.where(periods[1:] != periods[:-1], start, total[:-1])
    if holdings.rebalancing == "daily":
        weights = np.tile(holdings.amounts / start, (len(total) - 1, 1))
    else:
        weights = values[1:] / total[1:, None]
    return total[1:] / before - 1.0, weights


def _band_units(close: FloatArray, sessions: DateArray, holdings: Holdings) -> FloatArray:
    """(t, n) units held from each close on."""
    if holdings.set_units is not None:
        return units_on(sessions, holdings.set_units)
    return holdings.targets / close[holdings.setting_rows(close)]


def _held_in_band(close: FloatArray, units: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns and closing weights of units: each row of its own close and the one before, wherever reading began."""
    reached = _sum_columns(units[:-1] * close[1:])
    _require_value(reached)
    values = units * close
    total = _sum_columns(values)
    _require_value(total)
    return reached / total[:-1] - 1.0, values[1:] / total[1:, None]


def _require_value(total: FloatArray) -> None:
    if not (total > 0).all():
        raise MeasureInputError(
            f"portfolio value: {total.min():.6g} at its lowest; hold less short, so that it is above 0 on every session"
        )


def _sum_columns(values: FloatArray) -> FloatArray:
    total = np.zeros(len(values))
    for column in values.T:
        total += column
    return total


def first_needed_row(close: FloatArray, sessions: DateArray, holdings: Holdings, window_sessions: int) -> int:
    """Row from which prices are needed for the window that ends with the last session.

    Its first return follows a close whose weights were set at the end of the period before, or at the band's last
    trade.

    Parameters
    ----------
    close, sessions
        (t, n) and (t,) on which everything held has a price; with a drift band from its first session on.

    Raises
    ------
    MeasureInputError
        If there are too few sessions for the window.
    """
    start = len(sessions) - 1 - window_sessions
    if start < 0:
        raise MeasureInputError(
            f"sessions: {len(sessions)} with a price of everything held, and a window of {window_sessions} returns"
            f" needs {window_sessions + 1}; choose a later session or a shorter window"
        )
    if holdings.rebalancing == "buy_and_hold":
        return start
    if holdings.rebalancing == "drift_band":
        return int(holdings.setting_rows(close)[start])
    return int(_base_rows(sessions, holdings.rebalancing)[start])
