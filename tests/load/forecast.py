"""Both forecast assets over the bundled stocks, and how much HAR gains on EWMA."""

from __future__ import annotations

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts, score_volatility, volatility_forecasts
from tests.load.measuring import Figures, median_seconds
from tests.load.risk import bundled_returns

ROUNDS = 3
STOCKS = 20
SCORED_SESSIONS = 2_510
"""2013 to 2022."""


def measure() -> Figures:
    """CPU seconds for every row of 20 stocks since 1990; QLIKE by model and horizon since 2013."""
    series = bundled_returns()[:STOCKS]
    return {
        "volatility_cpu_s": median_seconds(lambda: [_volatility(returns) for returns in series], ROUNDS),
        "quantiles_cpu_s": median_seconds(lambda: [_quantiles(returns) for returns in series], ROUNDS),
        **qlike_by_model(series),
    }


def qlike_by_model(series: list[FloatArray]) -> dict[str, float]:
    """Mean QLIKE over the stocks, by model and horizon."""
    losses: dict[str, list[float]] = {}
    for returns in series:
        rows = slice(len(returns) - SCORED_SESSIONS, len(returns))
        for score in score_volatility(volatility_forecasts(returns, ForecastSpec(), rows), returns):
            losses.setdefault(f"qlike_{score.model}_{score.horizon_sessions}d", []).append(score.qlike_error)
    return {name: float(np.mean(values)) for name, values in losses.items()}


def _volatility(returns: FloatArray) -> None:
    list(volatility_forecasts(returns, ForecastSpec(), slice(0, len(returns) + 1)))


def _quantiles(returns: FloatArray) -> None:
    list(quantile_forecasts(returns, ForecastSpec(), slice(0, len(returns) + 1)))
