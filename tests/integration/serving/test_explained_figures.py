"""Numbers of instruments, backtests, simulations and forecasts follow from the payloads of their explanations.

Each test takes the served value from the table's own route, and recomputes it from nothing but the JSON of the
explanation by the public functions of the core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.forecast.backtest import ForecastSpec, quantile_forecasts, volatility_forecasts
from pipeline.risk.measures.covariance import estimate_covariance
from pipeline.risk.measures.factors import ols_exposures, ridge_exposures
from pipeline.risk.measures.holdings import scenario_returns
from pipeline.risk.measures.pairs import known_correlation
from pipeline.risk.measures.rolling_backtests import JudgedForecasts, rolling_backtests
from pipeline.risk.measures.windows import TRADING_DAYS_PER_YEAR, simple_returns
from pipeline.simulation.models import MODELS
from pipeline.simulation.run import SimulationSpec, simulate
from serving.routes.explaining.backtests import BACKTEST_FIGURES
from serving.routes.explaining.forecasts import QUANTILE_FIGURES, VOLATILITY_FIGURES
from serving.routes.explaining.simulations import SIMULATION_FIGURES
from tests.integration.serving.explained import (
    TOLERANCE,
    closes,
    explained,
    get,
    held,
    require_again,
    sessions_of,
)
from tests.integration.serving.explained_results import FIT_SESSIONS, PATHS

pytestmark = pytest.mark.xdist_group("explained_figures")


@pytest.mark.parametrize("session", [None, "2021-12-31"])
def test_entries_of_a_matrix(explaining: httpx.Client, session: str | None) -> None:
    query = {} if session is None else {"session": session}
    matrix = get(explaining, "covariance", **query)
    for row, column in (("AAPL", "MSFT"), ("SPX", "SAP"), ("MTUM", "MTUM"), ("SAP", "AAPL")):
        places = matrix["symbols"].index(row), matrix["symbols"].index(column)
        for measure in ("covariance", "correlation"):
            pair = {"symbol": row, "other": column, "measure": measure}
            payload = explained(explaining, "covariance", "covariance", **pair, **query)
            symbols = list(payload["inputs"]["close"])
            again = estimate_covariance(simple_returns(closes(payload)), payload["parameters"]["estimator"])
            shown = again if measure == "covariance" else known_correlation(again)
            found = shown[symbols.index(row), symbols.index(column)]
            require_again(payload, matrix[measure][places[0]][places[1]], float(found))


@pytest.mark.parametrize("symbol", ["AAPL", "SAP", "MTUM"])
def test_exposures_to_factors(explaining: httpx.Client, symbol: str) -> None:
    rows = get(explaining, f"instruments/{symbol}/factors")["data"]
    newest = [row for row in rows if row["session"] == rows[-1]["session"]]
    oldest = next(row for row in rows if row["r_squared"] is not None)
    for row in [*newest, oldest]:
        for measure in ("exposure_ols", "standard_error", "t_statistic", "r_squared", "residual_volatility"):
            asked = {"factor": row["factor"], "measure": measure, "session": row["session"]}
            payload = explained(explaining, f"instruments/{symbol}/factors", "factor_exposure", **asked)
            require_again(payload, row[measure], regressed(payload, symbol, ols_exposures, measure))
        for measure in ("exposure_ridge", "ridge_penalty"):
            asked = {"factor": row["factor"], "measure": measure, "session": row["session"]}
            payload = explained(explaining, f"instruments/{symbol}/factors", "factor_exposure", **asked)
            require_again(payload, row[measure], regressed(payload, symbol, ridge_exposures, measure))


def regressed(payload: dict[str, Any], symbol: str, regress: Callable[..., Any], measure: str) -> float:
    factors = [name for name in payload["inputs"]["close"] if name != symbol]
    made = regress(simple_returns(closes(payload, symbol)), simple_returns(closes(payload, *factors)))
    place = factors.index(payload["parameters"]["factor"])
    figures = {
        "exposure_ols": made.betas[0, place],
        "standard_error": made.beta_standard_errors[0, place],
        "t_statistic": made.beta_t[0, place],
        "exposure_ridge": made.betas[0, place],
        "ridge_penalty": made.penalty[0],
        "r_squared": made.r_squared[0],
        "residual_volatility": made.residual_volatility_daily[0] * np.sqrt(TRADING_DAYS_PER_YEAR),
    }
    return float(figures[measure])


@pytest.mark.parametrize("subject", ["portfolios/held", "portfolios/mixed", "instruments/AAPL"])
def test_backtests(explaining: httpx.Client, subject: str) -> None:
    rows = get(explaining, f"{subject}/backtests")["data"]
    chosen = [*[row for row in rows if row["session"] == rows[-1]["session"]][:3], rows[0]]
    of_risk = [row for row in rows if row["method"] == "historical_252"][-2:]
    assert len(of_risk) == (2 if subject == "portfolios/held" else len(of_risk))
    chosen += of_risk
    assert any(row["traffic_light"] for row in chosen)
    for row in chosen:
        for figure in BACKTEST_FIGURES:
            asked = {"measure": row["measure"], "figure": figure, "session": row["session"]}
            if subject.startswith("portfolios"):
                asked["method"] = row["method"]
            payload = explained(explaining, f"{subject}/backtests", "var_backtest", **asked)
            again = judged(payload)[figure]
            if figure == "traffic_light":
                assert payload["value"] == payload["recomputed"] == (row[figure] or None) == again
                assert payload["difference"] is None
            else:
                require_again(payload, row[figure], again)
        assert payload["inputs_written_by"]
        assert earned(payload) == pytest.approx(payload["inputs"]["returns"], rel=TOLERANCE)


def judged(payload: dict[str, Any]) -> dict[str, Any]:
    inputs, confidence = payload["inputs"], payload["parameters"]["confidence"]
    values = inputs["forecasts"]["values"]
    var = np.array(values[payload["parameters"]["measure"]])
    es = values.get(payload["parameters"]["measure"].replace("var", "es"))
    series = JudgedForecasts(np.array(inputs["returns"]), var, None if es is None else np.array(es), confidence)
    made = rolling_backtests(series, np.array([0]), np.array([len(var)]))
    return {
        "observations": float(made.observations[0]),
        "exceptions": float(made.exceptions[0]),
        "expected_exceptions": (1.0 - confidence) * len(var),
        **{name: float(column[0]) for name, column in made.values.items()},
        "traffic_light": made.zones[0].decode() or None,
    }


def earned(payload: dict[str, Any]) -> list[float]:
    """The returns after each forecast, from the closes."""
    single = payload["inputs"]["amounts"] is None
    returns = simple_returns(closes(payload)[:, 0]) if single else held(payload).held.returns
    rows = np.searchsorted(sessions_of(payload), np.array(payload["inputs"]["forecasts"]["sessions"], "datetime64[D]"))
    return returns[rows].tolist()


@pytest.mark.parametrize("portfolio", ["held", "quarterly", "mixed", "banded"])
def test_simulations(explaining: httpx.Client, portfolio: str) -> None:
    rows = get(explaining, f"portfolios/{portfolio}/simulations")["data"]
    newest = {row["model"]: row for row in rows}
    assert set(newest) == set(MODELS)
    for row in [*newest.values(), rows[0]]:
        first: dict[str, Any] = {}
        for measure in SIMULATION_FIGURES:
            asked = {"model": row["model"], "measure": measure, "session": row["session"]}
            payload = explained(explaining, f"portfolios/{portfolio}/simulations", "portfolio_simulation", **asked)
            if not first:
                first, again = payload, simulated(payload)
            assert payload["inputs"] == first["inputs"]
            assert {**payload["parameters"], "measure": None} == {**first["parameters"], "measure": None}
            require_again(payload, row[measure], float(getattr(again, measure)))
        assert payload["parameters"]["paths"] == PATHS
        assert len(payload["inputs"]["scenarios"]) == FIT_SESSIONS


def simulated(payload: dict[str, Any]) -> Any:
    given = payload["parameters"]
    names = ("model", "horizon_sessions", "paths", "seed", "fit_window_sessions")
    series = held(payload).held
    window = scenario_returns(series, len(series.returns), given["fit_window_sessions"])
    assert window.tolist() == pytest.approx(payload["inputs"]["scenarios"], rel=TOLERANCE)
    return simulate(window, SimulationSpec(**{name: given[name] for name in names}), given["subject"])


@pytest.mark.parametrize("symbol", ["AAPL", "SAP"])
def test_forecasts(explaining: httpx.Client, symbol: str) -> None:
    rows = get(explaining, f"instruments/{symbol}/forecasts", limit=300)
    for kind, figures, make in (
        ("volatility", VOLATILITY_FIGURES, volatility_forecasts),
        ("quantiles", QUANTILE_FIGURES, quantile_forecasts),
    ):
        for row in [*rows[kind][-2:], rows[kind][len(rows[kind]) // 2]]:
            for measure in figures:
                asked = {"model": row["model"], "measure": measure, "session": row["as_of"]}
                payload = explained(explaining, f"instruments/{symbol}/forecasts/{kind}", **asked)
                returns = simple_returns(closes(payload)[:, 0])
                forecasts = make(returns, ForecastSpec(), slice(len(returns), None))
                columns = next(f for f in forecasts if f.model == row["model"]).columns(sessions_of(payload))
                require_again(payload, row[measure], float(columns[measure][0]))
            assert payload["parameters"]["model_version"] == row["model_version"]
    assert payload["written_by"]["run_id"] == "run-of-quantile_forecast"


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("portfolios/held/risk", {"measure": "vollatility"}, "cagr"),
        ("portfolios/held/tail", {"method": "guess", "measure": "var_99_1d"}, "filtered_historical"),
        ("portfolios/held/tail", {"method": "ewma", "measure": "cagr"}, "var_975_1d"),
        ("portfolios/held/contributions", {"symbol": "SAP", "measure": "weight"}, "AAPL, MSFT"),
        ("portfolios/held/contributions", {"symbol": "AAPL", "measure": "cagr"}, "volatility_component"),
        ("portfolios/held/stress", {"scenario": "y2k"}, "equity_down_20"),
        ("portfolios/held/stress", {"scenario": "covid_2020", "measure": "shock"}, "worst_total"),
        ("portfolios/held/simulations", {"model": "garch", "measure": "var_99"}, "student_t"),
        ("portfolios/held/simulations", {"model": "student_t", "measure": "var"}, "es_975_error"),
        ("portfolios/held/limits", {"measure": "cagr"}, "var_99_1d (above)"),
        ("portfolios/held/backtests", {"method": "ewma", "measure": "var_99_1d", "figure": "z"}, "kupiec_p_value"),
        ("portfolios/held/backtests", {"method": "z", "measure": "var_99_1d", "figure": "exceptions"}, "gaussian"),
        ("portfolios/held/currency", {"measure": "weight"}, "cross"),
        ("portfolios/held/currency", {"measure": "weight", "currency": "GBP"}, "USD"),
        ("instruments/AAPL/factors", {"factor": "SPX"}, "MTUM"),
        ("instruments/AAPL/factors", {"factor": "MTUM", "measure": "beta"}, "exposure_ridge"),
        ("instruments/AAPL/forecasts/volatility", {"model": "garch", "measure": "volatility_1d"}, "har"),
        ("instruments/AAPL/forecasts/quantiles", {"model": "filtered_historical", "measure": "q"}, "es_0010"),
        ("covariance", {"symbol": "AAPL", "other": "MSFT", "measure": "beta"}, "correlation"),
        ("covariance", {"symbol": "AAPL", "other": "NEW"}, "covariance?session=2022-12-28"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_can(
    explaining: httpx.Client, path: str, query: dict[str, str], words: str
) -> None:
    answer = explaining.get(f"/api/v1/{path}/explain", params=query)
    assert answer.status_code == 404, answer.text
    assert words in answer.json()["remedy"]
