"""What the installed libraries themselves give for each convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import empyrical
import pandas as pd
import quantstats.stats as quantstats
import riskfolio
from skfolio import Portfolio

from pipeline.risk.measures.conventions import ConventionSpec, Library

Returns: TypeAlias = "pd.Series[float]"
Peer: TypeAlias = Callable[[Returns, ConventionSpec], float]


def annual_rate(spec: ConventionSpec) -> float:
    return float((1.0 + spec.risk_free_rate_daily) ** spec.periods_per_year - 1.0)


def benchmark_of(returns: Returns, spec: ConventionSpec) -> Returns:
    assert spec.benchmark is not None
    return pd.Series(spec.benchmark, index=returns.index)


def portfolio(returns: Returns, spec: ConventionSpec) -> Portfolio:
    return Portfolio(
        returns.to_frame("one"),
        weights=[1.0],
        risk_free_rate=spec.risk_free_rate_daily,
        annualization_factor=spec.periods_per_year,
        value_at_risk_beta=spec.confidence,
        cvar_beta=spec.confidence,
        cdar_beta=spec.confidence,
    )


def riskfolio_sharpe(returns: Returns, spec: ConventionSpec, risk: str) -> float:
    return float(riskfolio.Sharpe(returns.to_frame("one"), rm=risk, rf=spec.risk_free_rate_daily))


def greek(returns: Returns, spec: ConventionSpec, name: str) -> float:
    return float(quantstats.greeks(returns, benchmark_of(returns, spec), periods=spec.periods_per_year)[name])


def empyrical_capture(returns: Returns, spec: ConventionSpec, side: str) -> float:
    """Its captures know the days of a year as 252 alone; another number goes through the function they call."""
    benchmark = benchmark_of(returns, spec)
    if spec.periods_per_year == 252:
        captured = {"up": empyrical.up_capture, "down": empyrical.down_capture}[side]
        return float(captured(returns, benchmark))
    chosen = {"up": empyrical.stats.up, "down": empyrical.stats.down}[side]
    growth = [
        chosen(*pair, function=lambda r, _: empyrical.annual_return(r, annualization=spec.periods_per_year))
        for pair in ((returns, benchmark), (benchmark, benchmark))
    ]
    return float(growth[0] / growth[1])


PEERS: dict[Library, dict[str, Peer]] = {
    "quantstats": {
        "value_at_risk": lambda r, s: quantstats.value_at_risk(r, confidence=s.confidence),
        "expected_shortfall": lambda r, s: quantstats.expected_shortfall(r, confidence=s.confidence),
        "sharpe_ratio": lambda r, s: quantstats.sharpe(r, rf=annual_rate(s), periods=s.periods_per_year),
        "sortino_ratio": lambda r, s: quantstats.sortino(r, rf=annual_rate(s), periods=s.periods_per_year),
        "omega_ratio": lambda r, s: quantstats.omega(r, rf=annual_rate(s), periods=s.periods_per_year),
        "max_drawdown": lambda r, _: quantstats.max_drawdown(r),
        "ulcer_index": lambda r, _: quantstats.ulcer_index(r),
        "cagr": lambda r, s: quantstats.cagr(r, periods=s.periods_per_year),
        "volatility": lambda r, s: quantstats.volatility(r, periods=s.periods_per_year),
        "calmar_ratio": lambda r, s: quantstats.calmar(r, periods=s.periods_per_year),
        "skewness": lambda r, _: quantstats.skew(r),
        "excess_kurtosis": lambda r, _: quantstats.kurtosis(r),
        "hit_rate": lambda r, _: quantstats.win_rate(r),
        "gain_loss_ratio": lambda r, _: quantstats.payoff_ratio(r),
        "beta": lambda r, s: greek(r, s, "beta"),
        "alpha": lambda r, s: greek(r, s, "alpha"),
        "r_squared": lambda r, s: quantstats.r_squared(r, benchmark_of(r, s)),
        "information_ratio": lambda r, s: quantstats.information_ratio(r, benchmark_of(r, s)),
    },
    "empyrical": {
        "value_at_risk": lambda r, s: empyrical.value_at_risk(r, cutoff=s.tail_probability),
        "expected_shortfall": lambda r, s: empyrical.conditional_value_at_risk(r, cutoff=s.tail_probability),
        "sharpe_ratio": lambda r, s: empyrical.sharpe_ratio(
            r, s.risk_free_rate_daily, annualization=s.periods_per_year
        ),
        "sortino_ratio": lambda r, s: empyrical.sortino_ratio(
            r, s.risk_free_rate_daily, annualization=s.periods_per_year
        ),
        "omega_ratio": lambda r, s: empyrical.omega_ratio(r, s.risk_free_rate_daily),
        "downside_deviation": lambda r, s: empyrical.downside_risk(
            r, s.risk_free_rate_daily, annualization=s.periods_per_year
        ),
        "max_drawdown": lambda r, _: empyrical.max_drawdown(r),
        "cagr": lambda r, s: empyrical.cagr(r, annualization=s.periods_per_year),
        "volatility": lambda r, s: empyrical.annual_volatility(r, annualization=s.periods_per_year),
        "calmar_ratio": lambda r, s: empyrical.calmar_ratio(r, annualization=s.periods_per_year),
        "beta": lambda r, s: empyrical.beta(r, benchmark_of(r, s), s.risk_free_rate_daily),
        "alpha": lambda r, s: empyrical.alpha(
            r, benchmark_of(r, s), s.risk_free_rate_daily, annualization=s.periods_per_year
        ),
        "information_ratio": lambda r, s: empyrical.excess_sharpe(r, benchmark_of(r, s)),
        "up_capture": lambda r, s: empyrical_capture(r, s, "up"),
        "down_capture": lambda r, s: empyrical_capture(r, s, "down"),
    },
    "skfolio": {
        "value_at_risk": lambda r, s: portfolio(r, s).value_at_risk,
        "expected_shortfall": lambda r, s: portfolio(r, s).cvar,
        "sharpe_ratio": lambda r, s: portfolio(r, s).sharpe_ratio,
        "sortino_ratio": lambda r, s: portfolio(r, s).sortino_ratio,
        "max_drawdown": lambda r, s: portfolio(r, s).max_drawdown,
        "average_drawdown": lambda r, s: portfolio(r, s).average_drawdown,
        "ulcer_index": lambda r, s: portfolio(r, s).ulcer_index,
        "conditional_drawdown_at_risk": lambda r, s: portfolio(r, s).cdar,
        "volatility": lambda r, s: portfolio(r, s).annualized_standard_deviation,
        "semi_deviation": lambda r, s: portfolio(r, s).annualized_semi_deviation,
        "mean_absolute_deviation": lambda r, s: portfolio(r, s).mean_absolute_deviation,
        "lower_partial_moment_1": lambda r, s: portfolio(r, s).first_lower_partial_moment,
        "calmar_ratio": lambda r, s: portfolio(r, s).calmar_ratio,
        "skewness": lambda r, s: portfolio(r, s).skew,
        "excess_kurtosis": lambda r, s: portfolio(r, s).kurtosis,
    },
    "riskfolio": {
        "value_at_risk": lambda r, s: riskfolio.VaR_Hist(r.to_numpy(), alpha=s.tail_probability),
        "expected_shortfall": lambda r, s: riskfolio.CVaR_Hist(r.to_numpy(), alpha=s.tail_probability),
        "sharpe_ratio": lambda r, s: riskfolio_sharpe(r, s, "MV"),
        "sortino_ratio": lambda r, s: riskfolio_sharpe(r, s, "SLPM"),
        "max_drawdown": lambda r, _: riskfolio.MDD_Abs(r.to_numpy()),
        "average_drawdown": lambda r, _: riskfolio.ADD_Abs(r.to_numpy()),
        "ulcer_index": lambda r, _: riskfolio.UCI_Abs(r.to_numpy()),
        "conditional_drawdown_at_risk": lambda r, s: riskfolio.CDaR_Abs(r.to_numpy(), alpha=s.tail_probability),
        "volatility": lambda r, _: riskfolio.Sharpe_Risk(r.to_frame("one"), rm="MV"),
        "semi_deviation": lambda r, _: riskfolio.SemiDeviation(r.to_numpy()),
        "mean_absolute_deviation": lambda r, _: riskfolio.MAD(r.to_numpy()),
        "lower_partial_moment_1": lambda r, s: riskfolio.LPM(r.to_numpy(), MAR=s.risk_free_rate_daily, p=1),
        "calmar_ratio": lambda r, s: riskfolio_sharpe(r, s, "MDD"),
        "excess_kurtosis": lambda r, _: riskfolio.Kurtosis(r.to_numpy()),
    },
}
"""Library, then measure, with the parameters of a `ConventionSpec`."""
