"""Simulations and forecasts under a portfolio's own address."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.forecast.backtest import ForecastSpec, latest_quantiles, latest_volatility
from pipeline.forecast.models import QUANTILE_MODELS, VOLATILITY_MODELS
from pipeline.risk.measures.windows import simple_returns
from serving.routes.simulating import engine
from tests.integration.serving.running import Serve, wait_until
from tests.integration.serving.seeding import NOTICE, SESSIONS, Seeded

PORTFOLIOS = "/api/v1/portfolios"


def held_returns(seeded: Seeded) -> Any:
    """Of 2 AAPL and 1 MSFT."""
    return simple_returns(2 * seeded.close["AAPL"] + seeded.close["MSFT"])


def test_a_forecast_is_what_the_models_give_for_its_returns(api: httpx.Client, seeded: Seeded) -> None:
    answer = api.get(f"{PORTFOLIOS}/held/forecast")
    assert answer.status_code == 200, answer.text
    found, returns = answer.json(), held_returns(seeded)
    assert (found["as_of"], found["returns"], found["notice"]) == (str(SESSIONS[-1]), len(returns), NOTICE)
    usable = tuple(m for m in VOLATILITY_MODELS if m.minimum_returns(21) <= len(returns))
    expected = latest_volatility(returns, ForecastSpec(volatility_models=usable))
    assert [one["model"] for one in found["volatility"]] == [one.model for one in expected] != []
    for one, other in zip(found["volatility"], expected, strict=True):
        assert [h["horizon_sessions"] for h in one["horizons"]] == [1, 5, 21]
        assert [h["volatility"] for h in one["horizons"]] == pytest.approx(other.volatility_annual[0].tolist())
    usable = tuple(m for m in QUANTILE_MODELS if m.minimum_returns <= len(returns))
    expected = latest_quantiles(returns, ForecastSpec(quantile_models=usable))
    assert [one["model"] for one in found["quantiles"]] == [one.model for one in expected]
    for one, other in zip(found["quantiles"], expected, strict=True):
        assert [q["value"] for q in one["quantiles"]] == pytest.approx(other.quantiles[0].tolist())
        assert [q["value"] for q in one["expected_shortfalls"]] == pytest.approx(other.shortfalls[0].tolist())
    for model in (*VOLATILITY_MODELS, *QUANTILE_MODELS):
        listed = {one["model"] for one in (*found["volatility"], *found["quantiles"])}
        assert (model.name in listed) != (model.name in found["unavailable"])


def test_a_forecast_does_not_know_later_prices(api: httpx.Client) -> None:
    day = str(SESSIONS[-100])
    then = api.get(f"{PORTFOLIOS}/held/forecast", params={"as_of": day}).json()
    assert then["as_of"] == day
    assert then["returns"] == len(SESSIONS) - 100
    asked = api.post(f"{PORTFOLIOS}/held/forecast", json={"as_of": day}).json()
    assert asked["volatility"] == then["volatility"]
    assert asked["quantiles"] == then["quantiles"]


def test_horizons_and_levels_are_chosen(api: httpx.Client) -> None:
    body = {"horizons_sessions": [2, 10], "levels": [0.1], "shortfall_levels": [0.1]}
    found = api.post(f"{PORTFOLIOS}/quarterly/forecast", json=body).json()
    assert [h["horizon_sessions"] for h in found["volatility"][0]["horizons"]] == [2, 10]
    assert [q["level"] for q in found["quantiles"][0]["quantiles"]] == [0.1]
    assert found["quantiles"][0]["expected_shortfalls"][0]["value"] > -found["quantiles"][0]["quantiles"][0]["value"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"horizons_sessions": []}, "body.horizons_sessions"),
        ({"horizons_sessions": [5, 1]}, "horizons_sessions: give each once, ascending"),
        ({"horizons_sessions": [0]}, "body.horizons_sessions.0"),
        ({"levels": [1.0]}, "body.levels.0"),
        ({"levels": [0.5, 0.5]}, "levels: give each once"),
        ({"model": "ewma"}, "body.model"),
        ({"as_of": "2020-01-03"}, "too few for every model"),
    ],
)
def test_what_cannot_be_forecast_is_refused_by_name(api: httpx.Client, body: dict[str, Any], named: str) -> None:
    answer = api.post(f"{PORTFOLIOS}/held/forecast", json=body)
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]


def test_it_is_simulated_as_anywhere(api: httpx.Client) -> None:
    how = {"model": "student_t", "paths": 500, "horizon_sessions": 21, "fit_window_sessions": 252, "goal_return": 0.05}
    answer = api.post(f"{PORTFOLIOS}/held/simulate", json=how)
    assert answer.status_code == 200, answer.text
    other = api.post("/api/v1/simulate", json={"portfolio": "held", **how}).json()
    assert answer.json() == other
    assert np.isfinite(answer.json()["var_99"])
    assert api.post(f"{PORTFOLIOS}/unknown/simulate", json=how).status_code == 404
    refused = api.post(f"{PORTFOLIOS}/held/simulate", json={"portfolio": "quarterly"})
    assert refused.status_code == 422
    assert "body.portfolio" in refused.json()["detail"]
    short = api.post(f"{PORTFOLIOS}/held/simulate")
    assert "fit_window_sessions=1260 needs 1261 sessions" in short.json()["detail"]


def test_a_large_simulation_is_a_job(own_seeded: Seeded, serve: Serve) -> None:
    api = serve(own_seeded.database.url).client
    how = {"paths": 200, "horizon_sessions": 5, "fit_window_sessions": 252}
    answer = api.post(f"{PORTFOLIOS}/held/simulate", json=how, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    assert api.get(answer.headers["location"]).json()["portfolio_id"] == own_seeded.portfolios["held"]


def test_who_comes_when_too_many_simulate_is_refused_before_anything_is_read(
    own_seeded: Seeded, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let_go, read = [], threading.Event(), []

    def hold(*_: object) -> None:
        begun.append(1)
        let_go.wait(60)
        raise AssertionError("of no interest here")

    monkeypatch.setattr(engine, "WAITING_REQUESTS", 0)
    monkeypatch.setattr("serving.routes.simulating.jobs.begun", hold)
    client = serve(own_seeded.database.url).client
    how = {"paths": 200, "horizon_sessions": 5, "fit_window_sessions": 252}
    asked = [(f"{PORTFOLIOS}/held/simulate", how), ("/api/v1/simulate", {"portfolio": "held", **how})]
    with ThreadPoolExecutor(engine.COMPUTING_THREADS) as threads:
        try:
            for number in range(engine.COMPUTING_THREADS):
                threads.submit(client.post, asked[number % 2][0], json=asked[number % 2][1])
            wait_until(lambda: len(begun) == engine.COMPUTING_THREADS)
            for reader in ("of_portfolio.read_portfolio", "jobs.read_subject"):
                monkeypatch.setattr(f"serving.routes.simulating.{reader}", lambda *_: read.append(1))
            for path, body in asked:
                refused = client.post(path, json=body)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert read == []
        finally:
            let_go.set()
