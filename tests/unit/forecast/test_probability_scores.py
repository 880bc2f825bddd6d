"""Losses of probabilities by hand, and by month beside the constant forecast."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.forecast.models import ForecastInputError
from pipeline.forecast.models.comparison import diebold_mariano
from pipeline.forecast.models.evaluation import ScoredMonths, evaluate
from pipeline.forecast.models.kinds import PROBABILITY_POSITIVE, RANK_QUINTILES, level_of, quintile_kind, target_of
from pipeline.forecast.models.monthly_probability_scores import probability_losses
from pipeline.forecast.models.probability import Closes, rank_quintiles, returns_ahead
from pipeline.forecast.models.probability_losses import brier_scores, log_losses, ranked_probability_scores
from pipeline.forecast.models.verdict import verdict_of


def test_losses_by_hand() -> None:
    happened, chance = np.array([True, False]), np.array([0.8, 0.8])
    assert log_losses(happened, chance) == pytest.approx([-np.log(0.8), -np.log(0.2)])
    assert brier_scores(happened, chance) == pytest.approx([0.04, 0.64])
    assert log_losses(np.array([False]), np.array([1.0])) == pytest.approx([13.8155], abs=1e-3)


def test_the_constant_has_a_ranked_probability_score_of_0_160() -> None:
    equal = np.full((5, 5), 0.2)
    scores = ranked_probability_scores(np.arange(5), equal)
    assert scores == pytest.approx([0.24, 0.12, 0.08, 0.12, 0.24])
    assert scores.mean() == pytest.approx(0.160)
    assert ranked_probability_scores(np.array([3]), np.eye(5)[[3]]) == pytest.approx([0.0])


@pytest.mark.parametrize(
    ("probabilities", "match"),
    [(np.full((1, 5), 0.1), "sum"), (np.full((1, 5), np.nan), "NaN"), (np.array([[1.2, -0.2, 0, 0, 0]]), "below 0")],
)
def test_what_is_no_probability_is_refused(probabilities: np.ndarray, match: str) -> None:
    with pytest.raises(ForecastInputError, match=match):
        ranked_probability_scores(np.array([0]), probabilities)


def test_a_month_holds_the_forecasts_that_end_in_it() -> None:
    draw = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(0.01 * draw.standard_normal((120, 10)), axis=0))
    closes = Closes(np.busday_offset("2021-01-04", np.arange(120), roll="forward"), close)
    chances = {name: np.full((120, 10, 6), 0.2) for name in ("frequency", "logistic")}
    chances["frequency"][..., 0], chances["logistic"][..., 0] = 0.5, 0.7
    chances["logistic"][:, 4, :] = np.nan
    rows = slice(60, 80)
    found = list(probability_losses(closes, rows, chances, "frequency"))
    assert {(number, losses.kind) for number, losses in found} == {
        (number, kind) for number in range(10) if number != 4 for kind in (PROBABILITY_POSITIVE, RANK_QUINTILES)
    }
    number, losses = found[0]
    up = returns_ahead(closes)[39:59, number] > 0.0
    assert losses.ends.tolist() == closes.sessions[rows].tolist()
    assert losses.losses == pytest.approx(-np.log(np.where(up, 0.7, 0.3)))
    assert losses.baseline_losses == pytest.approx(np.log(2.0))
    assert losses.squares is not None
    assert losses.squares[0] == pytest.approx((0.7 - up) ** 2)
    ranked = next(made for each, made in found if each == number and made.kind == RANK_QUINTILES)
    fifth = rank_quintiles(returns_ahead(closes))[39:59, number]
    assert ranked.losses == pytest.approx(ranked_probability_scores(fifth, np.full((20, 5), 0.2)))


def test_no_constant_no_score() -> None:
    closes = Closes(np.busday_offset("2021-01-04", np.arange(60), roll="forward"), np.full((60, 10), 100.0))
    assert not list(probability_losses(closes, slice(0, 60), {"logistic": np.full((60, 10, 6), 0.2)}, "frequency"))


def test_kinds_have_a_target_and_no_level() -> None:
    assert [target_of(kind) for kind in (PROBABILITY_POSITIVE, RANK_QUINTILES, "variance", "es_0.01")] == [
        "probability",
        "probability",
        "volatility",
        "distribution",
    ]
    assert [level_of(kind) for kind in (PROBABILITY_POSITIVE, RANK_QUINTILES, "variance")] == [None] * 3
    assert quintile_kind(1) == "rank_quintile_1"


def months(loss: np.ndarray, baseline: np.ndarray) -> ScoredMonths:
    count = len(loss)
    none = np.full(count, np.nan)
    first_days = (np.datetime64("2010-01") + np.arange(count)).astype("datetime64[D]")
    return ScoredMonths(first_days, np.ones(count, "i8"), np.zeros(count, "i8"), loss, baseline, none, none)


def test_only_what_is_not_likely_to_be_luck_beats_the_constant() -> None:
    naive = 0.16 + 0.01 * np.random.default_rng(1).standard_normal(120)
    noise = 0.01 * np.random.default_rng(2).standard_normal(120)
    better, lucky, worse = (
        evaluate(RANK_QUINTILES, months(naive + by + noise, naive)) for by in (-0.01, -0.0002, 0.01)
    )
    assert diebold_mariano(noise - 0.01).value == pytest.approx(better.diebold_mariano.value)
    assert verdict_of(better) == "beats the constant"
    assert verdict_of(lucky) == verdict_of(worse) == "not shown to beat the constant"
    assert verdict_of(evaluate(RANK_QUINTILES, months(naive[:3], naive[:3]))) == "not shown to beat the constant"
    assert verdict_of(None) == "no record yet"
