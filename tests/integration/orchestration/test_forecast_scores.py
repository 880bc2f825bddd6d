"""Scores of forecasts on bundled prices: what they say, no look-ahead, the same bytes again; and the register."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pytest

from pipeline.base.types import FloatArray, IntArray, MonthRange
from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts, volatility_forecasts
from pipeline.forecast.models.baselines import Historical
from pipeline.forecast.models.evaluation import best_model
from pipeline.forecast.models.scores import (
    REALISED_VARIANCE_FLOOR_DAILY,
    fissler_ziegel_losses,
    pinball_error,
    qlike_error,
    realised_variance,
    returns_over,
)
from pipeline.orchestration.asset_page import INLINE_MARKDOWN_LIMIT
from pipeline.risk.measures.windows import simple_returns
from pipeline.store.forecast_models import read_champions, read_models
from pipeline.store.instruments import read_instrument
from pipeline.store.prices import read_price_panel
from tests.integration.orchestration.conftest import Platform

PRICED = MonthRange(date(2019, 1, 1), date(2022, 12, 1))
"""HAR and filtered history need 546 and 522 sessions."""
OCTOBER = MonthRange(date(2022, 10, 1), date(2022, 10, 1))
FORECASTS = ["volatility_forecast", "quantile_forecast"]
MODELS = {
    ("ewma", "constant"),
    *((model, "ewma") for model in ("har", "gjr_garch", "pooled_panel", "combination")),
    *((model, "historical") for model in ("filtered_historical", "conformal")),
}


@pytest.fixture
def scored(platform: Platform) -> Platform:
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], PRICED)
    made = platform.materialize("forecast", FORECASTS, PRICED)
    drift = [each for each in made.get_asset_check_evaluations() if each.check_name == "input_drift"]
    assert {each.asset_key.path[-1] for each in drift} == set(FORECASTS)
    for each in drift:
        assert each.metadata["training_returns"].value > 10_000
        assert (each.metadata["stability_index"].value <= 0.25) == each.passed
    result = platform.materialize("forecast", ["forecast_scores"], PRICED)
    page = result.asset_materializations_for_node("forecast_scores")[-1].metadata
    assert "mean loss har 21 variance" in page["trend"].value or "har" in page["trend"].value
    the_page_shows_the_champions(page)
    return platform


def the_page_shows_the_champions(page: Mapping[str, Any]) -> None:
    for horizon in (1, 5):
        shown = page[f"calibration_{horizon}d"].value
        assert "data:image/svg+xml;base64," in shown
        assert f", {horizon} session" in shown
        assert len(shown) < INLINE_MARKDOWN_LIMIT
    rows = page["loss_over_naive_by_market"].value.splitlines()
    assert rows[0] == "| champion | sessions | calm | usual | stormy |"
    assert len(rows) == 2 + 3 + 2 * 2  # the variance at three horizons, two quantiles at two
    assert all("–" not in row for row in rows[2:])


def stored(platform: Platform, where: str = "true") -> list[tuple]:
    return platform.rows(f"SELECT * FROM forecast_score WHERE {where} ORDER BY 1, 2, 3, 4, 5")


def apple(platform: Platform) -> tuple[np.ndarray, FloatArray]:
    with platform.database.connect() as connection:
        number = read_instrument(connection, "AAPL").id
        panel = read_price_panel(connection, [number], None, PRICED.end)
    return panel.sessions, simple_returns(panel.close[:, 0])


def test_scores(scored: Platform) -> None:
    """One platform for all that is asked of the stored rows: four years take a while to load."""
    every_forecast_whose_horizon_has_passed_is_scored_once(scored)
    a_month_holds_the_losses_of_the_forecasts_that_end_in_it(scored)
    models_are_registered_and_the_best_is_champion(scored)
    a_rerun_and_a_month_alone_change_nothing(scored)
    what_comes_later_changes_no_score(scored)


def every_forecast_whose_horizon_has_passed_is_scored_once(platform: Platform) -> None:
    assert set(platform.rows("SELECT DISTINCT model, baseline FROM forecast_score")) == MODELS
    for horizon in (1, 5, 21):
        made, ended = platform.rows(
            f"SELECT count(volatility_{horizon}d), (SELECT sum(forecasts) FROM forecast_score"
            f" WHERE model = 'har' AND horizon_sessions = {horizon}) FROM volatility_forecast WHERE model = 'har'"
        )[0]
        assert made - ended == 26 * horizon  # those of the last sessions are still open
    kinds = platform.rows("SELECT count(DISTINCT kind) FROM forecast_score WHERE model = 'filtered_historical'")
    assert kinds == [(11,)]
    assert platform.rows("SELECT count(*) FROM forecast_score WHERE hits <> bit_count(hit_bits::bit(32))") == [(0,)]


def a_month_holds_the_losses_of_the_forecasts_that_end_in_it(platform: Platform) -> None:
    sessions, returns = apple(platform)
    (ends,) = np.nonzero(sessions.astype("datetime64[M]") == np.datetime64("2022-11"))
    ewma, har, *_ = (f.volatility_annual**2 / 252 for f in volatility_forecasts(returns, ForecastSpec()))
    rows = platform.rows(
        "SELECT forecasts, loss, baseline_loss FROM forecast_score JOIN instrument ON id = instrument_id"
        " WHERE symbol = 'AAPL' AND month = '2022-11-01' AND model = 'har' ORDER BY horizon_sessions"
    )
    for column, horizon in enumerate((1, 5, 21)):
        realised = np.maximum(realised_variance(returns, horizon, ends - horizon), REALISED_VARIANCE_FLOOR_DAILY)
        losses = [qlike_error(realised, made[ends - horizon, column]) for made in (har, ewma)]
        assert rows[column] == (len(ends), pytest.approx(losses[0], rel=1e-9), pytest.approx(losses[1], rel=1e-9))
    made, _ = quantile_forecasts(returns, ForecastSpec())
    level, quantile, shortfall = 0.025, made.quantiles[ends - 1, 1], made.shortfalls[ends - 1, 1]
    naive = Historical().forecast(returns, (level,), (level,), range(len(sessions)))
    rows = platform.rows(
        "SELECT loss, baseline_loss FROM forecast_score JOIN instrument ON id = instrument_id"
        " WHERE symbol = 'AAPL' AND month = '2022-11-01' AND model = 'filtered_historical'"
        " AND forecast_score.kind IN ('es_0.025', 'quantile_0.025') AND horizon_sessions = 1"
        " ORDER BY forecast_score.kind"
    )
    joint = fissler_ziegel_losses(returns[ends - 1], quantile, shortfall, level).mean()
    assert rows[0][0] == pytest.approx(joint, rel=1e-9)
    assert rows[1][0] == pytest.approx(pinball_error(returns[ends - 1], quantile, level), rel=1e-9)
    assert rows[1][1] == pytest.approx(pinball_error(returns[ends - 1], naive.quantiles[ends - 1, 0], level), rel=1e-9)
    longer_returns_are_scored_by_what_they_were(platform, returns, ends)


def longer_returns_are_scored_by_what_they_were(platform: Platform, returns: FloatArray, ends: IntArray) -> None:
    (made,) = quantile_forecasts(returns, ForecastSpec())[0].longer
    naive = Historical().forecast(returns, (0.025,), (0.025,), range(len(returns) + 1), 5)
    as_of = ends - 5
    came = returns_over(returns, 5)[as_of]
    rows = platform.rows(
        "SELECT forecasts, loss, baseline_loss, hits FROM forecast_score JOIN instrument ON id = instrument_id"
        " WHERE symbol = 'AAPL' AND month = '2022-11-01' AND model = 'filtered_historical'"
        " AND forecast_score.kind = 'quantile_0.025' AND horizon_sessions = 5"
    )
    quantile = made.quantiles[as_of, 1]
    losses = [pinball_error(came, one, 0.025) for one in (quantile, naive.quantiles[as_of, 0])]
    assert rows == [(len(ends), *(pytest.approx(loss, rel=1e-9) for loss in losses), int((came < quantile).sum()))]


def models_are_registered_and_the_best_is_champion(platform: Platform) -> None:
    with platform.database.connect() as connection:
        models = {model.name: model for model in read_models(connection) if model.target != "probability"}
        champions = {target: read_champions(connection, target) for target in ("volatility", "distribution")}
    assert models.keys() == {name for name, _ in MODELS}
    assert models["ewma"].hyperparameters == {"decay": 0.94, "warm_up_sessions": 22}
    assert models["ewma"].relative_loss == 1.0
    har = models["har"]
    assert har.relative_loss is not None
    assert (har.trained_from, har.scored_through) == (date(2019, 1, 2), date(2022, 11, 1))
    assert har.run_id == platform.rows("SELECT run_id FROM materialization WHERE asset = 'volatility_forecast'")[0][0]
    assert har.scores["variance 21"]["forecasts"] > 0
    best = best_model({name: m.relative_loss for name, m in models.items() if m.target == "volatility"})
    best_quantiles = best_model({name: m.relative_loss for name, m in models.items() if m.target == "distribution"})
    assert [(c.name, c.reason) for c in champions["volatility"]] == [(best, "score")]
    assert [c.name for c in champions["distribution"]] == [best_quantiles]
    assert best is not None
    assert models[best].is_champion


def a_rerun_and_a_month_alone_change_nothing(platform: Platform) -> None:
    before = stored(platform)
    platform.materialize("forecast", ["forecast_scores"], PRICED)
    assert stored(platform) == before
    with platform.database.connect() as connection:
        connection.execute("DELETE FROM forecast_score WHERE month = '2022-10-01'")
        connection.execute("UPDATE asset_partition SET digest = NULL WHERE asset = 'forecast_scores'")
    platform.materialize("forecast", ["forecast_scores"], OCTOBER)
    assert [row[:-1] for row in stored(platform)] == [row[:-1] for row in before]


def what_comes_later_changes_no_score(platform: Platform) -> None:
    """Scores up to October are the same, bit for bit, where nothing after October was ever known."""
    before = stored(platform, "month <= '2022-10-01'")
    with platform.database.connect() as connection:
        for table, session in (("price", "session"), ("volatility_forecast", "as_of"), ("quantile_forecast", "as_of")):
            connection.execute(f"DELETE FROM {table} WHERE {session} > '2022-10-31'")
        connection.execute("DELETE FROM forecast_score")
        connection.execute("UPDATE asset_partition SET digest = NULL WHERE asset = 'forecast_scores'")
    until = MonthRange(PRICED.first, OCTOBER.last)
    platform.materialize("forecast", ["forecast_scores"], until)
    assert [row[:-1] for row in stored(platform)] == [row[:-1] for row in before]
