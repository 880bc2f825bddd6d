"""Stress on request follows from the payload of its explanation."""

from __future__ import annotations

import math
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.risk.measures.covariance import ledoit_wolf_covariance
from pipeline.risk.measures.holdings import scenario_returns
from pipeline.risk.measures.stress import Positions
from pipeline.risk.measures.stress_reverse import reverse_stress
from pipeline.risk.measures.stress_shifts import correlation_shift, volatility_shift
from serving.routes.explaining.stress_on_request import (
    CORRELATION_FIGURES,
    POSITION_FIGURES,
    REVERSE_FIGURES,
    VOLATILITY_FIGURES,
    WHOLE_FIGURES,
)
from tests.integration.serving.explained import held, require_again
from tests.integration.serving.test_explained_calculations import explained, posted
from tests.integration.serving.test_explained_portfolios import crisis

SHOCKS = {"market": -0.1, "sectors": {"Energy": -0.3}, "symbols": {"AAPL": 0.05}, "factors": {"MTUM": -0.2}}


def weights_of(payload: dict[str, Any]) -> dict[str, float]:
    return dict(zip(payload["inputs"]["amounts"], held(payload).held.weights[-1].tolist(), strict=True))


def moved(payload: dict[str, Any], symbol: str) -> float:
    """The most specific shock of the symbol, and its exposures times those of the factors."""
    given, inputs = payload["parameters"], payload["inputs"]
    sector = inputs["groups"][symbol]
    direct = given.get(f"symbols.{symbol}", given.get(f"sectors.{sector}", given.get("market", 0.0)))
    exposures = (inputs["exposures"] or {}).get(symbol, {})
    by_factors = sum(
        exposures[name.removeprefix("factors.")] * move for name, move in given.items() if name.startswith("factors.")
    )
    return float(direct + by_factors)


@pytest.mark.parametrize("portfolio", ["held", "mixed", "banded"])
def test_stated_shocks(explained_api: httpx.Client, portfolio: str) -> None:
    path, body = f"portfolios/{portfolio}/stress", {"hypothetical": {"name": "stated", **SHOCKS}}
    served = posted(explained_api, path, body)
    (scenario,) = served["scenarios"]
    for figure in WHOLE_FIGURES:
        payload = flattened(explained(explained_api, path, body, figure=figure))
        weights = weights_of(payload)
        total = math.fsum(weight * moved(payload, symbol) for symbol, weight in weights.items())
        value = payload["parameters"].get("value")
        again = {"total": total, "worst_total": None, "total_amount": None if value is None else total * value}
        require_again(payload, scenario[figure], again[figure])
    for position in scenario["positions"]:
        symbol = position["symbol"]
        for figure in POSITION_FIGURES:
            payload = flattened(explained(explained_api, path, body, figure=figure, symbol=symbol))
            weight, shock, value = weights_of(payload)[symbol], moved(payload, symbol), served["value"]
            own = {"weight": weight, "shock": shock, "pnl": weight * shock}
            own["amount"] = None if value is None else weight * shock * value
            require_again(payload, position[figure], own[figure])


def flattened(payload: dict[str, Any]) -> dict[str, Any]:
    """Parameters of stated shocks without the prefix of their kind."""
    parameters = {name.removeprefix("hypothetical."): value for name, value in payload["parameters"].items()}
    return {**payload, "parameters": parameters}


@pytest.mark.parametrize("portfolio", ["held", "proxied"])
def test_crises(explained_api: httpx.Client, portfolio: str) -> None:
    path, body = f"portfolios/{portfolio}/stress", {"historical": ["covid_2020", "rates_2022"]}
    served = posted(explained_api, path, body)
    for scenario in served["scenarios"]:
        name, value = scenario["scenario"], served["value"]
        for figure in ("total", "worst_total", "total_amount"):
            payload = explained(explained_api, path, body, figure=figure, scenario=name)
            whole, _ = crisis(payload)
            amount = None if value is None else whole["total"] * payload["parameters"]["value"]
            require_again(payload, scenario[figure], {**whole, "total_amount": amount}[figure])
        for position in scenario["positions"]:
            for figure in ("shock", "pnl", "weight", "amount"):
                asked = {"figure": figure, "scenario": name, "symbol": position["symbol"]}
                payload = explained(explained_api, path, body, **asked)
                own = crisis(payload)[1][position["symbol"]]
                own["weight"] = payload["inputs"]["weights"][position["symbol"]]
                own["amount"] = None if value is None else own["pnl"] * payload["parameters"]["value"]
                require_again(payload, position[figure], own[figure])


def test_the_most_likely_loss(explained_api: httpx.Client) -> None:
    path, body = "portfolios/mixed/stress", {"reverse": {"loss": 0.06, "degrees_of_freedom": 4.0}}
    served = posted(explained_api, path, body)
    for figure in REVERSE_FIGURES:
        payload = explained(explained_api, path, body, figure=figure)
        require_again(payload, served["reverse"][figure], float(getattr(reversed_of(payload), figure)))
    for position in served["scenarios"][0]["positions"]:
        payload = explained(explained_api, path, body, figure="shock", symbol=position["symbol"])
        place = list(payload["inputs"]["amounts"]).index(position["symbol"])
        require_again(payload, position["shock"], float(reversed_of(payload).result.shocks[place]))


def reversed_of(payload: dict[str, Any]) -> Any:
    given, positions, series = payload["parameters"], positions_of(payload), held(payload).held
    covariance = ledoit_wolf_covariance(series.asset_returns[-given["window_sessions"] :])
    return reverse_stress(positions, covariance, given["reverse.loss"], given["reverse.degrees_of_freedom"])


def positions_of(payload: dict[str, Any]) -> Positions:
    weights = weights_of(payload)
    return Positions(tuple(weights), np.array(list(weights.values())), payload["parameters"].get("value"))


def test_shifts_of_volatility_and_correlation(explained_api: httpx.Client) -> None:
    path = "portfolios/mixed/stress"
    for body, part, figures in (
        ({"volatility_scale": 1.7}, "volatility", VOLATILITY_FIGURES),
        ({"correlation_shift": 0.4}, "correlation", CORRELATION_FIGURES),
    ):
        served = posted(explained_api, path, body)[part]
        for figure in figures:
            payload = explained(explained_api, path, body, figure=figure)
            given, series = payload["parameters"], held(payload).held
            window = given["window_sessions"]
            if part == "volatility":
                scenarios = scenario_returns(series, len(series.returns), window)
                made: Any = volatility_shift(scenarios, given["volatility_scale"], 0.99)
            else:
                covariance = ledoit_wolf_covariance(series.asset_returns[-window:])
                made = correlation_shift(positions_of(payload), covariance, given["correlation_shift"], 0.99)
            require_again(payload, served[figure], float(getattr(made, figure)))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"historical": ["covid_2020"], "figure": "loss"}, "worst_total"),
        ({"historical": "all", "figure": "total"}, "covid_2020"),
        ({"historical": ["covid_2020"], "figure": "pnl", "symbol": "SAP"}, "AAPL, MSFT"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_can(
    explained_api: httpx.Client, body: dict[str, Any], words: str
) -> None:
    answer = explained_api.post("/api/v1/portfolios/held/stress/explain", json=body)
    assert answer.status_code == 404, answer.text[:300]
    assert words in answer.json()["remedy"]
