"""Measures that no table stores: a report computes them for any window.

A new one is a function in its family's file and an entry in `ON_REQUEST`; it inherits the invariance tests and its
page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pipeline.risk.measures import (
    MEASURES,
    Measure,
    MeasureInputError,
    against_benchmark,
    dispersion,
    growth,
    measure_named,
    moments,
    relative,
)

_RATIO, _SHARE, _PER_YEAR = "ratio", "share", "fraction per year"
_PER_SESSION = "fraction per session"


def _lower_partial_moment(order: int, scaling: str, formula: str, unit: str) -> Measure:
    return Measure(
        f"lower_partial_moment_{order}",
        scaling,
        lambda w, s: dispersion.lower_partial_moment(w.returns, w.rate(s), order),
        dispersion.lower_partial_moment,
        formula,
        "Bawa (1975); Fishburn (1977)",
        parameters={"order": order},
        reads_risk_free=True,
        unit=unit,
    )


ON_REQUEST: tuple[Measure, ...] = (
    Measure(
        "total_return",
        "compounded",
        lambda w, _: growth.total_return(w.returns),
        growth.total_return,
        "∏(1 + r) − 1",
        "Bacon (2008), chapter 2",
        unit="fraction",
    ),
    Measure(
        "hit_rate",
        "invariant",
        lambda w, _: growth.hit_rate(w.returns),
        growth.hit_rate,
        "number of r > 0, by n",
        "López de Prado (2018), chapter 14",
        unit=_SHARE,
    ),
    Measure(
        "gain_loss_ratio",
        "invariant",
        lambda w, _: growth.gain_loss_ratio(w.returns),
        growth.gain_loss_ratio,
        "mean of r where r > 0, by the mean of −r where r < 0",
        "López de Prado (2018), chapter 14",
        "no_gain_or_no_loss",
        unit=_RATIO,
    ),
    Measure(
        "omega_ratio",
        "invariant",
        lambda w, s: dispersion.omega_ratio(w.returns, w.rate(s)),
        dispersion.omega_ratio,
        "Σ max(r − f, 0) / Σ max(f − r, 0)",
        "Keating & Shadwick (2002)",
        "no_return_below_target",
        reads_risk_free=True,
        unit=_RATIO,
    ),
    Measure(
        "mean_absolute_deviation",
        "linear",
        lambda w, _: dispersion.mean_absolute_deviation(w.returns),
        dispersion.mean_absolute_deviation,
        "Σ|r − r̄| / n",
        "Konno & Yamazaki (1991)",
        shift="invariant",
        sign="even",
        unit=_PER_SESSION,
    ),
    Measure(
        "semi_deviation",
        "linear",
        lambda w, s: dispersion.semi_deviation(w.returns, s.periods_per_year),
        dispersion.semi_deviation,
        "√(Σ min(r − r̄, 0)²/n) √p",
        "Markowitz (1959)",
        shift="invariant",
        unit=_PER_YEAR,
    ),
    Measure(
        "downside_deviation",
        "linear",
        lambda w, s: dispersion.downside_deviation(w.returns, w.rate(s), s.periods_per_year),
        dispersion.downside_deviation,
        "√(Σ min(r − f, 0)²/n) √p",
        "Sortino & Price (1994)",
        reads_risk_free=True,
        unit=_PER_YEAR,
    ),
    _lower_partial_moment(0, "invariant", "number of r < f, by n", _SHARE),
    _lower_partial_moment(1, "linear", "Σ max(f − r, 0)/n", _PER_SESSION),
    _lower_partial_moment(2, "compounded", "Σ max(f − r, 0)²/n", "squared fraction per session"),
    Measure(
        "correlation",
        "invariant",
        against_benchmark(lambda r, b, _: relative.correlation(r, b)),
        relative.correlation,
        "Σ(b − b̄)(r − r̄) / √(Σ(b − b̄)² Σ(r − r̄)²)",
        "Pearson (1895)",
        "no_benchmark_or_variation",
        shift="invariant",
        sign="odd",
        unit="correlation",
    ),
)
"""In the order of a report, after the stored ones."""

REPORTED: tuple[Measure, ...] = (*MEASURES, *ON_REQUEST)
"""Every measure that a report may hold."""

_TOO_FEW = "no_variation_or_fewer_than_{}_returns"
ADJUSTED: Mapping[str, Measure] = MappingProxyType(
    {
        "skewness": replace(
            measure_named("skewness"),
            compute=lambda w, _: moments.skewness(w.returns, "adjusted"),
            formula="√(n(n − 1))/(n − 2) m₃ / m₂^(3/2), m_k = Σ(r − r̄)^k / n",
            source="Joanes & Gill (1998), G1: bias-corrected",
            undefined_because=_TOO_FEW.format(3),
        ),
        "excess_kurtosis": replace(
            measure_named("excess_kurtosis"),
            compute=lambda w, _: moments.excess_kurtosis(w.returns, "adjusted"),
            formula="(n − 1)/((n − 2)(n − 3)) ((n + 1)(m₄/m₂² − 3) + 6), m_k = Σ(r − r̄)^k / n",
            source="Joanes & Gill (1998), G2: bias-corrected",
            undefined_because=_TOO_FEW.format(4),
        ),
    }
)
"""What stands in the place of a measure where bias-corrected moments are asked for."""


def reported_measure(name: str, moment_method: moments.MomentMethod = "population") -> Measure:
    """The measure of a name, stored or not.

    Raises
    ------
    MeasureInputError
        Naming those that there are.
    """
    if moment_method == "adjusted" and name in ADJUSTED:
        return ADJUSTED[name]
    found = next((measure for measure in REPORTED if measure.name == name), None)
    if found is None:
        raise MeasureInputError(f"measure={name!r}: unknown; choose one of {', '.join(m.name for m in REPORTED)}")
    return found
