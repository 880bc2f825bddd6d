"""Probabilities over HTTP: each row with the record of its model, and no claim that the record does not bear."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from pipeline.forecast.models.monthly_scores import Losses, monthly_columns
from pipeline.store.forecast_scores import FORECAST_SCORE
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST
from pipeline.store.writing import concatenated, open_write
from tests.integration.serving.seeding import MONTHS, SESSIONS, Seeded

PATH = "/api/v1/instruments/AAPL/forecasts/probabilities"


def write_chances(seeded: Seeded) -> None:
    rows = {
        "instrument_id": np.full(3, seeded.instruments["AAPL"].id, "i4"),
        "as_of": SESSIONS[[-2, -2, -1]],
        "model": np.array([b"frequency", b"logistic", b"logistic"]),
        "horizon_sessions": np.full(3, 21, "i2"),
        "probability_positive": np.array([0.6, 0.62, np.nan]),
        **{f"rank_quintile_{number}": np.array([0.2, 0.2, np.nan]) for number in range(1, 6)},
        "reason": np.array([b"", b"", b"not_enough_sessions_for_a_fit"]),
        "model_version": np.full(3, b"1"),
        "trained_through": np.array(["2022-01-03", "2022-01-03", "NaT"], "M8[D]"),
    }
    with open_write(seeded.database, "probability_forecast", "test", "1") as write:
        write.replace(PROBABILITY_FORECAST, rows, MONTHS)


def write_scores(seeded: Seeded) -> None:
    """Sixteen months in which ranks were better and directions were not."""
    ends = np.arange(np.datetime64("2021-09-01"), np.datetime64("2022-12-29"))
    naive = 0.16 + 0.01 * np.random.default_rng(1).standard_normal(len(ends))
    better = naive - 0.01 + 0.002 * np.random.default_rng(2).standard_normal(len(ends))
    made = [
        Losses("rank_quintiles", "logistic", "frequency", 21, ends, better, naive),
        Losses("probability_positive", "logistic", "frequency", 21, ends, naive, better, (naive, better)),
    ]
    parts = [monthly_columns(losses) for losses in made]
    number = seeded.instruments["AAPL"].id
    rows = [{"instrument_id": np.full(len(each["month"]), number, "i4"), **each} for each in parts]
    with open_write(seeded.database, "forecast_scores", "test", "1") as write:
        write.connection.execute("DELETE FROM forecast_score")
        write.replace(FORECAST_SCORE, concatenated(FORECAST_SCORE, rows), MONTHS)


def rows_of(api: httpx.Client) -> list[dict]:
    answer = api.get(PATH)
    assert answer.status_code == 200, answer.text
    found: list[dict] = answer.json()["data"]
    return found


def test_every_row_has_its_record(own_seeded: Seeded, own_api: httpx.Client) -> None:
    write_chances(own_seeded)
    constant, fitted, refused = rows_of(own_api)
    assert (constant["model"], constant["rank_record"], constant["positive_record"]) == (
        "frequency",
        "the constant",
        "the constant",
    )
    assert fitted["probability_positive"] == 0.62
    assert fitted["positive_record"] == fitted["rank_record"] == "no record yet"
    assert fitted["rank_relative_loss"] is None
    assert refused["reason"] == "not_enough_sessions_for_a_fit"
    assert refused["rank_quintile_1"] is refused["trained_through"] is None


def test_only_what_is_significantly_better_beats_the_constant(own_seeded: Seeded, own_api: httpx.Client) -> None:
    write_chances(own_seeded)
    write_scores(own_seeded)
    fitted = rows_of(own_api)[1]
    assert fitted["rank_record"] == "beats the constant"
    assert fitted["rank_relative_loss"] == pytest.approx(0.9375, abs=0.01)
    assert fitted["positive_record"] == "not shown to beat the constant"
    assert fitted["positive_relative_loss"] > 1.0
    scores = own_api.get("/api/v1/scores?kind=rank_quintiles").json()["data"]
    assert [score["baseline"] for score in scores] == ["frequency"]
    assert scores[0]["diebold_mariano_p_value"] < 0.05
