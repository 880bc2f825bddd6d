"""Falls from the peak as other libraries define them: compounded, or of the running sum of returns."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures import drawdown, growth
from pipeline.risk.measures.convention_spec import ConventionSpec
from pipeline.risk.measures.tail import historical_es
from pipeline.risk.measures.windows import quotient


def compounded_drawdown(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """The platform's."""
    return drawdown.max_drawdown(returns)


def calmar(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """The platform's."""
    return drawdown.calmar_ratio(growth.cagr(returns, spec.periods_per_year), drawdown.max_drawdown(returns))


def ulcer_index_less_one(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Root of the squared compounded falls over n - 1."""
    mean_square: FloatArray = np.sum(drawdown.drawdowns(returns) ** 2, axis=-1) / (returns.shape[-1] - 1)
    return np.sqrt(mean_square)


def summed_drawdown(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Positive: deepest fall of the running *sum* of returns from its peak, the start included; may exceed 1."""
    deepest: FloatArray = np.max(_summed_falls(returns), axis=-1)
    return deepest


def mean_over_summed_drawdown(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Per session: mean excess return over the drawdown of the running sum."""
    deepest = summed_drawdown(returns, spec)
    return quotient(np.mean(returns - spec.risk_free_rate_daily, axis=-1), deepest, deepest > 0.0)


def average_summed_drawdown(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Positive mean over the sessions of the fall of the running sum."""
    average: FloatArray = np.mean(_summed_falls(returns), axis=-1)
    return average


def ulcer_index_of_sum(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Root mean square of the falls of the running sum."""
    mean_square: FloatArray = np.mean(_summed_falls(returns) ** 2, axis=-1)
    return np.sqrt(mean_square)


def summed_drawdown_shortfall(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Expected shortfall of the falls of the running sum, with the fractional atom."""
    return historical_es(-_summed_falls(returns), spec.confidence)


def _summed_falls(returns: FloatArray) -> FloatArray:
    """(..., n) of the running sum from its peak, positive."""
    total = np.cumsum(returns, axis=-1)
    falls: FloatArray = np.maximum(np.maximum.accumulate(total, axis=-1), 0.0) - total
    return falls
