"""Every registered model, and what is particular to each."""

import numpy as np
import pytest

from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.models.philox import random_words
from pipeline.simulation.models.stationary_bootstrap import FittedBootstrap, optimal_block_sessions
from pipeline.simulation.models.student_t import FittedStudentT, StudentT

HISTORY = np.random.default_rng(20).standard_t(5, size=1_260) * 0.01 + 0.0004


@pytest.mark.parametrize("name", MODELS)
def test_a_row_depends_on_its_path_alone(name: str) -> None:
    fitted = MODELS[name].fit(HISTORY)
    whole, part = np.empty((50, 40)), np.empty((3, 40))
    fitted.draw(whole, (1, 2), 100)
    fitted.draw(part, (1, 2), 117)
    np.testing.assert_array_equal(part, whole[17:20])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("key", [(2, 2), (1, 3)])
def test_seed_and_subject_change_every_path(name: str, key: tuple[int, int]) -> None:
    fitted = MODELS[name].fit(HISTORY)
    one, other = np.empty((20, 40)), np.empty((20, 40))
    fitted.draw(one, (1, 2), 0)
    fitted.draw(other, key, 0)
    assert not (one == other).all(axis=1).any()


@pytest.mark.parametrize("name", MODELS)
def test_draws_have_the_moments_of_the_history(name: str) -> None:
    drawn = np.empty((4_000, 252))
    MODELS[name].fit(HISTORY).draw(drawn, (1, 1), 0)
    # Blocks make a path's draws dependent; the mean over paths is what is independent.
    error = drawn.mean(axis=1).std() / np.sqrt(len(drawn))
    assert abs(drawn.mean() - HISTORY.mean()) < 4 * error
    assert drawn.std() == pytest.approx(HISTORY.std(), rel=0.05)


def test_bootstrap_equals_its_plain_twin() -> None:
    fitted = FittedBootstrap(HISTORY, 7.5)
    drawn = np.empty((5, 60))
    fitted.draw(drawn, (3, 4), 10)
    for row in range(5):
        np.testing.assert_array_equal(drawn[row], plain_bootstrap(HISTORY, 7.5, path=10 + row, key=(3, 4), horizon=60))


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
    ramp = np.arange(1_000.0)
    drawn = np.empty((200, 2_000))
    FittedBootstrap(ramp, 12.0).draw(drawn, (1, 1), 0)
    continues = (np.diff(drawn) == 1.0) | (np.diff(drawn) == -999.0)
    assert 1.0 / (1.0 - continues.mean()) == pytest.approx(12.0, rel=0.02)


@pytest.mark.parametrize(
    ("correlation", "shortest", "longest"), [(0.0, 1.0, 6.0), (0.5, 6.0, 25.0), (0.9, 25.0, 110.0)]
)
def test_block_length_grows_with_dependence(correlation: float, shortest: float, longest: float) -> None:
    noise = np.random.default_rng(5).standard_normal(1_500)
    series = np.empty_like(noise)
    series[0] = noise[0]
    for t in range(1, len(noise)):
        series[t] = correlation * series[t - 1] + noise[t]
    assert shortest <= optimal_block_sessions(series) <= longest


def test_block_length_of_a_constant_is_one() -> None:
    assert optimal_block_sessions(np.full(300, 0.01)) == 1.0


def test_student_t_recovers_known_parameters() -> None:
    sample = 0.001 + 0.01 * np.random.default_rng(3).standard_t(4, size=40_000)
    fitted = StudentT().fit(sample)
    assert fitted.location == sample.mean()
    assert fitted.scale == pytest.approx(0.01, rel=0.02)
    assert fitted.degrees_of_freedom == pytest.approx(4.0, rel=0.05)


def test_student_t_of_normal_data_goes_to_the_bound() -> None:
    assert StudentT().fit(np.random.default_rng(1).standard_normal(20_000) * 0.01).degrees_of_freedom > 30.0


def test_student_t_refuses_returns_that_do_not_vary() -> None:
    with pytest.raises(SimulationInputError, match="do not vary"):
        StudentT().fit(np.full(300, 0.001))


def test_student_t_draws_follow_the_law() -> None:
    drawn = np.empty((400, 250))
    FittedStudentT(0.0, 1.0, 5.0).draw(drawn, (9, 9), 0)
    # Quantiles of Student's t with 5 degrees of freedom, from any table: 0.95 → 2.015, 0.99 → 3.365.
    assert (drawn <= 2.015).mean() == pytest.approx(0.95, abs=0.003)
    assert (drawn <= -3.365).mean() == pytest.approx(0.01, abs=0.0015)
