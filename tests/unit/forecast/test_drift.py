"""Drift of inputs and of scores: by hand, and where it must and must not be told."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.forecast.assets.drift_checks import check_inputs, check_scores
from pipeline.forecast.models import ForecastInputError
from pipeline.forecast.models.drift import population_stability_index, score_drift, windows_of
from tests.unit.forecast.test_probability_scores import months


def test_the_index_by_hand() -> None:
    training = np.arange(1_000.0)
    recent = training[training < 500]
    expected = np.full(10, 100.5) / 1_005.0
    actual = np.r_[np.full(5, 100.5), np.full(5, 0.5)] / 505.0
    by_hand = ((actual - expected) * np.log(actual / expected)).sum()
    assert population_stability_index(training, recent) == pytest.approx(by_hand)
    assert population_stability_index(training, training) == pytest.approx(0.0)


def test_without_change_the_index_is_as_theory_says() -> None:
    draw = np.random.default_rng(0)
    found = [population_stability_index(draw.standard_normal(2_520), draw.standard_normal(252)) for _ in range(300)]
    assert np.mean(found) == pytest.approx(9.0 * (1 / 2_520 + 1 / 252), rel=0.1)


def test_many_equal_values_are_one_bin() -> None:
    training = np.r_[np.zeros(900), np.linspace(1.0, 2.0, 100)]
    assert population_stability_index(training, training[::4]) < 0.02


def test_a_market_that_moves_twice_as_much_is_told() -> None:
    draw = np.random.default_rng(1)
    returns = 0.01 * draw.standard_normal((2_772, 5))
    returns[:40, 2] = np.nan
    calm = check_inputs(returns)
    assert calm.passed
    assert not calm.blocking
    returns[-252:] *= 3.0
    wild = check_inputs(returns)
    assert not wild.passed
    assert wild.metadata["stability_index"] > 0.25
    assert wild.metadata["training_returns"] == 5 * 2_520 - 40


def test_too_few_returns_are_not_judged() -> None:
    outcome = check_inputs(np.zeros(300))
    assert outcome.passed
    assert outcome.metadata["reason"] == "too few returns to compare"
    with pytest.raises(ForecastInputError, match="training"):
        population_stability_index(np.zeros(10), np.zeros(10))
    with pytest.raises(ForecastInputError, match="NaN"):
        population_stability_index(np.full(1_000, np.nan), np.zeros(100))
    training, recent = windows_of(np.arange(3_000.0))
    assert (training[0], training[-1], recent[0], recent[-1]) == (228, 2_747, 2_748, 2_999)


def test_scores_drift_only_against_the_baseline() -> None:
    naive = np.r_[np.full(60, 1.0), np.full(12, 5.0)]  # a wild year
    steady, worse = 0.9 * naive, naive * np.r_[np.full(60, 0.9), np.full(12, 1.0)]
    drift = score_drift("variance", months(steady, naive))
    assert drift is not None
    assert drift.over_past == pytest.approx(1.0)
    outcome = check_scores({"har variance 1": ("variance", months(steady, naive))})
    assert outcome.passed
    outcome = check_scores(
        {name: ("variance", months(loss, naive)) for name, loss in (("har", steady), ("ewma", worse))}
    )
    assert not outcome.passed
    assert not outcome.blocking
    assert outcome.metadata["worst"] == "ewma"
    assert outcome.metadata["worst_loss_over_past_ratio"] == pytest.approx(1.1111, abs=1e-4)
    assert "har loss_over_past_ratio" not in outcome.metadata


def test_short_records_and_losses_without_a_zero_are_not_judged() -> None:
    naive = np.ones(71)
    assert score_drift("variance", months(naive, naive)) is None
    assert score_drift("es_0.01", months(np.ones(72), np.ones(72))) is None
    assert check_scores({"har": ("variance", months(naive, naive))}).metadata["compared"] == 0
