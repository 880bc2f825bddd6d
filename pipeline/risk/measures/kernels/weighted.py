"""Rolling volatility under exponentially decaying weights."""

from __future__ import annotations

import math

from numba import njit

from pipeline.base.types import FloatArray

_BLOCK = 1024
"""Windows whose sums grow together: two arrays of them stay next to the processor."""


def rolling_weighted_volatility_python(
    returns: FloatArray, weights: FloatArray, periods_per_year: float, squares: FloatArray, out: FloatArray
) -> None:
    """Fill `out` with the root of the weighted mean square of every window, annualised.

    A running recursion would remember where it began. Here each window is summed by itself, oldest first; many
    windows take the same step at once, which compiles to vector instructions.

    Parameters
    ----------
    returns
        (t,) simple returns, finite.
    weights
        (window,) that sum to 1, oldest first.
    squares
        (t,) room to work in.
    out
        (t - window + 1,).
    """
    for i in range(len(returns)):
        squares[i] = returns[i] * returns[i]
    out[:] = 0.0
    for start in range(0, len(out), _BLOCK):
        block = out[start : start + _BLOCK]
        for age in range(len(weights)):
            weight, terms = weights[age], squares[start + age : start + age + len(block)]
            for row in range(len(block)):
                block[row] += weight * terms[row]
    for row in range(len(out)):
        out[row] = math.sqrt(out[row] * periods_per_year)


rolling_weighted_volatility = njit(cache=True, nogil=True, error_model="numpy")(rolling_weighted_volatility_python)
