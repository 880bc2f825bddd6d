"""A gateway that asks other services gives their explanations as they are.

What an explanation says is tested where it is made: `test_explained_figures`, `test_explained_portfolios`.
"""

from __future__ import annotations

import httpx
import pytest

pytestmark = pytest.mark.xdist_group("explained_figures")

ASKED = [
    ("portfolios/mixed/tail", {"method": "monte_carlo", "measure": "var_99_1d"}),
    ("portfolios/mixed/contributions", {"symbol": "SAP", "measure": "weight"}),
    ("portfolios/mixed/stress", {"scenario": "covid_2020", "symbol": "SAP", "measure": "shock"}),
    ("portfolios/mixed/simulations", {"model": "t_copula", "measure": "var_99"}),
    ("portfolios/mixed/simulations", {"model": "stationary_bootstrap", "measure": "es_975_error"}),
    ("portfolios/mixed/currency", {"measure": "weight", "currency": "EUR"}),
    ("portfolios/mixed/backtests", {"method": "gaussian", "measure": "var_99_1d", "figure": "exceptions"}),
    ("portfolios/held/limits", {"measure": "var_99_1d", "side": "above"}),
    ("portfolios/held/risk", {"measure": "cagr"}),
    ("instruments/AAPL/risk", {"measure": "beta"}),
    ("instruments/AAPL/factors", {"factor": "MTUM", "measure": "exposure_ridge"}),
    ("instruments/AAPL/backtests", {"measure": "var_99_1d", "figure": "exceptions"}),
    ("instruments/AAPL/forecasts/volatility", {"model": "har", "measure": "volatility_1d"}),
    ("instruments/AAPL/forecasts/quantiles", {"model": "filtered_historical", "measure": "es_0010"}),
    ("instruments/AAPL/prices", {}),
    ("covariance", {"symbol": "AAPL", "other": "SAP", "measure": "correlation"}),
]


@pytest.mark.parametrize(("path", "query"), ASKED)
def test_an_explanation_is_passed_on(
    explaining: httpx.Client, explaining_elsewhere: httpx.Client, path: str, query: dict[str, str]
) -> None:
    here, there = (client.get(f"/api/v1/{path}/explain", params=query) for client in (explaining, explaining_elsewhere))
    assert here.status_code == there.status_code == 200, here.text
    assert here.json() == there.json()
    assert here.json()["inputs"]


def test_so_is_that_of_what_is_computed_on_request(
    explaining: httpx.Client, explaining_elsewhere: httpx.Client
) -> None:
    path = "/api/v1/portfolios/mixed/decomposition/explain"
    body = {"measure": "volatility", "by": "position", "part": "SAP", "figure": "component"}
    here, there = (client.post(path, json=body) for client in (explaining, explaining_elsewhere))
    assert here.status_code == there.status_code == 200, here.text
    assert here.json() == there.json()


def test_so_is_what_cannot_be_explained(explaining: httpx.Client, explaining_elsewhere: httpx.Client) -> None:
    path = "/api/v1/portfolios/held/tail/explain?method=guess&measure=var_99_1d"
    here, there = (client.get(path) for client in (explaining, explaining_elsewhere))
    assert here.status_code == there.status_code == 404
    assert there.json()["remedy"] == here.json()["remedy"]
