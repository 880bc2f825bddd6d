"""Contributions, stress, limits and splits of portfolios follow from the payloads of their explanations.

Each test takes the served value from the table's own route, and recomputes it from nothing but the JSON of the
explanation by the public functions of the core.
"""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.currency import (
    compounded_contributions,
    currency_contributions,
    split_returns,
)
from pipeline.risk.measures.holdings import opening_weights, scenario_returns
from pipeline.risk.measures.limits import Limit, check_limits
from pipeline.risk.measures.liquidity import liquidation_horizons, liquidity_adjusted_var
from pipeline.risk.measures.position_parts import position_parts
from pipeline.risk.measures.splits import (
    SplitSpec,
    decomposed,
    split_by_factor,
    split_by_group,
    split_by_position,
)
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS, PricePanel
from pipeline.risk.measures.stress_replays import replay_sessions, window_paths
from pipeline.risk.measures.stress_scenarios import standard_outcomes
from pipeline.risk.measures.stress_standing import Outcomes, Registered, standing_of
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import simple_returns
from serving.routes.explaining.contributions import CONTRIBUTION_FIGURES
from serving.routes.explaining.stress import POSITION_FIGURES, WHOLE_FIGURES
from serving.routes.explaining.tails import ERROR_FIGURES, TAIL_FIGURES
from tests.integration.serving.explained import (
    TOLERANCE,
    closes,
    explained,
    get,
    held,
    holdings,
    require_again,
    sessions_of,
)
from tests.integration.serving.seeding import DOLLARS_PER_EURO, SESSIONS, Seeded

pytestmark = pytest.mark.xdist_group("explained_figures")


@pytest.mark.parametrize("portfolio", ["held", "quarterly", "mixed", "banded"])
@pytest.mark.parametrize("method", sorted(VAR_METHODS))
def test_tails(explaining: httpx.Client, portfolio: str, method: str) -> None:
    path = f"portfolios/{portfolio}/tail"
    rows = [row for row in get(explaining, path, limit=2_000)["data"] if row["method"] == method]
    for row in (rows[-1], rows[-40]):
        for measure in TAIL_FIGURES:
            asked = {"method": method, "measure": measure, "session": row["session"]}
            payload = explained(explaining, path, "portfolio_tail", **asked)
            series, window = held(payload).held, payload["parameters"]["window_sessions"]
            scenarios = scenario_returns(series, len(series.returns), window)
            spec = TailSpec(payload["definition"]["parameters"]["confidence"])
            estimate = VAR_METHODS[method].estimate(scenarios, spec)
            require_again(payload, row[measure], float(estimate.var if measure.startswith("var") else estimate.es))
        for measure in ERROR_FIGURES:
            asked = {"method": method, "measure": measure, "session": row["session"]}
            payload = explained(explaining, path, "portfolio_tail", **asked)
            assert payload["value"] == row[measure]
            if method != "monte_carlo":
                assert (payload["value"], payload["undefined_because"]) == (None, "not_simulated")
                continue
            assert payload["parameters"]["law"] == "student_t"
            assert payload["definition"]["unit"] == "fraction, standard error"
            assert 0.0 < payload["value"] < 0.1 * row[measure.removesuffix("_error")]
            series, window = held(payload).held, payload["parameters"]["window_sessions"]
            spec = TailSpec(payload["definition"]["parameters"]["confidence"])
            estimate = VAR_METHODS[method].estimate(scenario_returns(series, len(series.returns), window), spec)
            error = estimate.var_standard_error if measure.startswith("var") else estimate.es_standard_error
            assert error is not None
            require_again(payload, row[measure], float(error))


@pytest.mark.parametrize("session", ["2022-12-28", "2021-12-31"])
def test_components_sum_to_what_the_scenarios_say(explaining: httpx.Client, session: str) -> None:
    path, asked = "portfolios/quarterly/contributions", {"measure": "var_99_1d_component", "session": session}
    parts = [explained(explaining, path, symbol=symbol, **asked) for symbol in ("AAPL", "MSFT")]
    losses = np.sort(-np.array(parts[0]["inputs"]["scenarios"]))
    assert sum(payload["value"] for payload in parts) == pytest.approx(losses[int(np.ceil(0.99 * 252)) - 1], abs=1e-12)


@pytest.mark.parametrize("portfolio", ["held", "mixed", "banded"])
def test_contributions(explaining: httpx.Client, portfolio: str) -> None:
    path = f"portfolios/{portfolio}/contributions"
    rows = get(explaining, path)["data"]
    for row in rows[-2:]:
        for measure in CONTRIBUTION_FIGURES:
            asked = {"symbol": row["symbol"], "measure": measure, "session": row["session"]}
            payload = explained(explaining, f"portfolios/{portfolio}/contributions", "portfolio_contribution", **asked)
            place, series = list(payload["inputs"]["close"]).index(row["symbol"]), held(payload).held
            measured, _, part = measure.rpartition("_")
            weights, returns = (
                series.weights[-1],
                series.asset_returns[-int(payload["parameters"]["window_sessions"]) :],
            )
            values = weights if measure == "weight" else getattr(position_parts(weights, returns)[measured], part)
            require_again(payload, row[measure], float(values[place]))


def crisis(payload: dict[str, Any]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Total and worst total, and each position's figures, of a crisis."""
    inputs = payload["inputs"]
    symbols, sessions = list(inputs["weights"]), sessions_of(payload)
    missing = [float("nan")] * len(sessions)
    close = np.column_stack([inputs["close"].get(symbol, missing) for symbol in symbols])
    window = HISTORICAL_WINDOWS[payload["parameters"]["scenario"]]
    paths = window_paths(window, PricePanel(sessions, close), np.array(inputs["benchmark_close"]))
    betas = np.array([inputs["betas"].get(symbol, np.nan) for symbol in symbols])
    weights = np.array(list(inputs["weights"].values()))
    made = replay_sessions(paths, np.arange(len(symbols)), weights[None], betas[None])
    figures = {"shock": made.shocks, "pnl": made.pnl, "worst_shock": made.worst_shocks, "worst_pnl": made.worst_pnl}
    whole = {"total": float(made.pnl.sum()), "worst_total": float(made.worst_pnl.sum())}
    return whole, {s: {name: float(v[0, place]) for name, v in figures.items()} for place, s in enumerate(symbols)}


@pytest.mark.parametrize("portfolio", ["held", "mixed", "proxied", "banded"])
def test_crises(explaining: httpx.Client, portfolio: str) -> None:
    path = f"portfolios/{portfolio}/stress"
    scenarios = {s["scenario"]: s for s in get(explaining, path, kind="historical")["data"]}
    for name in ("covid_2020", "rates_2022"):
        served = scenarios[name]
        for measure in ("total", "worst_total"):
            payload = explained(explaining, path, "stress_result", scenario=name, measure=measure)
            require_again(payload, served[measure], crisis(payload)[0][measure])
        for position in served["positions"]:
            for measure in POSITION_FIGURES:
                asked = {"scenario": name, "symbol": position["symbol"], "measure": measure}
                payload = explained(explaining, path, "stress_result", **asked)
                if measure == "weight":
                    place = list(payload["inputs"]["amounts"]).index(position["symbol"])
                    again = held(payload).held.weights[-1][place]
                else:
                    again = crisis(payload)[1][position["symbol"]][measure]
                require_again(payload, position[measure], float(again))


def test_a_position_without_prices_in_a_crisis_moves_by_its_beta(explaining: httpx.Client) -> None:
    asked = {"scenario": "covid_2020", "symbol": "LATE"}
    payload = explained(explaining, "portfolios/proxied/stress", "stress_result", **asked)
    assert payload["parameters"]["shocked_by"] == "benchmark_beta"
    index = np.array(payload["inputs"]["benchmark_close"])
    growth = np.prod(1.0 + payload["inputs"]["betas"]["LATE"] * simple_returns(index)) - 1.0
    assert payload["inputs"]["weights"]["LATE"] * growth == pytest.approx(payload["value"], rel=TOLERANCE)
    assert list(payload["inputs"]["close"]) == ["AAPL"]


def test_a_crisis_of_two_currencies_is_converted_at_the_rates_of_its_sessions(
    explaining: httpx.Client, explained_seed: Seeded
) -> None:
    asked = {"scenario": "covid_2020", "symbol": "SAP"}
    payload = explained(explaining, "portfolios/mixed/stress", "stress_result", **asked)
    rows = np.searchsorted(SESSIONS, sessions_of(payload))
    rates = 1.01 * DOLLARS_PER_EURO[rows]
    assert list(payload["inputs"]["exchange_rates"]) == ["EUR"]
    np.testing.assert_allclose(payload["inputs"]["exchange_rates"]["EUR"], rates, rtol=1e-15)
    assert payload["inputs"]["currencies"] == {"AAPL": "USD", "SAP": "EUR", "SPX": "USD"}
    np.testing.assert_allclose(
        closes(payload, "SAP")[:, 0], 2.0 * explained_seed.close["SAP"][rows] * rates, rtol=1e-12
    )
    assert payload["partitions"]["fx_rates"] == ["2020-02-01", "2020-03-01"]


def stood(payload: dict[str, Any]) -> Outcomes:
    """A standard scenario of the holdings, closes and measures of a payload."""
    inputs, series = payload["inputs"], held(payload).held
    symbols, funds = list(inputs["close"]), sorted({fund for row in inputs["exposures"].values() for fund in row})
    nan = float("nan")
    registered = Registered(
        np.arange(len(symbols)),
        tuple(inputs["groups"][symbol] for symbol in symbols),
        tuple(inputs["currencies"][symbol] for symbol in symbols),
        "USD",
        tuple(funds),
    )
    betas = np.array([inputs["betas"].get(symbol, nan) for symbol in symbols])
    exposures = np.array([[inputs["exposures"][symbol].get(fund, nan) for fund in funds] for symbol in symbols])
    standing = standing_of(series, np.array([len(series.returns)]), registered, betas[None], exposures[None])
    return next(o for o in standard_outcomes(standing) if o.statement.name == payload["parameters"]["scenario"])


@pytest.mark.parametrize("portfolio", ["quarterly", "mixed", "banded"])
@pytest.mark.parametrize("kind", ["hypothetical", "reverse"])
def test_standard_scenarios(explaining: httpx.Client, portfolio: str, kind: str) -> None:
    path = f"portfolios/{portfolio}/stress"
    for served in get(explaining, path, kind=kind)["data"]:
        for measure in WHOLE_FIGURES:
            payload = explained(explaining, path, "stress_result", scenario=served["scenario"], measure=measure)
            outcomes = stood(payload)
            whole = {"total": outcomes.totals, "worst_total": outcomes.worst_totals, **outcomes.figures}
            require_again(payload, served[measure], float(whole[measure][0]) if measure in whole else None)
        for position in served["positions"][:1]:
            asked = {"scenario": served["scenario"], "symbol": position["symbol"], "measure": "pnl"}
            payload = explained(explaining, path, "stress_result", **asked)
            place = list(payload["inputs"]["close"]).index(position["symbol"])
            require_again(payload, position["pnl"], float(stood(payload).pnl[0, place]))


def test_limits(explaining: httpx.Client) -> None:
    risk = get(explaining, "portfolios/held/risk")["data"][-1]
    for measure, status in (("var_99_1d", "WARN"), ("largest_weight", "BREACH")):
        payload = explained(explaining, "portfolios/held/limits", measure=measure)
        limit = Limit(measure, payload["parameters"]["warn"], payload["parameters"]["breach"], "above")
        if measure == "var_99_1d":
            value = risk[measure]
            window = int(payload["parameters"]["window_sessions"])
            losses = np.sort(-np.array(payload["inputs"]["scenarios"]))
            assert losses[int(np.ceil(0.99 * window)) - 1] == pytest.approx(value, abs=TOLERANCE)
        else:
            value = float(concentration(held(payload).held.weights[-1])[measure])
        (state,) = check_limits({measure: value}, (limit,))
        assert payload["value"] == payload["recomputed"] == state.status == status
        for figure, served in (("value", value), ("headroom", limit.breach - value)):
            require_again(
                explained(explaining, "portfolios/held/limits", measure=measure, figure=figure), served, served
            )


@pytest.mark.parametrize("portfolio", ["mixed", "held", "banded"])
def test_currency_splits(explaining: httpx.Client, portfolio: str) -> None:
    path, window = f"portfolios/{portfolio}/currency", {"start": "2022-03-01", "end": "2022-09-15"}
    served = get(explaining, path, **window)
    for measure in ("local", "fx", "cross", "total"):
        payload = explained(explaining, path, measure=measure, **window)
        assert payload["written_by"] is None
        parts = split(payload)
        require_again(payload, served["compounded"][measure], getattr(compounded_contributions(parts), measure))
        for place in (0, 40, -1):
            row = served["sessions"][place]
            payload = explained(explaining, path, measure=measure, session=row["session"], **window)
            require_again(payload, row[measure], float(getattr(split(payload), measure)[place]))
    for exposure in served["exposures"]:
        asked = {"currency": exposure["currency"], **window}
        payload = explained(explaining, path, measure="weight", **asked)
        own = [payload["inputs"]["currencies"].get(s, "USD") for s in payload["inputs"]["close"]]
        weights = held(payload).held.weights[-1]
        again = sum(w for w, code in zip(weights, own, strict=True) if code == exposure["currency"])
        require_again(payload, exposure["weight"], float(again))
        payload = explained(explaining, path, measure="fx_return", **asked)
        count = payload["parameters"]["window_sessions"]
        rates = values(payload)[-count - 1 :, own.index(exposure["currency"])]
        require_again(payload, exposure["fx_return"], float(rates[-1] / rates[0] - 1.0))


def values(payload: dict[str, Any]) -> FloatArray:
    """(t, k) of one unit of each position's currency."""
    inputs = payload["inputs"]
    ones = [1.0] * len(inputs["sessions"])
    return np.column_stack([inputs["exchange_rates"].get(inputs["currencies"].get(s), ones) for s in inputs["close"]])


def split(payload: dict[str, Any]) -> Any:
    count, close, rates = payload["parameters"]["window_sessions"], closes(payload), values(payload)
    returns = split_returns(simple_returns((close / rates)[-count - 1 :]), simple_returns(rates[-count - 1 :]))
    return currency_contributions(opening_weights(close, sessions_of(payload), holdings(payload))[-count:], returns)


@pytest.mark.parametrize(
    "request_body",
    [
        {"measure": "volatility"},
        {"measure": "volatility", "by": "sector", "covariance": "oas"},
        {"measure": "es", "by": "sector", "confidence": 0.975},
        {"measure": "var", "by": "factor", "method": "kernel"},
    ],
)
def test_decompositions(explaining: httpx.Client, request_body: dict[str, Any]) -> None:
    path = "/api/v1/portfolios/mixed/decomposition"
    served = explaining.post(path, json=request_body).json()
    for part in [None, *served["parts"]]:
        for figure in ("component", "share", "marginal", "incremental", "size") if part else ("total",):
            name = {} if part is None else {"part": part["name"]}
            answer = explaining.post(f"{path}/explain", json={**request_body, **name, "figure": figure})
            assert answer.status_code == 200, answer.text
            payload = answer.json()
            assert payload["doubts"] == []
            value = served["total"] if part is None else part[figure]
            require_again(payload, value, decomposition(payload, figure))
    assert payload["inputs"]["exchange_rates"]["EUR"]


def decomposition(payload: dict[str, Any], figure: str) -> float:
    inputs, given = payload["inputs"], payload["parameters"]
    symbols, weights = list(inputs["weights"]), np.array(list(inputs["weights"].values()))
    returns = simple_returns(closes(payload, *symbols))
    if given["by"] == "sector":
        cut = split_by_group([inputs["groups"][symbol] for symbol in symbols], weights, returns)
    elif given["by"] == "factor":
        funds = simple_returns(np.column_stack(list(inputs["factors"].values())))
        cut = split_by_factor(symbols, weights, returns, list(inputs["factors"]), funds)
    else:
        cut = split_by_position(symbols, weights, returns)
    chosen = {name: given[name] for name in ("confidence", "covariance", "method") if name in given}
    parts = decomposed(cut, SplitSpec(given["measure"], **chosen))
    if figure == "total":
        return parts.total
    place = cut.names.index(given["part"])
    if figure == "share":
        return float(parts.component[place] / parts.total)
    return float((cut.sizes if figure == "size" else getattr(parts, figure))[place])


@pytest.mark.parametrize("days_if_unknown", [None, 12.0])
def test_liquidation(explaining: httpx.Client, days_if_unknown: float | None) -> None:
    positions = [{"symbol": "AAPL", "target_weight": 0.3}, {"symbol": "SAP", "target_weight": 0.7}]
    liquidity = {"portfolio_value": 2e6, "days_if_unknown": days_if_unknown}
    body = {"positions": positions, "rebalancing": "daily", "base_currency": "USD", "liquidity": liquidity}
    served = explaining.post("/api/v1/calculate", json=body).json()
    for figure in served["liquidity"]["figures"]:
        for name in ("var", "liquidity_adjusted_var"):
            asked = {"figure": name, "at": figure["confidence"]}
            payload = sold(explaining, {**body, **asked})
            made = liquidated(payload)
            again = made.value_at_risk if name == "var" else made.liquidity_adjusted_var
            require_again(payload, figure[name], again)
    for position in served["positions"]:
        asked = {"figure": "liquidation_sessions", "symbol": position["symbol"]}
        payload = sold(explaining, {**body, **asked})
        require_again(payload, position["liquidation_sessions"], payload["recomputed"])
    assert served["positions"][0]["liquidation_sessions"] > 0
    assert served["liquidity"]["without_volume"] == ["SAP"]
    assert list(payload["inputs"]["exchange_rates"]) == ["EUR"]


def test_spreads(explaining: httpx.Client) -> None:
    positions = [{"symbol": "AAPL", "target_weight": 0.3}, {"symbol": "SAP", "target_weight": 0.7}]
    spreads = [{"symbol": "AAPL", "mean": 0.002, "deviation": 0.001}, {"symbol": "SAP", "mean": 0.01}]
    body = {"positions": positions, "rebalancing": "daily", "base_currency": "USD", "liquidity": {"spreads": spreads}}
    served = explaining.post("/api/v1/calculate", json=body).json()
    for symbol, cost in [(None, served["liquidity"]), *((row["symbol"], row) for row in served["positions"])]:
        payload = sold(explaining, {**body, "figure": "spread_cost", "symbol": symbol})
        given, weights = payload["parameters"], payload["inputs"]["weights"]
        made = {
            name: weight
            / 2
            * (given[f"spread_mean.{name}"] + given["spread_deviations"] * given[f"spread_deviation.{name}"])
            for name, weight in weights.items()
        }
        require_again(payload, cost["spread_cost"], sum(made.values()) if symbol is None else made[symbol])
        assert "Bangia" in payload["definition"]["source"]
    unsaid = sold(explaining, {**body, "liquidity": {}, "figure": "spread_cost"})
    assert (unsaid["value"], unsaid["undefined_because"]) == (None, "spread_unknown")


def sold(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/api/v1/calculate/liquidity/explain", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def liquidated(payload: dict[str, Any]) -> Any:
    inputs, given = payload["inputs"], payload["parameters"]
    weights = np.array(list(inputs["weights"].values()))
    traded = np.array([np.nan if value is None else value for value in inputs["turnover"].values()])
    horizons = liquidation_horizons(weights * given["portfolio_value"], traded, list(inputs["weights"]), 0.2)
    assumed = given.get("days_if_unknown")
    return liquidity_adjusted_var(weights, simple_returns(closes(payload)), horizons, given["confidence"], assumed)
