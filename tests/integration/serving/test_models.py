"""The register of models, scores and forecasts on request, through the API."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.forecast.backtest import ForecastSpec, latest_quantiles, latest_volatility
from pipeline.forecast.models.coverage import coverage_tests
from pipeline.forecast.models.monthly_scores import Losses, monthly_columns
from pipeline.store.audit import read_audit
from pipeline.store.engine import Database
from pipeline.store.forecast_models import Decision, NewModel, promote, register_model
from pipeline.store.forecast_scores import FORECAST_SCORE
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import concatenated, open_write
from tests.integration.serving.accounts import SECURED, bearer, furnish, log_in
from tests.integration.serving.gateways import serving_all
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded, seed

VERSION = "x"
"""Of the seeded forecasts."""
MODELS, SCORES, FORECAST = "/api/v1/models", "/api/v1/scores", "/api/v1/forecast"
MONTHS = MonthRange(date(2020, 1, 1), date(2022, 12, 1))
DAYS = np.arange("2020-01-01", "2023-01-01", dtype="datetime64[D]")
DAYS = DAYS[np.is_busday(DAYS)]
HITS = {"AAPL": np.random.default_rng(1).random(len(DAYS)) < 0.05, "MSFT": np.arange(len(DAYS)) < 40}


def register(database: Database) -> None:
    """Scores of two instruments, and three models, of which har is better than ewma."""
    draw = np.random.default_rng(5)
    with open_write(database, "forecast_scores", "run-7", "code-1") as write:
        found = write.connection.execute("SELECT symbol, instrument_id FROM instrument_symbol")
        ids = dict(found.fetchall())
        parts = []
        for symbol, hits in HITS.items():
            naive = draw.random(len(DAYS)) + 1.0
            for losses in (
                Losses("variance", "har", "ewma", 21, DAYS, 0.9 * naive, naive, (naive, 2.0 * naive)),
                Losses("quantile_0.05", "filtered_historical", "historical", 1, DAYS, naive, naive, hits=hits),
            ):
                rows = monthly_columns(losses)
                parts.append({"instrument_id": np.full(len(rows["month"]), ids[symbol], "i4"), **rows})
        write.replace(FORECAST_SCORE, concatenated(FORECAST_SCORE, parts), MONTHS)
        for name, target, loss in (
            ("ewma", "volatility", 1.0),
            ("har", "volatility", 0.9),
            ("filtered_historical", "distribution", None),
        ):
            new = NewModel(target, name, VERSION, VOLATILITY_FORECAST, {"decay": 0.94}, {}, loss, date(2022, 11, 1))
            register_model(write.connection, new, write.materialization_id)
        promote(write.connection, "ewma", Decision("pipeline", "The first."), "score")


@pytest.fixture(scope="module", params=["in_process", "over_http"])
def client(new_database: Callable[[], Database], request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    database = seed(new_database()).database
    register(database)
    with serving_all(database.url, over_http=request.param == "over_http") as made:
        yield made


def data(client: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


# Models -------------------------------------------------------------------------------------------------


def test_models_are_listed_the_champion_first(client: httpx.Client) -> None:
    listed = data(client, MODELS)
    assert [(m["target"], m["name"], m["is_champion"]) for m in listed] == [
        ("volatility", "ewma", True),
        ("volatility", "har", False),
        ("distribution", "filtered_historical", False),
    ]
    assert listed[0]["hyperparameters"] == {"decay": 0.94}
    assert listed[0]["summary"].startswith("Exponentially weighted")


def test_a_model_has_its_runs_and_champions(client: httpx.Client) -> None:
    found = client.get(f"{MODELS}/har").json()
    assert (found["relative_loss"], found["scored_through"]) == (0.9, "2022-11-01")
    assert (found["trained_from"], found["trained_through"], found["run_id"]) == ("2020-01-01", "2022-12-28", "test")
    untrained = client.get(f"{MODELS}/filtered_historical").json()
    assert (untrained["trained_from"], untrained["trained_through"], untrained["run_id"]) == (None, None, None)
    trained = client.get(f"{MODELS}/ewma").json()
    assert [entry["reason"] for entry in trained["champions"]] == ["score"]
    for path in ("/none", "/none/card"):
        answer = client.get(MODELS + path)
        assert answer.status_code == 404
        assert "There is no forecast model 'none'" in answer.json()["detail"]
    assert client.get(f"{MODELS}/NOT%20A%20NAME").status_code == 422


def test_a_card_says_what_was_scored(client: httpx.Client) -> None:
    card = client.get(f"{MODELS}/har/card")
    assert card.headers["content-type"] == "text/markdown; charset=utf-8"
    assert card.text.startswith("# har x\n")
    assert "| variance | 21 |" in card.text
    assert "| 0.9 |" in card.text
    assert "| decay | 0.94 |" in card.text
    page = client.get(f"{MODELS}/filtered_historical/card", params={"form": "html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<td>quantile_0.05</td>" in page.text
    assert "1 of 2" in page.text
    assert client.get(f"{MODELS}/har/card", params={"form": "pdf"}).status_code == 422


def test_a_champion_is_promoted_and_withdrawn(own_seeded: Seeded, serve: Serve) -> None:
    register(own_seeded.database)
    api = serve(own_seeded.database.url).client
    assert data(api, MODELS)[0]["name"] == "ewma"
    note = {"note": "Better by <b>QLIKE</b>."}
    made = api.post(f"{MODELS}/har/promote", json=note)
    assert made.status_code == 200, made.text
    assert (made.json()["name"], made.json()["reason"], made.json()["actor"]) == ("har", "promoted", "local")
    assert data(api, MODELS)[0]["name"] == "har"  # no kept answer is given
    assert "<b>" not in api.get(f"{MODELS}/har/card", params={"form": "html"}).text
    assert "\\<b\\>QLIKE" in api.get(f"{MODELS}/har/card").text
    again = api.post(f"{MODELS}/har/promote", json=note)
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
    unscored = api.post(f"{MODELS}/filtered_historical/promote", json=note)
    assert (unscored.status_code, "no score yet" in unscored.json()["detail"]) == (409, True)
    other = api.post(f"{MODELS}/ewma/rollback", json=note)
    assert (other.status_code, "which is har" in other.json()["detail"]) == (409, True)
    back = api.post(f"{MODELS}/har/rollback", json={"note": "Worse after all."})
    assert (back.json()["name"], back.json()["reason"]) == ("ewma", "rolled_back")
    first = api.post(f"{MODELS}/ewma/rollback", json=note)
    assert (first.status_code, "no champion of volatility before" in first.json()["detail"]) == (409, True)
    assert [entry["name"] for entry in api.get(f"{MODELS}/har").json()["champions"]] == ["ewma", "har", "ewma"]
    with own_seeded.database.connect() as connection:
        entries = read_audit(connection, None, 2)
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("model.rollback", "model:volatility"),
        ("model.promote", "model:volatility"),
    ]


def test_a_champion_is_an_operators_to_choose(new_database: Callable[[], Database], serve: Serve) -> None:
    house = furnish(new_database())
    api = serve(house.database.url, **SECURED).client
    answers = {
        name: api.post(
            f"{MODELS}/har/promote", json={"note": "x"}, headers=bearer(log_in(api, name)["access_token"])
        ).status_code
        for name in ("vera", "alice", "otto")
    }
    assert answers == {"vera": 403, "alice": 403, "otto": 404}  # it is not registered


# Scores -------------------------------------------------------------------------------------------------


def test_scores_of_all_instruments(client: httpx.Client) -> None:
    quantile, variance = data(client, SCORES)
    assert (variance["model"], variance["kind"], variance["horizon_sessions"]) == ("har", "variance", 21)
    assert (variance["instruments"], variance["forecasts"]) == (2, 2 * len(DAYS))
    assert variance["relative_loss"] == pytest.approx(0.9)
    assert variance["baseline_squared_error"] == pytest.approx(2.0 * variance["squared_error"])
    assert variance["diebold_mariano_statistic"] < 0
    assert variance["diebold_mariano_p_value"] < 1e-6
    assert quantile["undefined"] == "diebold_mariano: no_variation_of_the_differences"
    assert quantile["coverage"] == pytest.approx(np.mean([hits.mean() for hits in HITS.values()]))
    assert (quantile["instruments_tested"], quantile["kupiec_passed"]) == (2, 2)
    assert quantile["kupiec_p_value"] is None


def test_scores_of_one_instrument_are_tested_as_the_core_tests_them(client: httpx.Client) -> None:
    (found,) = data(client, SCORES, symbol="AAPL", kind="quantile_0.05")
    expected = coverage_tests(HITS["AAPL"], 0.05)
    for name in ("kupiec", "independence", "conditional_coverage", "dynamic_quantile"):
        assert found[f"{name}_p_value"] == pytest.approx(getattr(expected, name).p_value, rel=1e-9)


def test_scores_are_filtered_and_grouped(client: httpx.Client) -> None:
    years = data(client, SCORES, model="har", by="year")
    assert [(row["first_month"], row["last_month"]) for row in years] == [
        (f"{year}-01-01", f"{year}-12-01") for year in (2020, 2021, 2022)
    ]
    (summer,) = data(client, SCORES, kind="quantile_0.05", start="2021-06-15", end="2021-08-01")
    inside = (np.datetime64("2021-06-01") <= DAYS) & (np.datetime64("2021-09-01") > DAYS)
    assert summer["forecasts"] == 2 * inside.sum()
    assert summer["coverage"] == pytest.approx(np.mean([hits[inside].mean() for hits in HITS.values()]))
    assert len(data(client, SCORES, by="month", model="har", symbol="MSFT")) == 36
    assert data(client, SCORES, horizon_sessions=7) == []


def regimes_by_hand(client: httpx.Client, horizon: int) -> dict[str, list[str]]:
    """Months of each third by the mean square of the market's last 63 returns as of the first forecast's session."""
    moves: dict[str, list[float]] = {}
    for instrument in data(client, "/api/v1/instruments"):
        bars = data(client, f"/api/v1/instruments/{instrument['symbol']}/prices", limit=10_000)
        for before, after in itertools.pairwise(bars):
            moves.setdefault(after["session"], []).append(after["close_adjusted"] / before["close_adjusted"] - 1.0)
    sessions = sorted(moves)
    market = [math.fsum(moves[session]) / len(moves[session]) for session in sessions]
    variance = {}
    for month in np.arange("2020-01", "2023-01", dtype="M8[M]").astype(str).tolist():
        stop = sum(session < month for session in sessions) - horizon + 1
        if stop >= 63:
            variance[f"{month}-01"] = math.fsum(move * move for move in market[stop - 63 : stop])
    ordered = sorted(variance, key=variance.__getitem__)
    first, second = (1 + (len(ordered) - 1) * part // 3 for part in (1, 2))
    thirds = (ordered[:first], ordered[first:second], ordered[second:])
    return dict(zip(("calm", "usual", "stormy"), map(sorted, thirds), strict=True))


def test_scores_are_told_by_the_regime_before(client: httpx.Client) -> None:
    found = data(client, SCORES, model="har", by="regime")
    expected = regimes_by_hand(client, 21)
    assert [row["regime"] for row in found] == ["calm", "usual", "stormy"]
    by_month = {row["first_month"]: row for row in data(client, SCORES, model="har", by="month")}
    for row in found:
        months = [by_month[month] for month in expected[row["regime"]]]
        assert (row["first_month"], row["last_month"]) == (months[0]["first_month"], months[-1]["first_month"])
        assert row["forecasts"] == sum(month["forecasts"] for month in months)
        total = sum(month["loss"] * month["forecasts"] for month in months)
        assert row["loss"] == pytest.approx(total / row["forecasts"])
    assert {row["regime"] for row in by_month.values()} == {None}
    assert data(client, SCORES, horizon_sessions=7, by="regime") == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"symbol": "NOBODY"}, 404),
        ({"start": "2022-01-01", "end": "2021-01-01"}, 422),
        ({"kind": "luck"}, 422),
        ({"horizon_sessions": 0}, 422),
        ({"model": "a%' OR"}, 422),
        ({"by": "week"}, 422),
        ({"other": "1"}, 422),
    ],
)
def test_wrong_filters_are_refused(client: httpx.Client, query: dict[str, Any], status: int) -> None:
    assert client.get(SCORES, params=query).status_code == status


# On request ---------------------------------------------------------------------------------------------


def series(count: int) -> list[float]:
    return (np.random.default_rng(8).standard_normal(count) / 100).round(6).tolist()


def post(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(FORECAST, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_series_is_forecast_as_the_core_forecasts_it(client: httpx.Client) -> None:
    values = series(700)
    found = post(client, returns={"values": values})
    spec = ForecastSpec()
    returns = np.array(values)
    expected = [
        (made.model, horizon, value)
        for made in latest_volatility(returns, spec)
        for horizon, value in zip(spec.horizons_sessions, made.volatility_annual[-1].tolist(), strict=True)
    ]
    assert [(row["model"], row["horizon_sessions"], row["volatility"]) for row in found["volatility"]] == expected
    made = latest_quantiles(returns, spec)
    assert [row["quantile"] for row in found["quantiles"]] == [q for one in made for q in one.quantiles[-1].tolist()]
    shortfalls = [row["expected_shortfall"] for row in found["expected_shortfalls"]]
    assert shortfalls == [loss for one in made for loss in one.shortfalls[-1].tolist()]
    longer = [one.longer[0] for one in made]
    assert [row["quantile"] for row in found["longer_quantiles"]] == [
        value for one in longer for value in one.quantiles[-1].tolist()
    ]
    assert [row["expected_shortfall"] for row in found["longer_expected_shortfalls"]] == [
        value for one in longer for value in one.shortfalls[-1].tolist()
    ]
    named = [(row["model"], row["horizon_sessions"], row["level"]) for row in found["longer_quantiles"]]
    assert named == [(one.model, 5, level) for one in made for level in spec.levels]
    assert {row["version"] for row in found["quantiles"] if row["model"] == "conformal"} == {"1+ewma"}
    assert [row["model"] for row in found["left_out"]] == ["pooled_panel", "combination"]
    assert "a panel" in found["left_out"][0]["reason"]
    assert (found["returns"], found["as_of"]) == (700, None)


def test_a_longer_horizon_needs_as_many_returns_more(client: httpx.Client) -> None:
    found, whole = (post(client, returns={"values": series(count)}, models=["conformal"]) for count in (525, 526))
    assert (len(found["quantiles"]), found["longer_quantiles"], found["longer_expected_shortfalls"]) == (9, [], [])
    reason = "over 5 sessions it needs 526 returns, 525 given"
    assert found["left_out"] == [{"model": "conformal", "reason": reason}]
    assert (len(whole["longer_quantiles"]), len(whole["longer_expected_shortfalls"])) == (9, 2)
    assert whole["left_out"] == []


def test_prices_are_their_returns(client: httpx.Client) -> None:
    prices = (100 * np.cumprod(1 + np.array(series(40)))).tolist()
    dates = [str(day) for day in DAYS[:40]]
    found = post(client, prices={"values": prices, "dates": dates}, horizons_sessions=[3])
    returns = (np.array(prices)[1:] / np.array(prices)[:-1] - 1.0).tolist()
    assert found["as_of"] == dates[-1]
    assert found["volatility"] == post(client, returns={"values": returns}, horizons_sessions=[3])["volatility"]
    left_out = [row["model"] for row in found["left_out"]]
    assert left_out == ["har", "filtered_historical", "conformal", "pooled_panel", "combination"]
    assert "39 given" in found["left_out"][0]["reason"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "either returns or prices"),
        ({"returns": {"values": series(30)}, "prices": {"values": [1.0, 2.0]}}, "either returns or prices"),
        ({"returns": {"values": series(5)}}, "every model needs more"),
        ({"returns": {"values": series(30)}, "models": ["har"]}, "har needs at least"),
        ({"returns": {"values": series(30)}, "models": ["oracle"]}, "'oracle' is not known"),
        ({"returns": {"values": [0.01, -1.0] * 20}}, "-1 or less"),
        ({"prices": {"values": [1.0, 0.0]}}, "give prices above 0"),
        ({"returns": {"values": series(30)}, "levels": [0.5, 0.1]}, "ascending"),
        ({"returns": {"values": series(30)}, "levels": [0.0]}, "levels"),
        ({"returns": {"values": series(30)}, "horizons_sessions": []}, "horizons_sessions"),
        ({"returns": {"values": series(30)}, "horizons_sessions": [0]}, "horizons_sessions"),
        ({"returns": {"values": ["a", 0.1]}}, "values"),
    ],
)
def test_what_cannot_be_forecast_is_refused(client: httpx.Client, body: dict[str, Any], named: str) -> None:
    answer = client.post(FORECAST, json=body)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]
