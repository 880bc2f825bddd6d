"""What is particular to each joint model: moments, tails, dependence, clusters, marginals."""

import numpy as np
import pytest
from numba import njit
from scipy import special, stats

from pipeline.base.types import FloatArray
from pipeline.risk.measures.gjr_garch import GjrGarch
from pipeline.simulation.models import MODELS, FittedModel, SimulationInputError
from pipeline.simulation.models.arithmetic import growth_less_one, log_of
from pipeline.simulation.models.correlating import factor_of
from pipeline.simulation.models.filtered_historical import FittedFilteredHistorical
from pipeline.simulation.models.gbm import STREAM, FittedGbm, Gbm
from pipeline.simulation.models.lanes import Book, move, new_book, open_book
from pipeline.simulation.models.marginals import fit_marginal, fit_tail
from pipeline.simulation.models.outcomes import empty_outcomes
from pipeline.simulation.models.philox import LANES, lane_key, lane_words
from pipeline.simulation.models.plan import Plan, plan_of
from pipeline.simulation.models.session_growth import correlate, grow
from pipeline.simulation.models.stationary_bootstrap import FittedBootstrap
from pipeline.simulation.models.student_t import FittedStudentT, StudentT
from pipeline.simulation.models.t_copula import MOST_POSITIONS, TCopula, rank_correlation
from tests.bundled import stock_returns

RETURNS = stock_returns()[-1_260:, :4]
CORRELATION = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.1], [-0.3, 0.1, 1.0]])
DEVIATION = np.array([0.01, 0.02, 0.015])
COVARIANCE = CORRELATION * np.outer(DEVIATION, DEVIATION)


def one_session(fitted: FittedModel, positions: int, paths: int, key: tuple[int, int] = (3, 5)) -> FloatArray:
    """(paths, n) returns of a first session: what each position earns of its weight."""
    outcomes = empty_outcomes(paths, 0, positions)
    fitted.walk(outcomes, plan_of(np.full(positions, 1 / positions), 1), np.empty(0, dtype=np.int64), key, 0)
    return outcomes.position_gain * positions


def sessions_of(fitted: FittedModel, paths: int, horizon: int) -> FloatArray:
    """(paths, horizon) returns of one position."""
    outcomes = empty_outcomes(paths, horizon)
    fitted.walk(outcomes, plan_of(np.ones(1), horizon), np.arange(1, horizon + 1), (3, 5), 0)
    wealth = np.hstack([np.ones((paths, 1)), outcomes.fan_wealth])
    return wealth[:, 1:] / wealth[:, :-1] - 1.0


def test_narrow_philox_gives_the_known_answers() -> None:
    """``philox4x32 10`` in ``kat_vectors`` of Random123, by the algorithm's authors."""
    words = np.empty((4, LANES), dtype=np.uint32)
    zero = np.uint64(0)
    lane_words(words, 0, 0, zero, (zero, zero))
    assert words[:, 0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_keys_of_lanes_differ_by_seed_and_by_subject() -> None:
    keys = {lane_key((seed, subject)) for seed in range(50) for subject in range(50)}
    assert len(keys) == 2_500


def test_log_of_is_the_logarithm() -> None:
    @njit
    def of_each(x: FloatArray) -> FloatArray:
        found = np.empty(len(x))
        for i in range(len(x)):
            found[i] = log_of(np.float32(x[i]))
        return found

    x = np.exp(np.random.default_rng(8).uniform(-60.0, 60.0, 200_000)).astype(np.float32).astype(np.float64)
    x = np.concatenate([x, np.linspace(0.5, 2.0, 100_001).astype(np.float32)])
    exact = np.log(x)
    assert (np.abs(of_each(x) - exact) <= 3e-7 * np.maximum(np.abs(exact), 1.0)).all()


def test_growth_less_one_is_the_exponentials() -> None:
    @njit
    def of_each(x: FloatArray) -> FloatArray:
        made = np.empty_like(x)
        for i in range(len(x)):
            made[i] = growth_less_one(x[i])
        return made

    x = np.r_[np.linspace(-3.0, 3.0, 10_001), np.linspace(-0.05, 0.05, 10_001), -50.0, 50.0].astype(np.float32)
    x = x[x != 0.0]
    np.testing.assert_allclose(of_each(x), np.expm1(x.astype(np.float64)), rtol=3e-7)


@njit
def correlated(mean: FloatArray, factor: FloatArray, z: FloatArray) -> FloatArray:
    x = np.empty_like(z)
    correlate(mean, factor, z, x)
    return x


@njit
def grown(mean: FloatArray, factor: FloatArray, z: FloatArray, book: Book) -> None:
    grow(mean, factor, z, book)


@njit
def grown_plainly(x: FloatArray, book: Book, plan: Plan) -> None:
    for i in range(x.shape[0]):
        for lane in range(LANES):
            x[i, lane] = growth_less_one(x[i, lane])
    move(book, plan, x, 0)


def drawn_session(n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means, factor and draws."""
    draws = np.random.default_rng(n)
    values = draws.standard_normal(n), np.tril(draws.standard_normal((n, n))), draws.standard_normal((n, LANES))
    mean, factor, z = (each.astype(np.float32) for each in values)
    return mean, factor, z


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 11, 20])
def test_correlating_is_a_matrix_product(n: int) -> None:
    mean, factor, z = drawn_session(n)
    np.testing.assert_allclose(correlated(mean, factor, z), mean[:, None] + factor @ z, rtol=0, atol=3e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 11, 20])
@pytest.mark.parametrize("scale", [0.01, 0.3, 40.0])  # small returns, some large ones, and values that come to nothing
def test_growing_at_once_is_growing_step_by_step(n: int, scale: float) -> None:
    mean, factor, z = (np.float32(scale) * values for values in drawn_session(n))
    z[:, 0] = 0.0
    z[:, 1], mean[:] = np.float32(-1e3) * scale, np.float32(-scale)
    plan, books = plan_of(np.full(n, 1.0 / n), 1), (new_book(n, 0), new_book(n, 0))
    for book in books:
        open_book(book, plan)
    grown(mean, factor, np.clip(z, -2, 2), books[0])
    grown_plainly(correlated(mean, factor, np.clip(z, -2, 2)), books[1], plan)
    for one, other in zip(books[0][:9], books[1][:9], strict=True):
        np.testing.assert_array_equal(one, other)


def test_factors_of_singular_covariances_and_refusals() -> None:
    singular = np.outer(DEVIATION, DEVIATION)
    np.testing.assert_allclose(factor_of(singular) @ factor_of(singular).T, singular, atol=1e-14)
    with pytest.raises(SimulationInputError, match=r"not positive semidefinite.*nearest_psd"):
        factor_of(np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(SimulationInputError, match="not symmetric"):
        factor_of(np.array([[1.0, 0.5], [0.1, 1.0]]))
    with pytest.raises(SimulationInputError, match="NaN"):
        factor_of(np.array([[1.0, np.nan], [np.nan, 1.0]]))


def test_gbm_has_its_moments_within_four_standard_errors() -> None:
    mean, paths = np.array([1e-3, -5e-4, 2e-4]), 200_000
    drawn = np.log1p(one_session(FittedGbm(mean, factor_of(COVARIANCE)), 3, paths))
    assert (np.abs(drawn.mean(axis=0) - mean) < 4 * DEVIATION / np.sqrt(paths)).all()
    assert (np.abs(drawn.var(axis=0) / DEVIATION**2 - 1.0) < 4 * np.sqrt(2 / paths)).all()
    error = (1.0 - CORRELATION**2) / np.sqrt(paths)
    assert (np.abs(np.corrcoef(drawn.T) - CORRELATION) <= 4 * error + 1e-12).all()
    for column, at, spread in zip(drawn.T, mean, DEVIATION, strict=True):
        assert stats.kstest((column - at) / spread, stats.norm.cdf).pvalue > 0.001


def test_gbm_grows_as_history_did() -> None:
    fitted = Gbm().fit(RETURNS)
    expected = np.exp(fitted.mean + 0.5 * np.sum(fitted.factor**2, axis=1)) - 1.0
    np.testing.assert_allclose(expected, RETURNS.mean(axis=0), rtol=1e-10)


def test_student_t_shares_its_tails() -> None:
    freedom, paths = 4.0, 200_000
    scale = factor_of(COVARIANCE)
    drawn = one_session(FittedStudentT(np.zeros(3), scale, freedom), 3, paths) / DEVIATION
    for column in drawn.T:
        assert stats.kstest(column, stats.t(freedom).cdf).pvalue > 0.001
    beyond = np.abs(drawn) > stats.t(freedom).isf(0.005)
    # Independent tails would meet once in 10,000; those of a common mixing variable meet far oftener.
    assert (beyond[:, 1] & beyond[:, 2]).mean() > 10 * beyond[:, 1].mean() * beyond[:, 2].mean()
    assert stats.spearmanr(drawn[:, 0], drawn[:, 1]).statistic == pytest.approx(0.58, abs=0.02)


def test_student_t_of_many_recovers_scale_and_freedom() -> None:
    draws = np.random.default_rng(8)
    mixing = np.sqrt(5.0 / draws.chisquare(5.0, 8_000))
    sample = (draws.standard_normal((8_000, 3)) @ np.linalg.cholesky(COVARIANCE).T) * mixing[:, None]
    fitted = StudentT().fit(sample)
    assert fitted.degrees_of_freedom == pytest.approx(5.0, rel=0.06)
    np.testing.assert_allclose(fitted.scale, DEVIATION, rtol=0.03)
    names = [parameter.name for parameter in fitted.parameters]
    assert names[:3] == ["location[0]", "location[1]", "location[2]"]
    assert names[-1] == "degrees_of_freedom"


@pytest.mark.parametrize("model", MODELS)
def test_joint_draws_keep_the_dependence_of_history(model: str) -> None:
    drawn = one_session(MODELS[model].fit(RETURNS), 4, 40_000)
    ranks, history = stats.spearmanr(drawn).statistic, stats.spearmanr(RETURNS).statistic
    np.testing.assert_allclose(ranks, history, atol=0.1)


def test_bootstrap_keeps_autocorrelation_inside_of_blocks_and_spreads() -> None:
    draws = np.random.default_rng(3).standard_normal(2_000)
    series = np.empty(2_000)
    series[0] = draws[0]
    for t in range(1, 2_000):
        series[t] = 0.6 * series[t - 1] + draws[t]
    history = 0.003 * series
    drawn = sessions_of(FittedBootstrap.of(history, 20.0), 400, 252)

    def lag_one(x: FloatArray) -> float:
        return float(np.corrcoef(x[..., :-1].ravel(), x[..., 1:].ravel())[0, 1])

    # A block of 20 sessions on average breaks one link of twenty.
    assert lag_one(drawn) == pytest.approx(lag_one(history) * 0.95, abs=0.03)
    assert np.prod(1.0 + drawn, axis=1).std() > 0.1


def test_filtered_historical_clusters_and_reverts() -> None:
    draws = np.random.default_rng(4).standard_normal(2_000)
    residuals = ((draws - draws.mean()) / draws.std())[None, :]
    law = GjrGarch(0.0, 2e-6, 0.05, 0.1, 0.88, 8.0, 0.0, True)
    high = FittedFilteredHistorical(np.zeros(1), (law,), np.array([9.0 * law.long_run_variance]), residuals)
    drawn = sessions_of(high, 3_000, 400)
    squares = drawn**2
    correlation = np.corrcoef(squares[:, 200:-1].ravel(), squares[:, 201:].ravel())[0, 1]
    assert correlation > 0.05  # of independent draws it is 0 ± .001
    assert abs(np.corrcoef(drawn[:, 200:-1].ravel(), drawn[:, 201:].ravel())[0, 1]) < 0.02
    assert squares[:, 0].mean() == pytest.approx(9.0 * law.long_run_variance, rel=0.1)
    assert squares[:, -100:].mean() == pytest.approx(law.long_run_variance, rel=0.15)


def test_filtered_historical_draws_whole_sessions() -> None:
    fitted = MODELS["filtered_historical"].fit(RETURNS)
    assert isinstance(fitted, FittedFilteredHistorical)
    drawn = (one_session(fitted, 4, 500) - fitted.mean) / np.sqrt(fitted.variance)
    distance = np.abs(drawn[:, None, :] - fitted.residuals.T[None]).max(axis=2).min(axis=1)
    assert distance.max() < 1e-10


def test_copula_keeps_the_marginals() -> None:
    fitted = TCopula().fit(RETURNS)
    drawn = one_session(fitted, 4, 40_000)
    for column, history, marginal in zip(drawn.T, RETURNS.T, fitted.marginals, strict=True):
        # By the law itself, and by the history that it was fitted to.
        places = np.linspace(0.002, 0.998, 500)
        quantiles = marginal.quantile(places, 1.0 - places)
        assert np.abs(np.searchsorted(np.sort(column), quantiles) / 40_000 - places).max() < 0.01
        assert stats.ks_2samp(column, history).statistic < 0.03
        assert column.mean() == pytest.approx(history.mean(), abs=4 * history.std() / np.sqrt(40_000))


def test_copula_finds_its_correlation_and_freedom() -> None:
    draws = np.random.default_rng(9)
    mixing = np.sqrt(4.0 / draws.chisquare(4.0, 4_000))
    sample = (draws.standard_normal((4_000, 3)) @ np.linalg.cholesky(CORRELATION).T) * mixing[:, None]
    uniform = special.stdtr(4.0, sample)
    skewed = 0.01 * (stats.gamma(3.0).ppf(uniform) - 3.0)  # other marginals, the same ranks
    fitted = TCopula().fit(skewed)
    assert fitted.degrees_of_freedom == pytest.approx(4.0, rel=0.25)
    np.testing.assert_allclose(fitted.factor @ fitted.factor.T, CORRELATION, atol=0.05)
    kendall = stats.kendalltau(skewed[:, 0], skewed[:, 1]).statistic
    assert rank_correlation(skewed)[0, 1] == pytest.approx(np.sin(np.pi / 2 * kendall), abs=1e-6)


def test_tails_are_those_of_a_pareto_law() -> None:
    sample = np.sort(stats.genpareto(0.25).rvs(200_000, random_state=1))
    tail = fit_tail(sample)
    assert tail.share == pytest.approx(0.05, abs=1e-3)
    assert tail.shape == pytest.approx(0.25, abs=0.04)
    np.testing.assert_allclose(tail.quantile(np.array([1e-3, 1e-4])), stats.genpareto(0.25).isf([1e-3, 1e-4]), rtol=0.1)
    few = fit_marginal(np.random.default_rng(2).standard_normal(63) * 0.01)
    assert np.isfinite(few.quantile(np.array([1e-12, 0.5]), np.array([1.0, 0.5]))).all()


@pytest.mark.parametrize("model", [name for name in MODELS if name != "stationary_bootstrap"])
def test_returns_that_do_not_vary_are_refused(model: str) -> None:
    with pytest.raises(SimulationInputError, match="vary"):
        MODELS[model].fit(np.full((300, 2), 0.001))


def test_a_copula_of_too_many_is_refused() -> None:
    with pytest.raises(SimulationInputError, match=f"t_copula takes {MOST_POSITIONS}"):
        TCopula().fit(np.zeros((100, MOST_POSITIONS + 1)))


@pytest.mark.parametrize("model", ["gbm", "student_t", "stationary_bootstrap"])
def test_more_positions_than_sessions_can_be_fitted(model: str) -> None:
    wide = np.random.default_rng(6).standard_normal((70, 90)) * 0.01
    assert np.isfinite(one_session(MODELS[model].fit(wide), 90, 100)).all()


@pytest.mark.parametrize("paths", [4_000])
def test_single_precision_errs_by_less_than_a_tenth_of_the_standard_error_of_a_million_paths(paths: int) -> None:
    """The same words through double precision: a plain twin of GBM's kernel, path by path."""
    fitted, plan, key = Gbm().fit(RETURNS), plan_of(np.full(4, 0.25), 252, "monthly"), (3, 5)
    outcomes = empty_outcomes(paths, 0)
    fitted.walk(outcomes, plan, np.empty(0, dtype=np.int64), key, 0)
    exact = np.concatenate([gbm_in_doubles(fitted, first, key) for first in range(0, paths, LANES)])[:paths]
    error = outcomes.terminal_wealth - exact
    assert np.abs(error).max() < 1e-5
    tenth = 0.1 * exact.std() / 1_000.0
    assert abs(error.mean()) + 4 * error.std() / np.sqrt(paths) < tenth
    for level in (0.01, 0.025, 0.5):
        assert abs(np.quantile(outcomes.terminal_wealth, level) - np.quantile(exact, level)) < tenth


def gbm_in_doubles(fitted: FittedGbm, first: int, key: tuple[int, int]) -> FloatArray:
    """(LANES,) terminal wealth of four positions in 252 sessions, monthly restored."""
    words = np.empty((4, LANES), dtype=np.uint32)
    value = np.full((4, LANES), 0.25)
    for step in range(252):
        lane_words(words, step, first, STREAM, lane_key(key))
        z = special.ndtri((words.astype(np.float64) + 0.5) / 2.0**32)
        value = value * np.exp(fitted.mean[:, None] + fitted.factor @ z)
        if (step + 1) % 21 == 0:
            value = np.full((4, LANES), 0.25) * value.sum(axis=0)
    return value.sum(axis=0)
