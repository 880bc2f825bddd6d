"""Models of a whole panel: no look-ahead to the last bit, stand-ins that say so, and a record on real prices."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.forecast.backtest import ForecastSpec, panel_volatility_forecasts
from pipeline.forecast.models.combination import Combination
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.forecast.models.panel import Member, Panel
from pipeline.forecast.models.panel_features import FEATURES, row_of_return, season
from pipeline.forecast.models.pooled_panel import PooledPanel
from pipeline.forecast.models.records import VolatilityForecasts
from pipeline.forecast.models.scores import qlike_error, realised_variance
from tests.bundled import stock_returns
from tests.unit.forecast.conftest import clustered_returns

START = np.datetime64("2001-01-01")
SESSIONS = START + np.flatnonzero(np.is_busday(START + np.arange(2_150)))
SPEC = ForecastSpec(panel_models=(PooledPanel(minimum_targets=150), Combination(fewest_scores=100)))
"""Fewer of everything, so that six drawn instruments suffice."""
PANEL_NAMES = ("pooled_panel", "combination")


def member(number: int, since: int = 0, without: slice = slice(0, 0)) -> Member:
    """A drawn instrument, listed at a session and without a price in some."""
    shared, own = clustered_returns(len(SESSIONS), 1), clustered_returns(len(SESSIONS), 10 + number)
    close = np.cumprod(1.0 + np.clip(0.6 * shared + 0.6 * own, -0.5, 0.5))
    priced = np.ones(len(SESSIONS), dtype=bool)
    priced[:since], priced[without] = False, False
    return Member(SESSIONS[priced], close[priced][1:] / close[priced][:-1] - 1.0)


@cache
def panel() -> Panel:
    """Six instruments: one listed late, one with a gap, one that stands still, one that is new."""
    still = Member(SESSIONS, np.zeros(len(SESSIONS) - 1))
    members = [member(0), member(1), member(2, since=400), member(3, without=slice(900, 960)), still]
    return Panel.of([*members, member(4, since=len(SESSIONS) - 30)])


def cut(whole: Panel, sessions: int) -> Panel:
    """The panel as it was at a session; instruments without two prices were not there."""
    last = whole.sessions[sessions - 1]
    counts = [int(np.searchsorted(one.sessions, last, side="right")) for one in whole.members]
    return Panel.of(
        [
            Member(one.sessions[:count], one.returns[: count - 1])
            for one, count in zip(whole.members, counts, strict=True)
            if count > 1
        ]
    )


def forecasts(of: Panel) -> list[dict[str, VolatilityForecasts]]:
    made = panel_volatility_forecasts(of, SPEC, [slice(None)] * len(of.members))
    return [{one.model: one for one in own} for own in made]


@cache
def whole() -> list[dict[str, VolatilityForecasts]]:
    return forecasts(panel())


def own(made: VolatilityForecasts) -> np.ndarray:
    """Rows that are the model's own."""
    assert made.stands_in is not None
    return (made.trained_through >= 0) & ~made.stands_in


@pytest.mark.parametrize("sessions", [30, 600, 1_043, 1_044, 1_045, 1_300, 1_304, 1_305, 1_306, 1_500])
def test_no_forecast_changes_when_later_sessions_are_removed(sessions: int) -> None:
    earlier = cut(panel(), sessions)
    listed = [n for n, one in enumerate(panel().members) if one.sessions[1] <= earlier.sessions[-1]]
    for number, one, made in zip(listed, earlier.members, forecasts(earlier), strict=True):
        rows = len(one.sessions)
        for model, before in made.items():
            after = whole()[number][model]
            assert before.volatility_annual.tobytes() == after.volatility_annual[:rows].tobytes(), model
            assert before.trained_through.tolist() == after.trained_through[:rows].tolist(), model
            assert before.versions == after.versions[:rows], model


def test_forecasts_do_change_with_the_last_return_that_they_may_use() -> None:
    """The guard of the test above; a stock's forecast also follows what another did."""
    earlier = cut(panel(), 1_400)
    first = earlier.members[0]
    altered = Panel.of([Member(first.sessions, np.r_[first.returns[:-1], -0.2]), *earlier.members[1:]])
    for number in (0, 1):
        for model in PANEL_NAMES:
            one, other = forecasts(earlier)[number][model], forecasts(altered)[number][model]
            assert (one.volatility_annual[-1] != other.volatility_annual[-1]).all()
            assert (one.volatility_annual[:-1] == other.volatility_annual[:-1])[22:].all()


@pytest.mark.parametrize("model", PANEL_NAMES)
def test_forecasts_do_not_depend_on_the_rows_asked_for(model: str) -> None:
    for rows in (slice(1_200, 1_230), slice(1_304, 1_310), slice(1_500, 1_500)):
        made = panel_volatility_forecasts(panel(), SPEC, [rows, *[slice(0, 0)] * 5])[0]
        part = next(one for one in made if one.model == model)
        assert part.volatility_annual.tobytes() == whole()[0][model].volatility_annual[rows].tobytes()


@pytest.mark.parametrize("model", PANEL_NAMES)
def test_every_row_has_a_forecast_or_a_stand_in_that_is_named(model: str) -> None:
    for number, one in enumerate(panel().members):
        made, ewma = whole()[number][model], whole()[number]["ewma"]
        assert np.isnan(made.volatility_annual[:22]).all()
        assert np.isfinite(made.volatility_annual[22:]).all()
        assert (made.trained_through[22:] <= made.as_of[22:]).all()
        stands_in = ~own(made)
        assert made.volatility_annual[stands_in].tobytes() == ewma.volatility_annual[stands_in].tobytes()
        columns = made.columns(one.sessions)
        assert set(columns["model_version"][: 756 - 22].tolist()) <= {b"1+ewma"}
    assert own(whole()[0][model])[1_100:].all()
    assert set(whole()[0][model].columns(SESSIONS)["model_version"].tolist()) == {b"1+ewma", b"1"}
    assert not own(whole()[4][model]).any()  # stands still: GJR-GARCH has no fit
    assert not own(whole()[5][model]).any()  # new


def test_a_gap_leaves_forecasts_before_and_after() -> None:
    made = whole()[3]["combination"]
    assert own(made)[1_100:].all()
    assert len(made.as_of) == len(SESSIONS) - 60


def test_gjr_garch_stands_aside_for_ewma_where_it_has_no_fit() -> None:
    made, ewma = whole()[0]["gjr_garch"], whole()[0]["ewma"]
    assert set(made.versions[22:504]) == {"1+ewma"}
    assert set(made.versions[504:]) == {"1"}
    assert (made.volatility_annual[22:504] == ewma.volatility_annual[22:504]).all()


@pytest.mark.parametrize("horizon", [0, 1, 2])
def test_real_stocks_are_forecast_better_than_by_gjr_garch(horizon: int) -> None:
    """2003 and 2004, fitted on what came before: eight stocks, for the time it takes."""
    made = real()
    losses = {"gjr_garch": 0.0, "pooled_panel": 0.0, "combination": 0.0}
    rows = np.arange(3_275, 3_275 + 480)
    for number, series in enumerate(made):
        actual = np.maximum(realised_variance(real_returns()[number], SPEC.horizons_sessions[horizon], rows), 1e-6)
        for model in losses:
            losses[model] += qlike_error(actual, series[model].volatility_annual[rows, horizon] ** 2 / 252)
    assert losses["combination"] < 0.99 * losses["gjr_garch"]
    assert losses["pooled_panel"] < losses["gjr_garch"]


def real_returns() -> FloatArray:
    return np.ascontiguousarray(stock_returns()[:3_800, ::3].T)


@cache
def real() -> list[dict[str, VolatilityForecasts]]:
    days = np.datetime64("1990-01-02") + np.arange(8_000)
    sessions = days[np.is_busday(days)][:3_801]
    return forecasts(Panel.of([Member(sessions, returns) for returns in real_returns()]))


def test_weights_shrink_to_equal_ones_and_follow_scores() -> None:
    everything = panel()
    logarithms = {m: [w[m].volatility_annual / np.sqrt(252) for w in whole()] for m in Combination.needs}
    made = whole()[0]
    rows = np.flatnonzero(own(made["combination"]))[-100:]
    parts = np.log(np.stack([logarithms[m][0][rows] for m in Combination.needs]))
    found = np.log(made["combination"].volatility_annual[rows] / np.sqrt(252))
    weights = np.linalg.lstsq(parts[:, :, 0].T, found[:, 0], rcond=None)[0]
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)
    assert weights.min() >= Combination().equal_share / 3 - 1e-6
    assert len(everything.sessions) == len(SESSIONS)


def test_a_season_is_the_mean_of_the_same_sessions_before() -> None:
    surprises = np.ones(1_000)
    surprises[[300, 552]] = 31.0
    sums = np.r_[0.0, np.cumsum(surprises)]
    rows = np.arange(1_001)
    found = season(sums, 1, [rows - 252, rows - 504], (1.0, 0.5), 0)
    assert found[804] == pytest.approx((1.0 + 31.0 + 0.5 * 31.0) / 2.5)
    assert found[805] == pytest.approx(1.0)
    assert season(sums, 5, [rows - 252], (1.0,), 0)[800] == pytest.approx((1.0 + 35.0 / 5.0) / 2.0)


def test_the_same_weekday_a_year_before_is_found() -> None:
    rows = row_of_return(SESSIONS, 364)
    following = SESSIONS[rows[500:1_000] + 1]
    assert (following == SESSIONS[501:1_001] - np.timedelta64(364, "D")).all()


def test_contributions_add_up_to_the_logarithm() -> None:
    draw = np.random.default_rng(2)
    features = draw.standard_normal((3_000, len(FEATURES)))
    truth = np.exp(0.3 + features @ np.linspace(-0.2, 0.2, len(FEATURES)))
    from pipeline.forecast.models.gamma_regression import fit_gamma_ridge  # noqa: PLC0415

    fit = fit_gamma_ridge(features, truth * draw.chisquare(1, 3_000), 1e-6)
    assert fit is not None
    np.testing.assert_allclose(fit.coefficients, np.linspace(-0.2, 0.2, len(FEATURES)), atol=0.12)
    whole_logarithm = fit.intercept + fit.contributions(features).sum(axis=1)
    np.testing.assert_allclose(fit.logarithm(features), whole_logarithm, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Panel.of([]), "members: none"),
        (lambda: Member(SESSIONS[:3], np.array([0.1, np.nan])), "NaN"),
        (lambda: Member(SESSIONS[:3], np.zeros(3)), "one between each two"),
        (lambda: Member(SESSIONS[[1, 0]], np.zeros(1)), "not ascending"),
        (lambda: PooledPanel(ridge=0.0), "ridge"),
        (lambda: PooledPanel(burn_in_returns=0), "burn_in_returns"),
        (lambda: PooledPanel(minimum_targets=5), "minimum_targets"),
        (lambda: Combination(temperature=0.0), "temperature"),
        (lambda: Combination(equal_share=1.5), "equal_share"),
        (lambda: Combination(scored_years=0), "scored_years"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, said: str) -> None:
    with pytest.raises(ForecastInputError, match=said):
        make()
