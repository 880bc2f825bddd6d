"""Names of what is forecast, as tables, answers and exports write them: variance, quantile_0.01, es_0.01."""

from __future__ import annotations

from typing import Literal

Target = Literal["volatility", "distribution", "probability"]
"""What a model forecasts."""

VARIANCE = "variance"
PROBABILITY_POSITIVE = "probability_positive"
RANK_QUINTILES = "rank_quintiles"
"""Of the five chances together, which are scored as one."""

_QUANTILE, _SHORTFALL = "quantile_", "es_"


def quantile_kind(level: float) -> str:
    """Such as ``quantile_0.01``."""
    return f"{_QUANTILE}{level:g}"


def shortfall_kind(level: float) -> str:
    """Such as ``es_0.01``: the expected shortfall below the 1 % quantile."""
    return f"{_SHORTFALL}{level:g}"


def quintile_kind(number: int) -> str:
    """Such as ``rank_quintile_1``: the chance of the lowest fifth."""
    return f"rank_quintile_{number}"


def is_quantile(kind: str) -> bool:
    """Whether returns are counted below it."""
    return kind.startswith(_QUANTILE)


def level_of(kind: str) -> float | None:
    """Level of a quantile or shortfall; None for others."""
    return float(kind.rpartition("_")[2]) if kind.startswith((_QUANTILE, _SHORTFALL)) else None


def target_of(kind: str) -> Target:
    """Which models forecast it."""
    if kind in (PROBABILITY_POSITIVE, RANK_QUINTILES):
        return "probability"
    return "volatility" if kind == VARIANCE else "distribution"
