"""Draws of Student's t from words, against scipy's quantiles, distribution function and moments."""

from functools import cache

import numpy as np
import pytest
from scipy import special, stats

from pipeline.base.types import FloatArray
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS, standard_student_t_density
from pipeline.simulation.models.inversion import draw, draw_two_sided, quantile_table
from pipeline.simulation.models.philox import WordArray
from pipeline.simulation.models.tables import mixing_tables, normal_table

FREEDOMS = (DEGREES_OF_FREEDOM_BOUNDS[0], 3.0, 5.5, 30.0, DEGREES_OF_FREEDOM_BOUNDS[1])
SIDE = 1 << 63


@cache
def standard_table(freedom: float) -> FloatArray:
    nu = np.array(freedom)
    return quantile_table(lambda p: special.stdtrit(nu, p), lambda t: standard_student_t_density(t, nu))


def drawn(words: WordArray, freedom: float) -> FloatArray:
    draws, room = np.empty(len(words)), np.empty(len(words))
    draw(words, standard_table(freedom), np.empty(len(words), dtype=np.uint64), room, draws)
    return draws


def tail_words() -> WordArray:
    """Words of the lower half: of every octave of the probability many, from its first step to its last."""
    steps = np.random.default_rng(3).uniform(0.0, 52.0, 100_000)
    tail = np.concatenate([[0, 1, 2, 2**52 - 1], np.exp2(steps).astype(np.uint64)]).astype(np.uint64)
    return np.sort(tail) << np.uint64(11)


def probabilities(words: WordArray) -> FloatArray:
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_draws_are_the_quantiles_of_their_words(freedom: float) -> None:
    words = tail_words()
    exact = special.stdtrit(freedom, probabilities(words))
    np.testing.assert_allclose(drawn(words, freedom), exact, rtol=3e-8, atol=1e-10)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_draws_lie_out_as_far_as_their_probability_says(freedom: float) -> None:
    """By the distribution function, so that scipy's quantiles are not taken at their word."""
    words = tail_words()
    np.testing.assert_allclose(stats.t(freedom).cdf(drawn(words, freedom)), probabilities(words), rtol=2e-6)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_draws_rise_with_their_words_and_mirror_each_other(freedom: float) -> None:
    words = tail_words()
    below = drawn(words, freedom)
    assert (np.diff(below) >= 0.0).all()
    assert (below < 0.0).all()
    np.testing.assert_array_equal(drawn(words | np.uint64(SIDE), freedom), -below)


@pytest.mark.parametrize("word", [0, SIDE, SIDE - 1, 2**64 - 1])
def test_the_outermost_words_give_numbers(word: int) -> None:
    (value,) = drawn(np.array([word], dtype=np.uint64), DEGREES_OF_FREEDOM_BOUNDS[0])
    assert np.isfinite(value)
    assert (value < 0.0) == (word < SIDE)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_a_million_draws_have_the_law_its_moments_and_its_tail(freedom: float) -> None:
    draws = drawn(np.random.Philox(11).random_raw(1_000_000), freedom)
    law = stats.t(freedom)
    assert stats.kstest(draws, law.cdf).pvalue > 0.001  # what chance gives once in 1,000 keys
    for level in (1e-2, 1e-3, 1e-4):
        for beyond in (draws < law.ppf(level), draws > law.isf(level)):
            assert abs(beyond.sum() - 1e6 * level) < 4 * np.sqrt(1e6 * level)
    if freedom > 10:  # below, the sample variance of a fourth power has no standard error
        variance = freedom / (freedom - 2.0)
        assert abs(draws.mean()) < 4 * np.sqrt(variance / 1e6)
        assert draws.var() == pytest.approx(variance, rel=0.01)
        assert stats.kurtosis(draws) == pytest.approx(6.0 / (freedom - 4.0), abs=0.03)


def test_normal_draws_are_the_quantiles_of_their_words() -> None:
    words = tail_words()
    draws, room = np.empty(len(words)), np.empty(len(words))
    draw(words, normal_table(), np.empty(len(words), dtype=np.uint64), room, draws)
    np.testing.assert_allclose(draws, special.ndtri(probabilities(words)), rtol=3e-8, atol=1e-9)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_mixing_draws_are_the_quantiles_of_both_sides(freedom: float) -> None:
    words = tail_words()
    draws, cells = np.empty(len(words)), np.empty(len(words), dtype=np.uint64)
    for side, inverse in ((0, special.gammainccinv), (SIDE, special.gammaincinv)):
        draw_two_sided(words | np.uint64(side), mixing_tables(freedom), cells, draws)
        exact = np.sqrt(0.5 * freedom / inverse(0.5 * freedom, probabilities(words)))
        np.testing.assert_allclose(draws, exact, rtol=2e-6)
