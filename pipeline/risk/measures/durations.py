"""Do exceptions come without memory? The sessions between them tell (Christoffersen & Pelletier 2004)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import chdtrc, logsumexp

from pipeline.base.types import BoolArray, FloatArray
from pipeline.risk.measures.statistic import Statistic

_LOG_SHAPE_BOUNDS = (-4.0, 4.0)


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
    durations = durations_between(hits)
    best = minimize_scalar(
        lambda log_shape: -_profile(durations, log_shape),
        bounds=_LOG_SHAPE_BOUNDS,
        method="bounded",
        options={"xatol": 1e-9},
    )
    if _LOG_SHAPE_BOUNDS[1] - float(best.x) < 1e-3:
        return Statistic.undefined("likelihood_without_maximum")
    statistic = max(0.0, 2.0 * (-float(best.fun) - _profile(durations, 0.0)))
    return Statistic(statistic, float(chdtrc(1, statistic)))


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


def _profile(durations: Durations, log_shape: float) -> float:
    """Log-likelihood at shape exp(`log_shape`) and the rate that is best for it, aᵇ = k / ΣDᵇ."""
    shape, complete = float(np.exp(log_shape)), len(durations.complete)
    logs = np.log(durations.complete)
    log_sum = float(logsumexp(shape * np.r_[logs, np.log(durations.censored)]))
    return complete * (math.log(complete) - log_sum + log_shape - 1.0) + (shape - 1.0) * float(logs.sum())
