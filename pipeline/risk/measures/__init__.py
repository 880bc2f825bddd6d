"""Risk measures, a file per family, and the registry that reports are made from.

A new measure is a function in its family's file and an entry in `MEASURES`; it inherits the invariance
tests of ``tests/unit/risk``, its explanation and its page. A stored measure also needs its column in
``pipeline.store.risk_columns``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures import dispersion, drawdown, growth, moments, relative, tail
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import RiskSpec, Windows

__all__ = ["MEASURES", "Measure", "MeasureInputError", "RiskSpec", "Windows", "measure_named"]


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
    definition
        The function that `compute` calls; its docstring is the measure's page.
    formula
        In one line, of the n returns r of the window, the benchmark's b, the daily rate f and the periods p of a year.
    source
        Where the definition is from.
    undefined_because
        Why `compute` may give NaN; None if it never does.
    parameters
        Fixed arguments of the definition, such as the confidence.
    reads_scenarios
        Whether it measures what today's holdings would have earned, rather than what was earned.
    reads_risk_free
        Whether it takes the risk-free rate: NaN where a window's rates are not all known.
    """

    name: str
    scaling: str
    compute: Callable[[Windows, RiskSpec], FloatArray]
    definition: Callable[..., Any]
    formula: str
    source: str
    undefined_because: str | None = None
    parameters: dict[str, float] = field(default_factory=dict)
    reads_scenarios: bool = False
    reads_risk_free: bool = False


def _against(compute: Callable[[FloatArray, FloatArray, RiskSpec], FloatArray]) -> Callable[..., FloatArray]:
    """A measure against the benchmark: NaN where there is none."""

    def compared(windows: Windows, spec: RiskSpec) -> FloatArray:
        if windows.benchmark is None:
            return np.full(windows.returns.shape[:-1], np.nan)
        return compute(windows.returns, windows.benchmark, spec)

    return compared


def _alpha(windows: Windows, spec: RiskSpec) -> FloatArray:
    rate, periods = windows.rate(spec), spec.periods_per_year
    return _against(lambda r, b, _: relative.jensen_alpha(r, b, rate, periods))(windows, spec)


def _tail(name: str, definition: Callable[[FloatArray, float], FloatArray], confidence: float) -> Measure:
    is_var = definition is tail.historical_var
    return Measure(
        name,
        "linear",
        lambda w, _: definition(w.scenarios, confidence),
        definition,
        "L(⌈αn⌉), L the ascending losses of today's holdings"
        if is_var
        else "[(⌈αn⌉/n − α) L(⌈αn⌉) + Σ_{i>⌈αn⌉} L(i)/n] / (1 − α)",
        "Order statistic, without interpolation" if is_var else "Rockafellar & Uryasev (2002), proposition 8",
        parameters={"confidence": confidence},
        reads_scenarios=True,
    )


def _calmar(windows: Windows, spec: RiskSpec) -> FloatArray:
    return drawdown.calmar_ratio(
        growth.cagr(windows.returns, spec.periods_per_year), drawdown.max_drawdown(windows.returns)
    )


CDAR_CONFIDENCE = 0.95

MEASURES: tuple[Measure, ...] = (
    Measure(
        "cagr",
        "compounded",
        lambda w, s: growth.cagr(w.returns, s.periods_per_year),
        growth.cagr,
        "∏(1 + r)^(p/n) − 1",
        "Geometric annual growth",
    ),
    Measure(
        "volatility",
        "linear",
        lambda w, s: dispersion.volatility(w.returns, s.periods_per_year),
        dispersion.volatility,
        "√(Σ(r − r̄)²/(n − 1)) √p",
        "Sample standard deviation, annualised by the square root of time",
    ),
    Measure(
        "volatility_ewma",
        "linear",
        lambda w, s: dispersion.ewma_volatility(w.returns, s.periods_per_year),
        dispersion.ewma_volatility,
        "√(Σ λ^(n−i) r_i² / Σ λ^(n−i)) √p",
        "J. P. Morgan/Reuters, RiskMetrics Technical Document (1996)",
        parameters={"decay": dispersion.RISKMETRICS_DECAY},
    ),
    Measure(
        "sharpe_ratio",
        "invariant",
        lambda w, s: dispersion.sharpe_ratio(w.returns, w.rate(s), s.periods_per_year),
        dispersion.sharpe_ratio,
        "mean(r − f) / sd(r − f) √p, sd with n − 1",
        "Sharpe (1994)",
        "no_variation",
        reads_risk_free=True,
    ),
    Measure(
        "sortino_ratio",
        "invariant",
        lambda w, s: dispersion.sortino_ratio(w.returns, w.rate(s), s.periods_per_year),
        dispersion.sortino_ratio,
        "mean(r − f) / √(Σ min(r − f, 0)²/n) √p",
        "Sortino & Price (1994)",
        "no_return_below_target",
        reads_risk_free=True,
    ),
    Measure(
        "max_drawdown",
        "compounded",
        lambda w, _: drawdown.max_drawdown(w.returns),
        drawdown.max_drawdown,
        "min_t (W_t / max(1, W_1 … W_t) − 1), W_t = ∏_{i≤t}(1 + r_i)",
        "Compounded; the start is the first peak",
    ),
    Measure(
        "average_drawdown",
        "compounded",
        lambda w, _: drawdown.average_drawdown(w.returns),
        drawdown.average_drawdown,
        "mean_t (W_t / max(1, W_1 … W_t) − 1)",
        "Becker (2006)",
    ),
    Measure(
        "ulcer_index",
        "compounded",
        lambda w, _: drawdown.ulcer_index(w.returns),
        drawdown.ulcer_index,
        "√(mean_t (W_t / max(1, W_1 … W_t) − 1)²)",
        "Martin & McCann (1989)",
    ),
    Measure(
        "cdar_95",
        "compounded",
        lambda w, _: drawdown.conditional_drawdown_at_risk(w.returns, CDAR_CONFIDENCE),
        drawdown.conditional_drawdown_at_risk,
        "ES of the drawdowns of all sessions at α",
        "Chekhlov, Uryasev & Zabarankin (2005)",
        parameters={"confidence": CDAR_CONFIDENCE},
    ),
    Measure(
        "calmar_ratio",
        "compounded",
        _calmar,
        drawdown.calmar_ratio,
        "cagr / |max_drawdown|",
        "Young (1991)",
        "no_drawdown",
    ),
    Measure(
        "skewness",
        "invariant",
        lambda w, _: moments.skewness(w.returns),
        moments.skewness,
        "m₃ / m₂^(3/2), m_k = Σ(r − r̄)^k / n",
        "Third standardised moment, without bias correction",
        "no_variation",
    ),
    Measure(
        "excess_kurtosis",
        "invariant",
        lambda w, _: moments.excess_kurtosis(w.returns),
        moments.excess_kurtosis,
        "m₄ / m₂² − 3, m_k = Σ(r − r̄)^k / n",
        "Fourth standardised moment less that of the normal law, without bias correction",
        "no_variation",
    ),
    _tail("var_95_1d", tail.historical_var, 0.95),
    _tail("var_99_1d", tail.historical_var, 0.99),
    _tail("es_975_1d", tail.historical_es, 0.975),
    _tail("es_99_1d", tail.historical_es, 0.99),
    Measure(
        "beta",
        "linear",
        _against(lambda r, b, _: relative.beta(r, b)),
        relative.beta,
        "Σ(b − b̄)(r − r̄) / Σ(b − b̄)²",
        "Ordinary least squares",
        "no_benchmark",
    ),
    Measure(
        "alpha",
        "linear",
        _alpha,
        relative.jensen_alpha,
        "[mean(r − f) − β mean(b − f)] p, β the slope of r − f on b − f",
        "Jensen (1968)",
        "no_benchmark",
        reads_risk_free=True,
    ),
    Measure(
        "r_squared",
        "invariant",
        _against(lambda r, b, _: relative.r_squared(r, b)),
        relative.r_squared,
        "correlation(r, b)²",
        "Share of the variance that the regression explains",
        "no_benchmark_or_variation",
    ),
    Measure(
        "tracking_error",
        "compounded",
        _against(lambda r, b, s: relative.tracking_error(r, b, s.periods_per_year)),
        relative.tracking_error,
        "sd(r − b) √p, sd with n − 1",
        "Sample standard deviation of the active returns",
        "no_benchmark",
    ),
    Measure(
        "information_ratio",
        "compounded",
        _against(lambda r, b, s: relative.information_ratio(r, b, s.periods_per_year)),
        relative.information_ratio,
        "mean(r − b) / sd(r − b) √p",
        "Grinold & Kahn (2000)",
        "no_benchmark_or_active_risk",
    ),
    Measure(
        "up_capture",
        "compounded",
        _against(lambda r, b, _: relative.up_capture(r, b)),
        relative.up_capture,
        "geometric mean of r over that of b, on the sessions with b > 0",
        "Morningstar",
        "no_benchmark_gain",
    ),
    Measure(
        "down_capture",
        "compounded",
        _against(lambda r, b, _: relative.down_capture(r, b)),
        relative.down_capture,
        "geometric mean of r over that of b, on the sessions with b < 0",
        "Morningstar",
        "no_benchmark_loss",
    ),
)


def measure_named(name: str) -> Measure:
    """The registered measure of a name.

    Raises
    ------
    MeasureInputError
        Naming those that there are.
    """
    found = next((measure for measure in MEASURES if measure.name == name), None)
    if found is None:
        raise MeasureInputError(f"measure={name!r}: unknown; choose one of {', '.join(m.name for m in MEASURES)}")
    return found
