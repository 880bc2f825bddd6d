"""What every registered method of value at risk must satisfy; a new entry is tested without a new test."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from pipeline.base.types import FloatArray
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.risk.measures.tail_spec import SCALINGS, TailEstimate, TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS, VarMethod, overlapping_returns, rolling_forecasts
from pipeline.risk.measures.windows import rolling
from tests.unit.risk.series import PROPERTY, drawn_returns, return_lists, same

EVERY_METHOD = pytest.mark.parametrize("method", VAR_METHODS.values(), ids=VAR_METHODS)
SPEC = TailSpec(0.99, paths=1_000)
OF_ORDER = ("ewma", "filtered_historical")
"""Methods for which the order of the sessions matters."""


def fat_tailed_returns(*shape: int) -> FloatArray:
    """Quantiles of a Student-t law in an order of chance: symmetric, with an excess kurtosis of about 2."""
    quantiles = stdtrit(6.0, (np.arange(shape[-1]) + 0.5) / shape[-1])
    drawn = np.broadcast_to(0.0004 + 0.01 * quantiles, shape)
    return np.random.default_rng(3).permuted(drawn, axis=-1)


def forecasts(returns: FloatArray, method: VarMethod, rows: range, window: int = 120) -> TailEstimate:
    return rolling_forecasts(returns, method, SPEC, window, rows)


def test_the_seven_methods_are_there_by_name() -> None:
    names = "historical gaussian cornish_fisher student_t ewma filtered_historical monte_carlo"
    assert list(VAR_METHODS) == names.split()
    assert all(method.name == name for name, method in VAR_METHODS.items())
    assert all(method.description.endswith(".") and method.source for method in VAR_METHODS.values())


@EVERY_METHOD
@PROPERTY
@given(return_lists(66, 120), st.floats(0.02, 0.998))
def test_es_is_never_below_var(method: VarMethod, returns: list[float], confidence: float) -> None:
    estimate = method.estimate(np.array(returns), replace(SPEC, confidence=confidence))
    if math.isnan(estimate.var):
        assert method.undefined_because is not None
        assert math.isnan(estimate.es)
    else:
        assert math.isfinite(estimate.var)
        assert estimate.es >= estimate.var


@EVERY_METHOD
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.975, 0.99])
def test_es_is_never_below_var_over_ten_sessions(method: VarMethod, scaling: str, confidence: float) -> None:
    if scaling in method.scalings:
        spec = replace(SPEC, confidence=confidence, horizon_sessions=10, scaling=scaling)
        estimate = method.estimate(fat_tailed_returns(20, 500), spec)
        known = ~np.isnan(estimate.var)
        assert known.any() if method.undefined_because else known.all()
        assert (estimate.es[known] > estimate.var[known]).all()
        assert (estimate.var[known] > 0.0).all()


@EVERY_METHOD
def test_figures_rise_with_the_confidence(method: VarMethod) -> None:
    returns = fat_tailed_returns(400)
    made = [method.estimate(returns, replace(SPEC, confidence=level)) for level in (0.9, 0.95, 0.975, 0.99)]
    assert all(low.var < high.var and low.es < high.es for low, high in pairwise(made))


@EVERY_METHOD
@pytest.mark.parametrize("factor", [0.25, 0.7, 1.5])
def test_scaling_the_returns_scales_the_loss(method: VarMethod, factor: float) -> None:
    returns = drawn_returns(20, 250, seed=6) / 2.0
    before, after = method.estimate(returns, SPEC), method.estimate(returns * factor, SPEC)
    np.testing.assert_allclose(after.var, before.var * factor, rtol=1e-6)
    np.testing.assert_allclose(after.es, before.es * factor, rtol=1e-6)


@EVERY_METHOD
def test_a_certain_gain_lowers_the_loss_by_as_much(method: VarMethod) -> None:
    returns = drawn_returns(20, 250, seed=7)
    before, after = method.estimate(returns, SPEC), method.estimate(returns + 0.003, SPEC)
    if method.name in OF_ORDER:
        assert not np.isclose(after.var, before.var - 0.003, rtol=1e-6).any()
    else:
        np.testing.assert_allclose(after.var, before.var - 0.003, rtol=1e-5)
        np.testing.assert_allclose(after.es, before.es - 0.003, rtol=1e-5)


@EVERY_METHOD
def test_the_order_of_the_sessions_matters_only_where_volatility_is_followed(method: VarMethod) -> None:
    returns = drawn_returns(250, seed=8)
    calm_at_the_end = returns[np.argsort(-np.abs(returns))]
    usual, sorted_ = method.estimate(returns, SPEC), method.estimate(calm_at_the_end, SPEC)
    if method.name in OF_ORDER:
        assert sorted_.var < 0.5 * usual.var
    else:
        assert sorted_.var == pytest.approx(float(usual.var), rel=1e-6)
        assert sorted_.es == pytest.approx(float(usual.es), rel=1e-6)


@EVERY_METHOD
@pytest.mark.parametrize("earned", [0.0, 0.001, -0.01])
def test_a_constant_series_has_a_known_loss(method: VarMethod, earned: float) -> None:
    estimate = method.estimate(np.full(250, earned), SPEC)
    if method.name == "ewma":
        assert estimate.var == pytest.approx(2.3263478740408408 * abs(earned), rel=1e-12)
    else:
        assert estimate.var == pytest.approx(-earned, rel=1e-12, abs=1e-18)
        assert estimate.es == pytest.approx(-earned, rel=1e-12, abs=1e-18)


@EVERY_METHOD
def test_a_panel_is_its_rows_to_the_last_bit_and_is_not_modified(method: VarMethod) -> None:
    panel = drawn_returns(3, 2, 130, seed=9)
    untouched = panel.copy()
    made = method.estimate(panel, SPEC)
    assert same(panel, untouched)
    assert made.var.shape == made.es.shape == (3, 2)
    for row in np.ndindex(3, 2):
        alone = method.estimate(panel[row], SPEC)
        assert same(np.asarray(alone.var), np.asarray(made.var[row]))
        assert same(np.asarray(alone.es), np.asarray(made.es[row]))


@EVERY_METHOD
@pytest.mark.parametrize("shape", [(0,), (1,), (2, 1)], ids=str)
def test_the_last_axis_becomes_one_number(method: VarMethod, shape: tuple[int, ...]) -> None:
    made = method.estimate(drawn_returns(*shape, 130), SPEC)
    assert made.var.shape == made.es.shape == shape


@EVERY_METHOD
def test_the_same_spec_gives_the_same_bits_and_only_simulation_has_errors(method: VarMethod) -> None:
    returns = drawn_returns(2, 250, seed=10)
    one, two = method.estimate(returns, SPEC), method.estimate(returns, SPEC)
    other = method.estimate(returns, replace(SPEC, seed=1))
    assert same(one.var, two.var)
    assert same(one.es, two.es)
    simulated = one.var_standard_error is not None
    assert simulated == (method.name == "monte_carlo")
    assert same(one.var, other.var) is not simulated


@EVERY_METHOD
def test_too_few_returns_are_refused_with_the_remedy(method: VarMethod) -> None:
    needed = method.minimum_sessions
    with pytest.raises(
        MeasureInputError, match=rf"^returns: {needed - 1} given, at least {needed} are needed; give a "
    ):
        method.estimate(drawn_returns(needed - 1), SPEC)
    assert math.isfinite(method.estimate(np.zeros(needed), SPEC).es)


@EVERY_METHOD
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_returns_that_are_no_numbers_are_refused(method: VarMethod, bad: float) -> None:
    returns = drawn_returns(250)
    returns[40] = bad
    with pytest.raises(MeasureInputError, match=r"^returns: NaN or infinite; drop those sessions or repair"):
        method.estimate(returns, SPEC)
    with pytest.raises(MeasureInputError, match=r"^returns: NaN or infinite; drop those sessions or repair"):
        forecasts(returns, method, range(130, 140))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": 1.0}, r"confidence=1\.0: give a fraction between 0 and 1"),
        ({"confidence": 0.0}, r"confidence=0\.0: give a fraction between 0 and 1"),
        ({"confidence": math.nan}, r"confidence=nan: give a fraction between 0 and 1"),
        ({"horizon_sessions": 0}, r"horizon_sessions=0: give at least 1"),
        ({"scaling": "guess"}, r"scaling=guess: unknown; choose one of overlapping, "),
        ({"ewma_lambda": 1.0}, r"ewma_lambda=1\.0: give a fraction between 0 and 1"),
        ({"seed": -1}, r"seed=-1: give a whole number from 0 to"),
        ({"paths": 10}, r"paths=10: give at least 1000"),
        ({"law": "cauchy"}, r"law=cauchy: unknown; choose student_t or gaussian"),
    ],
)
def test_a_spec_that_means_nothing_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(MeasureInputError, match=f"^{message}"):
        replace(SPEC, **change)  # type: ignore[arg-type]


# Horizons


def test_overlapping_returns_compound_each_run_of_sessions() -> None:
    returns = np.array([0.1, -0.5, 0.2, 1.0])
    np.testing.assert_allclose(overlapping_returns(returns, 2), [1.1 * 0.5 - 1, 0.5 * 1.2 - 1, 1.2 * 2 - 1], rtol=1e-15)
    np.testing.assert_allclose(overlapping_returns(returns, 4), [1.1 * 0.5 * 1.2 * 2 - 1], rtol=1e-15)
    assert overlapping_returns(drawn_returns(3, 50), 10).shape == (3, 41)


@pytest.mark.parametrize("name", ["historical", "gaussian", "cornish_fisher", "student_t"])
def test_overlapping_windows_are_the_default_for_several_sessions(name: str) -> None:
    returns = fat_tailed_returns(20, 400)
    ten = VAR_METHODS[name].estimate(returns, replace(SPEC, horizon_sessions=10))
    one = VAR_METHODS[name].estimate(overlapping_returns(returns, 10), SPEC)
    assert np.isfinite(ten.var).any()
    assert same(ten.var, one.var)
    assert same(ten.es, one.es)


@EVERY_METHOD
def test_the_square_root_of_time_is_taken_where_it_is_named(method: VarMethod) -> None:
    returns = fat_tailed_returns(300)
    nine = method.estimate(returns, replace(SPEC, horizon_sessions=9, scaling="square_root_of_time"))
    one = method.estimate(returns, SPEC)
    assert (nine.var, nine.es) == (3.0 * one.var, 3.0 * one.es)


@EVERY_METHOD
def test_a_scaling_that_the_method_lacks_is_refused_with_those_it_has(method: VarMethod) -> None:
    for scaling in set(SCALINGS) - set(method.scalings):
        spec = replace(SPEC, horizon_sessions=5, scaling=scaling)
        with pytest.raises(MeasureInputError, match=f"^scaling={scaling}: {method.name} does not .*; choose .*square_"):
            method.estimate(drawn_returns(250), spec)
        with pytest.raises(MeasureInputError, match=f"^scaling={scaling}: "):
            rolling_forecasts(drawn_returns(250), method, spec, 200, range(200, 210))
        assert method.estimate(drawn_returns(250), replace(spec, horizon_sessions=1)).var > 0.0


def test_overlapping_windows_ask_for_their_overlap() -> None:
    gaussian = VAR_METHODS["gaussian"]
    with pytest.raises(MeasureInputError, match=r"^returns: 10 given, at least 11 are needed"):
        gaussian.estimate(drawn_returns(10), replace(SPEC, horizon_sessions=10))


@pytest.mark.parametrize("name", ["ewma", "filtered_historical", "monte_carlo"])
def test_ten_simulated_sessions_lose_about_the_square_root_of_time_more(name: str) -> None:
    returns = np.random.default_rng(6).normal(0.0, 0.01, 1_000)
    spec = replace(SPEC, horizon_sessions=10, paths=50_000)
    simulated = VAR_METHODS[name].estimate(returns, replace(spec, scaling="simulation"))
    scaled = VAR_METHODS[name].estimate(returns, replace(spec, scaling="square_root_of_time"))
    assert simulated.var == pytest.approx(float(scaled.var), rel=0.12)
    assert simulated.var_standard_error is not None
    assert 0.0 < simulated.var_standard_error < 0.02 * simulated.var


# Rolling forecasts


@EVERY_METHOD
def test_each_forecast_is_the_estimate_of_the_window_before_it(method: VarMethod) -> None:
    returns = drawn_returns(140, seed=20)
    made = forecasts(returns, method, range(120, 141))
    panel = method.estimate(rolling(returns, 120), SPEC)
    assert same(made.var, panel.var)
    assert same(made.es, panel.es)


@EVERY_METHOD
def test_a_forecast_reads_nothing_from_its_own_session_on(method: VarMethod) -> None:
    returns = drawn_returns(200, seed=21)
    changed = returns.copy()
    changed[150:] = -0.3
    before, after = (forecasts(series, method, range(130, 152)) for series in (returns, changed))
    assert same(before.var[:21], after.var[:21])
    assert same(before.es[:21], after.es[:21])
    assert before.var[21] != after.var[21]
    cut = forecasts(returns[:150], method, range(130, 151))
    assert same(cut.var, before.var[:21])


@EVERY_METHOD
def test_earlier_history_and_other_rows_leave_a_forecast_as_it_is(method: VarMethod) -> None:
    returns = drawn_returns(900, seed=22)
    whole = forecasts(returns, method, range(200, 900))
    later = forecasts(returns[180:], method, range(120, 720))
    assert same(later.var, whole.var[100:])
    assert same(later.es, whole.es[100:])
    for row in (200, 640, 899):
        assert same(forecasts(returns, method, range(row, row + 1)).var, whole.var[row - 200 : row - 199])


@EVERY_METHOD
def test_rolling_forecasts_leave_their_input_alone_and_may_be_none(method: VarMethod) -> None:
    returns = drawn_returns(200, seed=23)
    untouched = returns.copy()
    forecasts(returns, method, range(150, 160))
    assert same(returns, untouched)
    assert forecasts(returns, method, range(150, 150)).var.shape == (0,)


@pytest.mark.parametrize(
    ("window", "rows", "message"),
    [
        (120, range(119, 125), r"rows: 119 to 124, but a window of 120 of 200 returns ends before rows 120 to 200;"),
        (120, range(190, 202), r"rows: 190 to 201, but a window of 120 of 200 returns "),
        (120, range(130, 150, 2), r"rows: step 2; give consecutive sessions"),
        (29, range(130, 150), r"window_sessions=29: the method needs at least 30"),
    ],
)
def test_rows_without_a_whole_window_are_refused(window: int, rows: range, message: str) -> None:
    with pytest.raises(MeasureInputError, match=f"^{message}"):
        rolling_forecasts(drawn_returns(200), VAR_METHODS["student_t"], SPEC, window, rows)
    with pytest.raises(MeasureInputError, match=r"^returns: 2 dimensions; give one series"):
        rolling_forecasts(drawn_returns(2, 200), VAR_METHODS["student_t"], SPEC, window, rows)


def test_the_historical_method_is_the_measure_that_reports_have() -> None:
    returns = drawn_returns(5, 250, seed=24)
    made = VAR_METHODS["historical"].estimate(returns, SPEC)
    assert same(made.var, historical_var(returns, 0.99))
    assert same(made.es, historical_es(returns, 0.99))
