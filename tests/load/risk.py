"""The rolling report of every bundled instrument, against the same measures by pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.base.types import FloatArray
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import rolling_report
from tests.bundled import bundled_bars
from tests.load.measuring import Figures, cpu_seconds, median_ratio, median_seconds

ROUNDS = 5
PANDAS_MEASURES = 6


def measure() -> Figures:
    """All thirteen measures of 26 instruments; pandas computes six of them."""
    series = bundled_returns()
    return {
        "rolling_cpu_s": median_seconds(lambda: rolling_reports(series), ROUNDS),
        "rolling_rows": sum(len(returns) + 1 for returns in series),
        "rolling_vs_pandas_six": 1
        / median_ratio(lambda: rolling_reports(series[:2]), lambda: pandas_measures(series[:2]), ROUNDS, cpu_seconds),
    }


def bundled_returns() -> list[FloatArray]:
    """Returns of each instrument."""
    bars = bundled_bars().sorted()
    closes = [bars.close_adjusted[bars.symbol_index == index] for index in range(len(bars.symbols))]
    return [simple_returns(close) for close in closes]


def rolling_reports(series: list[FloatArray]) -> None:
    """What the asset computes."""
    for returns in series:
        rolling_report(returns, returns, slice(0, len(returns) + 1), RiskSpec())


def pandas_measures(series: list[FloatArray]) -> None:
    """Volatility, Sharpe ratio, skewness, kurtosis, VaR and drawdown as pandas users write them."""
    for returns in series:
        window = pd.Series(returns).rolling(252)
        deviation = window.std()
        _ = deviation * np.sqrt(252), window.mean() / deviation * np.sqrt(252), window.skew(), window.kurt()
        window.quantile(0.01)
        window.apply(_drawdown, raw=True)


def _drawdown(returns: FloatArray) -> float:
    wealth = np.cumprod(1.0 + returns)
    return float((wealth / np.maximum(np.maximum.accumulate(wealth), 1.0)).min() - 1.0)
