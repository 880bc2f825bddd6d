"""What an estimate of tail risk is asked for, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.risk.measures.dispersion import RISKMETRICS_DECAY
from pipeline.risk.measures.errors import MeasureInputError

Scaling: TypeAlias = Literal["overlapping", "square_root_of_time", "simulation"]
"""How a horizon of several sessions is reached from returns of one."""

SCALINGS: tuple[Scaling, ...] = ("overlapping", "square_root_of_time", "simulation")

Law: TypeAlias = Literal["student_t", "gaussian"]
"""The distribution that Monte Carlo draws from."""

MINIMUM_PATHS = 1_000


@dataclass(frozen=True, slots=True)
class TailSpec:
    """Which tail, over which horizon, and the parameters of the methods.

    Parameters
    ----------
    confidence
        α in (0, 1), for example 0.99.
    horizon_sessions
        Sessions over which the loss is counted.
    scaling
        How several sessions are reached; without effect for one. ``"overlapping"`` measures compounded
        returns of overlapping windows, ``"simulation"`` compounds simulated sessions, and
        ``"square_root_of_time"`` multiplies the figures of one session by √h.
    ewma_lambda
        Weight of yesterday's variance in `ewma` and `filtered_historical`.
    seed
        Key of the counter-based random numbers.
    paths
        Simulated paths.
    law
        What `monte_carlo` draws from.
    """

    confidence: float
    horizon_sessions: int = 1
    scaling: Scaling = "overlapping"
    ewma_lambda: float = RISKMETRICS_DECAY
    seed: int = 0
    paths: int = 10_000
    law: Law = "student_t"

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence < 1.0:
            raise MeasureInputError(f"confidence={self.confidence}: give a fraction between 0 and 1, such as 0.99")
        if self.horizon_sessions < 1:
            raise MeasureInputError(f"horizon_sessions={self.horizon_sessions}: give at least 1")
        if self.scaling not in SCALINGS:
            raise MeasureInputError(f"scaling={self.scaling}: unknown; choose one of {', '.join(SCALINGS)}")
        if not 0.0 < self.ewma_lambda < 1.0:
            raise MeasureInputError(f"ewma_lambda={self.ewma_lambda}: give a fraction between 0 and 1, such as 0.94")
        if not 0 <= self.seed < 2**64:
            raise MeasureInputError(f"seed={self.seed}: give a whole number from 0 to 2⁶⁴ - 1")
        if self.paths < MINIMUM_PATHS:
            raise MeasureInputError(f"paths={self.paths}: give at least {MINIMUM_PATHS}")
        if self.law not in ("student_t", "gaussian"):
            raise MeasureInputError(f"law={self.law}: unknown; choose student_t or gaussian")


@dataclass(frozen=True, slots=True)
class TailEstimate:
    """Value at risk and expected shortfall as positive losses.

    Parameters
    ----------
    var, es
        (...) fractions of value, es ≥ var; NaN where the method is undefined, for the reason that its
        entry in the registry gives.
    var_standard_error, es_standard_error
        (...) of the simulation at given parameters; None for a method that does not simulate.
    """

    var: FloatArray
    es: FloatArray
    var_standard_error: FloatArray | None = None
    es_standard_error: FloatArray | None = None

    def __post_init__(self) -> None:
        # A flat or closed-form tail can round to an ulp below the value at risk.
        object.__setattr__(self, "es", np.maximum(self.es, self.var))

    def times(self, factor: float | FloatArray) -> TailEstimate:
        """Every figure multiplied by a factor of 0 or more."""
        return self._each(lambda values: values * factor)

    def lowered_by(self, gain: FloatArray) -> TailEstimate:
        """The losses after a certain gain; the errors stay."""
        return TailEstimate(self.var - gain, self.es - gain, self.var_standard_error, self.es_standard_error)

    def reshaped(self, shape: tuple[int, ...]) -> TailEstimate:
        """Every figure in another shape."""
        return self._each(lambda values: np.reshape(values, shape))

    def scaled_to(self, horizon_sessions: int) -> TailEstimate:
        """The figures of one session times √h."""
        return self.times(math.sqrt(horizon_sessions))

    def _each(self, change: Callable[[FloatArray], FloatArray]) -> TailEstimate:
        errors = (self.var_standard_error, self.es_standard_error)
        return TailEstimate(
            change(self.var), change(self.es), *(None if error is None else change(error) for error in errors)
        )


FittedTail: TypeAlias = Callable[[float], TailEstimate]
"""The figures of windows that were looked at once, at any confidence."""
