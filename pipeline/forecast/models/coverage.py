"""Whether returns fell below their forecast quantiles as often as the level says, and without a pattern.

Returns over h sessions that begin a session apart share all but one of them: one fall is h hits in a row, and every
test of a single series would take it for h. Of every h-th one no two overlap, so each of the h series that begin on
another session is tested by itself, and their least p-value is multiplied by h (Bonferroni), as Diebold, Gunther & Tay
(1998, "Evaluating density forecasts with applications to financial risk management") propose for forecasts of
several steps. Little power is lost that overlapping returns had: they say hardly more than those that do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base import special
from pipeline.base.types import BoolArray, FloatArray
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.risk.measures.backtests import conditional_coverage_test, independence_test, kupiec_test
from pipeline.risk.measures.statistic import Statistic

DYNAMIC_QUANTILE_LAGS = 4
"""Engle & Manganelli (2004), section 6, use four lagged hits."""
RANK_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class CoverageTests:
    """Every test of the hits of one series of quantile forecasts.

    Parameters
    ----------
    level, observations, hits
        Level of the quantile, returns, and those below their quantile.
    kupiec
        Is their number right?
    independence
        Is a hit as likely after a hit as after none?
    conditional_coverage
        Both together (Christoffersen 1998).
    dynamic_quantile
        Do the last hits tell the next?
    """

    level: float
    observations: int
    hits: int
    kupiec: Statistic
    independence: Statistic
    conditional_coverage: Statistic
    dynamic_quantile: Statistic

    @property
    def coverage(self) -> float:
        """Part of the returns below their quantile."""
        return self.hits / self.observations


def coverage_tests(hits: BoolArray, level: float, horizon_sessions: int = 1) -> CoverageTests:
    """Test the hits of a series.

    Parameters
    ----------
    hits
        (m,) whether each return was below its quantile, in the order of time; at least 2 that do not overlap.
    level
        q in (0, 1).
    horizon_sessions
        Of the returns, one a session; beyond 1 they overlap.
    """
    _require_hits(hits, level)
    if horizon_sessions < 1 or len(hits) <= horizon_sessions:
        raise ForecastInputError(
            f"horizon_sessions={horizon_sessions}: {len(hits)} hits; give 1 or more, and more hits than sessions"
        )
    apart = [hits[start::horizon_sessions] for start in range(horizon_sessions)]
    apart = [own for own in apart if len(own) > 1]
    return CoverageTests(
        level=level,
        observations=len(hits),
        hits=int(hits.sum()),
        kupiec=least_likely([kupiec_test(int(own.sum()), len(own), 1.0 - level) for own in apart]),
        independence=least_likely([independence_test(own) for own in apart]),
        conditional_coverage=least_likely([conditional_coverage_test(own, 1.0 - level) for own in apart]),
        dynamic_quantile=least_likely([dynamic_quantile_test(own, level) for own in apart]),
    )


def least_likely(statistics: Sequence[Statistic]) -> Statistic:
    """The least likely of several tests of one hypothesis, by a p-value that allows for their number (Bonferroni).

    Returns
    -------
    Statistic
        The first where none is defined.
    """
    defined = [(one.p_value, one) for one in statistics if one.p_value is not None]
    if not defined:
        return statistics[0]
    p_value, one = min(defined, key=lambda found: found[0])
    return Statistic(one.value, min(1.0, len(defined) * p_value))


def dynamic_quantile_test(
    hits: BoolArray, level: float, lags: int = DYNAMIC_QUANTILE_LAGS, regressors: FloatArray | None = None
) -> Statistic:
    """Out-of-sample dynamic quantile test (Engle & Manganelli 2004): hits cannot be foretold from what was known.

    h = 1{r < Q} - q is regressed on a constant, its own last `lags` values and the `regressors`. Without any power,
    DQ = h'X (X'X)⁻¹ X'h / (q (1 - q)) is χ² with as many degrees of freedom as X has columns.

    Parameters
    ----------
    hits
        (m,) whether each return was below its quantile.
    level
        q in (0, 1).
    regressors
        (m, k) what was known before each return, such as its quantile; None for the hits alone.

    Returns
    -------
    Statistic
        Undefined for fewer sessions than columns, and where the columns depend on each other: without any hit.
    """
    _require_hits(hits, level)
    if lags < 0:
        raise ForecastInputError(f"lags={lags}: give 0 or more")
    if regressors is not None and (regressors.ndim != 2 or len(regressors) != len(hits)):
        raise ForecastInputError(f"regressors: shape {regressors.shape} for {len(hits)} hits; give a row a hit")
    centred: FloatArray = hits.astype(np.float64) - level
    rows = len(hits) - lags
    columns: list[FloatArray] = [np.ones(max(rows, 0))]
    columns += [centred[lags - lag : len(hits) - lag] for lag in range(1, lags + 1)]
    design = np.column_stack(columns if regressors is None else [*columns, regressors[lags:]])
    if rows <= design.shape[1]:
        return Statistic.undefined("fewer_sessions_than_regressors")
    return _quadratic_form(design, centred[lags:], level)


def _quadratic_form(design: FloatArray, centred: FloatArray, level: float) -> Statistic:
    gram = design.T @ design
    unit = 1.0 / np.sqrt(np.maximum(np.diagonal(gram), np.finfo(np.float64).tiny))
    scaled = gram * unit[:, None] * unit
    if np.linalg.eigvalsh(scaled)[0] < RANK_TOLERANCE:
        return Statistic.undefined("regressors_depend_on_each_other")
    cross = (design.T @ centred) * unit
    value = max(float(cross @ np.linalg.solve(scaled, cross)) / (level * (1.0 - level)), 0.0)
    return Statistic(value, float(special.chdtrc(design.shape[1], value)))


def _require_hits(hits: BoolArray, level: float) -> None:
    if hits.ndim != 1 or len(hits) < 2:
        raise ForecastInputError(f"hits: shape {hits.shape}; give one series of at least 2")
    if hits.dtype != np.bool_:
        raise ForecastInputError(f"hits: {hits.dtype}; give whether each return was below its quantile")
    if not 0.0 < level < 1.0:
        raise ForecastInputError(f"level={level}: give a fraction between 0 and 1, such as 0.01")
