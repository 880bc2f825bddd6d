"""Risk measures, a file per family, and the registry that reports are made from.

A new measure is a function in its family's file and an entry in `MEASURES`, with a column in
``pipeline.store.risk_columns``, or one in `on_request`, without. It inherits the invariance tests of
``tests/unit/risk`` and its page, and a stored one its explanation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures import dispersion, drawdown, growth, moments, relative, tail
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import RiskSpec, Windows

__all__ = ["MEASURES", "Measure", "MeasureInputError", "RiskSpec", "Shift", "Sign", "Windows", "measure_named"]

Shift: TypeAlias = Literal["invariant", "opposite", "annual", "neither"]
"""What adding c to every return does: leaves the measure, takes c away from it, adds c times the periods of a year,
or nothing so simple."""

Sign: TypeAlias = Literal["even", "odd", "neither"]
"""What turning every gain into the same loss does: leaves the measure, turns its sign, or nothing so simple."""


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
    shift, sign
        What adding to every return does, and taking its negative. The benchmark stays, and the rate is 0.
    ordered
        Whether the order of the sessions matters.
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
    unit
        Of a measure that is computed on request alone; a stored one has that of its column.
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
    shift: Shift = "neither"
    sign: Sign = "neither"
    ordered: bool = False
    unit: str = ""


def against_benchmark(compute: Callable[[FloatArray, FloatArray, RiskSpec], FloatArray]) -> Callable[..., FloatArray]:
    """A measure against the benchmark: NaN where there is none."""

    def compared(windows: Windows, spec: RiskSpec) -> FloatArray:
        if windows.benchmark is None:
            return np.full(windows.returns.shape[:-1], np.nan)
        return compute(windows.returns, windows.benchmark, spec)

    return compared


def _alpha(windows: Windows, spec: RiskSpec) -> FloatArray:
    rate, periods = windows.rate(spec), spec.periods_per_year
    return against_benchmark(lambda r, b, _: relative.jensen_alpha(r, b, rate, periods))(windows, spec)


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
        "Hyndman & Fan (1996), type 1: without interpolation"
        if is_var
        else "Rockafellar & Uryasev (2002), proposition 8",
        parameters={"confidence": confidence},
        reads_scenarios=True,
        shift="opposite",
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
        "Bacon (2008), chapter 2",
    ),
    Measure(
        "volatility",
        "linear",
        lambda w, s: dispersion.volatility(w.returns, s.periods_per_year),
        dispersion.volatility,
        "√(Σ(r − r̄)²/(n − 1)) √p",
        "Hull (2018), chapter 15: sample standard deviation, annualised by the square root of time",
        shift="invariant",
        sign="even",
    ),
    Measure(
        "volatility_ewma",
        "linear",
        lambda w, s: dispersion.ewma_volatility(w.returns, s.periods_per_year),
        dispersion.ewma_volatility,
        "√(Σ λ^(n−i) r_i² / Σ λ^(n−i)) √p",
        "J. P. Morgan/Reuters, RiskMetrics Technical Document (1996)",
        parameters={"decay": dispersion.RISKMETRICS_DECAY},
        sign="even",
        ordered=True,
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
        sign="odd",
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
        "Magdon-Ismail & Atiya (2004); compounded, the start being the first peak",
        ordered=True,
    ),
    Measure(
        "average_drawdown",
        "compounded",
        lambda w, _: drawdown.average_drawdown(w.returns),
        drawdown.average_drawdown,
        "mean_t (W_t / max(1, W_1 … W_t) − 1)",
        "Becker (2006)",
        ordered=True,
    ),
    Measure(
        "ulcer_index",
        "compounded",
        lambda w, _: drawdown.ulcer_index(w.returns),
        drawdown.ulcer_index,
        "√(mean_t (W_t / max(1, W_1 … W_t) − 1)²)",
        "Martin & McCann (1989)",
        ordered=True,
    ),
    Measure(
        "cdar_95",
        "compounded",
        lambda w, _: drawdown.conditional_drawdown_at_risk(w.returns, CDAR_CONFIDENCE),
        drawdown.conditional_drawdown_at_risk,
        "ES of the drawdowns of all sessions at α",
        "Chekhlov, Uryasev & Zabarankin (2005)",
        parameters={"confidence": CDAR_CONFIDENCE},
        ordered=True,
    ),
    Measure(
        "calmar_ratio",
        "compounded",
        _calmar,
        drawdown.calmar_ratio,
        "cagr / |max_drawdown|",
        "Young (1991)",
        "no_drawdown",
        ordered=True,
    ),
    Measure(
        "skewness",
        "invariant",
        lambda w, _: moments.skewness(w.returns),
        moments.skewness,
        "m₃ / m₂^(3/2), m_k = Σ(r − r̄)^k / n",
        "Joanes & Gill (1998), g1: without bias correction",
        "no_variation",
        shift="invariant",
        sign="odd",
    ),
    Measure(
        "excess_kurtosis",
        "invariant",
        lambda w, _: moments.excess_kurtosis(w.returns),
        moments.excess_kurtosis,
        "m₄ / m₂² − 3, m_k = Σ(r − r̄)^k / n",
        "Joanes & Gill (1998), g2: less that of the normal law, without bias correction",
        "no_variation",
        shift="invariant",
        sign="even",
    ),
    _tail("var_95_1d", tail.historical_var, 0.95),
    _tail("var_99_1d", tail.historical_var, 0.99),
    _tail("es_975_1d", tail.historical_es, 0.975),
    _tail("es_99_1d", tail.historical_es, 0.99),
    Measure(
        "beta",
        "linear",
        against_benchmark(lambda r, b, _: relative.beta(r, b)),
        relative.beta,
        "Σ(b − b̄)(r − r̄) / Σ(b − b̄)²",
        "Sharpe (1964); by ordinary least squares",
        "no_benchmark",
        shift="invariant",
        sign="odd",
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
        shift="annual",
        sign="odd",
    ),
    Measure(
        "r_squared",
        "invariant",
        against_benchmark(lambda r, b, _: relative.r_squared(r, b)),
        relative.r_squared,
        "correlation(r, b)²",
        "Wright (1921): share of the variance that the regression explains",
        "no_benchmark_or_variation",
        shift="invariant",
        sign="even",
    ),
    Measure(
        "tracking_error",
        "compounded",
        against_benchmark(lambda r, b, s: relative.tracking_error(r, b, s.periods_per_year)),
        relative.tracking_error,
        "sd(r − b) √p, sd with n − 1",
        "Roll (1992); sample standard deviation of the active returns",
        "no_benchmark",
        shift="invariant",
    ),
    Measure(
        "information_ratio",
        "compounded",
        against_benchmark(lambda r, b, s: relative.information_ratio(r, b, s.periods_per_year)),
        relative.information_ratio,
        "mean(r − b) / sd(r − b) √p",
        "Grinold & Kahn (2000)",
        "no_benchmark_or_active_risk",
    ),
    Measure(
        "up_capture",
        "compounded",
        against_benchmark(lambda r, b, _: relative.up_capture(r, b)),
        relative.up_capture,
        "geometric mean of r over that of b, on the sessions with b > 0",
        "Bacon (2008), chapter 4; geometric as Morningstar's",
        "no_benchmark_gain",
    ),
    Measure(
        "down_capture",
        "compounded",
        against_benchmark(lambda r, b, _: relative.down_capture(r, b)),
        relative.down_capture,
        "geometric mean of r over that of b, on the sessions with b < 0",
        "Bacon (2008), chapter 4; geometric as Morningstar's",
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
