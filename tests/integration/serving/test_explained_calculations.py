"""Every figure of a calculation, a what-if and the report follows from the payload of its explanation.

The served value is taken from the route that computes it for its callers, and computed again from nothing but the JSON
of the explanation, by formulas written here or by the public functions of the core.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.code_version import code_version
from pipeline.base.types import FloatArray
from pipeline.risk.measures import RiskSpec, Windows
from pipeline.risk.measures.concentration import concentration
from pipeline.risk.measures.convention_meanings import peer_name
from pipeline.risk.measures.conventions import ConventionSpec, by_convention
from pipeline.risk.measures.drawdown import drawdown_spells, drawdowns
from pipeline.risk.measures.entropic import entropic_var
from pipeline.risk.measures.holdings import scenario_returns
from pipeline.risk.measures.on_request import reported_measure
from pipeline.risk.measures.position_parts import position_parts
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import simple_returns
from tests.integration.serving.explained import TOLERANCE, get, held, require_again, sessions_of
from tests.integration.serving.seeding import SESSIONS

DAYS = [str(day) for day in SESSIONS[-300:]]
MEASURES = ("cagr", "sharpe_ratio", "alpha", "var_99_1d", "cdar_95", "excess_kurtosis", "omega_ratio", "correlation")
HOLDINGS = {
    "positions": [{"symbol": "AAPL", "target_weight": 0.4}, {"symbol": "SAP", "target_weight": 0.6}],
    "rebalancing": "quarterly",
    "base_currency": "USD",
    "benchmark": "SPX",
}
QUANTITIES = {"positions": [{"symbol": "AAPL", "quantity": 3}, {"symbol": "MSFT", "quantity": -1}]}


def drawn(seed: int, count: int = 300) -> list[float]:
    return np.random.default_rng(seed).normal(0.0004, 0.01, count).tolist()


GIVEN = {"returns": {"values": drawn(1)}, "benchmark": {"values": drawn(2)}, "risk_free_rate_annual": 0.02}
DATED = {"returns": {"values": drawn(1), "dates": DAYS}, "benchmark": "SPX", "window_sessions": 260}


def posted(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text[:500]
    return dict(answer.json())


def explained(client: httpx.Client, path: str, body: dict[str, Any], **chosen: Any) -> dict[str, Any]:
    return checked(posted(client, f"{path}/explain", {**body, **chosen}))


def checked(payload: dict[str, Any]) -> dict[str, Any]:
    assert payload["doubts"] == []
    assert payload["definition"]["formula"]
    assert payload["definition"]["source"]
    assert payload["definition"]["meaning"]
    assert payload["written_by"] is None
    assert payload["code_version"] == code_version("risk")
    stored = payload["inputs"]["close"] or payload["inputs"]["benchmark"] not in (None, "given")
    assert bool(payload["prices_written_by"]) == bool(stored)
    return payload


def windows_of(payload: dict[str, Any]) -> tuple[Windows, RiskSpec]:
    """What the payload says was measured."""
    inputs, given = payload["inputs"], payload["parameters"]
    count = given["window_sessions"]
    returns = scenarios = np.array(inputs["returns"])
    if inputs["amounts"] is not None:
        series = held(payload).held
        returns, scenarios = series.returns[-count:], scenario_returns(series, len(series.returns), count)
        assert returns == pytest.approx(inputs["returns"], rel=TOLERANCE)
        assert scenarios == pytest.approx(inputs["scenarios"], rel=TOLERANCE, abs=TOLERANCE)
    assert len(returns) == count
    index = inputs["benchmark_returns"]
    if inputs["benchmark_close"] is not None:
        assert index is None
        index = simple_returns(np.array(inputs["benchmark_close"]))[-count:]
    rates = None if inputs["risk_free"] is None else np.array(inputs["risk_free"]["daily"], dtype=np.float64)
    spec = RiskSpec(
        periods_per_year=given.get("periods_per_year", 252),
        risk_free_rate_annual=given.get("risk_free_rate_annual", 0.0),
    )
    return Windows(returns, scenarios, None if index is None else np.array(index), rates), spec


def measured(payload: dict[str, Any], name: str) -> float:
    windows, spec = windows_of(payload)
    given = payload["parameters"]
    measure = reported_measure(name, given.get("moments", "population"))
    library = given["convention"]
    if library == "platform":
        return float(measure.compute(windows, spec))
    returns = windows.scenarios if measure.reads_scenarios else windows.returns
    confidence = measure.parameters.get("confidence", 0.95)
    asked = ConventionSpec(confidence, spec.periods_per_year, windows.rate(spec), windows.benchmark)
    return float(by_convention(library, peer_name(measure), returns, asked))


def estimated(payload: dict[str, Any], figure: str) -> float | None:
    given = payload["parameters"]
    options = {name: given[name] for name in ("scaling", "ewma_lambda", "seed", "paths", "law") if name in given}
    spec = TailSpec(given["confidence"], given["horizon_sessions"], **options)
    estimate = VAR_METHODS[given["method"]].estimate(windows_of(payload)[0].scenarios, spec)
    found = getattr(estimate, figure)
    return None if found is None else float(found)


@pytest.mark.parametrize("body", [HOLDINGS, QUANTITIES, GIVEN, DATED], ids=["weights", "quantities", "given", "dated"])
def test_measures(explained_api: httpx.Client, body: dict[str, Any]) -> None:
    served = posted(explained_api, "calculate", body)
    values = {measure["name"]: measure for measure in served["measures"]}
    for name in MEASURES:
        payload = explained(explained_api, "calculate", body, figure=name)
        value = values[name]["value"]
        require_again(payload, value, None if value is None else measured(payload, name))
        assert payload["session"] == served["as_of"]
        assert payload["undefined_because"] == values[name]["undefined"]
        assert (payload["definition"]["formula"], payload["definition"]["unit"]) == (
            values[name]["formula"],
            values[name]["unit"],
        )


@pytest.mark.parametrize("library", ["quantstats", "skfolio"])
def test_measures_by_another_definition(explained_api: httpx.Client, library: str) -> None:
    body = {**GIVEN, "convention": library, "moments": "adjusted", "periods_per_year": 52}
    served = {measure["name"]: measure for measure in posted(explained_api, "calculate", body)["measures"]}
    for name in ("sharpe_ratio", "max_drawdown", "skewness", "volatility_ewma"):
        payload = explained(explained_api, "calculate", body, figure=name)
        require_again(payload, served[name]["value"], measured(payload, name))
        assert payload["definition"]["unit"] == served[name]["unit"]
        assert payload["parameters"]["convention"] == served[name]["convention"]
    tail = explained(explained_api, "calculate", body, figure="var", method=library, at=0.99)
    returns = np.array(tail["inputs"]["returns"])
    again = by_convention(library, "value_at_risk", returns, ConventionSpec(0.99, 52, 1.02 ** (1 / 52) - 1))  # type: ignore[arg-type]
    (own,) = [
        t
        for t in posted(explained_api, "calculate", body)["tails"]
        if (t["method"], t["confidence"]) == (library, 0.99)
    ]
    require_again(tail, own["var"], float(again))


@pytest.mark.parametrize("horizon", [1, 5])
def test_tails(explained_api: httpx.Client, horizon: int) -> None:
    body = {**HOLDINGS, "horizon_sessions": horizon, "confidence": [0.95, 0.99]}
    for tail in posted(explained_api, "calculate", body)["tails"]:
        for figure in ("var", "es", "var_standard_error", "es_standard_error"):
            asked = {"figure": figure, "method": tail["method"], "at": tail["confidence"]}
            payload = explained(explained_api, "calculate", body, **asked)
            require_again(payload, tail[figure], estimated(payload, figure))


def test_entropic_figures_drawdowns_and_concentration(explained_api: httpx.Client) -> None:
    served = posted(explained_api, "calculate", HOLDINGS)
    for row in served["entropic"]:
        for figure in ("evar", "edar"):
            payload = explained(explained_api, "calculate", HOLDINGS, figure=figure, at=row["confidence"])
            windows, _ = windows_of(payload)
            series = windows.scenarios if figure == "evar" else drawdowns(windows.returns)
            require_again(payload, row[figure], float(entropic_var(series, payload["parameters"]["confidence"])))
    for place, row in enumerate(served["drawdowns"], start=1):
        for figure, value in row.items():
            payload = explained(explained_api, "calculate", HOLDINGS, figure=figure, drawdown=place)
            windows, _ = windows_of(payload)
            spell = drawdown_spells(windows.returns, 5)[place - 1]
            again = getattr(spell, figure.removesuffix("_position"))
            if figure in ("start", "trough", "recovery"):
                days = sessions_of(payload)[-len(windows.returns) - 1 :]
                assert payload["value"] == value == (None if again is None else str(days[again]))
                assert payload["recomputed"] == value
            else:
                require_again(payload, value, again)
    for figure, value in served["concentration"].items():
        payload = explained(explained_api, "calculate", HOLDINGS, figure=figure)
        require_again(payload, value, float(concentration(held(payload).held.weights[-1])[figure]))
    for position in served["positions"]:
        payload = explained(explained_api, "calculate", HOLDINGS, figure="weight", symbol=position["symbol"])
        place = list(payload["inputs"]["amounts"]).index(position["symbol"])
        require_again(payload, position["weight"], float(held(payload).held.weights[-1][place]))


@pytest.mark.parametrize("dated", [False, True])
def test_returns_of_a_caller_rest_on_no_write(explained_api: httpx.Client, dated: bool) -> None:
    returns = {"values": drawn(1), **({"dates": DAYS} if dated else {})}
    payload = explained(explained_api, "calculate", {"returns": returns}, figure="sharpe_ratio")
    assert payload["session"] == (DAYS[-1] if dated else None)
    assert payload["inputs"]["sessions"] == (DAYS if dated else [])
    assert payload["prices_written_by"] == []
    assert payload["partitions"] == {}
    assert payload["inputs"]["returns"] == drawn(1)


CHANGES = {
    "held": {"trades": [{"symbol": "AAPL", "quantity": -1}, {"symbol": "SAP", "quantity": 2}]},
    "mixed": {"positions": [{"symbol": "MSFT", "target_weight": 1.0}], "rebalancing": "daily"},
    "banded": {
        "positions": [{"symbol": "AAPL", "target_weight": 0.2}, {"symbol": "MSFT", "target_weight": 0.8}],
        "drift_band": 0.01,
    },
}


@pytest.mark.parametrize("portfolio", CHANGES)
def test_both_sides_of_a_change(explained_api: httpx.Client, portfolio: str) -> None:
    path, body = f"portfolios/{portfolio}/what-if", {**CHANGES[portfolio], "confidence": [0.975]}
    served = posted(explained_api, path, body)
    for side in ("before", "after"):
        own, asked = served[side], {**body, "side": side}
        for name in ("sharpe_ratio", "beta", "var_99_1d"):
            payload = explained(explained_api, path, asked, figure=name)
            require_again(payload, own["measures"][name], measured(payload, name))
            assert payload["parameters"]["side"] == side
        for tail in own["tails"][:3]:
            payload = explained(explained_api, path, asked, figure="es", method=tail["method"], at=0.975)
            require_again(payload, tail["es"], estimated(payload, "es"))
        for part in own["contributions"]:
            for figure in ("weight", "volatility_component", "es_975_1d_component"):
                payload = explained(explained_api, path, asked, figure=figure, symbol=part["symbol"])
                require_again(payload, part[figure], component(payload, figure, part["symbol"]))
        payload = explained(explained_api, path, asked, figure="value")
        assert payload["value"] == own["value"]
        assert (payload["undefined_because"] is None) == (own["value"] is not None)


def component(payload: dict[str, Any], figure: str, symbol: str) -> float:
    series, place = held(payload).held, list(payload["inputs"]["amounts"]).index(symbol)
    weights: FloatArray = series.weights[-1]
    if figure == "weight":
        return float(weights[place])
    returns = np.ascontiguousarray(series.asset_returns[-payload["parameters"]["window_sessions"] :])
    return float(position_parts(weights, returns)[figure.removesuffix("_component")].component[place])


def asked_at(client: httpx.Client, template: str, **query: Any) -> dict[str, Any]:
    """What the address of a section answers, given those of its parameters that are wanted."""
    address, _, names = re.fullmatch(r"([^{]+)(\{\?([^}]*)\})?", template).groups()  # type: ignore[union-attr]
    assert set(query) <= set((names or "").split(","))
    path, _, fixed = address.removeprefix("/api/v1/").partition("?")
    fixed_query = dict(part.split("=") for part in fixed.split("&") if part)
    return checked(get(client, path, **fixed_query, **query))


def sections(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Address, parameters and served value of figures of every section that is computed for the request."""
    yield from of_performance(report["performance"], report["as_of"])
    for row in report["measures"]["measures"]:
        yield report["measures"]["explain"], {"figure": row["name"]}, row["value"]
    for row in report["tails"]["tails"]:
        for figure in ("var", "es"):
            asked = {"figure": figure, "method": row["method"], "at": row["confidence"]}
            yield report["tails"]["explain"], asked, row[figure]
    yield from of_contributions(report["contributions"])
    for row in report["limits"]["limits"]:
        for figure in ("value", "status", "headroom"):
            yield report["limits"]["explain"], {"figure": figure, "limit": row["measure"]}, row[figure]


def of_performance(performance: dict[str, Any], as_of: str) -> Iterator[tuple[str, dict[str, Any], Any]]:
    yield performance["explain_value"], {}, performance["value"]
    for row in performance["trailing"]:
        for figure in ("total_return", "annual_return", "benchmark_return"):
            yield performance["explain"], {"measure": figure, "start": row["start"]}, row[figure]
    for place, row in enumerate(performance["drawdowns"], start=1):
        yield performance["explain_drawdowns"], {"figure": "depth", "drawdown": place}, row["depth"]
    curve = performance["curve"]
    for figure in ("wealth", "drawdown"):
        asked = {"measure": figure, "start": curve["sessions"][0], "session": curve["sessions"][-30]}
        yield performance["explain"], asked, curve[figure][-30]
    for row in performance["months"][-3:]:
        before = str(np.datetime64(row["start"]) - 1)
        last = str((np.datetime64(row["start"], "M") + 1).astype("datetime64[D]") - 1)
        asked = {"measure": "total_return", "start": before, "session": min(last, as_of)}
        yield performance["explain"], asked, row["total_return"]


def of_contributions(contributions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    for figure, value in contributions["concentration"].items():
        yield contributions["explain"], {"figure": figure}, value
    for row in contributions["positions"]:
        for figure in set(row) - {"symbol"}:
            yield contributions["explain"], {"figure": figure, "symbol": row["symbol"]}, row[figure]


@pytest.mark.parametrize("portfolio", ["held", "mixed", "banded"])
def test_the_report_is_explained_by_what_it_serves(explained_api: httpx.Client, portfolio: str) -> None:
    report = get(explained_api, f"portfolios/{portfolio}/report")
    assert report["unavailable"] == {}
    asked = list(sections(report))
    assert len(asked) > 90
    for template, query, value in asked:
        payload = asked_at(explained_api, template, **query)
        if isinstance(value, float):
            assert payload["value"] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), (template, query)
            assert payload["recomputed"] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), (template, query)
        else:
            assert payload["value"] == payload["recomputed"] == value, (template, query)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("calculate", {**GIVEN, "figure": "sharp_ratio"}, "sharpe_ratio"),
        ("calculate", {**GIVEN, "figure": "weight", "symbol": "AAPL"}, "cagr"),
        ("calculate", {**GIVEN, "figure": "var"}, "cornish_fisher"),
        ("calculate", {**GIVEN, "figure": "var", "method": "ewma", "at": 0.9}, "0.975"),
        ("calculate", {**GIVEN, "figure": "depth", "drawdown": 40}, "1, 2"),
        ("calculate", {**GIVEN, "figure": "cagr", "measures": ["sharpe_ratio"]}, "sharpe_ratio"),
        ("calculate", {**HOLDINGS, "figure": "weight", "symbol": "MSFT"}, "AAPL, SAP"),
        ("portfolios/held/what-if", {**CHANGES["held"], "figure": "evar"}, "volatility_component"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_can(
    explained_api: httpx.Client, path: str, body: dict[str, Any], words: str
) -> None:
    answer = explained_api.post(f"/api/v1/{path}/explain", json=body)
    assert answer.status_code == 404, answer.text[:300]
    assert words in answer.json()["remedy"]
