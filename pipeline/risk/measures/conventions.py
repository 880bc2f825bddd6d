"""What other libraries mean by the same names, so that their figures can be had and compared.

Each entry gives the number that its library gives with its defaults, sign and unit included, in versions quantstats
0.0.86, empyrical-reloaded 0.7.1, skfolio 1.12.2 and riskfolio-lib 7.4.0. The platform's own figures are those of
the other modules; where a library agrees with them, its entry is them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import ndtri

from pipeline.base.types import FloatArray
from pipeline.risk.measures import dispersion, drawdown, growth
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.tail import historical_es
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR, quotient

Library: TypeAlias = Literal["quantstats", "empyrical", "skfolio", "riskfolio"]

_ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class ConventionSpec:
    """What the libraries' functions are asked for.

    Parameters
    ----------
    confidence
        α in (0, 1).
    periods_per_year
        Returns per year.
    risk_free_rate_daily
        Rate of one period, which quantstats takes per year and geometrically; or (..., n) one of each return.
    """

    confidence: float = 0.95
    periods_per_year: int = TRADING_DAYS_PER_YEAR
    risk_free_rate_daily: float | FloatArray = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence < 1.0:
            raise MeasureInputError(f"confidence={self.confidence}: give a fraction between 0 and 1, such as 0.99")
        if self.periods_per_year < 1:
            raise MeasureInputError(f"periods_per_year={self.periods_per_year}: give at least 1")

    @property
    def tail_probability(self) -> float:
        """1-α as one would write it: 0.05, not the 0.050000000000000044 of the subtraction, which shifts ranks."""
        return round(1.0 - self.confidence, 12)


Convention: TypeAlias = Callable[[FloatArray, ConventionSpec], FloatArray]
"""From simple returns (..., n) to one figure (...)."""


def _gaussian_quantile(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """A return, so negative for a loss: normal law, standard deviation with ddof 1."""
    deviation: FloatArray = np.std(returns, axis=-1, ddof=1)
    quantile: FloatArray = np.mean(returns, axis=-1) + deviation * float(ndtri(1.0 - spec.confidence))
    return quantile


def _gaussian_tail_mean(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Mean return below the normal law's quantile; negative for a loss."""
    z = float(ndtri(1.0 - spec.confidence))
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    deviation: FloatArray = np.std(returns, axis=-1, ddof=1)
    mean: FloatArray = np.mean(returns, axis=-1) - deviation * (density / (1.0 - spec.confidence))
    return mean


def _percentile(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """A return, interpolated between order statistics (type 7 of Hyndman & Fan 1996)."""
    quantile: FloatArray = np.percentile(returns, 100.0 * spec.tail_probability, axis=-1)
    return quantile


def _mean_of_lowest(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Mean of the ⌊(n-1)(1-α)⌋ + 1 lowest returns, each counting the same."""
    last = int((returns.shape[-1] - 1) * spec.tail_probability)
    mean: FloatArray = np.mean(np.partition(returns, last, axis=-1)[..., : last + 1], axis=-1)
    return mean


def _loss_after_the_tail(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Loss number ⌊n(1-α)⌋ + 1 from the worst: the tail is strictly beyond it."""
    sessions = returns.shape[-1]
    position = min(sessions - 1, math.floor((1.0 - spec.confidence) * sessions + 4 * _ROUNDING * sessions))
    return -np.partition(returns, position, axis=-1)[..., position]


def _loss_that_fills_the_tail(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Loss number ⌈n(1-α)⌉ from the worst: the tail includes it."""
    position = math.ceil(spec.tail_probability * returns.shape[-1]) - 1
    return -np.partition(returns, position, axis=-1)[..., position]


def _sharpe_per_session(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    return dispersion.sharpe_ratio(returns, spec.risk_free_rate_daily, 1)


def _sharpe_annual(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    return dispersion.sharpe_ratio(returns, spec.risk_free_rate_daily, spec.periods_per_year)


def _sortino_annual(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    return dispersion.sortino_ratio(returns, spec.risk_free_rate_daily, spec.periods_per_year)


def _sortino_about_the_mean(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Per session, over the semi-deviation below the *mean*, with n - 1."""
    mean = np.mean(returns, axis=-1, keepdims=True)
    return _over_semi_deviation(returns, mean, spec)


def _sortino_about_the_rate(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Per session, over the semi-deviation below the risk-free rate, with n - 1."""
    return _over_semi_deviation(returns, np.asarray(spec.risk_free_rate_daily), spec)


def _over_semi_deviation(returns: FloatArray, target: FloatArray, spec: ConventionSpec) -> FloatArray:
    squares = np.minimum(returns - target, 0.0) ** 2
    deviation = np.sqrt(np.sum(squares, axis=-1) / (returns.shape[-1] - 1))
    return quotient(np.mean(returns - spec.risk_free_rate_daily, axis=-1), deviation, deviation > 0.0)


def _compounded_drawdown(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    return drawdown.max_drawdown(returns)


def _summed_drawdown(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    """Positive: deepest fall of the running *sum* of returns from its peak, the start included; may exceed 1."""
    total = np.cumsum(returns, axis=-1)
    peak = np.maximum(np.maximum.accumulate(total, axis=-1), 0.0)
    deepest: FloatArray = np.max(peak - total, axis=-1)
    return deepest


def _mean_over_summed_drawdown(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """Per session: mean excess return over the drawdown of the running sum."""
    deepest = _summed_drawdown(returns, spec)
    return quotient(np.mean(returns - spec.risk_free_rate_daily, axis=-1), deepest, deepest > 0.0)


def _cagr(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    return growth.cagr(returns, spec.periods_per_year)


def _calmar(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    return drawdown.calmar_ratio(_cagr(returns, spec), drawdown.max_drawdown(returns))


def _volatility_annual(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    return dispersion.volatility(returns, spec.periods_per_year)


def _volatility_per_session(returns: FloatArray, _: ConventionSpec) -> FloatArray:
    return dispersion.standard_deviation(returns)


def _shortfall(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    return historical_es(returns, spec.confidence)


_ANNUAL_AND_COMPOUNDED: dict[str, Convention] = {
    "sharpe_ratio": _sharpe_annual,
    "sortino_ratio": _sortino_annual,
    "max_drawdown": _compounded_drawdown,
    "cagr": _cagr,
    "volatility": _volatility_annual,
    "calmar_ratio": _calmar,
}
_PER_SESSION_AND_SUMMED: dict[str, Convention] = {
    "expected_shortfall": _shortfall,
    "sharpe_ratio": _sharpe_per_session,
    "max_drawdown": _summed_drawdown,
    "calmar_ratio": _mean_over_summed_drawdown,
}

CONVENTIONS: Mapping[Library, Mapping[str, Convention]] = MappingProxyType(
    {
        "quantstats": MappingProxyType(
            {
                **_ANNUAL_AND_COMPOUNDED,
                "value_at_risk": _gaussian_quantile,
                "expected_shortfall": _gaussian_tail_mean,
            }
        ),
        "empyrical": MappingProxyType(
            {**_ANNUAL_AND_COMPOUNDED, "value_at_risk": _percentile, "expected_shortfall": _mean_of_lowest}
        ),
        "skfolio": MappingProxyType(
            {
                **_PER_SESSION_AND_SUMMED,
                "value_at_risk": _loss_after_the_tail,
                "sortino_ratio": _sortino_about_the_mean,
                "volatility": _volatility_annual,
            }
        ),
        "riskfolio": MappingProxyType(
            {
                **_PER_SESSION_AND_SUMMED,
                "value_at_risk": _loss_that_fills_the_tail,
                "sortino_ratio": _sortino_about_the_rate,
                "volatility": _volatility_per_session,
            }
        ),
    }
)
"""Library, then measure. skfolio and riskfolio have no compound growth rate. skfolio's volatility is its
``annualized_standard_deviation``; riskfolio's Sortino and Calmar ratios are its ``Sharpe`` with ``rm="SLPM"`` and
``"MDD"``."""


def by_convention(library: Library, measure: str, returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """A measure as a library defines it.

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    FloatArray
        (...) in the library's own sign and unit.

    Raises
    ------
    MeasureInputError
        For a library or a measure that is not offered.
    """
    if library not in CONVENTIONS:
        raise MeasureInputError(f"library={library}: unknown; choose one of {', '.join(CONVENTIONS)}")
    offered = CONVENTIONS[library]
    if measure not in offered:
        raise MeasureInputError(f"measure={measure}: {library} has none; choose one of {', '.join(offered)}")
    return offered[measure](returns, spec)
