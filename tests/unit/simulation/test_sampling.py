"""Sobol' nets and importance sampling: the same figures as plain paths, with errors that are what they say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, qmc

from pipeline.base.types import FloatArray
from pipeline.simulation.models import MODELS, SimulationInputError
from pipeline.simulation.models.gbm import FittedGbm
from pipeline.simulation.models.plan import CashFlow, plan_of
from pipeline.simulation.models.steering import UNSHIFTED_EACH, bridge_of, rotation_of, steering_of
from pipeline.simulation.run import SimulationSpec, begin, simulate
from pipeline.simulation.run.samples import Replicated, Sample, Weighted
from pipeline.simulation.run.sampling import REPLICATES, STEERED_MODELS, TAIL_SHIFT, scrambled_nets
from tests.bundled import stock_returns

RETURNS = stock_returns()[-1_260:, :4]
WEIGHTS = np.array([0.5, 0.4, 0.3, -0.2])
SPEC = SimulationSpec("gbm", paths=4_096, horizon_sessions=42, rebalancing="monthly", cost_bps=5.0, contributions=True)
KINDS = ("sobol", "importance")
FIGURES = (
    *("return_mean", "var_95", "var_99", "es_975", "es_99"),
    *("probability_of_loss", "max_drawdown_mean", "wealth_mean"),
)


# The law ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", STEERED_MODELS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flow", [0.0, -0.02])
def test_figures_agree_with_plain_paths_within_their_errors(model: str, kind: str, flow: float) -> None:
    spec = replace(SPEC, model=model, monthly_flow=flow)
    plain = simulate(RETURNS, replace(spec, paths=65_536), 1, WEIGHTS)
    found = simulate(RETURNS, replace(spec, sampling=kind, paths=16_384), 1, WEIGHTS)
    for name in FIGURES:
        error = np.hypot(getattr(plain, f"{name}_error"), getattr(found, f"{name}_error"))
        assert abs(getattr(found, name) - getattr(plain, name)) < 4.0 * error, name
    assert plain.contributions is not None
    assert found.contributions is not None
    for one, other in zip(plain.contributions.positions, found.contributions.positions, strict=True):
        assert abs(one.es_975 - other.es_975) < 4.0 * np.hypot(one.es_975_error, other.es_975_error)
    np.testing.assert_allclose(found.fan.wealth, plain.fan.wealth, atol=0.02)
    np.testing.assert_allclose(found.drawdown.values, plain.drawdown.values, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_one_lognormal_series_has_its_closed_form(kind: str) -> None:
    mean, deviation, horizon = 0.0004, 0.012, 63
    fitted = FittedGbm(np.array([mean]), np.array([[deviation]]))
    spec = SimulationSpec("gbm", paths=16_384, horizon_sessions=horizon, fan_steps=(), sampling=kind)
    begun = replace(begin(RETURNS[:, 0], spec, 1), fitted=fitted).by_seed(3)
    found = begun.result()
    drift, spread = mean * horizon, deviation * np.sqrt(horizon)
    var = 1.0 - np.exp(drift + spread * norm.ppf(0.01))
    expected = np.exp(drift + 0.5 * spread**2)
    es_975, es_99 = (1.0 - expected * norm.cdf(norm.ppf(tail) - spread) / tail for tail in (0.025, 0.01))
    assert abs(found.var_99 - var) < 4.0 * found.var_99_error
    assert abs(found.es_975 - es_975) < 4.0 * found.es_975_error
    assert abs(found.es_99 - es_99) < 4.0 * found.es_99_error
    assert abs(found.wealth_mean - expected) < 4.0 * found.wealth_mean_error
    plain = replace(begun, spec=replace(begun.spec, sampling="plain")).by_seed(3).result()
    assert 2.0 * found.es_975_error < plain.es_975_error


def test_contributions_add_up_when_paths_are_weighed() -> None:
    for kind in KINDS:
        found = simulate(RETURNS, replace(SPEC, sampling=kind), 3, WEIGHTS)
        assert found.contributions is not None
        parts = [*found.contributions.positions, found.contributions.costs]
        assert sum(part.gain_mean for part in parts) == pytest.approx(found.return_mean, abs=1e-9)
        assert sum(part.es_975 for part in parts) == pytest.approx(found.es_975, abs=1e-9)
        assert found.sampling == kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", STEERED_MODELS)
def test_stated_errors_cover_what_repeated_runs_do(model: str, kind: str) -> None:
    spec = replace(SPEC, model=model, sampling=kind, paths=2_048, horizon_sessions=21, contributions=False)
    truth = simulate(RETURNS, replace(spec, sampling="importance", paths=262_144, seed=10**6), 1, WEIGHTS)
    exact = simulate(RETURNS, replace(spec, sampling="sobol", paths=65_536, seed=10**6), 1, WEIGHTS)
    begun = begin(RETURNS, spec, 1, WEIGHTS)
    runs = [begun.by_seed(seed).result() for seed in range(100)]
    for name, reference, covered in (
        ("return_mean", exact, 0.82),
        ("var_95", truth, 0.82),
        ("es_975", truth, 0.82),
        ("es_99", truth, 0.7),  # of a few dozen paths: right on average, and too small where the worst were not drawn
        ("probability_of_loss", exact, 0.82),
    ):
        apart = np.array([getattr(run, name) - getattr(reference, name) for run in runs])
        stated = np.array([getattr(run, f"{name}_error") for run in runs])
        assert (np.abs(apart) < 2.0 * stated).mean() > covered, name
        assert np.sqrt((apart**2).mean()) == pytest.approx(np.sqrt((stated**2).mean()), rel=0.35), name


def test_errors_of_the_tail_are_smaller_by_what_is_promised() -> None:
    """Stated errors, at equal paths: the bench measures them at equal time, around a long reference."""
    spec = replace(SPEC, paths=16_384, horizon_sessions=252, contributions=False, cost_bps=0.0)
    plain, sobol, shifted = (simulate(RETURNS, replace(spec, sampling=kind), 1, WEIGHTS) for kind in ("plain", *KINDS))
    assert plain.var_99_error > 3.0 * shifted.var_99_error
    assert plain.es_975_error > 4.0 * shifted.es_975_error
    assert plain.es_99_error > 4.0 * shifted.es_99_error
    assert plain.return_mean_error > 10.0 * sobol.return_mean_error
    assert plain.es_975_error > 2.0 * sobol.es_975_error


# The same bits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", STEERED_MODELS)
def test_no_division_of_the_work_changes_a_bit(model: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(SPEC, model=model, sampling=kind, flows=(CashFlow(5, 0.4),))
    expected = simulate(RETURNS, spec, 3, WEIGHTS)
    assert simulate(RETURNS, replace(spec, threads=3), 3, WEIGHTS) == expected
    begun = begin(RETURNS, spec, 3, WEIGHTS)
    outcomes = begun.empty_outcomes()
    for first, end in ((2_017, 4_096), (0, 65), (65, 2_017)):
        begun.walk(outcomes.part(slice(first, end)), first)
    assert begun.describe(outcomes) == expected
    monkeypatch.setattr("pipeline.simulation.run.begun.CHUNK_PATHS", 41)
    assert simulate(RETURNS, spec, 3, WEIGHTS) == expected
    assert simulate(RETURNS, replace(spec, seed=2), 3, WEIGHTS).var_99 != expected.var_99
    assert simulate(RETURNS, spec, 4, WEIGHTS).var_99 != expected.var_99


# The parts -------------------------------------------------------------------------------------------------


def test_a_bridge_of_normal_sums_is_independent_normal_draws() -> None:
    """As linear maps: (sum, own draws) → draws is orthogonal, which is all that normal draws need."""
    profile = np.array([1.0, 3.0, 0.5, 2.0])
    profile /= np.linalg.norm(profile)
    columns = []
    for sum_, own in zip(np.eye(5)[:, 0], np.eye(5)[:, 1:], strict=True):
        left, drawn = sum_, []
        for (kept, pulled, taken), e in zip(bridge_of(profile), own, strict=True):
            drawn.append(kept * e + pulled * left)
            left -= taken * drawn[-1]
        assert abs(left) < 1e-6
        columns.append(drawn)
    moved = np.array(columns).T
    np.testing.assert_allclose(moved @ moved.T, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(profile @ moved, np.eye(5)[0], atol=1e-6)


@pytest.mark.parametrize("weights", [WEIGHTS, np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(4)])
def test_the_rotation_leads_with_losses_and_goes_on_by_variance(weights: FloatArray) -> None:
    factor = np.linalg.cholesky(np.cov(RETURNS.T))
    rotation = rotation_of(factor, weights).astype(np.float64)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(4), atol=1e-6)
    if weights.any():
        np.testing.assert_allclose(weights @ factor @ rotation[:, 1:], 0.0, atol=1e-8)
        assert weights @ factor @ rotation[:, 0] < 0.0
    variances = np.sum((factor @ rotation[:, 1:]) ** 2, axis=0)
    assert list(variances) == sorted(variances, reverse=True)


def test_exposure_follows_payments() -> None:
    plan = plan_of(np.ones(1), 4, flows=[CashFlow(1, 1.0), CashFlow(3, -5.0)])
    profile = steering_of(np.ones((1, 1)), plan, 0.0, np.empty((0, 0, 0), dtype=np.uint64)).profile
    np.testing.assert_allclose(profile / profile[0], [1.0, 2.0, 2.0, 0.1])


def test_nets_are_scipys() -> None:
    points = 128
    nets = scrambled_nets(3, points, (7, 2))
    assert nets.shape == (REPLICATES, 3, 8)
    engine = qmc.Sobol(3, bits=32, rng=np.random.default_rng(np.random.SeedSequence((7, 2, 5))))
    expected = (engine.random(points) * 2.0**32).astype(np.uint64)
    generators, shift = nets[5, :, :-1], nets[5, :, -1]
    ours = [
        shift ^ np.bitwise_xor.reduce(generators[:, [bit for bit in range(7) if number >> bit & 1]], axis=1)
        for number in range(points)
    ]
    assert sorted(map(tuple, ours)) == sorted(map(tuple, expected))
    assert len({tuple(net[0]) for net in nets}) == REPLICATES


def test_no_path_weighs_more_than_the_mixture_allows_and_weights_average_to_one() -> None:
    begun = begin(RETURNS, replace(SPEC, sampling="importance"), 1, WEIGHTS)
    sample = begun.sample()
    assert isinstance(sample, Weighted)
    assert 0.0 < sample.weights.min() < 0.01
    assert 0.9 * UNSHIFTED_EACH < sample.weights.max() <= UNSHIFTED_EACH
    assert sample.corrected.mean() == pytest.approx(1.0, abs=1e-12)
    assert (sample.corrected >= 0.0).all()
    assert (sample.laws == 0).mean() == 1.0 / UNSHIFTED_EACH
    assert norm.pdf(norm.ppf(0.99)) / 0.01 == pytest.approx(TAIL_SHIFT, abs=1e-3)


def test_samples_that_count_the_same_agree_with_plain_ones() -> None:
    values = np.random.default_rng(2).standard_normal(4_000)
    ordered, plain = Sample().ordered(values)
    for sample in (Replicated(np.arange(4_000) % 40), Weighted.of(1.0 + 1e-12 * values, np.arange(4_000) % 2)):
        found, ranked = sample.ordered(values)
        np.testing.assert_array_equal(found, ordered)
        assert ranked.mean(found) == pytest.approx(values.mean(), abs=1e-9)
        assert ranked.quantiles(found, (0.0101, 0.5001)) == plain.quantiles(ordered, (0.0101, 0.5001))
        assert ranked.value_at_risk(found, 0.9901) == plain.value_at_risk(ordered, 0.9901)
        assert ranked.shortfall(found, 0.975) == pytest.approx(plain.shortfall(ordered, 0.975), abs=1e-9)
        assert ranked.shortfall_error(found, 0.975) == pytest.approx(plain.shortfall_error(ordered, 0.975), rel=0.4)
        assert ranked.quantile_error(found, 0.01) == pytest.approx(plain.quantile_error(ordered, 0.01), rel=0.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sampling": "antithetic"}, "sampling='antithetic': give one of plain, sobol, importance"),
        ({"sampling": "sobol", "paths": 10_000}, "paths=10000 are not 16 .*give paths=8192 or paths=16384"),
        ({"sampling": "sobol", "paths": 512}, "give paths=1024 or paths=2048"),
        ({"sampling": "importance", "paths": 999}, "paths=999 are too few to weigh; give at least 1000"),
        *(
            ({"sampling": kind, "model": model}, f"model={model} is not driven by normal draws")
            for kind in KINDS
            for model in MODELS
            if model not in STEERED_MODELS
        ),
    ],
)
def test_what_cannot_be_sampled_is_refused_by_name(change: dict, said: str) -> None:
    with pytest.raises(SimulationInputError, match=said):
        replace(SPEC, **change)
