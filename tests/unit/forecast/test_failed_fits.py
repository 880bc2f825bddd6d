"""Fits that do not converge: a simpler model stands in and is named, or the forecast is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import ForecastSpec, panel_volatility_forecasts, volatility_forecasts
from pipeline.forecast.models import pooled_panel
from pipeline.forecast.models.ewma import Ewma
from pipeline.forecast.models.gjr_garch import GjrGarchT
from pipeline.forecast.models.logistic import Logistic
from pipeline.forecast.models.probability import Closes
from pipeline.risk.measures import gjr_garch
from tests.unit.forecast.test_panel_models import SPEC, panel

Drawn = Callable[..., FloatArray]


def fail_after(monkeypatch: pytest.MonkeyPatch, good: int, broken: Callable[[Any], Any]) -> None:
    """GARCH fits succeed `good` times; what comes after is broken."""
    fit, done = gjr_garch.fit_gjr_garch_t, []

    def counted(*given: Any, **named: Any) -> Any:
        done.append(1)
        law = fit(*given, **named)
        return law if len(done) <= good else broken(law)

    monkeypatch.setattr(gjr_garch, "fit_gjr_garch_t", counted)


def raising(_: Any) -> Any:
    raise gjr_garch.GarchFitError("variance", "not finite")


@pytest.mark.parametrize("broken", [lambda law: replace(law, converged=False), raising])
def test_ewma_stands_in_for_garch_from_the_first_fit_that_fails(
    broken: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, drawn: Drawn
) -> None:
    returns = drawn(800)
    fail_after(monkeypatch, 2, broken)
    spec = ForecastSpec(volatility_models=(Ewma(), GjrGarchT()))
    ewma, garch = volatility_forecasts(returns, spec)
    assert set(garch.versions[504 : 504 + 2 * 63]) == {"1"}
    assert set(garch.versions[504 + 2 * 63 :]) == {"1+ewma"}
    stood_in = slice(504 + 2 * 63, None)
    assert garch.volatility_annual[stood_in].tobytes() == ewma.volatility_annual[stood_in].tobytes()
    assert np.isfinite(garch.volatility_annual[22:]).all()
    assert (garch.trained_through[stood_in] == garch.as_of[stood_in]).all()


def test_ewma_stands_in_for_the_panel_where_the_regression_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [slice(1_310, 1_400), *[slice(0, 0)] * 5]
    fitted = {one.model: one for one in panel_volatility_forecasts(panel(), SPEC, rows)[0]}
    monkeypatch.setattr(pooled_panel, "fit_gamma_ridge", lambda *_: None)
    failed = {one.model: one for one in panel_volatility_forecasts(panel(), SPEC, rows)[0]}
    for model in ("pooled_panel", "combination"):
        assert set(fitted[model].versions) == {"1"}
        assert set(failed[model].versions) == {"1+ewma"}
        assert failed[model].volatility_annual.tobytes() == failed["ewma"].volatility_annual.tobytes()
    assert set(failed["gjr_garch"].versions) == {"1"}


def test_a_regression_of_chances_that_fails_is_told_from_one_of_too_few_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = 0.01 * np.random.default_rng(2).standard_normal((1_050, 12))
    sessions = np.busday_offset("2015-01-02", np.arange(len(steps)), roll="forward")
    closes = Closes(sessions, 100.0 * np.exp(np.cumsum(steps, axis=0)))
    monkeypatch.setattr("pipeline.forecast.models.logistic.fit_softmax", lambda *_, **__: None)
    made = Logistic().forecast(closes, range(len(sessions)))
    assert np.isnan(made.positive).all()
    assert (made.reasons[500] == b"not_enough_sessions_for_a_fit").all()
    assert (made.reasons[-1] == b"fit_did_not_converge").all()
