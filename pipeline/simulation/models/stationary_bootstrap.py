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

from pipeline.base.types import FloatArray
from pipeline.simulation.models.philox import random_words

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
    def parameters(self) -> dict[str, float]:
        """The mean block length."""
        return {"mean_block_sessions": self.mean_block_sessions}

    def draw(self, returns: FloatArray, key: tuple[int, int], first_path: int) -> None:
        """Fill rows with resampled history (see `FittedModel.draw`)."""
        _draw(self.history, self.mean_block_sessions, np.uint64(key[0]), np.uint64(key[1]), first_path, returns)


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
    n = len(series)
    run = max(5, math.ceil(math.sqrt(math.log10(n))))
    longest_lag = math.ceil(math.sqrt(n)) + run
    covariance = _autocovariance(series, min(longest_lag, n - 1))
    if covariance[0] <= 0.0:
        return 1.0
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
def _draw(
    history: FloatArray, mean_block: float, seed: np.uint64, subject: np.uint64, first_path: int, out: FloatArray
) -> None:
    """One word a block: its upper half places the start, its lower half the length by inversion.

    ``(half · n) >> 32`` favours no start by more than n / 2³².
    """
    n = len(history)
    paths, horizon = out.shape
    log_stay = np.log1p(-1.0 / mean_block) if mean_block > 1.0 else -np.inf
    for row in range(paths):
        path = np.uint64(first_path + row)
        step = 0
        block = np.uint64(0)
        while step < horizon:
            for word in random_words(block, path, STREAM, seed, subject):
                position = np.int64(((word >> _HALF_WORD) * np.uint64(n)) >> _HALF_WORD)
                log_uniform = np.log((np.float64(word & _LOW_HALF) + 0.5) / 4294967296.0)
                end = min(step + 1 + int(log_uniform / log_stay), horizon)
                while step < end:
                    out[row, step] = history[position]
                    position += 1
                    if position == n:
                        position = np.int64(0)
                    step += 1
            block += np.uint64(1)
