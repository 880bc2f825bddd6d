"""Exponentially weighted means, whose weights are those of what has been seen."""

from __future__ import annotations

from numba import njit

from pipeline.base.types import FloatArray


def exponential_means_python(values: FloatArray, decay: float, out: FloatArray) -> None:
    """Fill `out` with Σ λᵏ x(p-1-k) / Σ λᵏ over everything before each row.

    Parameters
    ----------
    values
        (n,) finite values.
    decay
        λ in (0, 1).
    out
        (n + 1,) to fill; NaN first, where nothing has been seen.
    """
    total, weights = 0.0, 0.0
    out[0] = float("nan")
    for row in range(len(values)):
        total = decay * total + values[row]
        weights = decay * weights + 1.0
        out[row + 1] = total / weights


exponential_means = njit(cache=True, nogil=True, error_model="numpy")(exponential_means_python)
