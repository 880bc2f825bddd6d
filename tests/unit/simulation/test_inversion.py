"""Normal and mixing draws from words, against scipy's quantiles, distribution functions and moments."""

import numpy as np
import pytest
from scipy import special, stats

from pipeline.base.types import FloatArray
from pipeline.risk.measures.student_t_fit import DEGREES_OF_FREEDOM_BOUNDS
from pipeline.simulation.models.inversion import draw_two_sided
from pipeline.simulation.models.normals import new_page, normal_draws, session_draws
from pipeline.simulation.models.philox import LANES, WORDS_PER_BLOCK, LaneWords, lane_key, lane_words
from pipeline.simulation.models.tables import mixing_tables

FREEDOMS = (DEGREES_OF_FREEDOM_BOUNDS[0], 3.0, 5.5, 30.0, DEGREES_OF_FREEDOM_BOUNDS[1])
UPPER_HALF = np.uint32(2**31)


def normals_of(words: LaneWords) -> FloatArray:
    draws = np.empty(len(words), np.float32)
    normal_draws(words, np.empty(WORDS_PER_BLOCK * LANES, np.float32), draws)
    return draws.astype(np.float64)


def tail_words() -> LaneWords:
    """Words of the lower half: of every octave of the probability many, from its first step to its last."""
    steps = np.random.default_rng(3).uniform(0.0, 31.0, 100_000)
    tail = np.concatenate([[0, 1, 2, 2**31 - 1], np.arange(700_000, 740_000), np.exp2(steps).astype(np.uint64)])
    return np.unique(tail).astype(np.uint32)


def probabilities(words: LaneWords) -> FloatArray:
    """Of lying below, as far as the middle of a word's interval; of the lower half."""
    return (words.astype(np.float64) + 0.5) * 2.0**-32


def test_normal_draws_are_the_quantiles_of_their_words() -> None:
    words = tail_words()
    exact = special.ndtri(probabilities(words))
    np.testing.assert_allclose(normals_of(words), exact, rtol=3e-7, atol=1e-7)


def test_normal_draws_lie_out_as_far_as_their_probability_says() -> None:
    """By the distribution function, so that scipy's quantiles are not taken at their word."""
    words = tail_words()
    np.testing.assert_allclose(special.ndtr(normals_of(words)), probabilities(words), rtol=2e-5)


def test_normal_draws_of_the_halves_mirror_each_other() -> None:
    words = tail_words()
    below = normals_of(words)
    assert (below < 0.0).all()
    np.testing.assert_allclose(normals_of(~words), -below, rtol=2.5e-7, atol=1e-7)  # to the last bit or two


def test_normal_draws_rise_with_their_words_but_for_the_last_bit() -> None:
    words = np.sort(np.concatenate([tail_words(), ~tail_words()]))
    draws = normals_of(words)
    fallen = np.maximum.accumulate(draws) - draws
    assert (fallen <= 2.0 * np.spacing(np.abs(draws).astype(np.float32))).all()


@pytest.mark.parametrize("alone", [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 2])
def test_a_draw_does_not_depend_on_its_neighbours(alone: int) -> None:
    """Far ones are found among many, and then computed apart."""
    words = np.random.default_rng(5).integers(2**30, 2**31, 3 * WORDS_PER_BLOCK * LANES, dtype=np.uint32)
    words[300] = alone
    (expected,) = normals_of(np.array([alone], np.uint32))
    assert normals_of(words)[300] == expected


def test_a_million_normal_draws_have_the_law_its_moments_and_its_tail() -> None:
    draws = normals_of(np.random.default_rng(11).integers(0, 2**32, 1_000_000, dtype=np.uint32))
    assert stats.kstest(draws, special.ndtr).pvalue > 0.001  # what chance gives once in 1,000 keys
    for level in (1e-2, 1e-3, 1e-4):
        for beyond in (draws < special.ndtri(level), draws > -special.ndtri(level)):
            assert abs(beyond.sum() - 1e6 * level) < 4 * np.sqrt(1e6 * level)
    assert abs(draws.mean()) < 4e-3
    assert draws.var() == pytest.approx(1.0, abs=4 * np.sqrt(2e-6))
    assert stats.kurtosis(draws) == pytest.approx(0.0, abs=4 * np.sqrt(24e-6))


@pytest.mark.parametrize("positions", [1, 3, 4, 5, 8, 20, 33])
def test_sessions_share_no_word(positions: int) -> None:
    """The rows of a page are those of the sequence, whatever the number of positions."""
    key, stream, first = lane_key((7, 9)), np.uint64(3), 1_000
    page, rows = new_page(positions), np.empty((WORDS_PER_BLOCK * 3 * positions, LANES), np.uint32)
    lane_words(rows, 0, first, stream, key)
    drawn = [np.array(session_draws(page, step, first, stream, key)) for step in range(12)]
    exact = normals_of(rows.ravel()).reshape(rows.shape)[: 12 * positions]
    np.testing.assert_array_equal(np.vstack(drawn), exact.astype(np.float32))


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_mixing_draws_are_the_quantiles_of_both_sides(freedom: float) -> None:
    words = tail_words()
    draws, cells = np.empty(len(words)), np.empty(len(words), dtype=np.uint64)
    for side, inverse in ((np.uint32(0), special.gammainccinv), (UPPER_HALF, special.gammaincinv)):
        draw_two_sided(words | side, mixing_tables(freedom), cells, draws)
        exact = np.sqrt(0.5 * freedom / inverse(0.5 * freedom, probabilities(words)))
        np.testing.assert_allclose(draws, exact, rtol=2e-6)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_mixed_normal_draws_have_students_law(freedom: float) -> None:
    words = np.random.default_rng(12).integers(0, 2**32, (2, 500_000), dtype=np.uint32)
    factors, cells = np.empty(500_000), np.empty(500_000, dtype=np.uint64)
    draw_two_sided(words[0], mixing_tables(freedom), cells, factors)
    assert stats.kstest(factors * normals_of(words[1]), stats.t(freedom).cdf).pvalue > 0.001
