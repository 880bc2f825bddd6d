"""What other libraries mean by the same names, so that their figures can be had and compared.

Each entry gives the number that its library gives with its defaults, sign and unit included, in versions quantstats
0.0.86, empyrical-reloaded 0.7.1, skfolio 1.12.2 and riskfolio-lib 7.4.0. The platform's own figures are those of
the other modules; where a library agrees with them, its entry is them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures import convention_falls as falls
from pipeline.risk.measures import convention_ratios as ratios
from pipeline.risk.measures import convention_tails as tails
from pipeline.risk.measures.convention_spec import Convention, ConventionSpec, Library, against_benchmark
from pipeline.risk.measures.errors import MeasureInputError

__all__ = ["CONVENTIONS", "ConventionSpec", "Library", "by_convention"]

_ANNUAL_AND_COMPOUNDED: dict[str, Convention] = {
    "sharpe_ratio": ratios.sharpe_annual,
    "sortino_ratio": ratios.sortino_annual,
    "max_drawdown": falls.compounded_drawdown,
    "cagr": ratios.compound_growth,
    "volatility": ratios.volatility_annual,
    "calmar_ratio": falls.calmar,
    "omega_ratio": ratios.omega_ratio,
    "beta": against_benchmark(ratios.beta),
    "information_ratio": against_benchmark(ratios.information_ratio_per_session),
}
_PER_SESSION_AND_SUMMED: dict[str, Convention] = {
    "expected_shortfall": tails.shortfall,
    "sharpe_ratio": ratios.sharpe_per_session,
    "max_drawdown": falls.summed_drawdown,
    "average_drawdown": falls.average_summed_drawdown,
    "ulcer_index": falls.ulcer_index_of_sum,
    "conditional_drawdown_at_risk": falls.summed_drawdown_shortfall,
    "calmar_ratio": falls.mean_over_summed_drawdown,
    "mean_absolute_deviation": ratios.mean_absolute_deviation,
}

CONVENTIONS: Mapping[Library, Mapping[str, Convention]] = MappingProxyType(
    {
        "quantstats": MappingProxyType(
            {
                **_ANNUAL_AND_COMPOUNDED,
                "value_at_risk": tails.gaussian_quantile,
                "expected_shortfall": tails.gaussian_tail_mean,
                "ulcer_index": falls.ulcer_index_less_one,
                "skewness": ratios.adjusted_skewness,
                "excess_kurtosis": ratios.adjusted_kurtosis,
                "alpha": against_benchmark(ratios.alpha_without_rate),
                "r_squared": against_benchmark(ratios.r_squared),
                "hit_rate": ratios.hits_of_moves,
                "gain_loss_ratio": ratios.gain_loss_ratio,
            }
        ),
        "empyrical": MappingProxyType(
            {
                **_ANNUAL_AND_COMPOUNDED,
                "value_at_risk": tails.percentile,
                "expected_shortfall": tails.mean_of_lowest,
                "alpha": against_benchmark(ratios.compounded_alpha),
                "up_capture": against_benchmark(ratios.annual_up_capture),
                "down_capture": against_benchmark(ratios.annual_down_capture),
                "downside_deviation": ratios.downside_deviation,
            }
        ),
        "skfolio": MappingProxyType(
            {
                **_PER_SESSION_AND_SUMMED,
                "value_at_risk": tails.loss_after_the_tail,
                "sortino_ratio": ratios.sortino_about_the_mean,
                "volatility": ratios.volatility_annual,
                "skewness": ratios.skewness,
                "excess_kurtosis": ratios.kurtosis,
                "semi_deviation": ratios.semi_deviation_annual,
                "lower_partial_moment_1": ratios.mean_shortfall_of_mean,
            }
        ),
        "riskfolio": MappingProxyType(
            {
                **_PER_SESSION_AND_SUMMED,
                "value_at_risk": tails.loss_that_fills_the_tail,
                "sortino_ratio": ratios.sortino_about_the_rate,
                "volatility": ratios.volatility_per_session,
                "excess_kurtosis": ratios.square_root_kurtosis,
                "semi_deviation": ratios.semi_deviation_per_session,
                "lower_partial_moment_1": ratios.mean_shortfall,
            }
        ),
    }
)
"""Library, then measure. skfolio and riskfolio have no compound growth rate and compare with no benchmark. The names
of the libraries differ: quantstats' alpha and beta are its ``greeks``, its hit rate ``win_rate``, its gain-loss ratio
``payoff_ratio``; empyrical's information ratio is its ``excess_sharpe``, its downside deviation ``downside_risk``;
skfolio's volatility and semi-deviation are its annualised ones; riskfolio's drawdowns are those with ``_Abs``, its
Sortino and Calmar ratios its ``Sharpe`` with ``rm="SLPM"`` and ``"MDD"``."""


def by_convention(library: Library, measure: str, returns: FloatArray, spec: ConventionSpec) -> FloatArray:
    """A measure as a library defines it.

    Parameters
    ----------
    returns
        (..., n) simple returns.

    Returns
    -------
    FloatArray
        (...) in the library's own sign and unit; NaN where a return is, whatever the library does then.

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
    figure: FloatArray = np.where(np.isnan(returns).any(axis=-1), np.nan, offered[measure](returns, spec))
    return figure
