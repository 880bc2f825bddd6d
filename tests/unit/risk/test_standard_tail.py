"""Simulated tails of standard laws: those of all paths, the same from the table, and as far off as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import stdtrit

from pipeline.base.types import FloatArray
from pipeline.risk.measures.simulated_losses import losses_tail, uniform_draws
from pipeline.risk.measures.standard_tail import gaussian_standard_tail, student_t_standard_tail, tabulated_tail
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS
from pipeline.risk.measures.tail_spec import TailEstimate, TailSpec
from tests.unit.risk.series import same

FIGURES = ("var", "es", "var_standard_error", "es_standard_error")
EVERY_LEVEL = pytest.mark.parametrize("confidence", [0.9, 0.95, 0.975, 0.99, 0.995])
SPEC = TailSpec(0.99)
FREEDOM = 1.0 / np.linspace(1.0 / DEGREES_OF_FREEDOM_BOUNDS[1], 1.0 / DEGREES_OF_FREEDOM_BOUNDS[0], 301)


def figures(made: TailEstimate) -> FloatArray:
    return np.stack([getattr(made, name) for name in FIGURES])


@EVERY_LEVEL
def test_the_tail_is_that_of_all_paths(confidence: float) -> None:
    spec = TailSpec(0.5, paths=2_000, seed=4)
    freedom = np.array([[2.1, 3.0], [12.0, 200.0]])
    paths = stdtrit(freedom[..., None], uniform_draws(4, 2_000))
    expected = losses_tail(paths, confidence)
    np.testing.assert_allclose(
        figures(student_t_standard_tail(freedom, spec, confidence)), figures(expected), rtol=1e-11
    )


@EVERY_LEVEL
@pytest.mark.parametrize("seed", [0, 3])
def test_the_table_is_the_simulation(confidence: float, seed: int) -> None:
    spec = TailSpec(0.5, seed=seed)
    expected = figures(student_t_standard_tail(FREEDOM, spec, confidence))
    np.testing.assert_allclose(figures(tabulated_tail(FREEDOM, spec, confidence)), expected, rtol=1e-12)


def test_the_bits_of_a_row_of_the_table_depend_on_no_other() -> None:
    whole = figures(tabulated_tail(FREEDOM, SPEC, 0.99))
    for row in (0, 7, 300):
        assert same(figures(tabulated_tail(FREEDOM[row : row + 1], SPEC, 0.99))[:, 0], whole[:, row].copy())
    assert same(figures(tabulated_tail(FREEDOM[100:], SPEC, 0.99)), np.ascontiguousarray(whole[:, 100:]))


def test_no_law_has_no_tail() -> None:
    freedom = np.array([3.0, np.nan, 5.0])
    for tail in (student_t_standard_tail, tabulated_tail):
        assert np.isnan(figures(tail(freedom, SPEC, 0.99))).tolist() == [[False, True, False]] * 4


@EVERY_LEVEL
def test_figures_lie_within_their_errors_of_the_law(confidence: float) -> None:
    for freedom in (3.0, 8.0):
        made = student_t_standard_tail(np.array(freedom), SPEC, confidence)
        law = stats.t(freedom)
        assert made.var_standard_error is not None
        assert made.es_standard_error is not None
        assert abs(made.var + law.ppf(1.0 - confidence)) < 4.0 * made.var_standard_error
        es = -law.expect(lambda x: x, ub=law.ppf(1.0 - confidence), conditional=True)
        assert abs(made.es - es) < 4.0 * made.es_standard_error < 0.25 * es


def test_the_normal_law_is_the_limit_of_many_degrees_of_freedom() -> None:
    normal = figures(gaussian_standard_tail(SPEC, 0.99))
    np.testing.assert_allclose(figures(student_t_standard_tail(np.array(1e9), SPEC, 0.99)), normal, rtol=1e-6)


def test_a_seed_names_its_paths() -> None:
    one, again, other = (student_t_standard_tail(FREEDOM, TailSpec(0.99, seed=seed), 0.99) for seed in (1, 1, 2))
    assert same(figures(one), figures(again))
    assert (one.var != other.var).all()
