"""What the figures of other libraries are, where they differ from the platform's of the same name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipeline.risk.measures import Measure
from pipeline.risk.measures.conventions import CONVENTIONS, Library
from pipeline.risk.measures.drawdown import conditional_drawdown_at_risk
from pipeline.risk.measures.on_request import ADJUSTED
from pipeline.risk.measures.tail import historical_es, historical_var


@dataclass(frozen=True, slots=True)
class Meaning:
    """Unit and formula of a figure, in the letters of `Measure.formula`; α is the confidence.

    Parameters
    ----------
    undefined_because
        Why there may be none; None for the reason of the platform's.
    """

    unit: str
    formula: str
    undefined_because: str | None = None


def _adjusted(name: str) -> Meaning:
    return Meaning("ratio", ADJUSTED[name].formula, ADJUSTED[name].undefined_because)


_RETURN = "fraction of value, negative for a loss"
_LOSS = "fraction of value, positive loss"
_PER_SESSION = "ratio per session"
_SHARPE = Meaning(_PER_SESSION, "mean(r − f) / sd(r), sd with n − 1")
_SUMMED_DRAWDOWN = Meaning("sum of returns, positive", "max_t (max(0, S_1 … S_t) − S_t), S_t = Σ_{i≤t} r_i")
_OVER_SUMMED_DRAWDOWN = Meaning(_PER_SESSION, "mean(r − f) / max_drawdown of the running sum")
_SUM = "sum of returns, positive"
_INFORMATION = Meaning(_PER_SESSION, "mean(r − b) / sd(r − b), sd with n − 1")
_OF_SUMMED_FALLS: dict[str, Meaning] = {
    "max_drawdown": _SUMMED_DRAWDOWN,
    "average_drawdown": Meaning(_SUM, "mean_t (max(0, S_1 … S_t) − S_t), S_t = Σ_{i≤t} r_i"),
    "ulcer_index": Meaning(_SUM, "√(mean_t (max(0, S_1 … S_t) − S_t)²), S_t = Σ_{i≤t} r_i"),
    "conditional_drawdown_at_risk": Meaning(_SUM, "ES of max(0, S_1 … S_t) − S_t at α, S_t = Σ_{i≤t} r_i"),
    "calmar_ratio": _OVER_SUMMED_DRAWDOWN,
}

MEANINGS: Mapping[Library, Mapping[str, Meaning]] = MappingProxyType(
    {
        "quantstats": MappingProxyType(
            {
                "value_at_risk": Meaning(_RETURN, "mean(r) + sd(r) Φ⁻¹(1 − α)"),
                "expected_shortfall": Meaning(_RETURN, "mean(r) − sd(r) φ(Φ⁻¹(1 − α)) / (1 − α)"),
                "ulcer_index": Meaning("fraction, positive", "√(Σ_t (W_t / max(1, W_1 … W_t) − 1)² / (n − 1))"),
                "skewness": _adjusted("skewness"),
                "excess_kurtosis": _adjusted("excess_kurtosis"),
                "alpha": Meaning("fraction per year", "[mean(r) − β mean(b)] p, β the slope of r on b"),
                "information_ratio": _INFORMATION,
                "hit_rate": Meaning("share", "number of r > 0, by that of r ≠ 0"),
            }
        ),
        "empyrical": MappingProxyType(
            {
                "value_at_risk": Meaning(_RETURN, "quantile of r at 1 − α, interpolated (type 7)"),
                "expected_shortfall": Meaning(_RETURN, "mean of the ⌊(n − 1)(1 − α)⌋ + 1 lowest r"),
                "alpha": Meaning("fraction per year", "(1 + mean(r − f) − β mean(b − f))^p − 1"),
                "information_ratio": _INFORMATION,
                "up_capture": Meaning(
                    "ratio", "(∏(1 + r)^(p/m) − 1) / (∏(1 + b)^(p/m) − 1), of the m sessions with b > 0"
                ),
                "down_capture": Meaning(
                    "ratio", "(∏(1 + r)^(p/m) − 1) / (∏(1 + b)^(p/m) − 1), of the m sessions with b < 0"
                ),
            }
        ),
        "skfolio": MappingProxyType(
            {
                "value_at_risk": Meaning(_LOSS, "loss number ⌊n(1 − α)⌋ + 1 from the worst"),
                "sharpe_ratio": _SHARPE,
                "sortino_ratio": Meaning(_PER_SESSION, "mean(r − f) / √(Σ min(r − r̄, 0)²/(n − 1))"),
                **_OF_SUMMED_FALLS,
                "excess_kurtosis": Meaning("ratio, 3 for a normal law", "m₄ / m₂², m_k = Σ(r − r̄)^k / n"),
                "semi_deviation": Meaning("fraction per year", "√(Σ min(r − r̄, 0)²/(n − 1)) √p"),
                "lower_partial_moment_1": Meaning("fraction per session", "Σ max(r̄ − r, 0)/n"),
            }
        ),
        "riskfolio": MappingProxyType(
            {
                "value_at_risk": Meaning(_LOSS, "loss number ⌈n(1 − α)⌉ from the worst"),
                "sharpe_ratio": _SHARPE,
                "sortino_ratio": Meaning(_PER_SESSION, "mean(r − f) / √(Σ min(r − f, 0)²/(n − 1))"),
                **_OF_SUMMED_FALLS,
                "excess_kurtosis": Meaning("squared fraction per session", "√(Σ(r − r̄)⁴/n)"),
                "semi_deviation": Meaning("fraction per session", "√(Σ min(r − r̄, 0)²/(n − 1))"),
                "volatility": Meaning("fraction per session", "√(Σ(r − r̄)²/(n − 1))"),
            }
        ),
    }
)
"""Library, then the name in `CONVENTIONS`. What is not here, the library computes as the platform does."""


_AT_CONFIDENCE: Mapping[Callable[..., Any], str] = {
    historical_var: "value_at_risk",
    historical_es: "expected_shortfall",
    conditional_drawdown_at_risk: "conditional_drawdown_at_risk",
}


def peer_name(measure: Measure) -> str:
    """The name that a measure has in `CONVENTIONS`, where what takes a confidence is named without it."""
    return _AT_CONFIDENCE.get(measure.definition, measure.name)


def libraries_with(measure: Measure) -> tuple[Library, ...]:
    """The libraries that have a figure of that name."""
    return tuple(library for library, offered in CONVENTIONS.items() if peer_name(measure) in offered)
