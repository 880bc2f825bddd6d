"""Models of probabilities: strictly causal, honest where they know nothing, and refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.forecast.models import ForecastInputError
from pipeline.forecast.models.frequency import Frequency
from pipeline.forecast.models.logistic import Logistic, features_of
from pipeline.forecast.models.probability import (
    HORIZON_SESSIONS,
    NO_QUINTILE,
    Closes,
    Probabilities,
    ProbabilityModel,
    rank_quintiles,
    returns_ahead,
)
from pipeline.forecast.models.probability_registry import PROBABILITY_MODELS, probability_columns
from pipeline.forecast.models.softmax_regression import fit_softmax

ROWS, INSTRUMENTS = 1_100, 12
EVERY_MODEL = pytest.mark.parametrize("model", PROBABILITY_MODELS, ids=lambda model: model.name)


def drawn_close(seed: int = 4) -> FloatArray:
    """Prices of several volatilities; one instrument is listed late and ends early, and some sessions are missing."""
    draw = np.random.default_rng(seed)
    steps = 0.0004 + draw.standard_normal((ROWS, INSTRUMENTS)) * np.linspace(0.005, 0.03, INSTRUMENTS)
    close = 100.0 * np.exp(np.cumsum(steps, axis=0))
    close[draw.random(close.shape) < 0.01] = np.nan
    close[:300, 3] = np.nan
    close[900:, 3] = np.nan
    return close


def closes(close: FloatArray) -> Closes:
    return Closes(np.busday_offset("2015-01-02", np.arange(len(close)), roll="forward"), close)


@pytest.fixture(scope="module")
def whole() -> Closes:
    return closes(drawn_close())


def parts(made: Probabilities, rows: slice = slice(None)) -> list[bytes]:
    return [each[rows].tobytes() for each in (made.positive, made.quintiles, made.reasons, made.trained_through)]


@EVERY_MODEL
def test_later_prices_change_no_forecast(model: ProbabilityModel, whole: Closes) -> None:
    made = model.forecast(whole, range(ROWS))
    for row in (0, 251, 272, 273, 300, 520, 522, 523, 783, 784, 785, 900, 1044, 1045, ROWS - 2):
        shorter = model.forecast(closes(whole.close[: row + 1]), range(row + 1))
        assert parts(shorter) == parts(made, slice(0, row + 1)), row
        altered = whole.close.copy()
        altered[row + 1 :] = 1.0 + np.arange(INSTRUMENTS)
        assert parts(model.forecast(closes(altered), range(row + 1))) == parts(shorter), row


@EVERY_MODEL
def test_rows_alone_are_forecast_as_all(model: ProbabilityModel, whole: Closes) -> None:
    made = model.forecast(whole, range(ROWS))
    for rows in (range(800, 821), range(1040, 1050), range(1099, 1100)):
        assert parts(model.forecast(whole, rows)) == parts(made, slice(rows.start, rows.stop))


@EVERY_MODEL
def test_the_newest_price_that_may_be_used_is_used(model: ProbabilityModel, whole: Closes) -> None:
    """The guard of the tests above, which a model that reads nothing would pass."""
    before = model.forecast(whole, range(1_090, 1_091)).positive
    altered = whole.close.copy()
    altered[1_090] = altered[1_090 - HORIZON_SESSIONS] * 0.5
    assert (model.forecast(closes(altered), range(1_090, 1_091)).positive != before).any()


@EVERY_MODEL
def test_an_instrument_that_is_listed_later_changes_nothing_before(model: ProbabilityModel, whole: Closes) -> None:
    late = np.full((ROWS, 1), np.nan)
    late[1_000:] = 50.0
    made = model.forecast(closes(np.hstack([whole.close, late])), range(1_000))
    before = model.forecast(whole, range(1_000))
    assert made.positive[:, :-1].tobytes() == before.positive.tobytes()
    assert made.quintiles[:, :-1].tobytes() == before.quintiles.tobytes()


@EVERY_MODEL
def test_what_is_missing_has_a_reason_and_the_rest_are_probabilities(model: ProbabilityModel, whole: Closes) -> None:
    made = model.forecast(whole, range(ROWS))
    given = np.isfinite(made.positive) & np.isfinite(made.quintiles).all(axis=2)
    assert given.any()
    assert ((made.reasons == b"") == given).all()
    assert ((made.positive[given] > 0.0) & (made.positive[given] < 1.0)).all()
    assert made.quintiles[given].sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert set(np.unique(made.reasons[:200])) <= {
        b"no_price",
        b"fewer_than_252_past_returns",
        b"fewer_than_252_returns_or_constant",
    }


@EVERY_MODEL
def test_few_instruments_have_no_ranks(model: ProbabilityModel, whole: Closes) -> None:
    made = model.forecast(closes(whole.close[:, :9]), range(ROWS))
    assert np.isnan(made.quintiles).all()
    assert (made.reasons != b"").all()


def test_prices_that_stand_still_are_refused_by_the_regression(whole: Closes) -> None:
    still = whole.close.copy()
    still[600:, 5] = 100.0
    made = Logistic().forecast(closes(still), range(1_000, 1_001))
    assert np.isnan(made.positive[0, 5])
    assert made.reasons[0, 5] == b"fewer_than_252_returns_or_constant"


def test_the_constant_is_the_past_frequency_between_an_own_and_all() -> None:
    """By hand: one instrument always rises, the others rise and fall in turn."""
    steps = np.tile([[0.01], [-0.01]], (200, 10))
    steps[:, 0] = 0.01
    own = closes(100.0 * np.exp(np.cumsum(steps, axis=0)))
    ahead = returns_ahead(own)
    row = 350
    known = ahead[: row - HORIZON_SESSIONS + 1]
    pooled = ((known > 0.0).sum() + 1.0) / (known.size + 2.0)
    expected = ((known > 0.0).sum(axis=0) + 1_260.0 * pooled) / (len(known) + 1_260.0)
    made = Frequency().forecast(own, range(row, row + 1))
    assert made.positive[0] == pytest.approx(expected, rel=1e-12)
    assert made.positive[0, 0] > made.positive[0, 1]
    assert (made.quintiles == 0.2).all()


def test_an_instrument_without_a_price_has_no_return() -> None:
    close = np.array([[1.0, np.nan], [2.0, 4.0], [np.nan, 5.0], [3.0, np.nan], [np.nan, np.nan]])
    nan = np.nan
    assert closes(close).returns() == pytest.approx(
        np.array([[1.0, nan], [nan, 0.25], [0.5, nan], [nan, nan]]), nan_ok=True
    )


def test_returns_ahead_end_when_the_horizon_does() -> None:
    close = np.full((40, 2), 100.0)
    close[21, 0], close[22:, 0] = 110.0, np.nan
    ahead = returns_ahead(closes(close))
    assert ahead[0, 0] == pytest.approx(0.1)
    assert ahead[4, 0] == pytest.approx(0.1)  # the close of four sessions before the end counts
    assert np.isnan(ahead[5, 0])
    assert np.isnan(ahead[-HORIZON_SESSIONS:]).all()


def test_fifths_are_of_equal_size_and_ties_share_one() -> None:
    assert rank_quintiles(np.arange(20.0)[None])[0].tolist() == [k // 4 for k in range(20)]
    assert rank_quintiles(np.zeros((1, 10)))[0].tolist() == [2] * 10
    few = np.arange(12.0)
    few[3:] = np.nan
    assert (rank_quintiles(few[None]) == NO_QUINTILE).all()


def test_features_by_their_definition(whole: Closes) -> None:
    close = whole.carried()[:, 0]
    row = 700
    steps = np.diff(np.log(close[row - 252 : row + 1]))
    year, month = (np.sqrt((steps[-n:] ** 2).mean()) for n in (252, 21))
    found = features_of(whole)[row, 0]
    assert found[0] == pytest.approx(np.log(close[row - 21] / close[row - 252]) / (year * np.sqrt(231)), rel=1e-9)
    assert found[1] == pytest.approx(np.log(close[row] / close[row - 21]) / (year * np.sqrt(21)), rel=1e-9)
    assert found[2] == pytest.approx(np.log(month / year), rel=1e-9)


def test_a_regression_finds_what_is_there_and_a_penalty_leads_back_to_the_prior() -> None:
    draw = np.random.default_rng(2)
    features = draw.standard_normal((4_000, 2))
    prior = np.tile([0.4, 0.6], (4_000, 1))
    odds = np.log(1.5) + 0.8 * features[:, 0]
    classes = (draw.random(4_000) < 1.0 / (1.0 + np.exp(-odds))).astype(np.int64)
    fit = fit_softmax(features, classes, prior, weight=1.0, penalty=1e-3)
    assert fit is not None
    effect = fit.coefficients[:, 1] - fit.coefficients[:, 0]
    assert effect == pytest.approx([0.8, 0.0], abs=0.1)
    held = fit_softmax(features, classes, prior, weight=1.0, penalty=1e9)
    assert held is not None
    assert held.probabilities(features, prior) == pytest.approx(prior, abs=1e-4)


def test_rows_of_the_table_are_of_sessions_with_a_price(whole: Closes) -> None:
    numbers = np.arange(INSTRUMENTS) + 7
    rows = probability_columns(Logistic(), whole, numbers, range(200, 1_000))
    assert len(rows["as_of"]) == whole.priced()[200:1_000].sum()
    given = np.isfinite(rows["probability_positive"])
    assert (np.isnat(rows["trained_through"]) == ~given).all()
    assert (rows["trained_through"][given] <= rows["as_of"][given]).all()


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Frequency(prior_returns=0.0), "prior_returns"),
        (lambda: Frequency(minimum_returns=0), "minimum_returns"),
        (lambda: Logistic(rank_penalty=0.0), "rank_penalty"),
        (lambda: Logistic(stride_sessions=0), "stride_sessions"),
        (lambda: closes(np.array([[1.0], [0.0]])), "close"),
        (lambda: closes(np.ones(3)), "close"),
        (lambda: Closes(np.array(["2020-01-02"] * 2, "M8[D]"), np.ones((2, 1))), "sessions"),
    ],
)
def test_bad_input_is_refused_by_name(make, field: str) -> None:
    with pytest.raises(ForecastInputError, match=field):
        make()
