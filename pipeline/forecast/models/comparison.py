"""Whether one series of forecasts was better than another, or only luckier."""

from __future__ import annotations

import math

import numpy as np

from pipeline.base import special
from pipeline.base.types import FloatArray, IntArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.risk.measures.statistic import Statistic

FEWEST_BLOCKS = 12
"""Of months, a year; the long-run variance of fewer says nothing."""


def newey_west_lags(blocks: int) -> int:
    """⌊4 (m / 100)^(2/9)⌋ autocovariances (Newey & West 1994, section 3, for the Bartlett kernel); at least 1."""
    return max(1, math.floor(4.0 * math.pow(blocks / 100.0, 2.0 / 9.0)))


def diebold_mariano(differences: FloatArray, forecasts: IntArray | None = None, lags: int | None = None) -> Statistic:
    """Test of equal accuracy (Diebold & Mariano 1995): mean loss difference over its standard error.

    Losses of overlapping horizons depend on each other, and so do those of instruments on one session. Differences are
    therefore summed into blocks, months as a rule, in which the second kind of dependence ends; for the first the
    variance is long-run, with the Bartlett weights of Newey & West (1987). With D the sums and n the numbers, the mean
    is ΣD / Σn, and its error follows from the residuals D - n ΣD / Σn. Compared with Student's t of m - 1 degrees.

    Parameters
    ----------
    differences
        (m,) sums of the loss of a forecast less that of the other, in the order of time.
    forecasts
        (m,) forecasts in each sum; None for one in each, so that the differences are single ones.
    lags
        Autocovariances that count; `newey_west_lags` unless given.

    Returns
    -------
    Statistic
        Below 0 where the first was better; two-sided p-value.
    """
    blocks = len(differences)
    counts = np.ones(blocks) if forecasts is None else np.asarray(forecasts, dtype=np.float64)
    _require_blocks(differences, counts, lags)
    if blocks < FEWEST_BLOCKS:
        return Statistic.undefined(f"fewer_than_{FEWEST_BLOCKS}_blocks")
    mean = float(differences.sum() / counts.sum())
    residuals = differences - counts * mean
    variance = _long_run_sum(residuals, newey_west_lags(blocks) if lags is None else lags)
    # Equal losses differ by rounding at most, and so does their variance.
    scale = float(np.abs(differences).max())
    if variance <= blocks * (1e-12 * scale) ** 2:
        return Statistic.undefined("no_variation_of_the_differences")
    value = mean * float(counts.sum()) / math.sqrt(variance)
    return Statistic(value, 2.0 * float(special.stdtr(blocks - 1, -abs(value))))


def _long_run_sum(residuals: FloatArray, lags: int) -> float:
    """Variance of the sum of serially dependent residuals of mean 0 (Newey & West 1987)."""
    total = float(residuals @ residuals)
    for lag in range(1, min(lags, len(residuals) - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(residuals[lag:] @ residuals[:-lag])
    return total


def _require_blocks(differences: FloatArray, counts: FloatArray, lags: int | None) -> None:
    if differences.ndim != 1 or counts.shape != differences.shape:
        raise ForecastInputError(
            f"differences: shape {differences.shape}, {counts.shape} numbers of forecasts; give one of each a block"
        )
    if not np.isfinite(differences).all():
        raise ForecastInputError("differences: NaN or infinite; compare only forecasts that both have a loss")
    if (counts < 1).any():
        raise ForecastInputError("forecasts: a block without any; leave it out")
    if lags is not None and lags < 0:
        raise ForecastInputError(f"lags={lags}: give 0 or more")
