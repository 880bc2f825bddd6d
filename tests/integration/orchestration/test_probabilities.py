"""Probabilities on bundled prices: stored with reasons, scored beside the constant, exported, and no look-ahead."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from fintech.exporting import ForecastSelection, write_forecasts
from pipeline.base.types import MonthRange
from pipeline.forecast.models.probability import HORIZON_SESSIONS
from pipeline.store.forecast_models import read_models
from tests.integration.orchestration.conftest import Platform

PRICED = MonthRange(date(2019, 1, 1), date(2022, 12, 1))
"""The regression needs two years before the first session of a third."""
SCORED = MonthRange(date(2022, 1, 1), date(2022, 12, 1))


@pytest.fixture
def forecast(platform: Platform) -> Platform:
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], PRICED)
    return platform


def checks_of(result: Any, asset: str) -> dict[str, Any]:
    return {each.check_name: each for each in result.get_asset_check_evaluations() if each.asset_key.path == [asset]}


def stored(platform: Platform, table: str, where: str = "true") -> list[tuple]:
    return [row[:-1] for row in platform.rows(f"SELECT * FROM {table} WHERE {where} ORDER BY 1, 2, 3, 4")]


def test_probabilities(forecast: Platform, tmp_path: Path) -> None:
    """One platform for all that is asked of the stored rows: four years take a while to load."""
    made = forecast.materialize("forecast", ["probability_forecast"], PRICED)
    drift = checks_of(made, "probability_forecast")["input_drift"]
    assert drift.severity.value == "WARN"
    assert drift.metadata["training_returns"].value > 10_000
    assert (drift.metadata["stability_index"].value <= 0.25) == drift.passed
    every_price_has_a_row_a_model_with_chances_or_a_reason(forecast)
    a_month_alone_is_made_as_all(forecast)
    scored = forecast.materialize("forecast", ["forecast_scores"], SCORED)
    assert checks_of(scored, "forecast_scores")["score_drift"].metadata["compared"].value == 0
    scores_are_beside_the_constant(forecast)
    an_export_has_the_chances(forecast, tmp_path / "forecasts.parquet")
    what_comes_later_changes_no_score(forecast)


def every_price_has_a_row_a_model_with_chances_or_a_reason(platform: Platform) -> None:
    prices = platform.rows("SELECT count(*) FROM price")[0][0]
    by_model = platform.rows("SELECT model, count(*) FROM probability_forecast GROUP BY 1 ORDER BY 1")
    assert by_model == [("frequency", prices), ("logistic", prices)]
    whole = "probability_positive IS NOT NULL AND rank_quintile_5 IS NOT NULL"
    assert platform.rows(f"SELECT count(*) FROM probability_forecast WHERE (reason IS NULL) <> ({whole})") == [(0,)]
    assert platform.rows(
        f"SELECT min(as_of), max(trained_through) FROM probability_forecast WHERE model = 'logistic' AND {whole}"
    ) == [(date(2022, 1, 3), date(2022, 1, 3))]
    assert platform.rows("SELECT count(*) FROM probability_forecast WHERE trained_through > as_of") == [(0,)]


def a_month_alone_is_made_as_all(platform: Platform) -> None:
    before = stored(platform, "probability_forecast")
    with platform.database.connect() as connection:
        connection.execute("DELETE FROM probability_forecast WHERE as_of >= '2022-10-01' AND as_of < '2022-11-01'")
        connection.execute("UPDATE asset_partition SET digest = NULL WHERE asset = 'probability_forecast'")
    platform.materialize("forecast", ["probability_forecast"], MonthRange(date(2022, 10, 1), date(2022, 10, 1)))
    assert stored(platform, "probability_forecast") == before


def scores_are_beside_the_constant(platform: Platform) -> None:
    rows = platform.rows(
        "SELECT kind, baseline, horizon_sessions, sum(forecasts), sum(loss * forecasts) / sum(forecasts),"
        " sum(baseline_loss * forecasts) / sum(forecasts), count(squared_error)"
        " FROM forecast_score WHERE model = 'logistic' GROUP BY 1, 2, 3 ORDER BY 1"
    )
    assert [row[:3] for row in rows] == [
        ("probability_positive", "frequency", HORIZON_SESSIONS),
        ("rank_quintiles", "frequency", HORIZON_SESSIONS),
    ]
    sessions, instruments = platform.rows(
        "SELECT count(DISTINCT session), count(DISTINCT instrument_id) FROM price WHERE session >= '2022-01-03'"
    )[0]
    assert rows[0][3] == rows[1][3] == (sessions - HORIZON_SESSIONS) * instruments
    # 5, 5, 6, 5 and 5 of 26 instruments: 0.160 of a number that five divides.
    assert rows[1][5] == pytest.approx((10 * 0.24 + 10 * 0.12 + 6 * 0.08) / 26)
    assert rows[0][6] > 0
    assert rows[1][6] == 0
    with platform.database.connect() as connection:
        models = {model.name: model for model in read_models(connection) if model.target == "probability"}
    assert models.keys() == {"frequency", "logistic"}
    assert models["logistic"].scores["rank_quintiles 21"]["loss"] == pytest.approx(rows[1][4])


def an_export_has_the_chances(platform: Platform, file: Path) -> None:
    with platform.database.connect() as connection:
        write_forecasts(connection, ForecastSelection(("AAPL",), start=date(2022, 12, 1)), "parquet", file)
    rows = pyarrow.parquet.read_table(file).to_pylist()
    kinds = {"probability_positive", *(f"rank_quintile_{number}" for number in range(1, 6))}
    assert {(row["kind"], row["horizon"]) for row in rows} == {(kind, HORIZON_SESSIONS) for kind in kinds}
    assert {row["model"] for row in rows} == {"frequency", "logistic"}
    newest = max(row["as_of"] for row in rows)
    fifths = [row["value"] for row in rows if row["as_of"] == newest and row["kind"].startswith("rank")]
    assert np.sum(fifths) == pytest.approx(2.0)


def what_comes_later_changes_no_score(platform: Platform) -> None:
    """Scores up to October are the same, bit for bit, where nothing after October was ever known."""
    before = stored(platform, "forecast_score", "month <= '2022-10-01'")
    with platform.database.connect() as connection:
        connection.execute("DELETE FROM price WHERE session > '2022-10-31'")
        connection.execute("DELETE FROM probability_forecast WHERE as_of > '2022-10-31'")
        connection.execute("DELETE FROM forecast_score")
        connection.execute("UPDATE asset_partition SET digest = NULL WHERE asset = 'forecast_scores'")
    platform.materialize("forecast", ["forecast_scores"], MonthRange(SCORED.first, date(2022, 10, 1)))
    assert stored(platform, "forecast_score") == before
