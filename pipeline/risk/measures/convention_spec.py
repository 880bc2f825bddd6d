"""What the functions of other libraries are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR

Library: TypeAlias = Literal["quantstats", "empyrical", "skfolio", "riskfolio"]


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
    benchmark
        (..., n) returns of the benchmark on the same sessions; None leaves what compares with it NaN.
    """

    confidence: float = 0.95
    periods_per_year: int = TRADING_DAYS_PER_YEAR
    risk_free_rate_daily: float | FloatArray = 0.0
    benchmark: FloatArray | None = None

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


def against_benchmark(compute: Callable[[FloatArray, FloatArray, ConventionSpec], FloatArray]) -> Convention:
    """A figure against the benchmark: NaN where there is none."""

    def compared(returns: FloatArray, spec: ConventionSpec) -> FloatArray:
        if spec.benchmark is None:
            return np.full(returns.shape[:-1], np.nan)
        return compute(returns, spec.benchmark, spec)

    return compared
