"""Risk reports: every registered measure over rolling windows, or over one series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray, DateArray, FloatArray, IntArray
from pipeline.risk.measures import MEASURES, Measure, RiskSpec, Windows
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import HeldPortfolio, Holdings, hold, scenario_windows
from pipeline.risk.measures.risk_free import NONE_STORED, UNKNOWN, RiskFree, known_in_windows
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
    risk_free
        (m,) byte strings: series of the risk-free rate, or that none is stored and the rate 0.
    reasons
        (m,) byte strings: why values are missing, empty where none is.
    """

    sessions_in_window: IntArray
    values: Mapping[str, FloatArray]
    risk_free: NDArray[np.bytes_]
    reasons: NDArray[np.bytes_]

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The report as table columns."""
        return {
            "sessions_in_window": self.sessions_in_window.astype(np.int16),
            **self.values,
            "risk_free": self.risk_free,
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
    risk_free: RiskFree | None = None,
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
    risk_free
        (t-1,) rates of the returns; None for the spec's. A window that knows none takes the spec's rate, and one that
        knows some only has no measure that takes the rate: what a row is depends on its own window alone.

    Raises
    ------
    MeasureInputError
        If a return is not finite.
    """
    require_returns(returns, minimum_sessions=0)
    first, last = rows.start, rows.stop
    sessions_in_window = np.minimum(np.arange(first, last), spec.window_sessions)
    values = {m.name: np.full(last - first, np.nan) for m in MEASURES}
    start = max(first, spec.window_sessions)
    if start < last:
        for name, column in _full_rows(returns, benchmark, slice(start, last), spec, held, risk_free).items():
            values[name][start - first :] = column
    known = np.zeros(last - first, dtype=np.int64)
    if risk_free is not None:
        known = known_in_windows(risk_free.daily, spec.window_sessions, rows)
    partly = (known > 0) & (known < sessions_in_window)
    said = np.where(known > 0, b"" if risk_free is None else risk_free.series.encode(), NONE_STORED.encode())
    return RollingReport(sessions_in_window, values, said, _reasons(sessions_in_window, values, spec, partly))


def latest_report(
    returns: FloatArray,
    benchmark: FloatArray | None,
    spec: RiskSpec,
    held: HeldPortfolio | None = None,
    risk_free: RiskFree | None = None,
) -> dict[str, float]:
    """Measures of the newest window, by their definitions: for one window they are quicker than loading the kernels.

    They agree with the row of `rolling_report` to rounding. Of `risk_free` the newest rates suffice.

    Raises
    ------
    MeasureInputError
        If the series is shorter than the window.
    """
    require_returns(returns, spec.window_sessions)
    row = slice(len(returns), len(returns) + 1)
    if risk_free is not None:
        earlier = np.full(max(len(returns) - len(risk_free.daily), 0), np.nan)
        risk_free = RiskFree(risk_free.series, np.r_[earlier, risk_free.daily])
    values = measure(_windows(returns, benchmark, row, spec, held, risk_free), spec)
    return {name: float(column[0]) for name, column in values.items()}


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


def _full_rows(
    returns: FloatArray,
    benchmark: FloatArray | None,
    rows: slice,
    spec: RiskSpec,
    held: HeldPortfolio | None,
    risk_free: RiskFree | None,
) -> dict[str, FloatArray]:
    """Every registered measure at the sessions `rows`, which all have a full window: by its kernel if it has one."""
    # Here and not above: the API imports this module, and starts without numba.
    from pipeline.risk.measures.kernels.rolling import rolling_measures  # noqa: PLC0415

    span = slice(rows.start - spec.window_sessions, rows.stop - 1)
    index = None if benchmark is None else benchmark[span]
    rates = None if risk_free is None else risk_free.daily[span]
    compiled = rolling_measures(returns[span], index, spec, None if held is None else held.part(span), rates)
    others = [m for m in MEASURES if m.name not in compiled]
    defined = _defined_rows(others, returns, benchmark, rows, spec, held, risk_free) if others else {}
    return {m.name: (compiled | defined)[m.name] for m in MEASURES}


def _defined_rows(
    measures: list[Measure],
    returns: FloatArray,
    benchmark: FloatArray | None,
    rows: slice,
    spec: RiskSpec,
    held: HeldPortfolio | None,
    risk_free: RiskFree | None,
) -> dict[str, FloatArray]:
    """Measures by their definitions, some windows at a time."""
    columns = {m.name: np.empty(rows.stop - rows.start) for m in measures}
    for start in range(rows.start, rows.stop, BLOCK_ROWS):
        block = slice(start, min(start + BLOCK_ROWS, rows.stop))
        windows = _windows(returns, benchmark, block, spec, held, risk_free)
        for m in measures:
            columns[m.name][block.start - rows.start : block.stop - rows.start] = m.compute(windows, spec)
    return columns


def _windows(
    returns: FloatArray,
    benchmark: FloatArray | None,
    rows: slice,
    spec: RiskSpec,
    held: HeldPortfolio | None,
    risk_free: RiskFree | None,
) -> Windows:
    """Windows that end at the sessions `rows`, which all have a full window."""
    span = slice(rows.start - spec.window_sessions, rows.stop - 1)
    own = rolling(returns[span], spec.window_sessions)
    scenarios = own if held is None else scenario_windows(held.part(span), spec.window_sessions)
    index = None if benchmark is None else rolling(benchmark[span], spec.window_sessions)
    return Windows(own, scenarios, index, None if risk_free is None else _rate_windows(risk_free.daily[span], spec))


def _rate_windows(rates: FloatArray, spec: RiskSpec) -> FloatArray | None:
    """The rates of each window, the spec's where it knows none; None if none does."""
    if not np.isfinite(rates).any():
        return None
    windows = rolling(rates, spec.window_sessions)
    return np.where(np.isfinite(windows).any(axis=1, keepdims=True), windows, spec.risk_free_rate_daily)


def _reasons(
    sessions_in_window: IntArray, values: Mapping[str, FloatArray], spec: RiskSpec, partly_known: BoolArray
) -> NDArray[np.bytes_]:
    """Why values are missing, written once for each run of rows for the same reason.

    Parameters
    ----------
    partly_known
        (m,) whether the risk-free rate is known on some sessions of the window only.
    """
    if len(sessions_in_window) == 0:
        return np.array([], dtype="S1")
    causes = sorted({UNKNOWN, *(m.undefined_because or "undefined" for m in MEASURES)})
    short = np.count_nonzero(sessions_in_window < spec.window_sessions)
    codes = np.zeros(len(sessions_in_window), dtype=np.int64)
    codes[:short] = -1 - sessions_in_window[:short]
    for m in MEASURES:
        missing = np.isnan(values[m.name][short:])
        by_rate = missing & partly_known[short:] & m.reads_risk_free
        for rows, because in ((by_rate, UNKNOWN), (missing & ~by_rate, m.undefined_because or "undefined")):
            codes[short:][rows] |= 1 << causes.index(because)
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    texts = [_reason(int(code), causes, spec) for code in codes[starts]]
    return np.repeat(np.array([text.encode() for text in texts], dtype="S"), np.diff(np.r_[starts, len(codes)]))


def _reason(code: int, causes: list[str], spec: RiskSpec) -> str:
    """What a code stands for: -1 less the sessions of a short window, or a bit for each cause."""
    if code < 0:
        return f"{SHORT_WINDOW}: {-1 - code} of {spec.window_sessions} sessions"
    return ", ".join(cause for bit, cause in enumerate(causes) if code >> bit & 1)
