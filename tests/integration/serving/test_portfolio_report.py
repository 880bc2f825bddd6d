"""The report of a portfolio."""

from __future__ import annotations

import re
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.risk.measures import MEASURES
from serving.routes.report_forms import PortfolioReport
from tests.integration.serving.seeding import NOTICE, SESSIONS, Seeded

PORTFOLIOS = "/api/v1/portfolios"
SECTIONS = (
    "performance",
    "measures",
    "tails",
    "backtests",
    "stress",
    "contributions",
    "limits",
    "simulations",
    "forecasts",
)


def report(api: httpx.Client, reference: str) -> dict[str, Any]:
    answer = api.get(f"{PORTFOLIOS}/{reference}/report")
    assert answer.status_code == 200, answer.text
    assert PortfolioReport.model_validate(answer.json())
    return dict(answer.json())


def test_every_section_is_what_its_own_address_answers(api: httpx.Client, seeded: Seeded) -> None:
    found, number = report(api, "held"), seeded.portfolios["held"]
    assert (found["as_of"], found["notice"], found["unavailable"]) == (str(SESSIONS[-1]), NOTICE, {})
    assert found["portfolio"]["id"] == number
    assert [name for name in SECTIONS if found[name] is None] == []
    positions = [{"symbol": "AAPL", "quantity": 2}, {"symbol": "MSFT", "quantity": 1}]
    names = [measure.name for measure in MEASURES]  # those that are stored, and explained where the report says
    asked = api.post("/api/v1/calculate", json={"positions": positions, "benchmark": "SPX", "measures": names}).json()
    assert found["measures"]["measures"] == asked["measures"]
    assert found["tails"]["tails"] == asked["tails"]
    assert found["performance"]["drawdowns"] == asked["drawdowns"]
    assert found["performance"]["value"] == pytest.approx(2 * seeded.close["AAPL"][-1] + seeded.close["MSFT"][-1])
    simulations = api.get(f"{PORTFOLIOS}/held/simulations").json()["data"]
    newest = [row for row in simulations if row["session"] == simulations[-1]["session"]]
    assert found["simulations"]["simulations"] == newest
    forecast = api.get(f"{PORTFOLIOS}/held/forecast").json()
    assert found["forecasts"]["forecasts"]["volatility"] == forecast["volatility"]
    assert found["forecasts"]["forecasts"]["quantiles"] == forecast["quantiles"]
    assert found["stress"]["scenarios"] == api.get(f"{PORTFOLIOS}/held/stress").json()["data"]


def test_performance_compounds_to_the_whole(api: httpx.Client, seeded: Seeded) -> None:
    found = report(api, "held")["performance"]
    value = 2 * seeded.close["AAPL"] + seeded.close["MSFT"]
    whole = value[-1] / value[0] - 1
    for calendar in ("years", "months"):
        assert np.prod([1 + p["total_return"] for p in found[calendar]]) == pytest.approx(1 + whole)
    assert [p["start"] for p in found["years"]] == ["2020-01-01", "2021-01-01", "2022-01-01"]
    trailing = {one["name"]: one for one in found["trailing"]}
    assert list(trailing) == ["1m", "3m", "1y", "all"]
    assert trailing["all"]["total_return"] == pytest.approx(whole)
    assert trailing["all"]["annual_return"] == pytest.approx((1 + whole) ** (252 / (len(value) - 1)) - 1)
    assert trailing["1m"]["annual_return"] is None
    index = seeded.close["SPX"]
    assert trailing["all"]["benchmark_return"] == pytest.approx(index[-1] / index[0] - 1)
    curve = found["curve"]
    assert (curve["sessions"][0], curve["sessions"][-1]) == (str(SESSIONS[0]), str(SESSIONS[-1]))
    assert curve["wealth"] == pytest.approx((value / value[0]).tolist())
    assert curve["drawdown"] == pytest.approx((value / np.maximum.accumulate(value) - 1).tolist(), abs=1e-12)


def test_what_cannot_be_made_is_null_with_a_reason(api: httpx.Client) -> None:
    found = report(api, "young")  # 30 sessions
    assert found["measures"] is found["tails"] is found["contributions"] is found["limits"] is None
    for name in ("measures", "tails", "contributions", "limits"):
        assert "30 sessions" in found["unavailable"][name]
    assert found["performance"]["trailing"][-1]["sessions"] == 29
    assert found["backtests"]["backtests"] == []
    assert found["backtests"]["as_of"] is None


def test_explanations_are_at_addresses_that_there_are(api: httpx.Client) -> None:
    found, paths = report(api, "quarterly"), api.get("/openapi.json").json()["paths"]
    for name in SECTIONS:
        address = found[name]["explain"]
        if address is None:
            continue
        path, parameters = re.fullmatch(r"([^?{]+)[{?]+([^}]*)}?", address).groups()
        template = re.sub(r"/portfolios/\d+/", "/portfolios/{reference}/", path)
        known = {parameter["name"] for parameter in paths[template]["get"]["parameters"]}
        assert {parameter.partition("=")[0] for parameter in parameters.split(",")} <= known, name


def test_an_unknown_portfolio_has_none(api: httpx.Client) -> None:
    assert api.get(f"{PORTFOLIOS}/unknown/report").status_code == 404
