"""Tails and backtests over real HTTP: stored ones as they are, those on request by their definitions."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.risk.measures.backtests import backtest
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS, overlapping_returns
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.var_backtests import VAR_BACKTEST
from pipeline.store.writing import open_write
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import MONTHS, NOTICE, SESSIONS, SHORT_SESSIONS, Seeded, filled

PORTFOLIOS = "/api/v1/portfolios"


def answer(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    body = response.json()
    assert body.pop("notice") == NOTICE
    for told in ("warnings", "staleness", "next_cursor"):
        body.pop(told, None)
    return body["data"] if set(body) == {"data"} else body


def ask(api: httpx.Client, what: str, reference: str = "held", **body: Any) -> dict[str, Any]:
    return answer(api.post(f"{PORTFOLIOS}/{reference}/{what}", json=body))


def scenarios(seeded: Seeded, sessions: int) -> np.ndarray:
    """What the weights of `held` would have earned on the last sessions."""
    close = np.column_stack([seeded.close["AAPL"], seeded.close["MSFT"]])
    values = close[-1] * [2.0, 1.0]
    return ((close[1:] / close[:-1] - 1.0) @ (values / values.sum()))[-sessions:]


def test_stored_tails_and_backtests(own_seeded: Seeded, serve: Serve) -> None:
    held, apple = own_seeded.portfolios["held"], own_seeded.instruments["AAPL"].id
    with open_write(own_seeded.database, "portfolio_tail", "run", "v1") as write:
        rows = {
            "portfolio_id": np.full(3, held, "i4"),
            "session": SESSIONS[[-2, -1, -1]],
            "method": np.array([b"gaussian", b"ewma", b"gaussian"]),
            "es_99_1d": np.array([0.04, np.nan, 0.05]),
            "reason": np.array([b"", b"because", b""]),
        }
        write.replace(PORTFOLIO_TAIL, filled(PORTFOLIO_TAIL, 3, **rows), MONTHS)
    with open_write(own_seeded.database, "var_backtests", "run", "v1") as write:
        rows = {
            "subject_kind": np.array([b"portfolio", b"instrument"]),
            "subject_id": np.array([held, apple], "i4"),
            "session": SESSIONS[[-1, -1]],
            "traffic_light": np.array([b"red", b""]),
        }
        write.replace(VAR_BACKTEST, filled(VAR_BACKTEST, 2, **rows), MONTHS)
    client = serve(own_seeded.database.url, "python-risk-engine").client
    tails = answer(client.get(f"{PORTFOLIOS}/held/tail"))
    assert [(row["session"], row["method"], row["es_99_1d"]) for row in tails] == [
        (str(SESSIONS[-2]), "gaussian", 0.04),
        (str(SESSIONS[-1]), "ewma", None),
        (str(SESSIONS[-1]), "gaussian", 0.05),
    ]
    assert [row["reason"] for row in tails] == [None, "because", None]
    assert len(answer(client.get(f"{PORTFOLIOS}/held/tail", params={"end": str(SESSIONS[-2])}))) == 1
    [of_portfolio] = answer(client.get(f"{PORTFOLIOS}/{held}/backtests"))
    [of_instrument] = answer(client.get("/api/v1/instruments/AAPL/backtests"))
    assert (of_portfolio["traffic_light"], of_instrument["traffic_light"]) == ("red", None)
    assert of_portfolio["observations"] == 252
    assert answer(client.get("/api/v1/instruments/MSFT/backtests")) == []
    for path in ("/portfolios/none/tail", "/portfolios/none/backtests", "/instruments/NONE/backtests"):
        assert client.get(f"/api/v1{path}").status_code == 404


@pytest.mark.parametrize("method", VAR_METHODS)
def test_a_tail_on_request_is_what_its_method_gives(api: httpx.Client, seeded: Seeded, method: str) -> None:
    found = ask(api, "tail", method=method, confidence=0.975, seed=5, paths=2_000)
    expected = VAR_METHODS[method].estimate(scenarios(seeded, 500), TailSpec(0.975, seed=5, paths=2_000))
    assert found["var"] == pytest.approx(float(expected.var), rel=1e-9)
    assert found["expected_shortfall"] == pytest.approx(float(expected.es), rel=1e-9)
    simulated = method == "monte_carlo"
    assert (found["var_standard_error"] is not None) == simulated
    assert (found["seed"], found["paths"]) == ((5, 2_000) if simulated else (None, None))
    assert (found["window_sessions"], found["horizon_sessions"], found["scaling"]) == (500, 1, None)
    assert (found["as_of"], found["window_start"]) == ("2022-12-28", str(SESSIONS[-501]))
    assert found["source"] == VAR_METHODS[method].source
    assert found["undefined_because"] is None


def test_several_sessions_by_each_way(api: httpx.Client, seeded: Seeded) -> None:
    used = scenarios(seeded, 400)
    overlapping = ask(api, "tail", window_sessions=400, horizon_sessions=10, confidence=0.95)
    assert overlapping["scaling"] == "overlapping"
    losses = np.sort(-overlapping_returns(used, 10))
    assert overlapping["var"] == pytest.approx(losses[int(np.ceil(0.95 * 391)) - 1], rel=1e-9)
    one = ask(api, "tail", window_sessions=400, confidence=0.95)
    scaled = ask(api, "tail", window_sessions=400, confidence=0.95, horizon_sessions=10, scaling="square_root_of_time")
    assert scaled["var"] == pytest.approx(one["var"] * np.sqrt(10.0), rel=1e-12)
    simulated = ask(api, "tail", method="ewma", horizon_sessions=10, scaling="simulation", paths=5_000, seed=3)
    assert simulated["expected_shortfall_standard_error"] > 0.0
    assert (simulated["paths"], simulated["seed"]) == (5_000, 3)
    older = ask(api, "tail", as_of="2022-06-05")  # a Sunday
    assert older["as_of"] == "2022-06-03"


def test_a_tail_that_does_not_exist_is_null_with_a_reason(api: httpx.Client) -> None:
    found = ask(api, "tail", "young", method="cornish_fisher", window_sessions=4)
    assert (found["var"], found["expected_shortfall"]) == (None, None)
    assert found["undefined_because"] == "outside_cornish_fisher_domain"


def test_a_backtest_on_request_judges_each_forecast_by_the_next_session(api: httpx.Client, seeded: Seeded) -> None:
    found = ask(api, "backtests", method="ewma", window_sessions=252, observations=400)
    close = np.column_stack([seeded.close["AAPL"], seeded.close["MSFT"]])
    moves, values = close[1:] / close[:-1] - 1.0, close * [2.0, 1.0]
    earned = values.sum(axis=1)[1:] / values.sum(axis=1)[:-1] - 1.0
    var, es = [], []
    for last in range(len(close) - 401, len(close) - 1):
        window = moves[last - 252 : last] @ (values[last] / values[last].sum())
        estimate = VAR_METHODS["ewma"].estimate(window, TailSpec(0.99))
        var.append(float(estimate.var))
        es.append(float(estimate.es))
    expected = backtest(earned[-400:], np.array(var), np.array(es), 0.99)
    assert (found["observations"], found["exceptions"]) == (400, expected.exceptions)
    assert found["undefined_forecasts"] == 0
    assert found["expected_exceptions"] == pytest.approx(4.0)
    for test in ("kupiec", "conditional_coverage", "shortfall_z1", "shortfall_z2"):
        statistic = getattr(expected, test)
        assert found[test]["value"] == pytest.approx(statistic.value, rel=1e-9), test
        assert found[test]["p_value"] == pytest.approx(statistic.p_value, rel=1e-6), test
    assert found["traffic_light"]["zone"] == expected.traffic_light.zone
    assert (found["as_of"], found["first_judged"]) == ("2022-12-28", str(SESSIONS[-400]))


def test_undefined_tests_are_null_with_a_reason(api: httpx.Client) -> None:
    found = ask(api, "backtests", "quarterly", confidence=0.95, window_sessions=252, observations=100)
    assert found["traffic_light"]["zone"] is None
    assert found["traffic_light"]["undefined_because"] == "confidence_is_not_99_percent"
    found = ask(api, "backtests", "quarterly", window_sessions=252, observations=2)
    assert found["duration"] == {"value": None, "p_value": None, "undefined_because": "fewer_than_two_exceptions"}


@pytest.mark.parametrize(
    ("what", "body", "named"),
    [
        ("tail", {"method": "magic"}, "body.method: Input should be one of historical, gaussian"),
        ("tail", {"confidence": 1.0}, "body.confidence"),
        ("tail", {"confidence": "0.99"}, "body.confidence: Input should be a number"),
        ("tail", {"horizon_sessions": 0}, "body.horizon_sessions"),
        ("tail", {"horizon_sessions": 252, "paths": 100_000}, "paths: times horizon_sessions"),
        ("tail", {"horizon_sessions": 5, "scaling": "simulation"}, "scaling=simulation: historical does not reach"),
        ("tail", {"scaling": "guess"}, "body.scaling"),
        ("tail", {"window_sessions": 5_000}, "window"),
        ("tail", {"method": "student_t", "window_sessions": 29}, "returns: 29 given, at least 30 are needed"),
        ("tail", {"seed": -1}, "body.seed"),
        ("tail", {"paths": 10}, "body.paths"),
        ("tail", {"colour": "red"}, "body.colour"),
        ("backtests", {"method": "magic"}, "body.method"),
        ("backtests", {"observations": 1}, "body.observations"),
        ("backtests", {"observations": 2_521}, "body.observations"),
        ("backtests", {"observations": 2_500, "window_sessions": 2_000}, "observations: times window_sessions"),
        ("backtests", {"observations": 600}, "observations: 780 returns up to that day, and 600 forecasts"),
        ("backtests", {"method": "ewma", "window_sessions": 10, "observations": 50}, "window_sessions=10: ewma needs"),
        ("backtests", {"confidence": 0}, "body.confidence"),
    ],
)
def test_bad_input_is_named_with_its_remedy(api: httpx.Client, what: str, body: dict[str, Any], named: str) -> None:
    refused = api.post(f"{PORTFOLIOS}/held/{what}", json=body)
    assert refused.status_code == 422, refused.text
    assert named in refused.json()["detail"], refused.text


def test_a_portfolio_too_young_is_refused(api: httpx.Client) -> None:
    for what in ("tail", "backtests"):
        refused = api.post(f"{PORTFOLIOS}/young/{what}")
        assert refused.status_code == 422
        assert f"{SHORT_SESSIONS - 1}" in refused.json()["detail"]


def test_a_method_without_figures_cannot_be_backtested(api: httpx.Client) -> None:
    refused = api.post(
        f"{PORTFOLIOS}/young/backtests", json={"method": "cornish_fisher", "window_sessions": 4, "observations": 2}
    )
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("method=cornish_fisher: without a figure on")
