"""Forecasts of the bundled stocks: their record since 2013 against GJR-GARCH-t, and what they cost."""

from __future__ import annotations

import numpy as np
from arch import arch_model

from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts, volatility_forecasts
from pipeline.forecast.models import VOLATILITY_MODELS
from pipeline.forecast.models.conformal import Conformal
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.gamma_regression import LogLinear, fit_gamma_ridge
from pipeline.forecast.models.panel import Member, Panel, PanelVolatility
from pipeline.forecast.models.panel_features import FEATURES, Features
from pipeline.forecast.models.pooled_panel import PooledPanel
from pipeline.forecast.models.protocol import DailyVolatility
from tests.load.forecast_record import (
    FIRST_SCORED,
    HORIZONS,
    STOCKS,
    WINDOW,
    panel,
    quantile_figures,
    volatility_figures,
    walk_forward,
)
from tests.load.measuring import Figures, median_seconds
from tests.load.risk import bundled_returns

ROUNDS = 3
REFRESHED = 500
SPEC = ForecastSpec()


def measure() -> Figures:
    """CPU seconds for every row of 20 stocks since 1990; the record since 2013; a daily refresh; arch's time."""
    series = bundled_returns()[:STOCKS]
    walk_forward(panel())  # compiles
    record = walk_forward(panel())
    return {
        "volatility_cpu_s": median_seconds(lambda: [_volatility(returns) for returns in series], ROUNDS),
        "quantiles_cpu_s": median_seconds(lambda: [_quantiles(returns) for returns in series], ROUNDS),
        "walk_forward_cpu_s": record.cpu_s,
        "cheaper_than_daily_arch": arch_daily_cpu_s(panel()) / record.cpu_s,
        "refresh_500_cpu_s": refresh_cpu_s(),
        **volatility_figures(record, panel()),
        **quantile_figures(record, panel()),
    }


def arch_daily_cpu_s(over: Panel) -> float:
    """CPU seconds of a GJR-GARCH-t by arch, fitted and forecast each session since 2013, from a sample of the fits."""
    sessions = int((over.sessions >= FIRST_SCORED).sum())
    sample = [100.0 * member.returns[-WINDOW - back :][:WINDOW] for member in over.members[::4] for back in (1, 700)]

    def fit_and_forecast() -> None:
        for returns in sample:
            model = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=1, q=1, dist="t")
            model.fit(disp="off").forecast(horizon=max(HORIZONS), reindex=False)

    return median_seconds(fit_and_forecast, ROUNDS) / len(sample) * sessions * len(over.members)


def refresh_cpu_s() -> float:
    """CPU seconds of a new session of 500 instruments with ten years: every model's forecast, yearly fits amortised."""
    over = Panel.of([_redrawn(number) for number in range(REFRESHED)])
    last, newest = len(over.sessions) - 1, range(len(over.sessions) - 1, len(over.sessions))
    pooled, conformal = PooledPanel(), Conformal()
    fit = LogLinear(0.0, np.zeros(len(FEATURES)), np.zeros(len(FEATURES)))

    def refresh() -> None:
        single = {
            model.name: [model.forecast(member.returns, HORIZONS, newest) for member in over.members]
            for model in VOLATILITY_MODELS
        }
        made = {name: _placed(over, own, last) for name, own in single.items()}
        known = Features.of(over)
        for column, horizon in enumerate(HORIZONS):
            prepared = pooled.prepare(known, made, column, horizon, slice(last, None))
            logarithms = np.log([pooled.predict(prepared, fit), *(m.values[last:, :, column] for m in made.values())])
            np.exp(logarithms.mean(axis=0))
        for member, ewma in zip(over.members, daily, strict=True):
            for horizon in SPEC.quantile_horizons_sessions:
                conformal.on(member.returns, ewma, SPEC.levels, SPEC.shortfall_levels, newest, horizon)

    daily = [Ewma().daily_volatility(member.returns) for member in over.members]
    refresh()
    return median_seconds(refresh, 1) + _yearly_fits_cpu_s() / 252.0


def _yearly_fits_cpu_s() -> float:
    """CPU seconds of the regressions of one refit, on the most targets that a fit takes."""
    draw = np.random.default_rng(3)
    features = draw.standard_normal((PooledPanel().most_targets, len(FEATURES)))
    targets = np.exp(features @ np.linspace(-0.1, 0.1, len(FEATURES))) * draw.chisquare(1, len(features))
    return len(HORIZONS) * median_seconds(lambda: fit_gamma_ridge(features, targets, 0.01), 1)


def _redrawn(number: int) -> Member:
    """Ten years of a bundled stock, its weeks in another order."""
    of = panel().members[number % STOCKS]
    weeks = of.returns[-2_520:].reshape(-1, 5)
    order = np.random.default_rng(number).permutation(len(weeks))
    return Member(of.sessions[-2_521:], weeks[order].ravel())


def _placed(over: Panel, own: list[DailyVolatility], row: int) -> PanelVolatility:
    values = np.full((len(over.sessions), len(own), len(HORIZONS)), np.nan)
    values[row] = np.concatenate([made.values for made in own])
    return PanelVolatility(values, np.full(len(over.sessions), -1))


def _volatility(returns: FloatArray) -> None:
    list(volatility_forecasts(returns, ForecastSpec(), slice(0, len(returns) + 1)))


def _quantiles(returns: FloatArray) -> None:
    list(quantile_forecasts(returns, ForecastSpec(), slice(0, len(returns) + 1)))
