"""Do exceptions come without memory? The sessions between them tell (Christoffersen & Pelletier 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.base import special
from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.statistic import Statistic

_LOG_SHAPE_BOUNDS = (-4.0, 4.0)
_TOLERANCE = 1e-10
_ITERATIONS = 100
"""Halving the bounds alone takes 37."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Sessions between exceptions.

    Parameters
    ----------
    complete
        (k,) from one exception to the next.
    censored
        (0 to 2,) before the first and after the last, which are only known to last at least as long.
    """

    complete: FloatArray
    censored: FloatArray


def duration_test(hits: BoolArray) -> Statistic:
    """Weibull durations against exponential ones: likelihood ratio of shape b = 1, χ² with one degree of freedom.

    Without memory the hazard of an exception is constant. Shapes below 1 mean clusters. The density is
    aᵇ b D^(b-1) exp(-(aD)ᵇ); a duration cut off by the start or the end of the series counts by its survival
    function. The p-value is asymptotic; with few exceptions the test rejects somewhat too often.

    Parameters
    ----------
    hits
        (n,) exceptions.

    Returns
    -------
    Statistic
        Undefined below two exceptions, and where the likelihood has no maximum: a single complete duration
        that no censored one exceeds, or durations that are all the same.
    """
    if int(hits.sum()) < 2:
        return Statistic.undefined("fewer_than_two_exceptions")
    ratio = float(duration_ratios(np.flatnonzero(hits), np.array([0]), np.array([len(hits)]))[0])
    if np.isnan(ratio):
        return Statistic.undefined("likelihood_without_maximum")
    return Statistic(ratio, float(special.chdtrc(1, ratio)))


def duration_ratios(positions: IntArray, starts: IntArray, stops: IntArray) -> FloatArray:
    """Likelihood ratios of many parts of one series at once; the bits of one do not depend on the others.

    The rate that is best for a shape b is aᵇ = k / ΣDᵇ with k complete durations, which leaves a profile of the
    likelihood in b that is concave: its one maximum is found by Newton's steps in log b inside shrinking bounds.

    Parameters
    ----------
    positions
        (h,) sorted sessions with an exception.
    starts, stops
        (m,) parts: the sessions from `starts` up to, without, `stops`, with at least two exceptions each.

    Returns
    -------
    FloatArray
        (m,); NaN where the likelihood has no maximum.
    """
    padded = _Padded.of(positions, starts, stops)
    log_shape = _best_log_shape(padded)
    ratio = np.maximum(0.0, 2.0 * (padded.profile(log_shape) - padded.profile(np.zeros_like(log_shape))))
    return np.where(_LOG_SHAPE_BOUNDS[1] - log_shape < 1e-3, np.nan, ratio)


def durations_between(hits: BoolArray) -> Durations:
    """Complete and censored durations of (n,) hits with at least one exception.

    The first counts from the session before the series. A series that begins or ends with an exception has no
    censored duration there.
    """
    positions = np.flatnonzero(hits)
    first, last = positions[0] + 1.0, len(hits) - 1.0 - positions[-1]
    censored = [first] if not hits[0] else []
    censored += [last] if not hits[-1] else []
    return Durations(np.diff(positions).astype(np.float64), np.array(censored, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class _Padded:
    """Durations of m parts in the columns of one matrix, the two censored ones first.

    Parameters
    ----------
    logs
        (m, w) logarithms less the largest of each row; of any value where `is_there` is 0.
    is_there
        (m, w) 1, or 0 where a part has no such duration.
    largest
        (m,) logarithm of the longest duration.
    complete, mean_log
        (m,) number of complete durations, and the mean of their logarithms less `largest`.
    """

    logs: FloatArray
    is_there: FloatArray
    largest: FloatArray
    complete: FloatArray
    mean_log: FloatArray

    @classmethod
    def of(cls, positions: IntArray, starts: IntArray, stops: IntArray) -> _Padded:
        first, last = np.searchsorted(positions, starts), np.searchsorted(positions, stops) - 1
        complete = last - first
        ahead = np.arange(max(1, int(complete.max(initial=1))))
        place = np.minimum(first[:, None] + ahead, len(positions) - 2)
        before, after = positions[first] - starts + 1, stops - 1 - positions[last]
        lengths = np.column_stack([before, after, np.diff(positions)[place]]).astype(np.float64)
        # As `durations_between`: a part that begins or ends with an exception has no censored duration there.
        is_there = np.column_stack([before > 1, after > 0, ahead < complete[:, None]])
        logs = np.log(np.where(is_there, lengths, 1.0))
        largest = logs.max(axis=1)
        logs -= largest[:, None]
        total = _row_sums(np.where(is_there, logs, 0.0)[:, 2:])
        return cls(logs, is_there.astype(np.float64), largest, complete.astype(np.float64), total / complete)

    def rows(self, chosen: IntArray) -> _Padded:
        """Some of the parts."""
        return _Padded(
            self.logs[chosen],
            self.is_there[chosen],
            self.largest[chosen],
            self.complete[chosen],
            self.mean_log[chosen],
        )

    def powers(self, log_shape: FloatArray) -> FloatArray:
        """(m, w) Dᵇ over the longest to the same power; 0 where there is none."""
        raised: FloatArray = np.exp(np.exp(log_shape)[:, None] * self.logs) * self.is_there
        return raised

    def profile(self, log_shape: FloatArray) -> FloatArray:
        """(m,) log-likelihood at the shape exp(`log_shape`) and the rate that is best for it."""
        shape = np.exp(log_shape)
        log_sum = np.log(_row_sums(self.powers(log_shape))) + shape * self.largest
        logs = self.complete * (self.mean_log + self.largest)
        likelihood: FloatArray = (
            self.complete * (np.log(self.complete) - log_sum + log_shape - 1.0) + (shape - 1.0) * logs
        )
        return likelihood

    def slope(self, log_shape: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(m,) derivative of the profile in log b over the complete durations, and its derivative in turn."""
        shape, powers = np.exp(log_shape), self.powers(log_shape)
        total = _row_sums(powers)
        mean = _row_sums(powers * self.logs) / total
        square = _row_sums(powers * self.logs * self.logs) / total
        bend = shape * (self.mean_log - mean)
        return 1.0 + bend, bend - shape * shape * (square - mean * mean)


def _best_log_shape(padded: _Padded) -> FloatArray:
    """(m,) where the slope is 0, or the bound towards which it points."""
    best = np.zeros(len(padded.complete))
    low, high = np.full(len(best), _LOG_SHAPE_BOUNDS[0]), np.full(len(best), _LOG_SHAPE_BOUNDS[1])
    active = np.arange(len(best))
    for _ in range(_ITERATIONS):
        if len(active) == 0:
            break
        at = best[active]
        slope, curvature = padded.rows(active).slope(at)
        low[active] = np.where(slope > 0.0, at, low[active])
        high[active] = np.where(slope > 0.0, high[active], at)
        wanted = at - slope / np.where(curvature < 0.0, curvature, -1.0)
        is_inside = (curvature < 0.0) & (wanted > low[active]) & (wanted < high[active])
        best[active] = np.where(is_inside, wanted, 0.5 * (low[active] + high[active]))
        active = active[np.abs(best[active] - at) > _TOLERANCE]
    return best


def _row_sums(values: FloatArray) -> FloatArray:
    """(m,) sums of rows (m, w), one number after the other: what pads a row changes no bit of its sum."""
    sums: FloatArray = np.cumsum(values, axis=1)[:, -1]
    return sums
