"""What the figures of other libraries are, where they differ from the platform's of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.risk.measures import Measure
from pipeline.risk.measures.conventions import CONVENTIONS, Library
from pipeline.risk.measures.tail import historical_es, historical_var


@dataclass(frozen=True, slots=True)
class Meaning:
    """Unit and formula of a figure, in the letters of `Measure.formula`; α is the confidence."""

    unit: str
    formula: str


_RETURN = "fraction of value, negative for a loss"
_LOSS = "fraction of value, positive loss"
_PER_SESSION = "ratio per session"
_SHARPE = Meaning(_PER_SESSION, "mean(r − f) / sd(r), sd with n − 1")
_SUMMED_DRAWDOWN = Meaning("sum of returns, positive", "max_t (max(0, S_1 … S_t) − S_t), S_t = Σ_{i≤t} r_i")
_OVER_SUMMED_DRAWDOWN = Meaning(_PER_SESSION, "mean(r − f) / max_drawdown of the running sum")

MEANINGS: Mapping[Library, Mapping[str, Meaning]] = MappingProxyType(
    {
        "quantstats": MappingProxyType(
            {
                "value_at_risk": Meaning(_RETURN, "mean(r) + sd(r) Φ⁻¹(1 − α)"),
                "expected_shortfall": Meaning(_RETURN, "mean(r) − sd(r) φ(Φ⁻¹(1 − α)) / (1 − α)"),
            }
        ),
        "empyrical": MappingProxyType(
            {
                "value_at_risk": Meaning(_RETURN, "quantile of r at 1 − α, interpolated (type 7)"),
                "expected_shortfall": Meaning(_RETURN, "mean of the ⌊(n − 1)(1 − α)⌋ + 1 lowest r"),
            }
        ),
        "skfolio": MappingProxyType(
            {
                "value_at_risk": Meaning(_LOSS, "loss number ⌊n(1 − α)⌋ + 1 from the worst"),
                "sharpe_ratio": _SHARPE,
                "sortino_ratio": Meaning(_PER_SESSION, "mean(r − f) / √(Σ min(r − r̄, 0)²/(n − 1))"),
                "max_drawdown": _SUMMED_DRAWDOWN,
                "calmar_ratio": _OVER_SUMMED_DRAWDOWN,
            }
        ),
        "riskfolio": MappingProxyType(
            {
                "value_at_risk": Meaning(_LOSS, "loss number ⌈n(1 − α)⌉ from the worst"),
                "sharpe_ratio": _SHARPE,
                "sortino_ratio": Meaning(_PER_SESSION, "mean(r − f) / √(Σ min(r − f, 0)²/(n − 1))"),
                "max_drawdown": _SUMMED_DRAWDOWN,
                "calmar_ratio": _OVER_SUMMED_DRAWDOWN,
                "volatility": Meaning("fraction per session", "√(Σ(r − r̄)²/(n − 1))"),
            }
        ),
    }
)
"""Library, then the name in `CONVENTIONS`. What is not here, the library computes as the platform does."""


def peer_name(measure: Measure) -> str:
    """The name that a registered measure has in `CONVENTIONS`, which knows tails by their confidence."""
    if measure.definition is historical_var:
        return "value_at_risk"
    return "expected_shortfall" if measure.definition is historical_es else measure.name


def libraries_with(measure: Measure) -> tuple[Library, ...]:
    """The libraries that have a figure of that name."""
    return tuple(library for library, offered in CONVENTIONS.items() if peer_name(measure) in offered)
