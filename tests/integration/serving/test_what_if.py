"""What trades would change."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from pipeline.risk.measures import MEASURES
from tests.integration.serving.seeding import NOTICE, SESSIONS

PORTFOLIOS = "/api/v1/portfolios"


def asked(api: httpx.Client, reference: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"{PORTFOLIOS}/{reference}/what-if", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def held(field: str = "quantity", **amounts: float) -> list[dict[str, Any]]:
    return [{"symbol": symbol, field: amount} for symbol, amount in amounts.items()]


def calculated(api: httpx.Client, **body: Any) -> dict[str, Any]:
    stored = [measure.name for measure in MEASURES]  # those that limits may be set on
    asked_for = {"benchmark": "SPX", "confidence": [0.99], "measures": stored, **body}
    answer = api.post("/api/v1/calculate", json=asked_for)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def require_equal(side: dict[str, Any], report: dict[str, Any]) -> None:
    assert side["measures"] == pytest.approx({m["name"]: m["value"] for m in report["measures"]}, rel=1e-12)
    assert len(side["tails"]) == len(report["tails"]) > 5
    for tail, other in zip(side["tails"], report["tails"], strict=True):
        assert (tail["method"], tail["confidence"]) == (other["method"], other["confidence"])
        assert tail["var"] == pytest.approx(other["var"], rel=1e-12)
        assert tail["es"] == pytest.approx(other["es"], rel=1e-12)
        for error in ("var_standard_error", "es_standard_error"):
            assert tail[error] == pytest.approx(other[error], rel=1e-12)
            assert (tail[error] is None) == (tail["method"] != "monte_carlo" or tail["var"] is None)
    assert side["concentration"] == pytest.approx(report["concentration"])


def test_trades_change_what_calculating_both_tells(api: httpx.Client) -> None:
    before_all = api.get(PORTFOLIOS).json()
    found = asked(api, "held", trades=held(AAPL=-1, MSFT=3))
    assert found["notice"] == NOTICE
    assert found["as_of"] == str(SESSIONS[-1])
    before, after = (calculated(api, positions=held(AAPL=a, MSFT=m)) for a, m in ((2, 1), (1, 4)))
    require_equal(found["before"], before)
    require_equal(found["after"], after)
    for name, change in found["difference"]["measures"].items():
        assert change == pytest.approx(found["after"]["measures"][name] - found["before"]["measures"][name])
    assert found["difference"]["weights"]["AAPL"] == pytest.approx(
        after["positions"][0]["weight"] - before["positions"][0]["weight"]
    )
    assert api.get(PORTFOLIOS).json() == before_all
    # The same by all positions that there would be.
    again = asked(api, "held", positions=held(AAPL=1, MSFT=4))
    assert again["after"] == found["after"]


def test_contributions_sum_to_their_measures(api: httpx.Client) -> None:
    found = asked(api, "held", trades=held(MSFT=2))
    for side in (found["before"], found["after"]):
        for name in ("var_99_1d", "es_975_1d"):
            parts = sum(part[f"{name}_component"] for part in side["contributions"])
            assert parts == pytest.approx(side["measures"][name], rel=1e-9)


def test_weights_are_shifted(api: httpx.Client) -> None:
    found = asked(api, "quarterly", trades=held("target_weight", AAPL=0.25, MSFT=-0.25))
    expected = calculated(api, positions=held("target_weight", AAPL=0.5, MSFT=0.5), rebalancing="quarterly")
    require_equal(found["after"], expected)
    other = asked(api, "quarterly", positions=held("target_weight", AAPL=0.5, MSFT=0.5))
    assert other["after"] == found["after"]
    assert other["after"]["value"] is None


def test_a_new_position_is_measured_on_the_sessions_that_both_have(api: httpx.Client) -> None:
    found = asked(api, "held", trades=held(NEW=1), window_sessions=20)
    require_equal(found["before"], calculated(api, positions=held(AAPL=2, MSFT=1), window_sessions=20))
    assert found["before"]["contributions"][2] == {
        "symbol": "NEW",
        "weight": 0.0,
        "volatility_component": 0.0,
        "var_99_1d_component": 0.0,
        "es_975_1d_component": 0.0,
    }
    assert found["difference"]["weights"]["NEW"] > 0


def test_limits_that_would_be_breached_are_named(own_api: httpx.Client) -> None:
    limits = [{"measure": "largest_weight", "direction": "above", "warn": 0.9, "breach": 0.95}]
    assert own_api.put(f"{PORTFOLIOS}/held/limits", json={"limits": limits}).status_code == 200
    found = asked(own_api, "held", trades=held(AAPL=200))
    assert found["before"]["limits"][0]["status"] == "OK"
    assert found["after"]["limits"][0]["status"] == "BREACH"
    assert found["difference"]["newly_breached"] == ["largest_weight"]
    assert found["difference"]["no_longer_breached"] == []
    back = asked(own_api, "held", positions=held(MSFT=1), var_methods=["historical"])
    assert [tail["method"] for tail in back["after"]["tails"]] == ["historical"]
    assert back["difference"]["newly_breached"] == ["largest_weight"]


@pytest.mark.parametrize(
    ("reference", "body", "named"),
    [
        ("held", {}, "exactly one of trades and positions"),
        ("held", {"trades": held(AAPL=1), "positions": held(AAPL=1)}, "exactly one"),
        ("held", {"trades": []}, "body.trades"),
        ("held", {"trades": held(NONE=1)}, "NONE"),
        ("held", {"trades": held(AAPL=1), "rebalancing": "daily"}, "rebalancing"),
        ("held", {"trades": [*held(AAPL=1), *held(AAPL=2)]}, "twice"),
        ("held", {"trades": held("target_weight", AAPL=0.1)}, "trades: the portfolio has quantities"),
        ("quarterly", {"trades": held(AAPL=1)}, "trades: the portfolio has target weights"),
        ("quarterly", {"trades": held("target_weight", AAPL=0.1)}, "sum to 1.1"),
        ("held", {"trades": held(AAPL=-3)}, "portfolio value"),
        ("held", {"positions": held("target_weight", AAPL=1.0)}, "rebalancing: target weights need"),
        ("held", {"trades": held(NEW=1)}, "leave out NEW"),
        ("held", {"trades": held(AAPL=1), "var_methods": ["magic"]}, "magic"),
        ("held", {"trades": held(AAPL=1), "confidence": [1.5]}, "body.confidence"),
    ],
)
def test_what_cannot_be_tried_is_refused_by_name(
    api: httpx.Client, reference: str, body: dict[str, Any], named: str
) -> None:
    answer = api.post(f"{PORTFOLIOS}/{reference}/what-if", json=body)
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]
