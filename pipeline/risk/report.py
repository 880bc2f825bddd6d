"""Risk reports: every registered measure over rolling windows, or over one series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import DateArray, FloatArray, IntArray
from pipeline.risk.measures import MEASURES, RiskSpec, Windows
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import HeldPortfolio, Holdings, hold, scenario_windows
from pipeline.risk.measures.windows import require_returns, rolling, simple_returns

SHORT_WINDOW = "short_window"
BLOCK_ROWS = 2048
"""Windows computed at once: 4 MiB an array, which stays near the processor."""


@dataclass(frozen=True, slots=True)
class RollingReport:
    """Measures of one subject on consecutive sessions.

    Parameters
    ----------
    sessions_in_window
        (m,) returns that each row could use.
    values
        Measure name → (m,); NaN where the measure has no value.
    reasons
        (m,) byte strings: why values are missing, empty where none is.
    """

    sessions_in_window: IntArray
    values: Mapping[str, FloatArray]
    reasons: NDArray[np.bytes_]

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The report as table columns."""
        return {
            "sessions_in_window": self.sessions_in_window.astype(np.int16),
            **self.values,
            "reason": self.reasons,
        }


def measure(windows: Windows, spec: RiskSpec) -> dict[str, FloatArray]:
    """Every registered measure of the same windows.

    Returns
    -------
    dict
        Measure name → ``(...)`` for windows of ``(..., n)``.
    """
    return {m.name: np.asarray(m.compute(windows, spec)) for m in MEASURES}


def rolling_report(
    returns: FloatArray,
    benchmark: FloatArray | None,
    rows: slice,
    spec: RiskSpec,
    held: HeldPortfolio | None = None,
) -> RollingReport:
    """Measures of the window that ends at each session of a series of prices.

    Parameters
    ----------
    returns
        (t-1,) simple returns; row i of the t sessions follows return i-1.
    benchmark
        (t-1,) returns of the benchmark on the same sessions, or None.
    rows
        Sessions to report, as positions among the t.
    held
        The portfolio behind `returns`; its current weights then make the scenarios of the tail measures.

    Raises
    ------
    MeasureInputError
        If a return is not finite.
    """
    require_returns(returns, minimum_sessions=0)
    first, last = rows.start, rows.stop
    sessions_in_window = np.minimum(np.arange(first, last), spec.window_sessions)
    values = {m.name: np.full(last - first, np.nan) for m in MEASURES}
    for start in range(max(first, spec.window_sessions), last, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, last)
        block = measure(_windows(returns, benchmark, slice(start, stop), spec, held), spec)
        for name, column in block.items():
            values[name][start - first : stop - first] = column
    return RollingReport(sessions_in_window, values, _reasons(sessions_in_window, values, spec))


def latest_report(
    returns: FloatArray, benchmark: FloatArray | None, spec: RiskSpec, held: HeldPortfolio | None = None
) -> dict[str, float]:
    """Measures of the newest window.

    Raises
    ------
    MeasureInputError
        If the series is shorter than the window.
    """
    require_returns(returns, spec.window_sessions)
    row = slice(len(returns), len(returns) + 1)
    report = rolling_report(returns, benchmark, row, spec, held)
    return {name: float(column[0]) for name, column in report.values.items()}


@dataclass(frozen=True, slots=True)
class HeldSeries:
    """A portfolio on the sessions on which everything it holds has a price.

    Parameters
    ----------
    sessions
        (t,) those sessions.
    held
        The portfolio on them.
    benchmark
        (t-1,) returns of the benchmark on the same sessions, or None.
    """

    sessions: DateArray
    held: HeldPortfolio
    benchmark: FloatArray | None


def held_series(
    close: FloatArray, sessions: DateArray, benchmark_close: FloatArray | None, holdings: Holdings
) -> HeldSeries:
    """Hold a portfolio on the sessions on which every instrument has a price.

    Parameters
    ----------
    close
        (t, n) prices in the order of the holdings, NaN where missing.
    benchmark_close
        (t,) prices of the benchmark, NaN where missing, or None.

    Raises
    ------
    MeasureInputError
        If there is no such session, or the portfolio is worth nothing or less on one.
    """
    complete = np.isfinite(close).all(axis=1)
    if not complete.any():
        raise MeasureInputError("positions: no session has a price for every instrument; choose others")
    benchmark = None if benchmark_close is None else benchmark_returns(benchmark_close[complete])
    return HeldSeries(sessions[complete], hold(close[complete], sessions[complete], holdings), benchmark)


def benchmark_returns(close: FloatArray) -> FloatArray | None:
    """Returns of the benchmark on a subject's sessions; None unless it has a price on each of them."""
    return simple_returns(close) if np.isfinite(close).all() else None


def _windows(
    returns: FloatArray, benchmark: FloatArray | None, rows: slice, spec: RiskSpec, held: HeldPortfolio | None
) -> Windows:
    """Windows that end at the sessions `rows`, which all have a full window."""
    span = slice(rows.start - spec.window_sessions, rows.stop - 1)
    own = rolling(returns[span], spec.window_sessions)
    scenarios = own if held is None else scenario_windows(held.part(span), spec.window_sessions)
    return Windows(own, scenarios, None if benchmark is None else rolling(benchmark[span], spec.window_sessions))


def _reasons(sessions_in_window: IntArray, values: Mapping[str, FloatArray], spec: RiskSpec) -> NDArray[np.bytes_]:
    reasons = [""] * len(sessions_in_window)
    missing = np.zeros(len(reasons), dtype=bool)
    for column in values.values():
        missing |= np.isnan(column)
    for row in np.flatnonzero(missing):
        reasons[row] = _reason(int(sessions_in_window[row]), {name: float(c[row]) for name, c in values.items()}, spec)
    return np.array([reason.encode() for reason in reasons], dtype="S") if reasons else np.array([], dtype="S1")


def _reason(sessions: int, values: Mapping[str, float], spec: RiskSpec) -> str:
    if sessions < spec.window_sessions:
        return f"{SHORT_WINDOW}: {sessions} of {spec.window_sessions} sessions"
    causes = {m.undefined_because or "undefined" for m in MEASURES if np.isnan(values[m.name])}
    return ", ".join(sorted(causes))
