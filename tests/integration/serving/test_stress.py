"""Stress of portfolios through the API: what is stored, and scenarios on request."""

from __future__ import annotations

from datetime import date
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.risk.measures.covariance import ledoit_wolf_covariance
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS
from pipeline.risk.measures.tail import historical_es, historical_var
from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.stress_results import STRESS_RESULT
from pipeline.store.stress_scenarios import STRESS_SCENARIO, replace_scenarios
from pipeline.store.writing import open_write
from tests.integration.serving.seeding import NOTICE, SESSIONS, Seeded, filled

PORTFOLIOS = "/api/v1/portfolios"
MONTHS = MonthRange(date(2022, 11, 1), date(2022, 12, 1))
COVID = HISTORICAL_WINDOWS["covid_2020"]


def stress(api: httpx.Client, reference: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"{PORTFOLIOS}/{reference}/stress", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["notice"] == NOTICE
    assert found["as_of"] == "2022-12-28"
    for scenario in found["scenarios"]:
        positions = scenario["positions"]
        assert abs(sum(position["pnl"] for position in positions) - scenario["total"]) < 1e-9
        for position in positions:
            assert abs(position["weight"] * position["shock"] - position["pnl"]) < 1e-12
            if found["value"] is not None:
                assert position["amount"] == pytest.approx(position["pnl"] * found["value"], rel=1e-9, abs=1e-9)
        if found["value"] is not None:
            assert abs(sum(position["amount"] for position in positions) - scenario["total_amount"]) < 1e-9
    return found


def held_weights(seeded: Seeded) -> np.ndarray:
    """Two AAPL and one MSFT at their last prices."""
    values = np.array([2.0, 1.0]) * [seeded.close["AAPL"][-1], seeded.close["MSFT"][-1]]
    return values / values.sum()


def window_rows() -> tuple[int, int]:
    """The close before the window, and its last one."""
    before = np.searchsorted(SESSIONS, np.datetime64(COVID.first)) - 1
    return int(before), int(np.searchsorted(SESSIONS, np.datetime64(COVID.last)))


def test_a_crisis_is_replayed_on_what_is_held(api: httpx.Client, seeded: Seeded) -> None:
    found = stress(api, "held", historical=["covid_2020"])
    first, last = window_rows()
    close = np.column_stack([seeded.close["AAPL"], seeded.close["MSFT"]])
    shocks = close[last] / close[first] - 1.0
    (scenario,) = found["scenarios"]
    assert scenario["kind"] == "historical"
    assert [position["symbol"] for position in scenario["positions"]] == ["AAPL", "MSFT"]
    assert [position["shock"] for position in scenario["positions"]] == pytest.approx(shocks, rel=1e-12)
    assert scenario["total"] == pytest.approx(held_weights(seeded) @ shocks, rel=1e-9)
    path = (close[first : last + 1] / close[first] - 1.0) @ held_weights(seeded)
    assert scenario["worst_total"] == pytest.approx(path.min(), rel=1e-9, abs=1e-12)
    assert scenario["worst_session"] == str(SESSIONS[first + path.argmin()])
    assert found["value"] == pytest.approx(2 * close[-1, 0] + close[-1, 1])
    assert found["currency"] == "USD"
    assert "compounded return" in scenario["method"]


def test_all_crises_name_those_that_cannot_be_replayed(api: httpx.Client) -> None:
    found = stress(api, "held", historical="all")
    assert [scenario["scenario"] for scenario in found["scenarios"]] == ["covid_2020", "rates_2022"]
    assert set(found["unavailable"]) == set(HISTORICAL_WINDOWS) - {"covid_2020", "rates_2022"}
    assert "do not cover window lehman_2008" in found["unavailable"]["lehman_2008"]
    named = api.post(f"{PORTFOLIOS}/held/stress", json={"historical": ["covid_2020", "lehman_2008"]})
    assert named.status_code == 422
    assert "choose another window" in named.json()["detail"]


def test_what_was_not_listed_moves_by_its_beta(own_api: httpx.Client, own_seeded: Seeded) -> None:
    """NEW has thirty prices, so no beta; without half of its prices in the window, MSFT has one."""
    young = own_api.post(f"{PORTFOLIOS}/young/stress", json={"historical": ["covid_2020"]})
    assert young.status_code == 422
    assert "betas: none for NEW" in young.json()["detail"]
    with own_seeded.database.connect() as connection:
        gone = [own_seeded.instruments["MSFT"].id, date(2020, 3, 2)]
        connection.execute("DELETE FROM price WHERE instrument_id = %s AND session <= %s", gone)
    (scenario,) = stress(own_api, "held", historical=["covid_2020"])["scenarios"]
    assert [position["shocked_by"] for position in scenario["positions"]] == ["prices", "benchmark_beta"]
    own, index = (np.diff(p[-253:]) / p[-253:-1] for p in (own_seeded.close["MSFT"], own_seeded.close["SPX"]))
    beta = np.polyfit(index, own, 1)[0]
    first, last = window_rows()
    market = own_seeded.close["SPX"][first : last + 1]
    expected = np.prod(1.0 + beta * (market[1:] / market[:-1] - 1.0)) - 1.0
    assert scenario["positions"][1]["shock"] == pytest.approx(expected, rel=1e-9)


def test_a_stated_scenario_takes_the_most_specific_shock(api: httpx.Client) -> None:
    found = stress(
        api, "quarterly", hypothetical={"market": -0.1, "sectors": {"Energy": -0.5}, "symbols": {"MSFT": -1}}
    )
    (scenario,) = found["scenarios"]
    assert (scenario["scenario"], scenario["kind"]) == ("hypothetical", "hypothetical")
    assert [position["shock"] for position in scenario["positions"]] == [-0.1, -1.0]
    assert found["value"] is None  # target weights are fractions of a value that nobody stated
    assert [position["amount"] for position in scenario["positions"]] == [None, None]
    found = stress(api, "held", hypothetical={"name": "tech", "sectors": {"Information Technology": -0.2}})
    assert found["scenarios"][0]["total"] == pytest.approx(-0.2, abs=1e-12)
    assert found["scenarios"][0]["total_amount"] == pytest.approx(-0.2 * found["value"])


def test_factor_shocks_use_the_stored_exposures(own_api: httpx.Client, own_seeded: Seeded) -> None:
    ids = [own_seeded.instruments[symbol].id for symbol in ("AAPL", "MSFT")]
    with open_write(own_seeded.database, "factor_exposures", "test", "1") as write:
        rows = {
            "instrument_id": np.repeat(np.array(ids, dtype="i4"), 2),
            "session": np.tile(np.array(["2022-11-30", "2022-12-28"], dtype="datetime64[D]"), 2),
            "factor": np.full(4, b"MTUM"),
            "exposure_ols": np.array([9.0, 0.5, 9.0, 1.5]),
        }
        write.replace(
            FACTOR_EXPOSURE, filled(FACTOR_EXPOSURE, 4, **rows), MonthRange(date(2022, 11, 1), date(2022, 12, 1))
        )
    found = stress(own_api, "quarterly", hypothetical={"market": -0.1, "factors": {"MTUM": -0.2}})
    assert [p["shock"] for p in found["scenarios"][0]["positions"]] == pytest.approx([-0.2, -0.4], abs=1e-15)
    answer = own_api.post(f"{PORTFOLIOS}/held/stress", json={"hypothetical": {"factors": {"VLUE": -0.2}}})
    assert answer.status_code == 422
    assert "factors: VLUE not known; known are MTUM" in answer.json()["detail"]


def test_the_most_likely_loss_loses_it(api: httpx.Client, seeded: Seeded) -> None:
    found = stress(api, "held", reverse={"loss": 0.05, "degrees_of_freedom": 5})
    (scenario,) = found["scenarios"]
    assert scenario["total"] == pytest.approx(-0.05, rel=1e-12)
    close = np.column_stack([seeded.close["AAPL"], seeded.close["MSFT"]])[-253:]
    covariance = ledoit_wolf_covariance(close[1:] / close[:-1] - 1.0)
    weights = held_weights(seeded)
    expected = -0.05 * (covariance @ weights) / (weights @ covariance @ weights)
    assert [position["shock"] for position in scenario["positions"]] == pytest.approx(expected, rel=1e-9)
    reverse = found["reverse"]
    assert reverse["mahalanobis_distance"] == pytest.approx(0.05 / np.sqrt(weights @ covariance @ weights), rel=1e-9)
    assert 0.0 < reverse["gaussian_probability"] < reverse["student_t_probability"] < 0.01
    assert found["window_sessions"] == 252


def test_more_volatility_and_correlation(api: httpx.Client, seeded: Seeded) -> None:
    found = stress(api, "held", volatility_scale=2.0)
    close = np.column_stack([seeded.close["AAPL"], seeded.close["MSFT"]])[-253:]
    scenarios = (close[1:] / close[:-1] - 1.0) @ held_weights(seeded)
    volatility = found["volatility"]
    assert volatility["var_before"] == pytest.approx(historical_var(scenarios, 0.99), rel=1e-9)
    assert volatility["es_before"] == pytest.approx(historical_es(scenarios, 0.99), rel=1e-9)
    assert volatility["var_after"] == pytest.approx(2 * volatility["var_before"] + scenarios.mean(), rel=1e-9)
    assert found["scenarios"] == []
    correlation = stress(api, "held", correlation_shift=1.0)["correlation"]
    deviations = np.sqrt(np.diag(ledoit_wolf_covariance(close[1:] / close[:-1] - 1.0)))
    assert correlation["volatility_after"] == pytest.approx(deviations @ held_weights(seeded), rel=1e-9)
    assert correlation["volatility_after"] > correlation["volatility_before"]
    both = stress(api, "held", hypothetical={"market": -0.1, "volatility_scale": 2, "correlation_shift": 1})
    assert both["volatility"] == volatility
    assert both["correlation"] == correlation


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "Give exactly one of historical, hypothetical, reverse"),
        ({"historical": "all", "volatility_scale": 1.5}, "Give exactly one of"),
        ({"historical": ["black_monday"]}, "window: 'black_monday' is not known; choose one of gulf_war_1990"),
        ({"historical": []}, "body.historical"),
        ({"historical": "some"}, "body.historical"),
        ({"hypothetical": {}}, "shocks: none in scenario hypothetical; state at least one"),
        ({"hypothetical": {"market": -1.5}}, "market=-1.5: no price falls by more than 100 %"),
        ({"hypothetical": {"market": "-0.2"}}, "body.hypothetical.market"),
        ({"hypothetical": {"symbols": {"NONE": -0.2}}}, "symbols: NONE not known; known are AAPL"),
        ({"hypothetical": {"sectors": {"Luck": -0.2}}}, "sectors: Luck not known; known are Energy"),
        ({"hypothetical": {"factors": {"MTUM": -0.2}}}, "factors: MTUM not known; known are none"),
        ({"hypothetical": {"symbols": {"A\x00": -0.2}}}, "body.hypothetical.symbols"),
        ({"hypothetical": {"market": -0.2, "who": 1}}, "body.hypothetical.who"),
        ({"hypothetical": {"market": -0.2, "name": ""}}, "body.hypothetical.name"),
        ({"reverse": {"loss": 0}}, "loss=0.0: give the fraction to lose, above 0"),
        ({"reverse": {"loss": 0.1, "degrees_of_freedom": 2}}, "degrees_of_freedom=2.0: give a finite number above 2"),
        ({"reverse": {"loss": 5}}, "ask for smaller shocks"),
        ({"reverse": {}}, "body.reverse.loss"),
        ({"volatility_scale": -1}, "volatility_scale=-1.0: give a multiple of today's"),
        ({"correlation_shift": 1.5}, "correlation_shift=1.5: give the fraction of the way"),
        ({"correlation_shift": 10**400}, "body.correlation_shift"),
        (None, "body"),
    ],
)
def test_a_bad_request_is_refused_by_name(api: httpx.Client, body: Any, named: str) -> None:
    answer = api.post(f"{PORTFOLIOS}/held/stress", json=body)
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("body", [{"reverse": {"loss": 0.1}}, {"volatility_scale": 2}, {"correlation_shift": 0.5}])
def test_a_short_history_has_no_covariance(api: httpx.Client, body: dict[str, Any]) -> None:
    answer = api.post(f"{PORTFOLIOS}/young/stress", json=body)
    assert answer.status_code == 422, answer.text
    assert "252" in answer.json()["detail"]


def test_nobody_has_no_stress(api: httpx.Client) -> None:
    assert api.post(f"{PORTFOLIOS}/nobody/stress", json={"historical": "all"}).status_code == 404
    assert api.get(f"{PORTFOLIOS}/nobody/stress").status_code == 404
    assert api.get(f"{PORTFOLIOS}/young/stress").json()["data"] == []


def test_the_stored_scenarios_of_the_newest_session(own_api: httpx.Client, own_seeded: Seeded) -> None:
    ids = np.array([own_seeded.instruments[symbol].id for symbol in ("AAPL", "MSFT")], dtype="i4")
    sessions = np.repeat(np.array(["2022-11-30", "2022-12-28"], dtype="datetime64[D]"), 4)
    with open_write(own_seeded.database, "stress_results", "test", "1") as write:
        rows = {
            "portfolio_id": np.full(8, own_seeded.portfolios["held"], "i4"),
            "session": sessions,
            "scenario": np.tile(np.array([b"covid_2020", b"covid_2020", b"lehman_2008", b"lehman_2008"]), 2),
            "instrument_id": np.tile(ids, 4),
            "pnl": np.array([9.0, 9.0, 9.0, 9.0, -0.1, -0.2, -0.3, np.nan]),
            "worst_pnl": np.array([9.0, 9.0, 9.0, 9.0, -0.2, -0.3, np.nan, np.nan]),
            "kind": np.full(8, b"historical"),
            "reason": np.array([b"", b"", b"", b"", b"", b"", b"worst_unknown", b"no_price"]),
            "shocked_by": np.full(8, b"prices"),
        }
        write.replace(STRESS_RESULT, filled(STRESS_RESULT, 8, **rows), MONTHS)
        stated = {
            "portfolio_id": np.full(4, own_seeded.portfolios["held"], "i4"),
            "session": np.array(["2022-11-30", "2022-12-28", "2022-12-28", "2022-12-28"], dtype="datetime64[D]"),
            "scenario": np.array([b"covid_2020", b"covid_2020", b"lehman_2008", b"volatility_doubled"]),
            "kind": np.array([b"historical", b"historical", b"historical", b"hypothetical"]),
            "parameters": np.array([b"{}", b"{}", b'{"first": "2008-09-15"}', b'{"volatility_scale": 2.0}']),
            "total": np.array([9.0, -0.3, np.nan, 0.0]),
            "worst_total": np.array([9.0, -0.5, np.nan, 0.0]),
            "var_99_1d_after": np.array([np.nan, np.nan, np.nan, 0.08]),
            "reason": np.array([b"", b"", b"positions_unknown", b""]),
        }
        replace_scenarios(write, filled(STRESS_SCENARIO, 4, **stated), MONTHS)
    answer = own_api.get(f"{PORTFOLIOS}/held/stress").json()
    assert answer["notice"] == NOTICE
    lehman, covid, volatility = answer["data"]  # by kind, the oldest crisis first
    assert (lehman["scenario"], lehman["session"]) == ("lehman_2008", "2022-12-28")
    assert lehman["total"] is None  # one position is unknown, and a sum of the others would look like the whole
    assert lehman["positions"][1]["pnl"] is None
    assert lehman["positions"][1]["reason"] == "no_price"
    assert covid["total"] == pytest.approx(-0.3, abs=1e-15)
    assert covid["worst_total"] == pytest.approx(-0.5, abs=1e-15)
    assert [position["symbol"] for position in covid["positions"]] == ["AAPL", "MSFT"]
    assert covid["positions"][0]["reason"] is None
    assert (lehman["kind"], lehman["parameters"]) == ("historical", {"first": "2008-09-15"})
    assert (lehman["reason"], covid["reason"]) == ("positions_unknown", None)
    assert (volatility["parameters"], volatility["positions"]) == ({"volatility_scale": 2.0}, [])
    assert (volatility["total"], volatility["var_99_1d_after"]) == (0.0, 0.08)

    def of_kind(kind: str) -> list[str]:
        found = own_api.get(f"{PORTFOLIOS}/held/stress", params={"kind": kind}).json()["data"]
        return [scenario["scenario"] for scenario in found]

    assert of_kind("historical") == ["lehman_2008", "covid_2020"]
    assert of_kind("hypothetical") == ["volatility_doubled"]
    assert of_kind("reverse") == []
    refused = own_api.get(f"{PORTFOLIOS}/held/stress", params={"kind": "imagined"})
    assert refused.status_code == 422
    assert "kind" in refused.json()["detail"]
