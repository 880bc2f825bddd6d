"""What the scores of many months say of a model: its losses over a baseline's, its coverage, and whether by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.forecast.models.comparison import diebold_mariano
from pipeline.forecast.models.coverage import CoverageTests, coverage_tests
from pipeline.forecast.models.kinds import is_quantile, level_of
from pipeline.risk.measures.statistic import Statistic

SIGNIFICANCE = 0.05
CHOSEN_BY_MONTHS = 60
"""Months of past scores by which a champion is chosen: regimes change, and a few months are luck."""
FEWEST_MONTHS = 12


@dataclass(frozen=True, slots=True)
class ScoredMonths:
    """Scores of one model, kind and horizon, summed over the instruments of each month.

    Parameters
    ----------
    months
        (m,) first days, sorted.
    forecasts, hits
        (m,) forecasts, and returns below their quantile.
    loss, baseline_loss, squared_error, baseline_squared_error
        (m,) sums over the forecasts; squared errors are NaN where it is no variance.
    """

    months: DateArray
    forecasts: IntArray
    hits: IntArray
    loss: FloatArray
    baseline_loss: FloatArray
    squared_error: FloatArray
    baseline_squared_error: FloatArray


@dataclass(frozen=True, slots=True)
class Passed:
    """Instruments whose tests do not reject at 5 %, of those that could be tested."""

    kupiec: int
    conditional_coverage: int
    dynamic_quantile: int
    instruments: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How forecasts of one kind and horizon did.

    Parameters
    ----------
    forecasts
        Scored forecasts.
    loss, baseline_loss
        Means over them.
    relative_loss
        Their quotient, below 1 where the model is better; None where losses may be below 0 (shortfalls).
    squared_error, baseline_squared_error
        Of annual variances; None otherwise.
    diebold_mariano
        Below 0 where the model is better than the baseline.
    coverage
        Part of the returns below their quantile; None where it is none.
    tests
        Of the hits of a single instrument; None for several, whose hits are not independent.
    passed
        Over the instruments; None where it is no quantile.
    """

    forecasts: int
    first_month: Any
    last_month: Any
    loss: float
    baseline_loss: float
    relative_loss: float | None
    squared_error: float | None
    baseline_squared_error: float | None
    diebold_mariano: Statistic
    level: float | None
    coverage: float | None
    tests: CoverageTests | None
    passed: Passed | None


def evaluate(kind: str, scored: ScoredMonths, hits: Sequence[BoolArray] = (), horizon_sessions: int = 1) -> Evaluation:
    """Evaluate the scores of some months.

    Parameters
    ----------
    kind
        Such as ``variance`` or ``quantile_0.01``.
    scored
        At least one month.
    hits
        Of each instrument, in the order of time; for quantiles.
    horizon_sessions
        Of the returns that hit: beyond 1 they overlap, see `coverage_tests`.
    """
    total = int(scored.forecasts.sum())
    tests = [
        coverage_tests(series, level_of(kind) or 0.0, horizon_sessions)
        for series in hits
        if len(series) > horizon_sessions
    ]
    loss, baseline = float(scored.loss.sum()) / total, float(scored.baseline_loss.sum()) / total
    return Evaluation(
        forecasts=total,
        first_month=scored.months[0].item(),
        last_month=scored.months[-1].item(),
        loss=loss,
        baseline_loss=baseline,
        relative_loss=relative_loss(kind, loss, baseline),
        squared_error=_mean(scored.squared_error, total),
        baseline_squared_error=_mean(scored.baseline_squared_error, total),
        diebold_mariano=diebold_mariano(scored.loss - scored.baseline_loss, scored.forecasts),
        level=level_of(kind),
        coverage=float(scored.hits.sum()) / total if is_quantile(kind) else None,
        tests=tests[0] if len(hits) == 1 and tests else None,
        passed=_passed(tests) if is_quantile(kind) else None,
    )


def relative_loss(kind: str, loss: float, baseline_loss: float) -> float | None:
    """Loss over that of the baseline; None for the joint loss of shortfalls, which has no zero to be measured from."""
    return None if kind.startswith("es_") or baseline_loss <= 0.0 else loss / baseline_loss


def _mean(sums: FloatArray, total: int) -> float | None:
    mean = float(sums.sum()) / total
    return None if np.isnan(mean) else mean


def _passed(tests: Sequence[CoverageTests]) -> Passed:
    def count(statistics: Sequence[Statistic]) -> int:
        return sum(s.p_value is not None and s.p_value >= SIGNIFICANCE for s in statistics)

    return Passed(
        kupiec=count([t.kupiec for t in tests]),
        conditional_coverage=count([t.conditional_coverage for t in tests]),
        dynamic_quantile=count([t.dynamic_quantile for t in tests]),
        instruments=len(tests),
    )


def past_relative_loss(
    scored: Mapping[tuple[str, int], ScoredMonths], before: np.datetime64, months: int = CHOSEN_BY_MONTHS
) -> float | None:
    """By which champions are chosen: the mean over kinds and horizons of `relative_loss` in the last months.

    Parameters
    ----------
    scored
        (kind, horizon) → scores of one model.
    before
        Only months before this one count: what was not known then cannot have decided.

    Returns
    -------
    float or None
        None below `FEWEST_MONTHS` months.
    """
    since = before.astype("datetime64[M]") - months
    ratios = []
    for (kind, _), made in scored.items():
        known = (made.months >= since) & (made.months < before.astype("datetime64[M]"))
        if known.sum() < FEWEST_MONTHS:
            continue
        ratio = relative_loss(kind, float(made.loss[known].sum()), float(made.baseline_loss[known].sum()))
        if ratio is not None:
            ratios.append(ratio)
    return float(np.mean(ratios)) if ratios else None


def best_model(relative_losses: Mapping[str, float | None]) -> str | None:
    """The model of the least past loss; of equal ones the first by name; None where none has any."""
    known = sorted((loss, name) for name, loss in relative_losses.items() if loss is not None)
    return known[0][1] if known else None
