"""Risk measures, a file per family, and the registry that reports are made from.

A new measure is a function in its family's file and a line in `MEASURES`; it inherits the invariance
tests of ``tests/unit/risk``. A stored measure also needs its column in ``pipeline.store.risk_columns``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures import dispersion, drawdown, growth, moments, relative, tail
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import RiskSpec, Windows

__all__ = ["MEASURES", "Measure", "MeasureInputError", "RiskSpec", "Windows"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A named measure.

    Parameters
    ----------
    name
        Column and field name.
    scaling
        What multiplying every return by c > 0 does: ``"linear"`` multiplies the measure by c,
        ``"invariant"`` leaves it, ``"compounded"`` neither.
    compute
        From windows ``(..., n)`` to values ``(...)``.
    undefined_because
        Why `compute` may give NaN; None if it never does.
    """

    name: str
    scaling: str
    compute: Callable[[Windows, RiskSpec], FloatArray]
    undefined_because: str | None = None


def _calmar(windows: Windows, spec: RiskSpec) -> FloatArray:
    return drawdown.calmar_ratio(
        growth.cagr(windows.returns, spec.periods_per_year), drawdown.max_drawdown(windows.returns)
    )


def _beta(windows: Windows, _: RiskSpec) -> FloatArray:
    if windows.benchmark is None:
        return np.full(windows.returns.shape[:-1], np.nan)
    return relative.beta(windows.returns, windows.benchmark)


MEASURES: tuple[Measure, ...] = (
    Measure("cagr", "compounded", lambda w, s: growth.cagr(w.returns, s.periods_per_year)),
    Measure("volatility", "linear", lambda w, s: dispersion.volatility(w.returns, s.periods_per_year)),
    Measure(
        "sharpe_ratio",
        "invariant",
        lambda w, s: dispersion.sharpe_ratio(w.returns, s.risk_free_rate_daily, s.periods_per_year),
        "no_variation",
    ),
    Measure(
        "sortino_ratio",
        "invariant",
        lambda w, s: dispersion.sortino_ratio(w.returns, s.risk_free_rate_daily, s.periods_per_year),
        "no_return_below_target",
    ),
    Measure("max_drawdown", "compounded", lambda w, _: drawdown.max_drawdown(w.returns)),
    Measure("calmar_ratio", "compounded", _calmar, "no_drawdown"),
    Measure("skewness", "invariant", lambda w, _: moments.skewness(w.returns), "no_variation"),
    Measure("excess_kurtosis", "invariant", lambda w, _: moments.excess_kurtosis(w.returns), "no_variation"),
    Measure("var_95_1d", "linear", lambda w, _: tail.historical_var(w.scenarios, 0.95)),
    Measure("var_99_1d", "linear", lambda w, _: tail.historical_var(w.scenarios, 0.99)),
    Measure("es_975_1d", "linear", lambda w, _: tail.historical_es(w.scenarios, 0.975)),
    Measure("es_99_1d", "linear", lambda w, _: tail.historical_es(w.scenarios, 0.99)),
    Measure("beta", "linear", _beta, "no_benchmark"),
)
