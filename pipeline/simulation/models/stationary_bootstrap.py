"""Stationary block bootstrap: history replayed in blocks of random length.

Politis & Romano (1994), "The stationary bootstrap", JASA 89: blocks begin anywhere, wrap around, and have
geometric lengths. The mean length is chosen from the data by Politis & White (2004), "Automatic block-length
selection for the dependent bootstrap", Econometric Reviews 23, with the correction of Patton, Politis &
White (2009), Econometric Reviews 28.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.lanes import Book, close_lane, keep_fan, keep_paths, new_book, open_book, settle
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import Key, packed_key, random_words
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.protocol import Parameter, columns_of
from pipeline.simulation.models.stretches import (
    DEEPEST,
    HIGHEST,
    LOWEST,
    VALUE,
    WIDTH,
    figures_of_stretches,
    longest_stretch,
    weighted_sum,
)

STREAM = np.uint64(1)
_HALF_WORD = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)

TABLES_KEPT = 4

SIGNIFICANCE_MULTIPLE = 2.0
"""An autocorrelation counts above ``2 √(log10 n / n)`` (Politis & White 2004, footnote c)."""


class Tables(NamedTuple):
    """What paths look up; a named tuple, because compiled kernels take one.

    Parameters
    ----------
    growth
        (n, t + 1 + `WIDTH`) of `growth_index`.
    closes
        (t + 1, n) the same by session.
    bought
        (t + 1, n) units of each position for 1.
    figures
        (t, longest + 1, 4) of `figures_of_stretches`; of length 1 without.
    """

    growth: FloatArray
    closes: FloatArray
    bought: FloatArray
    figures: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class FittedBootstrap:
    """The history of the positions, and how it is cut.

    Parameters
    ----------
    history
        (t, n) returns.
    index
        `growth_index` of them.
    mean_block_sessions
        Mean length of a block.
    """

    history: FloatArray
    index: FloatArray
    mean_block_sessions: float

    @classmethod
    def of(cls, history: FloatArray, mean_block_sessions: float) -> FittedBootstrap:
        """Blocks of (t, n) returns, or of one series."""
        columns = np.ascontiguousarray(columns_of(history))
        return cls(columns, growth_index(columns), mean_block_sessions)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The mean block length."""
        return (Parameter("mean_block_sessions", self.mean_block_sessions),)

    def walk(self, outcomes: Outcomes, plan: Plan, fan_steps: IntArray, key: tuple[int, int], first_path: int) -> None:
        """Walk through resampled history (see `FittedModel.walk`).

        Weights that return to their targets daily make a portfolio one series, unless what a position earns, or a
        trade costs, is asked for.
        """
        is_apart = outcomes.position_gain.shape[1] > 0
        is_daily = bool(plan.rebalances.all()) and np.array_equal(plan.weights, plan.targets)
        is_one = is_daily and plan.cost == 0.0 and not is_apart and bool((self.history @ plan.weights > -1.0).all())
        longest = 0 if is_apart or is_one or (self.history <= -1.0).any() else longest_stretch(plan)
        tables = _tables(self, plan.targets.tobytes(), is_one, longest)
        law = (tables, self.mean_block_sessions)
        _walk(law, plan.of_one_series() if is_one else plan, packed_key(key), first_path, fan_steps, outcomes)


@dataclass(frozen=True, slots=True)
class StationaryBootstrap:
    """Resampled blocks, whose length keeps both the returns' dependence and their volatility clusters."""

    name: str = "stationary_bootstrap"

    def fit(self, returns: FloatArray) -> FittedBootstrap:
        """Choose the longest of the block lengths that suit the positions' returns and their magnitudes.

        Returns themselves are almost uncorrelated; the optimum for them alone would tear clusters of
        volatility apart, and with them the deep drawdowns.
        """
        columns = columns_of(returns)
        lengths = (optimal_block_sessions(series) for column in columns.T for series in (column, np.abs(column)))
        return FittedBootstrap.of(columns, max(lengths))


def growth_index(history: FloatArray) -> FloatArray:
    """(n, t + 1 + `WIDTH`) value of each position from 1 on, and zeros that may be read with what comes before."""
    sessions, positions = history.shape
    index = np.zeros((positions, sessions + 1 + WIDTH))
    index[:, 0] = 1.0
    np.cumprod(1.0 + history.T, axis=1, out=index[:, 1 : sessions + 1])
    return index


@lru_cache(TABLES_KEPT)
def _tables(fitted: FittedBootstrap, targets: bytes, is_one: bool, longest: int) -> Tables:
    """The tables of a plan: every chunk of a run asks for the same.

    Parameters
    ----------
    is_one
        Whether the portfolio is one series, that of its targets.
    longest
        Of the stretches to tabulate, in sessions; 0 for none.
    """
    weights, index = np.frombuffer(targets), fitted.index
    if is_one:
        index = growth_index((fitted.history @ weights)[:, None])
    closes = np.ascontiguousarray(index.T[:-WIDTH])
    with np.errstate(divide="ignore"):  # of a position that is worth nothing none can be bought
        bought = 1.0 / closes
    figures = figures_of_stretches(index, weights, longest) if longest > 0 else np.ones((1, 1, 4))
    return Tables(index, closes, bought, figures)


def optimal_block_sessions(series: FloatArray) -> float:
    """Mean block length that minimises the error of the bootstrap variance of the mean.

    Parameters
    ----------
    series
        (n,) observations.

    Returns
    -------
    float
        Between 1 and ``min(3 √n, n / 3)`` sessions; 1 for a constant series.
    """
    if np.ptp(series) == 0.0:  # the variance would not be exactly 0: the mean of equal numbers is rounded
        return 1.0
    n = len(series)
    run = max(5, math.ceil(math.sqrt(math.log10(n))))
    longest_lag = math.ceil(math.sqrt(n)) + run
    covariance = _autocovariance(series, min(longest_lag, n - 1))
    lag = _last_significant_lag(covariance / covariance[0], n, run)
    bandwidth = min(2 * max(lag, 1), len(covariance) - 1)
    lags = np.arange(1, bandwidth + 1)
    weighted = np.minimum(1.0, 2.0 * (1.0 - lags / bandwidth)) * covariance[1 : bandwidth + 1]
    spectrum_at_zero = covariance[0] + 2.0 * weighted.sum()
    slope = 2.0 * (lags * weighted).sum()
    if spectrum_at_zero <= 0.0:
        return 1.0
    length = (slope**2 / spectrum_at_zero**2 * n) ** (1.0 / 3.0)  # (2 G² / D)^⅓ n^⅓ with D = 2 g(0)²
    return float(min(max(length, 1.0), 3.0 * math.sqrt(n), n / 3.0))


def _autocovariance(series: FloatArray, lags: int) -> FloatArray:
    """(lags + 1,) with divisor n, which keeps the sequence positive definite."""
    centred = series - series.mean()
    n = len(series)
    return np.array([centred[: n - lag] @ centred[lag:] for lag in range(lags + 1)]) / n


def _last_significant_lag(correlation: FloatArray, n: int, run: int) -> int:
    """The smallest lag after which `run` correlations in a row are insignificant."""
    threshold = SIGNIFICANCE_MULTIPLE * math.sqrt(math.log10(n) / n)
    significant = np.abs(correlation[1:]) >= threshold
    for lag in range(len(significant) - run + 1):
        if not significant[lag : lag + run].any():
            return lag
    return int(np.flatnonzero(significant)[-1]) + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(
    law: tuple[Tables, float], plan: Plan, key: Key, first_path: int, fan_steps: IntArray, outcomes: Outcomes
) -> None:
    """One word a block: its upper half places the start, its lower half the length by inversion.

    ``(half · t) >> 32`` favours no start by more than t / 2³². In a block, and between trades, a path holds units of
    the index, so that a session is one product of two rows; from its targets on it looks up how it does.
    """
    tables, mean_block = law
    sessions, horizon, is_tabled = len(tables.closes) - 1, len(plan.flows), tables.figures.shape[1] > 1
    log_stay = np.log1p(-1.0 / mean_block) if mean_block > 1.0 else -np.inf
    units, room, stops = np.zeros(len(tables.growth)), np.empty(horizon + WIDTH), _stops(plan, fan_steps)
    book, origin = new_book(len(plan.weights), outcomes.position_gain.shape[1], 1), np.empty(3)
    for row in range(len(outcomes.terminal_wealth)):
        path = np.uint64(first_path + row)
        open_book(book, plan)
        step = fan = 0
        block, start, at_targets = np.uint64(0), np.int64(0), is_tabled
        while step < horizon:
            for word in random_words(block, path, STREAM, key[0], key[1]):
                position = np.int64(((word >> _HALF_WORD) * np.uint64(sessions)) >> _HALF_WORD)
                log_uniform = np.log((np.float64(word & _LOW_HALF) + 0.5) / 4294967296.0)
                end = min(step + 1 + int(log_uniform / log_stay), horizon)
                is_new = True
                while step < end:
                    if is_new and at_targets:
                        start = position
                        origin[0], origin[1], origin[2] = book.wealth[0], book.peak[0], book.least[0]
                    elif is_new:
                        _take_units(book, tables, position, units)
                    is_new = False
                    stop = min(stops[step], end, step + sessions - position)
                    if at_targets:
                        _leap(book, tables, origin, start, position + stop - step)
                    else:
                        _ride(book, tables, (units, room), position, stop - step)
                    position, step = position + stop - step, stop
                    if step == stops[step - 1]:
                        # A step of the fan alone changes nothing, to the last bit.
                        is_restored = _restored(book, plan, step - 1)
                        is_new = is_restored or settle(book, plan, step - 1)
                        at_targets |= is_restored and is_tabled
                        if fan < len(fan_steps) and step == fan_steps[fan]:
                            fan = keep_fan(book, outcomes, row, fan, fan_steps, step - 1)
                    if at_targets and not is_new and (step == end or position == sessions):
                        _drift(book, plan, tables, origin, start, position)
                        at_targets = False
                    if position == sessions:
                        position, is_new = np.int64(0), True
            block += np.uint64(1)
        keep_paths(book, outcomes, row)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _leap(book: Book, tables: Tables, origin: FloatArray, start: np.int64, position: np.int64) -> None:
    """Go from a close at which the weights were the targets to another of the same stretch of history."""
    figures, (wealth, peak, least) = tables.figures[start, position - start], (origin[0], origin[1], origin[2])
    book.wealth[0] = wealth * figures[VALUE]
    book.peak[0] = max(peak, wealth * figures[HIGHEST])
    book.least[0] = min(least, wealth * figures[LOWEST] / peak, figures[DEEPEST])


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _drift(book: Book, plan: Plan, tables: Tables, origin: FloatArray, start: np.int64, position: np.int64) -> None:
    """Value the positions that have left their targets since the start of a stretch."""
    value, bought, close = book.value.ravel(), tables.bought[start], tables.closes[position]
    for i in range(len(value)):
        value[i] = plan.targets[i] * origin[0] * bought[i] * close[i]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _restored(book: Book, plan: Plan, step: int) -> bool:
    """Return to the weights where that is all that is due, and tell; apart, for a call of `settle` takes 0.3 µs."""
    if not plan.rebalances[step] or plan.flows[step] != 0.0 or plan.cost > 0.0 or len(book.earned) > 0:
        return False
    for i in range(len(book.value)):
        book.value[i, 0] = plan.targets[i] * book.wealth[0]
    return True


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _stops(plan: Plan, fan_steps: IntArray) -> IntArray:
    """(horizon,) steps that are done when next something is traded or kept, by those done before."""
    horizon = len(plan.flows)
    is_stop = plan.rebalances | (plan.flows != 0.0) | (plan.band < np.inf)
    for step in fan_steps:
        is_stop[step - 1] = True
    stops, stop = np.empty(horizon, np.int64), horizon
    for step in range(horizon - 1, -1, -1):
        stop = step + 1 if is_stop[step] else stop
        stops[step] = stop
    return stops


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _take_units(book: Book, tables: Tables, position: np.int64, units: FloatArray) -> None:
    value, bought = book.value.ravel(), tables.bought[position]
    for i in range(len(units)):
        units[i] = value[i] * bought[i]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _ride(book: Book, tables: Tables, rooms: tuple[FloatArray, FloatArray], position: np.int64, count: int) -> None:
    """Hold units for some sessions of the history; with nothing or less a portfolio is closed.

    Sessions are innermost, `WIDTH` of them whether wanted or not: they compile to vector instructions without a rest.
    """
    units, room = rooms
    for first in range(0, count, WIDTH):
        weighted_sum(units, tables.growth, position + 1 + first, room, first)
    shares, peak, least = book.shares[0], book.peak[0], book.least[0]
    is_lost = False
    for ahead in range(count):
        share = room[ahead] * shares
        peak = share if share > peak else peak
        if share < least * peak:  # seldom, so that there is seldom a division
            least = share / peak
        is_lost |= room[ahead] <= 0.0
    book.wealth[0], book.peak[0], book.least[0] = room[count - 1], peak, least
    value, close = book.value.ravel(), tables.closes[position + count]
    for i in range(len(units)):
        value[i] = units[i] * close[i]
    if is_lost:
        close_lane(book, 0)
