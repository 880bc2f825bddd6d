from dataclasses import fields, replace

import numpy as np
import pytest

from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.run import SimulationResult, SimulationSpec, draw_outcomes, simulate
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION

RETURNS = np.random.default_rng(11).standard_t(6, size=1_500) * 0.009 + 0.0003


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_change_a_bit(model: str, threads: int) -> None:
    spec = SimulationSpec(model=model, paths=1_000, horizon_sessions=50)
    assert simulate(RETURNS, spec, 1) == simulate(RETURNS, replace(spec, threads=threads), 1)


@pytest.mark.parametrize("model", MODELS)
def test_more_paths_begin_with_the_same_ones(model: str) -> None:
    spec = SimulationSpec(model=model, paths=500, horizon_sessions=50)
    fitted = MODELS[model].fit(RETURNS)
    few, many = draw_outcomes(fitted, spec, 1), draw_outcomes(fitted, replace(spec, paths=1_700), 1)
    np.testing.assert_array_equal(many.terminal_return[:500], few.terminal_return)
    np.testing.assert_array_equal(many.max_drawdown[:500], few.max_drawdown)


@pytest.mark.parametrize("model", MODELS)
def test_result_is_ordered_and_consistent(model: str) -> None:
    result = simulate(RETURNS, SimulationSpec(model=model), 1)
    quantiles = [result.return_05, result.return_25, result.return_50, result.return_75, result.return_95]
    assert quantiles == sorted(quantiles)
    # Order statistics ⌈qn⌉ of returns and ⌈αn⌉ of losses are neighbours when qn is whole.
    assert result.return_05 <= -result.var_95 < result.return_25
    assert result.var_95 < result.var_99 <= 1.0
    assert result.var_95 < result.es_975 <= 1.0
    assert -1.0 < result.max_drawdown_mean < 0.0
    assert 0.0 < result.var_99_error < 0.1
    assert 0.0 < result.es_975_error < 0.1


@pytest.mark.parametrize("model", MODELS)
def test_mean_compounds_the_daily_mean(model: str) -> None:
    spec = SimulationSpec(model=model, paths=20_000, horizon_sessions=21)
    result = simulate(RETURNS, spec, 1)
    daily = RETURNS[-1_260:].mean()
    # Exact for independent draws; blocks of a series without autocorrelation come close.
    assert abs(result.return_mean - ((1 + daily) ** 21 - 1)) < 5 * result.return_mean_error


def test_stated_errors_are_those_of_repeated_runs() -> None:
    runs = [simulate(RETURNS, SimulationSpec(seed=seed, horizon_sessions=21), 1) for seed in range(80)]
    for value, error in (("return_mean", "return_mean_error"), ("var_99", "var_99_error"), ("es_975", "es_975_error")):
        observed = np.std([getattr(run, value) for run in runs], ddof=1)
        stated = np.mean([getattr(run, error) for run in runs])
        assert stated == pytest.approx(observed, rel=0.35), value


def test_only_the_window_counts() -> None:
    changed = np.concatenate([np.full(200, 0.5), RETURNS[-1_260:]])
    assert simulate(changed, SimulationSpec(), 1) == simulate(RETURNS, SimulationSpec(), 1)


def test_a_total_loss_ends_a_path() -> None:
    returns = RETURNS.copy()
    returns[-5:] = -0.999999
    result = simulate(returns, SimulationSpec(paths=500), 1)
    assert result.var_99 == pytest.approx(1.0, abs=1e-5)
    assert result.var_99 <= 1.0


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (RETURNS[:100], "100 returns are given, and the fit needs 1260"),
        (np.r_[RETURNS, np.nan], "NaN or infinite"),
        (np.r_[RETURNS, -1.0], "-1 or below"),
    ],
)
def test_unusable_returns_are_refused(returns: np.ndarray, message: str) -> None:
    with pytest.raises(SimulationInputError, match=message):
        simulate(returns, SimulationSpec(), 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", "crystal_ball"), ("paths", 99), ("horizon_sessions", 0), ("seed", -1), ("threads", 0)],
)
def test_unusable_parameters_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(SimulationInputError, match=f"{field}={value!r}"):
        SimulationSpec(**{field: value})


def test_the_result_fills_the_table() -> None:
    columns = set(PORTFOLIO_SIMULATION.columns.keys()) - {"portfolio_id", "session", "materialization_id"}
    assert columns == {field.name for field in fields(SimulationResult)} - {"parameters"}
