"""Every registered model, and what is particular to each."""

from typing import get_args

import numpy as np
import pytest
from scipy import stats

from pipeline.base.settings import SimulationModel
from pipeline.base.types import FloatArray
from pipeline.risk.measures.drawdown import max_drawdown
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS
from pipeline.simulation.models import MODELS, FittedModel, SimulationInputError
from pipeline.simulation.models.outcomes import Outcomes, empty_outcomes
from pipeline.simulation.models.philox import random_words
from pipeline.simulation.models.plan import Plan, plan_of
from pipeline.simulation.models.stationary_bootstrap import FittedBootstrap, StationaryBootstrap, optimal_block_sessions
from pipeline.simulation.models.student_t import FittedStudentT, StudentT

HISTORY = np.random.default_rng(20).standard_t(5, size=1_260) * 0.01 + 0.0004


def walk(fitted: FittedModel, paths: int, horizon: int, key: tuple[int, int] = (1, 2), first_path: int = 0) -> Outcomes:
    """Outcomes with the wealth at every step."""
    outcomes = empty_outcomes(paths, horizon)
    fitted.walk(outcomes, one_series(horizon), np.arange(1, horizon + 1), key, first_path)
    return outcomes


def one_series(horizon: int) -> Plan:
    return plan_of(np.ones(1), horizon)


def student_t(location: float, scale: float, freedom: float) -> FittedStudentT:
    return FittedStudentT(np.array([location]), np.array([[scale]]), freedom)


def returns_of(outcomes: Outcomes) -> FloatArray:
    wealth = outcomes.fan_wealth
    return wealth / np.hstack([np.ones((len(wealth), 1)), wealth[:, :-1]]) - 1.0


def test_settings_know_every_model() -> None:
    assert set(get_args(SimulationModel)) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_row_depends_on_its_path_alone(name: str) -> None:
    fitted = MODELS[name].fit(HISTORY)
    whole, part = walk(fitted, 50, 40, first_path=100), walk(fitted, 3, 40, first_path=117)
    for all_rows, some_rows in zip(whole, part, strict=True):
        np.testing.assert_array_equal(some_rows, all_rows[17:20])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("key", [(2, 2), (1, 3), (2, 1)])
def test_seed_and_subject_change_every_path(name: str, key: tuple[int, int]) -> None:
    fitted = MODELS[name].fit(HISTORY)
    one, other = walk(fitted, 20, 40), walk(fitted, 20, 40, key)
    assert not (one.terminal_wealth == other.terminal_wealth).any()


@pytest.mark.parametrize("name", MODELS)
def test_paths_differ(name: str) -> None:
    assert len(set(walk(MODELS[name].fit(HISTORY), 500, 40).terminal_wealth)) == 500


@pytest.mark.parametrize("name", MODELS)
def test_draws_have_the_moments_of_the_history(name: str) -> None:
    drawn = returns_of(walk(MODELS[name].fit(HISTORY), 4_000, 252, key=(1, 1)))
    # Blocks make a path's draws dependent; the mean over paths is what is independent.
    error = drawn.mean(axis=1).std() / np.sqrt(len(drawn))
    assert abs(drawn.mean() - HISTORY.mean()) < 4 * error
    assert drawn.std() == pytest.approx(HISTORY.std(), rel=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_kept_agrees_with_the_path(name: str) -> None:
    outcomes = walk(MODELS[name].fit(HISTORY), 200, 60)
    np.testing.assert_array_equal(outcomes.terminal_wealth, outcomes.fan_wealth[:, -1])
    np.testing.assert_allclose(outcomes.max_drawdown, max_drawdown(returns_of(outcomes)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", MODELS)
def test_the_fan_keeps_the_steps_asked_for(name: str) -> None:
    fitted = MODELS[name].fit(HISTORY)
    sparse = empty_outcomes(30, 3)
    fitted.walk(sparse, one_series(40), np.array([1, 7, 33]), (1, 2), 0)
    every_step = walk(fitted, 30, 40)
    np.testing.assert_array_equal(sparse.fan_wealth, every_step.fan_wealth[:, [0, 6, 32]])
    np.testing.assert_array_equal(sparse.terminal_wealth, every_step.terminal_wealth)


@pytest.mark.parametrize("sessions", [1_260, 9])  # in the short history blocks wrap around its end
def test_bootstrap_equals_its_plain_twin(sessions: int) -> None:
    history = HISTORY[:sessions]
    outcomes = walk(FittedBootstrap.of(history, 7.5), 5, 60, key=(3, 4), first_path=10)
    for row in range(5):
        drawn = plain_bootstrap(history, 7.5, path=10 + row, key=(3, 4), horizon=60)
        wealth, deepest = plain_path(drawn)
        np.testing.assert_allclose(outcomes.fan_wealth[row], wealth, rtol=1e-13)
        assert outcomes.max_drawdown[row] == pytest.approx(deepest, abs=1e-13)


def plain_path(drawn: list[float]) -> tuple[list[float], float]:
    wealth = [1.0]
    for daily in drawn:
        wealth.append(wealth[-1] * max(1.0 + daily, 0.0))
    return wealth[1:], min(now / max(wealth[: step + 1]) - 1.0 for step, now in enumerate(wealth))


def plain_bootstrap(history: np.ndarray, mean_block: float, path: int, key: tuple[int, int], horizon: int) -> list:
    drawn: list[float] = []
    block = 0
    while len(drawn) < horizon:
        words = random_words(*(np.uint64(word) for word in (block, path, 1, *key)))
        for word in map(int, words):
            start = (word >> 32) * len(history) >> 32
            uniform = ((word & 0xFFFFFFFF) + 0.5) / 2**32
            length = 1 + int(np.log(uniform) / np.log1p(-1 / mean_block))
            drawn += [history[(start + step) % len(history)] for step in range(length)]
        block += 1
    return drawn[:horizon]


def test_bootstrap_blocks_have_the_mean_length() -> None:
    ramp = np.arange(1_000) * 1e-6
    drawn = np.rint(returns_of(walk(FittedBootstrap.of(ramp, 12.0), 200, 2_000, key=(1, 1))) * 1e6)
    continues = (np.diff(drawn) == 1.0) | (np.diff(drawn) == -999.0)
    assert 1.0 / (1.0 - continues.mean()) == pytest.approx(12.0, rel=0.02)


def autoregression(correlation: float, sessions: int, seed: int) -> FloatArray:
    noise = np.random.default_rng(seed).standard_normal(sessions)
    series = noise.copy()
    for t in range(1, sessions):
        series[t] = correlation * series[t - 1] + noise[t]
    return series


@pytest.mark.parametrize(
    ("correlation", "arch_sessions"), [(0.0, 2.6768408136899815), (0.5, 12.384128807542321), (0.9, 44.24956069458332)]
)
def test_block_length_equals_archs(correlation: float, arch_sessions: float) -> None:
    """``arch.bootstrap.optimal_block_length(series)["stationary"]`` of arch 8.0.0 on the same series.

    Known deviation, here .4 % at a correlation of .5: arch looks for insignificance in the lags m to m + K - 1, the
    paper and we in m + 1 to m + K.
    """
    assert optimal_block_sessions(autoregression(correlation, 1_500, seed=5)) == pytest.approx(arch_sessions, rel=0.005)


@pytest.mark.parametrize("correlation", [0.3, 0.5])
def test_block_length_is_near_the_theoretical_optimum(correlation: float) -> None:
    """(4 φ² / (1 - φ²)² · n)^⅓ of an AR(1), by its autocovariances in the formula."""
    optimum = (4 * correlation**2 / (1 - correlation**2) ** 2 * 2_000) ** (1 / 3)
    found = [optimal_block_sessions(autoregression(correlation, 2_000, seed)) for seed in range(40)]
    assert np.median(found) == pytest.approx(optimum, rel=0.2)


def test_block_length_of_independent_returns_is_short() -> None:
    found = [optimal_block_sessions(autoregression(0.0, 2_000, seed)) for seed in range(40)]
    assert min(found) == 1.0
    assert np.median(found) < 2.0


@pytest.mark.parametrize("value", [0.01, 0.0123, 0.0007, 0.0])
def test_block_length_of_a_constant_is_one(value: float) -> None:
    assert optimal_block_sessions(np.full(1_260, value)) == 1.0


def test_volatility_clusters_lengthen_the_blocks() -> None:
    volatility = np.exp(autoregression(0.97, 1_260, seed=3) / 4.0)
    clustered = 0.01 * volatility * np.random.default_rng(4).standard_normal(1_260)
    assert StationaryBootstrap().fit(clustered).mean_block_sessions > 3 * optimal_block_sessions(clustered)


def test_student_t_recovers_known_parameters() -> None:
    sample = 0.001 + 0.01 * np.random.default_rng(3).standard_t(4, size=40_000)
    fitted = StudentT().fit(sample)
    assert fitted.location[0] == sample.mean()
    assert fitted.scale[0] == pytest.approx(0.01, rel=0.02)
    assert fitted.degrees_of_freedom == pytest.approx(4.0, rel=0.05)


def test_student_t_fit_is_a_maximum_of_the_likelihood() -> None:
    fitted = StudentT().fit(HISTORY)

    def log_likelihood(scale: float, freedom: float) -> float:
        return float(stats.t.logpdf(HISTORY, freedom, fitted.location[0], scale).sum())

    best = log_likelihood(fitted.scale[0], fitted.degrees_of_freedom)
    for factor in (0.98, 1.02):
        assert log_likelihood(fitted.scale[0] * factor, fitted.degrees_of_freedom) < best
        assert log_likelihood(fitted.scale[0], fitted.degrees_of_freedom * factor) < best


def test_student_t_of_normal_returns_is_nearly_normal() -> None:
    normal = np.random.default_rng(1).standard_normal(20_000) * 0.01
    fitted = StudentT().fit(normal)
    assert 30.0 < fitted.degrees_of_freedom <= DEGREES_OF_FREEDOM_BOUNDS[1]
    assert fitted.standard_deviation[0] == pytest.approx(normal.std(), rel=0.01)


def test_student_t_keeps_a_finite_variance_for_the_wildest_returns() -> None:
    wild = 1e-4 * np.random.default_rng(2).standard_cauchy(1_260)
    fitted = StudentT().fit(wild)
    assert fitted.degrees_of_freedom == pytest.approx(DEGREES_OF_FREEDOM_BOUNDS[0])
    assert np.isfinite(fitted.standard_deviation).all()


@pytest.mark.parametrize("value", [0.0, 0.001, 0.0123])
def test_student_t_refuses_returns_that_do_not_vary(value: float) -> None:
    with pytest.raises(SimulationInputError, match="do not vary"):
        StudentT().fit(np.full(300, value))


@pytest.mark.parametrize("freedom", [2.1, 4.0, 200.0])
def test_student_t_draws_follow_the_law(freedom: float) -> None:
    one_session = walk(student_t(0.0, 0.001, freedom), 50_000, 1, key=(9, 9))
    drawn = (one_session.terminal_wealth - 1.0) / 0.001
    # The least p-value that chance gives once in 1,000 keys; the wealth's floor at 0 is 1,000 scales away.
    assert stats.kstest(drawn, stats.t(freedom).cdf).pvalue > 0.001


def test_student_t_draws_are_independent() -> None:
    drawn = returns_of(walk(student_t(0.0, 0.01, 5.0), 2_000, 252))
    for lag in (1, 2, 4):
        for series in (drawn, np.abs(drawn)):
            correlation = np.corrcoef(series[:, :-lag].ravel(), series[:, lag:].ravel())[0, 1]
            assert abs(correlation) < 4 / np.sqrt(2_000 * 250)


def test_a_draw_below_a_total_loss_ends_the_path() -> None:
    outcomes = walk(student_t(0.0, 0.4, 2.1), 500, 40)
    ruined = outcomes.terminal_wealth == 0.0
    assert 0 < ruined.sum() < 500
    assert (outcomes.max_drawdown[ruined] == -1.0).all()
    assert (outcomes.fan_wealth >= 0.0).all()
