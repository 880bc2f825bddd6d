from dataclasses import fields, replace

import numpy as np
import pytest

from pipeline.risk.measures.tail import historical_var
from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.run import MAXIMUM_FAN_STEPS, SimulationResult, SimulationSpec, simulate, walk_paths
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION

RETURNS = np.random.default_rng(11).standard_t(6, size=1_500) * 0.009 + 0.0003


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_change_a_bit(model: str, threads: int) -> None:
    spec = SimulationSpec(model=model, paths=1_000, horizon_sessions=50)
    assert simulate(RETURNS, spec, 1) == simulate(RETURNS, replace(spec, threads=threads), 1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("chunk_paths", [1, 7, 5_000])
def test_chunks_do_not_change_a_bit(model: str, chunk_paths: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimulationSpec(model=model, paths=1_000, horizon_sessions=50, threads=3)
    expected = simulate(RETURNS, spec, 1)
    monkeypatch.setattr("pipeline.simulation.run.begun.CHUNK_PATHS", chunk_paths)
    assert simulate(RETURNS, spec, 1) == expected


@pytest.mark.parametrize("model", MODELS)
def test_more_paths_begin_with_the_same_ones(model: str) -> None:
    spec = SimulationSpec(model=model, paths=500, horizon_sessions=50)
    fitted = MODELS[model].fit(RETURNS)
    few, many = walk_paths(fitted, spec, 1), walk_paths(fitted, replace(spec, paths=1_700), 1)
    for some, more in zip(few, many, strict=True):
        np.testing.assert_array_equal(more[:500], some)


@pytest.mark.parametrize("model", MODELS)
def test_seed_and_subject_choose_the_result(model: str) -> None:
    spec = SimulationSpec(model=model, paths=500, horizon_sessions=50)
    result = simulate(RETURNS, spec, 1)
    assert simulate(RETURNS.copy(), replace(spec), 1) == result
    assert simulate(RETURNS, spec, 2).return_mean != result.return_mean
    assert simulate(RETURNS, replace(spec, seed=2), 1).return_mean != result.return_mean


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
    assert result.es_975 < result.es_99 <= 1.0
    assert result.var_99 <= result.es_99
    assert 0.0 < result.es_99_error < 0.1
    assert 0.0 < result.var_95_error < 1.2 * result.var_99_error  # both err
    falls = [getattr(result, f"max_drawdown_{percent:02d}") for percent in (5, 25, 50, 75, 95)]
    assert falls == sorted(falls) == list(result.drawdown.values)
    assert -1.0 < result.max_drawdown_05 < result.max_drawdown_mean


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("paths", [100, 777, 2_000])
def test_shortfall_is_not_below_the_value_at_risk(model: str, paths: int) -> None:
    spec = SimulationSpec(model=model, paths=paths, horizon_sessions=50)
    terminal_return = walk_paths(MODELS[model].fit(RETURNS[-1_260:]), spec, 1).terminal_wealth - 1.0
    result = simulate(RETURNS, spec, 1)
    var_975 = float(historical_var(terminal_return, 0.975))
    assert result.var_95 <= var_975 <= result.es_975
    losses = sorted(-terminal_return)
    assert result.var_99 == losses[-(-paths * 99 // 100) - 1]
    # By optimisation: the shortfall is the least value of Rockafellar and Uryasev's objective, at a scenario.
    for shortfall, tail in ((result.es_975, 0.025), (result.es_99, 0.01)):
        objective = [c + np.maximum(-terminal_return - c, 0.0).mean() / tail for c in losses]
        assert shortfall == pytest.approx(min(objective), rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_fan_ends_with_the_terminal_quantiles(model: str) -> None:
    spec = SimulationSpec(model=model)
    result = simulate(RETURNS, spec, 1)
    assert result.fan.steps == tuple(range(21, 253, 21))
    assert result.fan.levels == (0.05, 0.25, 0.5, 0.75, 0.95)
    at_end = [result.return_05, result.return_25, result.return_50, result.return_75, result.return_95]
    assert [wealth - 1.0 for wealth in result.fan.wealth[-1]] == at_end
    widths = [wealth[-1] - wealth[0] for wealth in result.fan.wealth]
    assert widths == sorted(widths)
    assert all(list(wealth) == sorted(wealth) for wealth in result.fan.wealth)


def test_fan_steps_choose_what_is_kept_and_nothing_else() -> None:
    default = simulate(RETURNS, SimulationSpec(), 1)
    chosen = simulate(RETURNS, SimulationSpec(fan_steps=(5, 42)), 1)
    assert chosen.fan.steps == (5, 42)
    assert chosen.fan.wealth[1] == default.fan.wealth[1]
    assert replace(chosen, fan=default.fan) == default
    assert simulate(RETURNS, SimulationSpec(fan_steps=()), 1).fan.wealth == ()


@pytest.mark.parametrize(
    ("horizon", "steps"), [(1, (1,)), (21, (21,)), (22, (21, 22)), (63, (21, 42, 63)), (50, (21, 42, 50))]
)
def test_default_fan_is_monthly_and_ends_at_the_horizon(horizon: int, steps: tuple[int, ...]) -> None:
    assert SimulationSpec(horizon_sessions=horizon).fan_sessions == steps


def test_default_fan_of_the_longest_horizon_is_not_too_long() -> None:
    assert len(SimulationSpec(horizon_sessions=2_520).fan_sessions) <= MAXIMUM_FAN_STEPS


@pytest.mark.parametrize("model", MODELS)
def test_mean_compounds_the_daily_mean(model: str) -> None:
    spec = SimulationSpec(model=model, paths=20_000, horizon_sessions=21)
    result = simulate(RETURNS, spec, 1)
    daily = RETURNS[-1_260:].mean()
    # Exact for independent draws; blocks of a series without autocorrelation come close.
    assert abs(result.return_mean - ((1 + daily) ** 21 - 1)) < 4 * result.return_mean_error


def test_stated_errors_are_those_of_repeated_runs() -> None:
    runs = [simulate(RETURNS, SimulationSpec(seed=seed, horizon_sessions=21), 1) for seed in range(80)]
    for value in ("return_mean", "var_95", "var_99", "es_975", "es_99", "probability_of_loss", "max_drawdown_mean"):
        observed = np.std([getattr(result, value) for result in runs], ddof=1)
        stated = np.mean([getattr(result, f"{value}_error") for result in runs])
        assert stated == pytest.approx(observed, rel=0.35), value


def test_only_the_window_counts() -> None:
    changed = np.concatenate([np.full(240, 0.5), RETURNS[-1_260:]])
    assert simulate(changed, SimulationSpec(), 1) == simulate(RETURNS, SimulationSpec(), 1)


def test_result_says_where_the_window_lies() -> None:
    result = simulate(RETURNS, SimulationSpec(fit_window_sessions=1_000), 1)
    assert (result.fit_first, result.fit_last) == (500, 1_499)
    np.testing.assert_array_equal(RETURNS[result.fit_first : result.fit_last + 1], RETURNS[-1_000:])


@pytest.mark.parametrize("model", MODELS)
def test_result_states_the_fitted_parameters(model: str) -> None:
    result = simulate(RETURNS, SimulationSpec(model=model, paths=100), 1)
    assert result.parameters == MODELS[model].fit(RETURNS[-1_260:]).parameters
    assert len(result.parameters) > 0


@pytest.mark.parametrize("daily", [0.0, 0.0004, -0.0004])
def test_bootstrap_of_a_constant_is_certain(daily: float) -> None:
    result = simulate(np.full(1_260, daily), SimulationSpec(paths=100), 1)
    assert result.return_mean == pytest.approx((1.0 + daily) ** 252 - 1.0, rel=1e-12)
    assert [result.var_99, result.var_95] == pytest.approx([-result.return_50] * 2, rel=1e-12)
    assert result.es_975 == pytest.approx(result.var_99, rel=1e-12)
    assert result.es_99 == pytest.approx(result.var_99, rel=1e-12)
    assert result.es_975 >= result.var_99 - 1e-12
    assert [result.return_mean_error, result.var_99_error, result.es_975_error] == pytest.approx([0.0] * 3, abs=1e-15)
    assert result.probability_of_loss == (1.0 if daily < 0 else 0.0)
    assert result.max_drawdown_mean == pytest.approx(min(result.return_mean, 0.0), rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_layout_and_precision_of_the_input_do_not_matter(model: str) -> None:
    single = RETURNS.astype(np.float32)
    spec = SimulationSpec(model=model, paths=100)
    strided = np.repeat(single.astype(np.float64), 3)[::3]
    assert simulate(strided, spec, 1) == simulate(single, spec, 1)


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
        (np.r_[RETURNS, -np.inf], "NaN or infinite"),
        (np.r_[RETURNS, -1.0], "-1 or below"),
        (RETURNS.reshape(-1, 1, 1), "3 dimensions"),
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


@pytest.mark.parametrize("steps", [(0, 5), (5, 5), (9, 5), (5, 253), tuple(range(1, 66))])
def test_unusable_fan_steps_are_refused(steps: tuple[int, ...]) -> None:
    with pytest.raises(SimulationInputError, match=r"fan_steps=.*ascending sessions from 1 to 252"):
        SimulationSpec(fan_steps=steps)


@pytest.mark.parametrize("subject", [-1, 2**64])
def test_unusable_subjects_are_refused(subject: int) -> None:
    with pytest.raises(SimulationInputError, match=f"subject={subject}"):
        simulate(RETURNS, SimulationSpec(), subject)


def test_the_result_fills_the_table() -> None:
    columns = set(PORTFOLIO_SIMULATION.columns.keys()) - {"portfolio_id", "session", "materialization_id"}
    not_stored = {"fit_first", "fit_last", "fan", "contributions"}
    not_stored |= {"drawdown", "depletion"}
    not_stored |= {"wealth_mean", "wealth_mean_error", "cost_mean", "cost_mean_error", "sampling"}
    assert columns == {field.name for field in fields(SimulationResult)} - not_stored
