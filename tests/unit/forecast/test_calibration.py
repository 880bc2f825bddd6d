"""Calibration of quantiles and evaluation by regime: by hand, and against what was known."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest

from pipeline.forecast.assets.champions_page import SIDE, calibration_picture, regime_table
from pipeline.forecast.models import ForecastInputError
from pipeline.forecast.models.calibration import Calibration, calibration_of
from pipeline.forecast.models.evaluation import ScoredMonths
from pipeline.forecast.models.regimes import (
    MARKET_SESSIONS,
    NO_REGIME,
    evaluate_regimes,
    market_returns,
    regimes_of,
)
from pipeline.orchestration.asset_page import INLINE_MARKDOWN_LIMIT

LEVELS = np.array([0.01, 0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975, 0.99])
START = np.datetime64("2010-01-01")
SESSIONS = START + np.flatnonzero(np.is_busday(START + np.arange(3_000)))
MONTHS = np.unique(SESSIONS.astype("datetime64[M]")).astype("datetime64[D]")


def scored(hits: int = 0, loss: float = 1.0, months: np.ndarray = MONTHS) -> ScoredMonths:
    """Twenty forecasts a month, of which `hits` returns were below, and a naive loss of 2."""
    count = len(months)
    none, each = np.full(count, np.nan), np.ones(count)
    return ScoredMonths(months, np.full(count, 20), np.full(count, hits), 20 * loss * each, 40.0 * each, none, none)


def test_parts_below_quantiles_are_those_that_were_counted() -> None:
    of_model = {
        ("quantile_0.5", 1): scored(8),
        ("quantile_0.05", 1): scored(2),
        ("quantile_0.05", 5): scored(4),
        ("es_0.05", 1): scored(),
        ("variance", 1): scored(),
    }
    found = calibration_of(of_model, 1)
    assert found is not None
    assert found.levels.tolist() == [0.05, 0.5]
    assert found.below.tolist() == [0.1, 0.4]
    assert found.densities == pytest.approx([0.1 / 0.05, 0.3 / 0.45, 0.6 / 0.5])
    assert found.forecasts == 20 * len(MONTHS)
    assert calibration_of(of_model, 21) is None


def test_right_forecasts_have_a_flat_transform() -> None:
    levels = np.random.default_rng(3).random(200_000)
    below = np.array([(levels < level).mean() for level in LEVELS])
    found = Calibration(LEVELS, below, len(levels))
    assert found.densities == pytest.approx(np.ones(10), abs=0.1)
    assert np.diff(found.edges) @ found.densities == pytest.approx(1.0)


def test_levels_out_of_order_are_refused() -> None:
    with pytest.raises(ForecastInputError, match="levels"):
        Calibration(np.array([0.5, 0.05]), np.array([0.5, 0.05]), 10)


def drawn_points(below: np.ndarray) -> tuple[str, np.ndarray]:
    markdown = calibration_picture(Calibration(LEVELS, below, 1_000), "conformal, 5 sessions").value
    assert isinstance(markdown, str)
    encoded = re.search(r"base64,([^)]+)\)", markdown)
    assert encoded is not None
    points = re.search(r"polyline points='([^']+)'", base64.b64decode(encoded[1]).decode())
    assert points is not None
    return markdown, np.array([[float(one) for one in point.split(",")] for point in points[1].split()])


def test_a_picture_is_small_and_its_diagonal_is_right() -> None:
    markdown, points = drawn_points(LEVELS)
    assert len(markdown) < INLINE_MARKDOWN_LIMIT
    assert markdown.endswith("1.00% below 0.01, 99.00% below 0.99")
    assert points[:, 0] + points[:, 1] == pytest.approx(np.full(9, SIDE), abs=1.0)
    assert (np.diff(points[:, 0]) > 0).all()


def test_what_was_never_missed_stays_inside_the_picture() -> None:
    below = np.where(LEVELS < 0.5, 0.0, 1.0)
    markdown, points = drawn_points(below)
    assert len(markdown) < INLINE_MARKDOWN_LIMIT
    assert ((points >= 0.0) & (points <= SIDE)).all()


def test_the_market_is_the_mean_of_what_is_there() -> None:
    returns = np.array([[0.01, 0.03, np.nan], [np.nan, np.nan, np.nan], [-0.02, np.nan, np.nan]])
    assert market_returns(returns) == pytest.approx([0.02, 0.0, -0.02])


def market_of_thirds() -> np.ndarray:
    """Calm, then stormy, then in between: a third of the sessions each."""
    third = len(SESSIONS) // 3
    size = np.repeat([0.001, 0.03, 0.01], [third, third, len(SESSIONS) - 2 * third])
    return size * np.linspace(1.0, 1.5, len(SESSIONS)) * np.where(np.arange(len(SESSIONS)) % 2 == 0, 1.0, -1.0)


def test_regimes_are_thirds_by_the_market_before() -> None:
    found = regimes_of(MONTHS, SESSIONS, market_of_thirds(), 1)
    assert (found[:3] == NO_REGIME).all()
    middle = [len(MONTHS) // 6, len(MONTHS) // 2, 5 * len(MONTHS) // 6]
    assert found[middle].tolist() == [0, 2, 1]


@pytest.mark.parametrize("horizon", [1, 5, 21])
def test_a_regime_is_what_was_known_when_the_first_forecast_was_made(horizon: int) -> None:
    market = 0.01 * np.random.default_rng(5).standard_t(4, len(SESSIONS))
    month = 60
    known = int(np.searchsorted(SESSIONS, MONTHS[month])) - horizon + 1
    later = market.copy()
    later[known:] *= 50.0
    earlier = MONTHS[: month + 1]
    assert (regimes_of(earlier, SESSIONS, later, horizon) == regimes_of(earlier, SESSIONS, market, horizon)).all()
    # The guard: the last return that was known decides.
    for size, place in ((0.0, 0), (1.0, 2)):
        altered = market.copy()
        altered[known - MARKET_SESSIONS : known - 1], altered[known - 1] = 0.0, size
        assert regimes_of(earlier, SESSIONS, altered, horizon)[month] == place


def test_a_month_that_the_market_does_not_reach_has_none() -> None:
    market = market_of_thirds()
    short = int(np.searchsorted(SESSIONS, MONTHS[-2]))
    found = regimes_of(MONTHS, SESSIONS[:short], market[:short], 1)
    assert (found[-2:] == NO_REGIME).all()
    assert found[-3] != NO_REGIME


def test_each_regime_is_evaluated_by_its_own_months() -> None:
    regimes = np.arange(len(MONTHS)) % 3 - 1
    made = scored(hits=1)
    made.loss[regimes == 0] = 10.0
    found = evaluate_regimes("quantile_0.05", made, regimes)
    assert set(found) == {"calm", "usual"}  # none is stormy, and a third has no regime
    assert (found["calm"].relative_loss, found["usual"].relative_loss) == (0.25, 0.5)
    assert found["calm"].forecasts == 20 * int((regimes == 0).sum())
    assert found["usual"].coverage == 0.05


def test_a_table_has_a_row_a_kind_and_horizon() -> None:
    of_models = {
        "combination": {("variance", 1): scored(), ("variance", 21): scored()},
        "conformal": {("quantile_0.01", 1): scored(hits=1), ("es_0.01", 1): scored()},
    }
    text = regime_table(of_models, SESSIONS, market_of_thirds()).value
    assert isinstance(text, str)
    assert text.splitlines()[2:] == [
        "| combination variance | 1 | 0.500 | 0.500 | 0.500 |",
        "| combination variance | 21 | 0.500 | 0.500 | 0.500 |",
        "| conformal quantile_0.01 | 1 | 0.500, 5.0% below | 0.500, 5.0% below | 0.500, 5.0% below |",
    ]


@pytest.mark.parametrize(
    ("market", "said"),
    [(np.zeros(3), "one of each"), (np.full(len(SESSIONS), np.nan), "give 0 for a session")],
)
def test_a_market_that_cannot_be_is_refused(market: np.ndarray, said: str) -> None:
    with pytest.raises(ForecastInputError, match=said):
        regimes_of(MONTHS, SESSIONS, market, 1)
