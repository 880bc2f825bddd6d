"""Historical stress of many sessions at once: what a window did to each instrument is worked out once for all.

For one session the figures are those of `stress_historical.replay_window`, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.relative import beta
from pipeline.risk.measures.stress_historical import (
    HistoricalWindow,
    MissingPricesError,
    PricePanel,
    rows_of_window,
)
from pipeline.risk.measures.windows import simple_returns

BETA_SESSIONS = 252
"""Returns behind a proxy's beta."""

BY_PRICES, BY_BETA, BY_NOTHING = b"prices", b"benchmark_beta", b"none"

NOT_COVERED = b"window_not_covered: no prices at its ends"
NO_BENCHMARK = b"no_price_in_window, and no benchmark to stand in"
NO_BETA = b"no_price_in_window, and no beta: fewer than 252 returns beside the benchmark's"
RUINOUS_BETA = b"no_price_in_window, and beta x benchmark loses 100 % in a day"
OTHER_UNKNOWN = b"worst_unknown: another position has no shock"


@dataclass(frozen=True, slots=True)
class WindowPaths:
    """What a window did to each instrument.

    Parameters
    ----------
    window
        The crisis.
    growth
        (s, n) cumulative returns since the close before the window, row 0 being 0; NaN throughout for an instrument
        that lacks a price on a session. None if the prices do not cover the window.
    benchmark
        (s-1,) daily returns of the benchmark; None where it lacks a price.
    """

    window: HistoricalWindow
    growth: FloatArray | None
    benchmark: FloatArray | None

    def is_priced(self, columns: IntArray) -> BoolArray:
        """(k,) whether each of the instruments has a price on every session."""
        if self.growth is None:
            return np.zeros(len(columns), dtype=bool)
        return np.asarray(~np.isnan(self.growth[0, columns]))


@dataclass(frozen=True, slots=True)
class Replays:
    """A portfolio's positions through one window, held as they stood on each of m sessions.

    Parameters
    ----------
    shocks, pnl
        (m, k) move of each position over the window, and its profit or loss as a fraction of the portfolio's value.
    worst_shocks, worst_pnl
        (m, k) the same up to the session on which the whole portfolio stood lowest; NaN if a position has no shock.
    shocked_by, reasons
        (m, k) byte strings: where the shock comes from, and why figures are NaN (empty if none is).
    """

    shocks: FloatArray
    pnl: FloatArray
    worst_shocks: FloatArray
    worst_pnl: FloatArray
    shocked_by: NDArray[np.bytes_]
    reasons: NDArray[np.bytes_]


def window_paths(window: HistoricalWindow, prices: PricePanel, benchmark_close: FloatArray | None) -> WindowPaths:
    """What a window did to each instrument of a panel.

    Parameters
    ----------
    prices
        (t, n) of every instrument.
    benchmark_close
        (t,) on the same sessions, NaN where missing; None without a benchmark.
    """
    try:
        rows = rows_of_window(window, prices.sessions)
    except MissingPricesError:
        return WindowPaths(window, None, None)
    close = prices.close[rows]
    priced = ~np.isnan(close).any(axis=0)
    growth = np.full(close.shape, np.nan)
    growth[:, priced] = close[:, priced] / close[0, priced] - 1.0
    index = None if benchmark_close is None else benchmark_close[rows]
    has_index = index is not None and not np.isnan(index).any()
    return WindowPaths(window, growth, index[1:] / index[:-1] - 1.0 if index is not None and has_index else None)


def trailing_betas(close: FloatArray, benchmark_close: FloatArray, rows: IntArray) -> FloatArray:
    """Slope on the benchmark's returns over the last `BETA_SESSIONS` returns up to each row.

    Parameters
    ----------
    close, benchmark_close
        (t,) NaN where missing; only sessions on which both have a price count.
    rows
        (m,) positions among the t sessions.

    Returns
    -------
    FloatArray
        (m,) NaN where there are fewer returns, or the benchmark does not vary.
    """
    shared = np.isfinite(close) & np.isfinite(benchmark_close)
    betas = np.full(len(rows), np.nan)
    returns_before = np.cumsum(shared)[rows] - 1
    full = returns_before >= BETA_SESSIONS
    if full.any():
        ends = returns_before[full] - BETA_SESSIONS
        betas[full] = beta(*(_windows(prices[shared], ends) for prices in (close, benchmark_close)))
    return betas


def _windows(close: FloatArray, starts: IntArray) -> FloatArray:
    """(m, 252) returns from some positions on; contiguous, so that each row is summed by itself."""
    returns = np.lib.stride_tricks.sliding_window_view(simple_returns(close), BETA_SESSIONS)
    return np.ascontiguousarray(returns[starts])


def replay_sessions(paths: WindowPaths, columns: IntArray, weights: FloatArray, betas: FloatArray) -> Replays:
    """Hold a portfolio through a window as it stood on each of several sessions.

    Parameters
    ----------
    columns
        (k,) of the positions among the instruments of the paths.
    weights
        (m, k) of the positions on each session, as fractions of the portfolio's value.
    betas
        (m, k) of the positions on each session, NaN where unknown; used where prices are missing.
    """
    shape = weights.shape
    if paths.growth is None:
        nothing = np.full(shape, np.nan)
        return Replays(nothing, nothing, nothing, nothing, np.full(shape, BY_NOTHING), np.full(shape, NOT_COVERED))
    growths, reasons = _position_growths(paths, columns, betas)
    shocks = np.column_stack([np.broadcast_to(growth[..., -1], shape[0]) for growth in growths])
    unknown = np.isnan(shocks)
    incomplete: BoolArray = np.asarray(unknown.any(axis=1))
    worst = _worst_shocks(growths, weights, incomplete)
    reasons = np.where((reasons == b"") & incomplete[:, None], OTHER_UNKNOWN, reasons)
    source = np.where(paths.is_priced(columns), BY_PRICES, np.where(unknown, BY_NOTHING, BY_BETA))
    return Replays(shocks, shocks * weights, worst, worst * weights, source, reasons)


def _position_growths(
    paths: WindowPaths, columns: IntArray, betas: FloatArray
) -> tuple[list[FloatArray], NDArray[np.bytes_]]:
    """Cumulative returns of each position, (s,) by its prices or (m, s) by its betas, and why they are NaN."""
    assert paths.growth is not None
    reasons = np.full(betas.shape, b"", dtype=f"S{len(NO_BETA)}")
    growths: list[FloatArray] = []
    for position, (column, priced) in enumerate(zip(columns, paths.is_priced(columns), strict=True)):
        if priced:
            growths.append(np.ascontiguousarray(paths.growth[:, column]))
        else:
            growth, reasons[:, position] = _proxied(paths, betas[:, position], len(paths.growth))
            growths.append(growth)
    return growths, reasons


def _proxied(paths: WindowPaths, betas: FloatArray, sessions: int) -> tuple[FloatArray, NDArray[np.bytes_]]:
    """(m, s) compounded beta × the benchmark's daily return."""
    if paths.benchmark is None:
        return np.full((len(betas), sessions), np.nan), np.full(len(betas), NO_BENCHMARK)
    daily = betas[:, None] * paths.benchmark
    ruined = (daily <= -1.0).any(axis=1)
    daily[ruined] = np.nan
    growth = np.zeros((len(betas), sessions))
    growth[:, 1:] = np.cumprod(1.0 + daily, axis=1) - 1.0
    return growth, np.where(ruined, RUINOUS_BETA, np.where(np.isnan(betas), NO_BETA, b""))


def _worst_shocks(growths: list[FloatArray], weights: FloatArray, incomplete: BoolArray) -> FloatArray:
    """(m, k) moves up to the first session on which each row's cumulative loss was deepest."""
    path = np.zeros((len(weights), growths[0].shape[-1]))
    # A loop over positions sums every session in the same order, whatever the shapes, so the choice never varies.
    for weight, growth in zip(weights.T, growths, strict=True):
        path += weight[:, None] * growth
    path[incomplete] = 0.0
    lowest = np.argmin(path, axis=1)
    rows = np.arange(len(weights))
    worst = np.column_stack([growth[lowest] if growth.ndim == 1 else growth[rows, lowest] for growth in growths])
    worst[incomplete] = np.nan
    return worst
