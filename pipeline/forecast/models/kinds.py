"""Names of what is forecast, as tables, answers and exports write them: variance, quantile_0.01, es_0.01."""

from __future__ import annotations

from typing import Literal

Target = Literal["volatility", "distribution"]
"""What a model forecasts."""

VARIANCE = "variance"
_QUANTILE, _SHORTFALL = "quantile_", "es_"


def quantile_kind(level: float) -> str:
    """Such as ``quantile_0.01``."""
    return f"{_QUANTILE}{level:g}"


def shortfall_kind(level: float) -> str:
    """Such as ``es_0.01``: the expected shortfall below the 1 % quantile."""
    return f"{_SHORTFALL}{level:g}"


def is_quantile(kind: str) -> bool:
    """Whether returns are counted below it."""
    return kind.startswith(_QUANTILE)


def level_of(kind: str) -> float | None:
    """Level of a quantile or shortfall; None for the variance."""
    return None if kind == VARIANCE else float(kind.rpartition("_")[2])


def target_of(kind: str) -> Target:
    """Which models forecast it."""
    return "volatility" if kind == VARIANCE else "distribution"
