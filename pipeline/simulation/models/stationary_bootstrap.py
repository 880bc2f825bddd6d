"""Stationary block bootstrap: history replayed in blocks of random length.

Politis & Romano (1994), "The stationary bootstrap", JASA 89: blocks begin anywhere, wrap around, and have
geometric lengths. The mean length is chosen from the data by Politis & White (2004), "Automatic block-length
selection for the dependent bootstrap", Econometric Reviews 23, with the correction of Patton, Politis &
White (2009), Econometric Reviews 28.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.base.types import FloatArray, IntArray
from pipeline.simulation.models.outcomes import START, Outcomes, advance
from pipeline.simulation.models.philox import Key, packed_key, random_words
from pipeline.simulation.models.protocol import Parameter

STREAM = np.uint64(1)
_HALF_WORD = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)

SIGNIFICANCE_MULTIPLE = 2.0
"""An autocorrelation counts above ``2 √(log10 n / n)`` (Politis & White 2004, footnote c)."""


@dataclass(frozen=True, slots=True)
class FittedBootstrap:
    """The history and the mean length of its blocks, in sessions."""

    history: FloatArray
    mean_block_sessions: float

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The mean block length."""
        return (Parameter("mean_block_sessions", self.mean_block_sessions),)

    def walk(
        self, outcomes: Outcomes, fan_steps: IntArray, horizon_sessions: int, key: tuple[int, int], first_path: int
    ) -> None:
        """Walk through resampled history (see `FittedModel.walk`)."""
        law = (self.history, self.mean_block_sessions)
        _walk(law, packed_key(key), first_path, horizon_sessions, fan_steps, outcomes)


@dataclass(frozen=True, slots=True)
class StationaryBootstrap:
    """Resampled blocks, whose length keeps both the returns' dependence and their volatility clusters."""

    name: str = "stationary_bootstrap"

    def fit(self, returns: FloatArray) -> FittedBootstrap:
        """Choose the longer of the block lengths that suit the returns and their magnitudes.

        Returns themselves are almost uncorrelated; the optimum for them alone would tear clusters of
        volatility apart, and with them the deep drawdowns.
        """
        length = max(optimal_block_sessions(returns), optimal_block_sessions(np.abs(returns)))
        return FittedBootstrap(np.ascontiguousarray(returns), length)


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
    law: tuple[FloatArray, float], key: Key, first_path: int, horizon: int, fan_steps: IntArray, outcomes: Outcomes
) -> None:
    """One word a block: its upper half places the start, its lower half the length by inversion.

    ``(half · n) >> 32`` favours no start by more than n / 2³².
    """
    history, mean_block = law
    n = len(history)
    log_stay = np.log1p(-1.0 / mean_block) if mean_block > 1.0 else -np.inf
    for row in range(len(outcomes.terminal_wealth)):
        path = np.uint64(first_path + row)
        state = START
        step = fan = 0
        block = np.uint64(0)
        while step < horizon:
            for word in random_words(block, path, STREAM, key[0], key[1]):
                position = np.int64(((word >> _HALF_WORD) * np.uint64(n)) >> _HALF_WORD)
                log_uniform = np.log((np.float64(word & _LOW_HALF) + 0.5) / 4294967296.0)
                end = min(step + 1 + int(log_uniform / log_stay), horizon)
                while step < end:
                    state = advance(state, history[position])
                    step += 1
                    if fan < len(fan_steps) and step == fan_steps[fan]:
                        outcomes.fan_wealth[row, fan] = state[0]
                        fan += 1
                    position += 1
                    if position == n:
                        position = np.int64(0)
            block += np.uint64(1)
        outcomes.terminal_wealth[row] = state[0]
        outcomes.max_drawdown[row] = state[2] - 1.0
