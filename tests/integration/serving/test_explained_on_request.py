"""What is computed for a request follows from the payload of its explanation: risk, tails, backtests and matrices."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.backtests import VarBacktest, backtest
from pipeline.risk.measures.covariance import estimate_covariance
from pipeline.risk.measures.holdings import scenario_returns
from pipeline.risk.measures.pairs import known_correlation
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.risk.measures.tail_forecasts import held_forecasts
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series, latest_report
from serving.routes.explaining.backtests import BACKTEST_FIGURES
from serving.routes.explaining.on_request import RISK_FIGURES, TAIL_FIGURES
from tests.integration.serving.explained import closes, get, held, holdings, require_again, sessions_of
from tests.integration.serving.seeding import SESSIONS
from tests.integration.serving.test_explained_calculations import checked, explained, posted

AS_OF = str(SESSIONS[-40])


@pytest.mark.parametrize(
    ("portfolio", "body"),
    [("held", {}), ("banded", {}), ("mixed", {"window_sessions": 120, "risk_free_rate_annual": 0.03, "as_of": AS_OF})],
)
def test_risk(explained_api: httpx.Client, portfolio: str, body: dict[str, Any]) -> None:
    path = f"portfolios/{portfolio}/risk"
    served = posted(explained_api, path, {"confidence": 0.975, **body})
    for figure in RISK_FIGURES:
        payload = explained(explained_api, path, {"confidence": 0.975, **body}, figure=figure)
        given, inputs = payload["parameters"], payload["inputs"]
        index = inputs["benchmark_close"]
        close = None if index is None else np.array(index)
        series = held_series(closes(payload), sessions_of(payload), close, holdings(payload))
        count = given["window_sessions"]
        spec = RiskSpec(count, risk_free_rate_annual=given.get("risk_free_rate_annual", 0.0))
        again = latest_report(series.held.returns, series.benchmark, spec, series.held)
        scenarios = scenario_returns(series.held, len(series.held.returns), count)
        again |= {"var": historical_var(scenarios, 0.975), "expected_shortfall": historical_es(scenarios, 0.975)}
        require_again(payload, served[figure], float(again[figure]))
        assert payload["session"] == served["as_of"]
        assert (payload["undefined_because"] or "") == served["undefined"].get(figure, "")


@pytest.mark.parametrize("method", VAR_METHODS)
def test_tails(explained_api: httpx.Client, method: str) -> None:
    body = {"method": method, "confidence": 0.95, "horizon_sessions": 5, "window_sessions": 300, "paths": 2_000}
    path = "portfolios/mixed/tail"
    served = posted(explained_api, path, {**body, "seed": 7})
    for figure in TAIL_FIGURES:
        payload = explained(explained_api, path, {**body, "seed": 7}, figure=figure)
        given, series = payload["parameters"], held(payload).held
        options = {name: given[name] for name in ("scaling", "ewma_lambda", "law", "seed", "paths") if name in given}
        spec = TailSpec(payload["definition"]["parameters"]["confidence"], given["horizon_sessions"], **options)
        scenarios = scenario_returns(series, len(series.returns), given["window_sessions"])
        found = VAR_METHODS[given["method"]].estimate(scenarios, spec)
        again = getattr(found, figure.replace("expected_shortfall", "es"))
        require_again(payload, served[figure], None if again is None else float(again))


def test_backtests(explained_api: httpx.Client) -> None:
    path, body = "portfolios/mixed/backtests", {"method": "ewma", "observations": 260, "window_sessions": 250}
    served = posted(explained_api, path, body)
    for figure in BACKTEST_FIGURES:
        payload = explained(explained_api, path, body, figure=figure)
        given, series = payload["parameters"], held(payload).held
        rows = slice(len(series.returns) - given["observations"], len(series.returns))
        spec, method = TailSpec(given["confidence"]), VAR_METHODS[given["method"]]
        forecast = held_forecasts(series, rows, given["window_sessions"], method, spec)
        made = backtest(series.returns[rows], forecast.var, forecast.es, given["confidence"])
        value = judged(served, figure)
        if figure == "traffic_light":
            assert payload["value"] == payload["recomputed"] == value == made.traffic_light.zone
        else:
            require_again(payload, value, of_backtest(made, figure))


def judged(served: dict[str, Any], figure: str) -> Any:
    if figure in ("traffic_light", "basel_multiplier"):
        return served["traffic_light"]["zone" if figure == "traffic_light" else "multiplier"]
    for ending, part in (("_p_value", "p_value"), ("_statistic", "value")):
        if figure.endswith(ending):
            return served[figure.removesuffix(ending)][part]
    return served[figure]


def of_backtest(made: VarBacktest, figure: str) -> float | None:
    if figure == "basel_multiplier":
        return made.traffic_light.multiplier
    name = figure.removesuffix("_p_value").removesuffix("_statistic")
    found = getattr(made, name)
    if figure == name:
        return float(found)
    return getattr(found, "p_value" if figure.endswith("_p_value") else "value")  # type: ignore[no-any-return]


@pytest.mark.parametrize("estimator", ["sample", "ewma", "oas"])
def test_entries_of_a_matrix_by_another_estimator(explained_api: httpx.Client, estimator: str) -> None:
    matrix = get(explained_api, "covariance", estimator=estimator)
    for row, column in (("AAPL", "MSFT"), ("MTUM", "MTUM")):
        places = matrix["symbols"].index(row), matrix["symbols"].index(column)
        for measure in ("covariance", "correlation"):
            asked = {"symbol": row, "other": column, "measure": measure, "estimator": estimator}
            payload = checked(get(explained_api, "covariance/explain", **asked))
            symbols = list(payload["inputs"]["close"])
            assert payload["parameters"]["estimator"] == estimator
            again = by_hand(simple_returns(closes(payload)), estimator)
            shown = again if measure == "covariance" else known_correlation(again)
            found = float(shown[symbols.index(row), symbols.index(column)])
            require_again(payload, matrix[measure][places[0]][places[1]], found)


def by_hand(returns: FloatArray, estimator: str) -> FloatArray:
    if estimator == "sample":
        return np.cov(returns, rowvar=False)
    if estimator == "ewma":
        return ewma(returns)
    return estimate_covariance(returns, estimator)


def ewma(returns: FloatArray) -> FloatArray:
    """RiskMetrics 1996: Σ λ^i r r' / Σ λ^i with λ = 0.94."""
    weights = 0.94 ** np.arange(len(returns))[::-1]
    return (returns * weights[:, None]).T @ returns / weights.sum()


def test_principal_factors(explained_api: httpx.Client) -> None:
    query = {"count": 3, "window_sessions": 200, "symbols": ["AAPL", "MSFT", "SAP", "MTUM"]}
    served = get(explained_api, "principal-factors", **query)
    for place, factor in enumerate(served["factors"], start=1):
        for figure in ("explained", "volatility"):
            payload = checked(get(explained_api, "principal-factors/explain", **query, factor=place, figure=figure))
            variances = np.linalg.eigvalsh(np.cov(simple_returns(closes(payload)), rowvar=False))[::-1]
            again = variances[place - 1] / variances.sum()
            if figure == "volatility":
                again = np.sqrt(variances[place - 1] * 252)
            require_again(payload, factor[figure], float(again))
        for symbol, loading in factor["loadings"].items():
            asked = {**query, "factor": place, "figure": "loading", "symbol": symbol}
            payload = checked(get(explained_api, "principal-factors/explain", **asked))
            _, vectors = np.linalg.eigh(np.cov(simple_returns(closes(payload)), rowvar=False))
            again = vectors[list(payload["inputs"]["close"]).index(symbol), -place]
            require_again(payload, loading, float(np.copysign(again, loading)))
    assert payload["session"] == served["as_of"]


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("principal-factors", {"figure": "loadings"}, "volatility"),
        ("principal-factors", {"figure": "loading", "symbols": ["AAPL", "MSFT"], "count": 2}, "AAPL, MSFT"),
        ("principal-factors", {"count": 2, "factor": 3}, "1, 2"),
        ("covariance", {"symbol": "AAPL", "other": "NEW", "estimator": "oas"}, "covariance?session=2022-12-28"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_can(
    explained_api: httpx.Client, path: str, query: dict[str, Any], words: str
) -> None:
    answer = explained_api.get(f"/api/v1/{path}/explain", params=query)
    assert answer.status_code == 404, answer.text[:300]
    assert words in answer.json()["remedy"]
