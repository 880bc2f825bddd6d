"""The quantile functions that kernels draw from: what makes normal draws Student's."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import gammainccinv, gammaincinv, gammaln

from pipeline.base.types import FloatArray
from pipeline.simulation.models.inversion import quantile_table

TABLES_KEPT = 16
"""At least one a thread: every chunk of a run asks for the same."""


@lru_cache(TABLES_KEPT)
def mixing_tables(degrees_of_freedom: float) -> FloatArray:
    """The law of m = √(ν / χ²(ν)), for `draw_two_sided`: m times a normal draw has Student's law."""
    half = 0.5 * degrees_of_freedom

    def density(m: FloatArray) -> FloatArray:
        """2 ν / m³ times the density of χ² at ν / m²."""
        log_square = np.log(degrees_of_freedom) - 2.0 * np.log(m)
        log_density = (half - 1.0) * log_square - 0.5 * np.exp(log_square) - half * math.log(2.0) - gammaln(half)
        found: FloatArray = 2.0 * degrees_of_freedom / m**3 * np.exp(log_density)
        return found

    lower = quantile_table(lambda p: np.sqrt(half / gammainccinv(half, p)), density)
    upper = quantile_table(lambda p: np.sqrt(half / gammaincinv(half, p)), lambda m: -density(m))
    return np.vstack([lower, upper])
