"""Which strategies there are. Kept apart from what computes them, so that serving can name them without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Strategy:
    """A rule that makes weights of the returns up to a month's end.

    Parameters
    ----------
    name
        Name in tables and addresses.
    summary
        What it does, in a sentence.
    is_costly
        Whether a month takes tens of milliseconds, where the others take one.
    """

    name: str
    summary: str
    is_costly: bool


EQUAL_WEIGHT = "equal_weight"
INVERSE_VOLATILITY = "inverse_volatility"
MIN_VARIANCE = "min_variance"
MAX_SHARPE = "max_sharpe"
RISK_PARITY = "risk_parity"
HRP = "hrp"
MIN_CVAR = "min_cvar"

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        strategy.name: strategy
        for strategy in (
            Strategy(EQUAL_WEIGHT, "The same weight for every stock.", is_costly=False),
            Strategy(
                INVERSE_VOLATILITY,
                "Weights inversely proportional to each stock's volatility.",
                is_costly=False,
            ),
            Strategy(
                MIN_VARIANCE,
                "The least variance, by the Ledoit-Wolf covariance (Markowitz 1952).",
                is_costly=True,
            ),
            Strategy(
                MAX_SHARPE,
                "The highest ratio of mean return to volatility, by the Ledoit-Wolf covariance and a risk-free rate"
                " of 0 (Sharpe 1966).",
                is_costly=True,
            ),
            Strategy(
                RISK_PARITY,
                "Every stock contributes the same to the variance (Maillard, Roncalli & Teiletche 2010).",
                is_costly=True,
            ),
            Strategy(
                HRP,
                "Hierarchical risk parity: a tree of correlations, Ward's linkage, is split by variance"
                " (López de Prado 2016).",
                is_costly=True,
            ),
            Strategy(
                MIN_CVAR,
                "The least expected shortfall at 95 % of the window's returns (Rockafellar & Uryasev 2000).",
                is_costly=True,
            ),
        )
    }
)
"""Name → strategy."""

FALLBACKS = (INVERSE_VOLATILITY, EQUAL_WEIGHT)
"""Which give the weights of a month, in this order, where a strategy cannot."""
