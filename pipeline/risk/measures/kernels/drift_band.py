"""The trades of a drift band, session by session."""

from __future__ import annotations

from numba import njit

from pipeline.base.types import FloatArray, IntArray


def setting_rows_python(close: FloatArray, targets: FloatArray, band: float, units: FloatArray, out: IntArray) -> None:
    """Fill `out` with what `pipeline.risk.measures.drift_band.setting_rows` returns.

    Parameters
    ----------
    close
        (t, n) prices, all finite and positive.
    targets
        (n,) weights that sum to 1.
    units
        (n,) room to work in.
    out
        (t,).
    """
    setting = 0
    for row in range(len(close)):
        is_outside = False
        total = 0.0
        if row > 0:
            for k in range(len(targets)):
                total += close[row, k] * units[k]
        if total > 0.0:
            for k in range(len(targets)):
                if abs(close[row, k] * units[k] / total - targets[k]) > band:
                    is_outside = True
        if is_outside or row == 0:
            setting = row
            for k in range(len(targets)):
                units[k] = targets[k] / close[row, k]
        out[row] = setting


setting_rows = njit(cache=True, nogil=True, error_model="numpy")(setting_rows_python)
