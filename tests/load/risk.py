"""Measures of 500 series of 30 years: the kernels against numpy, skfolio, pandas and the time to store their rows.

Every figure is CPU seconds of one thread, peers in turn with the kernels within the same run. Slow peers get some
of the series, and their time is scaled to all of them. Compiling is not counted.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import pandas as pd
import skfolio.measures as skfolio

from pipeline.base.types import FloatArray
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.kernels.rolling import twelve_rolling
from pipeline.risk.measures.kernels.tail import tail_law
from pipeline.risk.measures.kernels.whole import WHOLE_MEASURES, measure_whole
from pipeline.risk.measures.tail_forecasts import tail_forecasts
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series, rolling_report
from pipeline.store.binary_copy import copy_in
from pipeline.store.engine import Database, with_database
from tests.bundled import bundled_bars
from tests.load.calculate import calculate_figures
from tests.load.ingest import prepared_server
from tests.load.measuring import Figures, cpu_seconds, median_seconds

ROUNDS = 5
SERIES, SESSIONS = 500, 7_560
SPEC = RiskSpec()
WINDOW = SPEC.window_sessions

SKFOLIO_SERIES = 50
PANDAS_SERIES = 20
APPLIED_SERIES = 1
"""`DataFrame.rolling.apply` calls Python for each window: half a minute for a hundred series."""
STORED_SERIES = 50

INSTRUMENT_SESSIONS, PORTFOLIO_SESSIONS, TAIL_SESSIONS, MONTH = 294, 357, 609, 21
"""Look-backs of 13, 16 and 28 months with the month itself."""
PORTFOLIOS, POSITIONS = 100, 20


def measure() -> Figures:
    """Whole series, rolling panels, the daily refresh, and a report on request."""
    returns = drawn_returns(SERIES, SESSIONS)
    bundled = bundled_returns()
    return {
        "rolling_cpu_s": median_seconds(lambda: rolling_reports(bundled), ROUNDS),
        "rolling_rows": sum(len(series) + 1 for series in bundled),
        **_whole_figures(returns),
        **_rolling_figures(returns),
        "daily_refresh_cpu_s": _daily_refresh_seconds(),
        **calculate_figures(),
    }


def drawn_returns(series: int, sessions: int) -> FloatArray:
    """(series, sessions) returns with fat tails and daily volatilities of 0.8 to 2.5 %."""
    draw = np.random.default_rng(1)
    scale = draw.uniform(0.008, 0.025, (series, 1)) / math.sqrt(2.0)
    return np.clip(0.0004 + scale * draw.standard_t(4, (series, sessions)), -0.5, 0.8)


def bundled_returns() -> list[FloatArray]:
    """Returns of each bundled instrument."""
    bars = bundled_bars().sorted()
    closes = [bars.close_adjusted[bars.symbol_index == index] for index in range(len(bars.symbols))]
    return [simple_returns(close) for close in closes]


def rolling_reports(series: list[FloatArray]) -> None:
    """What the asset computes."""
    for returns in series:
        rolling_report(returns, returns, slice(0, len(returns) + 1), SPEC)


def _whole_figures(returns: FloatArray) -> dict[str, float]:
    """Twelve measures of whole series; skfolio has no CAGR or Calmar ratio and computes what they are made of."""
    law, tail, out = (0.0, float(SPEC.periods_per_year)), tail_law(SESSIONS), np.empty((SERIES, len(WHOLE_MEASURES)))
    columns = np.ascontiguousarray(returns[:SKFOLIO_SERIES].T)

    def ours() -> None:
        measure_whole(returns, law, tail, out)

    by_numpy = _times_slower(ours, lambda: numpy_measures(returns))
    by_skfolio = _times_slower(ours, lambda: skfolio_measures(columns))
    return {
        "metrics_cpu_s": median_seconds(ours, ROUNDS),
        "metrics_vs_numpy": by_numpy,
        "metrics_vs_skfolio": by_skfolio * SERIES / SKFOLIO_SERIES,
    }


def _rolling_figures(returns: FloatArray) -> dict[str, float]:
    """Twelve rolling measures against eight by pandas' own methods, ten with `.apply`, and against storing them."""

    def ours() -> None:
        for series in returns:
            twelve_rolling(series, SPEC)

    native, applied = pd.DataFrame(returns[:PANDAS_SERIES].T), pd.DataFrame(returns[:APPLIED_SERIES].T)
    by_native = _times_slower(ours, lambda: pandas_native(native)) * SERIES / PANDAS_SERIES
    by_apply = _times_slower(ours, lambda: pandas_applied(applied)) * SERIES / APPLIED_SERIES
    seconds = median_seconds(ours, ROUNDS)
    return {
        "rolling_panel_cpu_s": seconds,
        "rolling_vs_pandas_native": by_native,
        "rolling_vs_pandas_all": by_native + by_apply,
        "rolling_vs_write_limit": seconds / (_write_seconds(returns[:STORED_SERIES]) * SERIES / STORED_SERIES),
    }


def _times_slower(ours: Callable[[], object], other: Callable[[], object]) -> float:
    """Median over rounds of other / ours, each pair measured one after the other."""
    ours(), other()
    return statistics.median(_seconds(other) / _seconds(ours) for _ in range(ROUNDS))


def _seconds(work: Callable[[], object]) -> float:
    started = cpu_seconds()
    work()
    return cpu_seconds() - started


def numpy_measures(returns: FloatArray) -> tuple[FloatArray, ...]:
    """The same twelve, vectorised over series: moments from one deviation, one partition for all tails."""
    n = returns.shape[1]
    mean = returns.mean(axis=1)
    deviation = returns - mean[:, None]
    square = deviation * deviation
    second = square.mean(axis=1)
    third, fourth = (square * deviation).mean(axis=1), (square * square).mean(axis=1)
    sample = np.sqrt(second * n / (n - 1))
    downside = np.sqrt((np.minimum(returns, 0.0) ** 2).mean(axis=1))
    wealth = np.cumprod(1.0 + returns, axis=1)
    growth = wealth[:, -1] ** (252 / n) - 1.0
    drawdown = (wealth / np.maximum(np.maximum.accumulate(wealth, axis=1), 1.0)).min(axis=1) - 1.0
    at = {level: n - math.ceil(level * n - 1e-9) for level in (0.95, 0.975, 0.99)}
    lowest = np.partition(returns, list(at.values()), axis=1)[:, : max(at.values()) + 1]

    def shortfall(level: float) -> FloatArray:
        k = at[level]
        atom = ((n - k) / n - level) * lowest[:, k]
        result: FloatArray = -(lowest[:, :k].sum(axis=1) / n + atom) / (1.0 - level)
        return result

    year = math.sqrt(252)
    ratios = (sample * year, mean / sample * year, mean / downside * year, growth / -drawdown)
    tails = (-lowest[:, at[0.95]], -lowest[:, at[0.99]], shortfall(0.975), shortfall(0.99))
    return growth, *ratios, drawdown, third / second**1.5, fourth / second**2 - 3.0, *tails


def skfolio_measures(returns: FloatArray) -> None:
    """The same by skfolio's functions, which take all columns at once."""
    skfolio.mean(returns) / skfolio.standard_deviation(returns)
    skfolio.mean(returns) / skfolio.semi_deviation(returns, min_acceptable_return=0.0, biased=True)
    skfolio.get_cumulative_returns(returns, compounded=True)[-1]
    skfolio.max_drawdown(skfolio.get_drawdowns(returns, compounded=True))
    skfolio.skew(returns), skfolio.kurtosis(returns)
    for level in (0.95, 0.99):
        skfolio.value_at_risk(returns, beta=level)
    for level in (0.975, 0.99):
        skfolio.cvar(returns, beta=level)


def pandas_native(returns: pd.DataFrame) -> None:
    """CAGR, volatility, Sharpe, Sortino, skewness, kurtosis and two VaR by pandas' compiled rolling methods."""
    window = returns.rolling(WINDOW)
    mean, deviation = window.mean(), window.std()
    np.exp(np.log1p(returns).rolling(WINDOW).sum() * 252 / WINDOW) - 1.0
    deviation * math.sqrt(252), mean / deviation * math.sqrt(252)
    mean / np.sqrt((returns.clip(upper=0.0) ** 2).rolling(WINDOW).mean()) * math.sqrt(252)
    window.skew(), window.kurt()
    window.quantile(0.05, interpolation="lower"), window.quantile(0.01, interpolation="lower")


def pandas_applied(returns: pd.DataFrame) -> None:
    """Maximum drawdown and expected shortfall, for which pandas has no method; Calmar is their quotient with CAGR."""
    window = returns.rolling(WINDOW)
    window.apply(_drawdown, raw=True)
    window.apply(_shortfall, raw=True)


def _drawdown(returns: FloatArray) -> float:
    wealth = np.cumprod(1.0 + returns)
    return float((wealth / np.maximum(np.maximum.accumulate(wealth), 1.0)).min() - 1.0)


def _shortfall(returns: FloatArray) -> float:
    tail = np.sort(returns)[:7]  # 2.5 % of 252 sessions are 6.3
    return float(-(tail[:6].sum() + 0.3 * tail[6]) / 6.3)


def _write_seconds(returns: FloatArray) -> float:
    """Median seconds, on the clock, in which Postgres takes the rows by binary COPY into a table without an index."""
    reports = [twelve_rolling(series, SPEC) for series in returns]
    rows = SESSIONS - WINDOW + 1
    columns = {name: np.concatenate([report[name] for report in reports]) for name in WHOLE_MEASURES}
    keys = {
        "instrument_id": np.repeat(np.arange(len(returns), dtype=np.int32), rows),
        "session": np.tile(np.datetime64("1990-01-01") + np.arange(rows), len(returns)),
    }
    types = ", ".join(f"{name} double precision" for name in WHOLE_MEASURES)
    with prepared_server() as server:
        database = Database(with_database(server, "bench_risk"))
        database.ensure_exists()
        with database.connect() as connection:
            connection.execute(f"CREATE TABLE rolling (instrument_id integer, session date, {types})")
            return median_seconds(lambda: copy_in(connection, "rolling", keys | columns), ROUNDS, time.perf_counter)


def _daily_refresh_seconds() -> float:
    """The newest month of 500 instruments and of 100 portfolios that rebalance monthly, with a benchmark.

    Of the portfolios both what is earned, and the value at risk and expected shortfall by every method.
    """
    returns = drawn_returns(SERIES, TAIL_SESSIONS - 1)
    close = np.cumprod(np.column_stack([np.full(SERIES, 100.0), 1.0 + returns]), axis=1).T
    sessions = np.busday_offset(np.datetime64("2024-01-02"), np.arange(TAIL_SESSIONS), roll="forward")
    draw = np.random.default_rng(2)
    chosen = [draw.choice(SERIES, POSITIONS, replace=False) for _ in range(PORTFOLIOS)]
    weights = Holdings(np.full(POSITIONS, 1.0 / POSITIONS), "monthly")
    recent = simple_returns(close[-INSTRUMENT_SESSIONS:])

    def refresh() -> None:
        newest = slice(INSTRUMENT_SESSIONS - MONTH, INSTRUMENT_SESSIONS)
        for series in np.ascontiguousarray(recent.T):
            rolling_report(series, recent[:, 0], newest, SPEC)
        for columns in chosen:
            held = held_series(
                close[-PORTFOLIO_SESSIONS:, columns],
                sessions[-PORTFOLIO_SESSIONS:],
                close[-PORTFOLIO_SESSIONS:, 0],
                weights,
            )
            newest = slice(PORTFOLIO_SESSIONS - MONTH, PORTFOLIO_SESSIONS)
            rolling_report(held.held.returns, held.benchmark, newest, SPEC, held.held)
            longer = held_series(close[:, columns], sessions, None, weights).held
            deque(tail_forecasts(longer, slice(TAIL_SESSIONS - MONTH, TAIL_SESSIONS)), maxlen=0)

    return median_seconds(refresh, ROUNDS)
