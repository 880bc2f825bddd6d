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
from typing import TypeAlias

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.lanes import Book, close_lane, keep_fan, keep_paths, new_book, open_book, settle
from pipeline.simulation.models.outcomes import Outcomes
from pipeline.simulation.models.philox import Key, packed_key, random_words
from pipeline.simulation.models.plan import Plan
from pipeline.simulation.models.protocol import Parameter, columns_of
from pipeline.simulation.models.replay import STREAM, Tables, block_of, growth_index, stops_of, tables_of
from pipeline.simulation.models.stretch_walk import walk_stretches
from pipeline.simulation.models.stretches import WIDTH, longest_stretch, weighted_sum

PlanBytes: TypeAlias = tuple[bytes, bytes, bytes, bytes, float, float]
"""A plan by which something can be looked up."""

TABLES_KEPT = 4

SIGNIFICANCE_MULTIPLE = 2.0
"""An autocorrelation counts above ``2 √(log10 n / n)`` (Politis & White 2004, footnote c)."""


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
        tables, is_one, is_tabled = _tables(self, _bytes_of(plan), outcomes.position_gain.shape[1] > 0)
        walk = walk_stretches if is_tabled else _walk
        law = (tables, self.mean_block_sessions)
        walk(law, plan.of_one_series() if is_one else plan, packed_key(key), first_path, fan_steps, outcomes)


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


@lru_cache(TABLES_KEPT)
def _tables(fitted: FittedBootstrap, plan: PlanBytes, is_apart: bool) -> tuple[Tables, bool, bool]:
    """The tables of a plan, whether it is one series, and whether it has stretches: every chunk of a run asks for it.

    Parameters
    ----------
    is_apart
        Whether what each position earns is asked for.
    """
    asked = _plan_of_bytes(plan)
    is_daily = bool(asked.rebalances.all()) and np.array_equal(asked.weights, asked.targets)
    is_one = is_daily and asked.cost == 0.0 and not is_apart and bool((fitted.history @ asked.weights > -1.0).all())
    if is_one:
        return tables_of(growth_index((fitted.history @ asked.targets)[:, None]), np.ones(1), 0), True, False
    longest = 0 if is_apart or (fitted.history <= -1.0).any() else longest_stretch(asked)
    return tables_of(fitted.index, asked.targets, longest), False, longest > 0


def _bytes_of(plan: Plan) -> PlanBytes:
    weights, targets = plan.weights.tobytes(), plan.targets.tobytes()
    return weights, targets, plan.rebalances.tobytes(), plan.flows.tobytes(), plan.cost, plan.band


def _plan_of_bytes(kept: PlanBytes) -> Plan:
    weights, targets, rebalances, flows, cost, band = kept
    one, other, paid = (np.frombuffer(values) for values in (weights, targets, flows))
    return Plan(one, other, np.frombuffer(rebalances, np.bool_), paid, cost, band)


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
    """One word a block. In it, and between trades, a path holds units of the index: a session is a product of rows."""
    tables, mean_block = law
    sessions, horizon = len(tables.closes) - 1, len(plan.flows)
    log_stay = np.log1p(-1.0 / mean_block) if mean_block > 1.0 else -np.inf
    units, room, stops = np.zeros(len(tables.growth)), np.empty(horizon + WIDTH), stops_of(plan, fan_steps)
    book = new_book(len(plan.weights), outcomes.position_gain.shape[1], 1)
    for row in range(len(outcomes.terminal_wealth)):
        path = np.uint64(first_path + row)
        open_book(book, plan)
        step, fan, block = 0, 0, np.uint64(0)
        while step < horizon:
            for word in random_words(block, path, STREAM, key[0], key[1]):
                position, length = block_of(word, sessions, log_stay)
                end = min(step + length, horizon)
                is_new = True
                while step < end:
                    if is_new:
                        _take_units(book, tables, position, units)
                    stop = min(stops[step], end, step + sessions - position)
                    _ride(book, tables, (units, room), position, stop - step)
                    position, step = position + stop - step, stop
                    is_new = False
                    if step == stops[step - 1]:
                        # A step of the fan alone changes nothing, to the last bit.
                        is_new = _restored(book, plan, step - 1) or settle(book, plan, step - 1)
                        if fan < len(fan_steps) and step == fan_steps[fan]:
                            fan = keep_fan(book, outcomes, row, fan, fan_steps, step - 1)
                    if position == sessions:
                        position, is_new = np.int64(0), True
            block += np.uint64(1)
        keep_paths(book, outcomes, row)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _restored(book: Book, plan: Plan, step: int) -> bool:
    """Return to the weights where that is all that is due, and tell; apart, for a call of `settle` takes 0.3 µs."""
    if not plan.rebalances[step] or plan.flows[step] != 0.0 or plan.cost > 0.0 or len(book.earned) > 0:
        return False
    for i in range(len(book.value)):
        book.value[i, 0] = plan.targets[i] * book.wealth[0]
    return True


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
