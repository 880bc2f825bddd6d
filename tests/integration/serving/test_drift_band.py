"""Portfolios in a drift band: stored, changed, measured, simulated, and refused by name where band and policy part."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.report import held_series
from tests.integration.serving.seeding import SESSIONS, Seeded

PORTFOLIOS = "/api/v1/portfolios"
QUARTERLY = f"{PORTFOLIOS}/quarterly"
POSITIONS = [{"symbol": "AAPL", "target_weight": 0.25}, {"symbol": "MSFT", "target_weight": 0.75}]
QUANTITIES = [{"symbol": "AAPL", "quantity": 2}]
BANDED: dict[str, Any] = {"rebalancing": "drift_band", "drift_band": 0.03}
NARROW = {**BANDED, "drift_band": 0.001}
NEEDS_BAND = "drift_band: rebalancing drift_band needs one; give the fraction of value"
NEEDS_POLICY = "drift_band: only rebalancing drift_band has one; leave it out"


def answered(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def banded(client: httpx.Client, **others: Any) -> dict[str, Any]:
    return answered(client.post(PORTFOLIOS, json={"name": "Band", "positions": POSITIONS, **BANDED, **others}), 201)


def test_a_band_is_stored_and_changed(own_api: httpx.Client) -> None:
    made = banded(own_api, slug="band")
    path = f"{PORTFOLIOS}/band"
    assert (made["rebalancing"], made["drift_band"]) == ("drift_band", 0.03)
    assert answered(own_api.get(path)) == made
    assert answered(own_api.patch(path, json={"drift_band": 0.1}))["drift_band"] == 0.1
    kept = answered(own_api.put(f"{path}/positions", json={"positions": POSITIONS[::-1]}))
    assert (kept["rebalancing"], kept["drift_band"]) == ("drift_band", 0.1)
    other = answered(own_api.put(f"{path}/positions", json={"positions": POSITIONS, "drift_band": 0.2}))
    assert other["drift_band"] == 0.2
    monthly = answered(own_api.patch(path, json={"rebalancing": "monthly"}))
    assert (monthly["rebalancing"], monthly["drift_band"]) == ("monthly", None)
    again = answered(own_api.patch(path, json=BANDED))
    assert (again["rebalancing"], again["drift_band"]) == ("drift_band", 0.03)
    counted = answered(own_api.put(f"{path}/positions", json={"positions": QUANTITIES}))
    assert (counted["rebalancing"], counted["drift_band"]) == ("buy_and_hold", None)
    back = answered(own_api.put(f"{path}/positions", json={"positions": POSITIONS, **BANDED}))
    assert (back["rebalancing"], back["drift_band"]) == ("drift_band", 0.03)


REFUSED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "made without": ("POST", "", {"name": "P", "positions": POSITIONS, "rebalancing": "drift_band"}, NEEDS_BAND),
    "made with another policy": (
        "POST",
        "",
        {"name": "P", "positions": POSITIONS, **BANDED, "rebalancing": "daily"},
        NEEDS_POLICY,
    ),
    "made of quantities": ("POST", "", {"name": "P", "positions": QUANTITIES, "drift_band": 0.1}, NEEDS_POLICY),
    "a book": ("POST", "", {"name": "P", "drift_band": 0.1}, NEEDS_POLICY),
    "nothing": ("POST", "", {"name": "P", "positions": POSITIONS, **BANDED, "drift_band": 0}, "body.drift_band"),
    "everything": ("POST", "", {"name": "P", "positions": POSITIONS, **BANDED, "drift_band": 1.0}, "body.drift_band"),
    "a text": ("POST", "", {"name": "P", "positions": POSITIONS, **BANDED, "drift_band": "0.1"}, "body.drift_band"),
    "changed without": ("PATCH", "quarterly", {"rebalancing": "drift_band"}, NEEDS_BAND),
    "changed to nothing": ("PATCH", "quarterly", {"drift_band": None}, "drift_band: null is none"),
    "changed alone": ("PATCH", "quarterly", {"drift_band": 0.1}, "rebalancing is quarterly, which has none"),
    "changed of what is held": ("PATCH", "held", BANDED, "drift_band does not go with these positions, which are held"),
    "replaced without": (
        "PUT",
        "quarterly/positions",
        {"positions": POSITIONS, "rebalancing": "drift_band"},
        NEEDS_BAND,
    ),
    "replaced alone": (
        "PUT",
        "quarterly/positions",
        {"positions": POSITIONS, "drift_band": 0.1},
        "drift_band: the portfolio's rebalancing is quarterly",
    ),
    "replaced by quantities": (
        "PUT",
        "held/positions",
        {"positions": QUANTITIES, "drift_band": 0.1},
        NEEDS_POLICY,
    ),
    "tried without": (
        "POST",
        "quarterly/what-if",
        {"positions": POSITIONS, "rebalancing": "drift_band"},
        NEEDS_BAND,
    ),
    "tried alone": (
        "POST",
        "quarterly/what-if",
        {"positions": POSITIONS, "drift_band": 0.1},
        "drift_band: the portfolio's rebalancing is quarterly",
    ),
    "tried with trades": (
        "POST",
        "quarterly/what-if",
        {"trades": [{"symbol": "AAPL", "target_weight": 0.0}], "drift_band": 0.1},
        "drift_band: trades keep the portfolio's; leave it out",
    ),
    "calculated without": (
        "POST",
        "../calculate",
        {"positions": POSITIONS, "rebalancing": "drift_band"},
        NEEDS_BAND,
    ),
    "calculated of returns": (
        "POST",
        "../calculate",
        {"returns": {"values": [0.1, 0.2, 0.1]}, "drift_band": 0.1},
        "drift_band: only positions have one; leave it out",
    ),
    "simulated without": ("POST", "../simulate", {"positions": POSITIONS, "rebalancing": "drift_band"}, NEEDS_BAND),
    "simulated of a stored one": (
        "POST",
        "../simulate",
        {"portfolio": "quarterly", "drift_band": 0.1},
        "drift_band: a stored portfolio has its own; leave it out",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_band_without_its_policy_is_refused_by_name(api: httpx.Client, case: str) -> None:
    method, path, body, named = REFUSED[case]
    before = api.get(PORTFOLIOS).json()
    address = f"/api/v1/{path[3:]}" if path.startswith("../") else f"{PORTFOLIOS}/{path}".rstrip("/")
    answer = api.request(method, address, json=body)
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]
    assert api.get(PORTFOLIOS).json() == before


def test_risk_is_that_of_the_walk_from_the_first_session(own_api: httpx.Client, own_seeded: Seeded) -> None:
    """A window of 21 sessions at the end, whose weights follow from trades long before it."""
    number = banded(own_api)["id"]
    close = np.column_stack([own_seeded.close[symbol] for symbol in ("AAPL", "MSFT")])
    holdings = Holdings(np.array([0.25, 0.75]), "drift_band", 0.03)
    series = held_series(close, SESSIONS, None, holdings)
    assert 0 < len(np.unique(holdings.setting_rows(close))) - 1 < len(SESSIONS) // 4
    found = answered(own_api.post(f"{PORTFOLIOS}/{number}/risk", json={"window_sessions": 21}))
    assert (found["rebalancing"], found["drift_band"]) == ("drift_band", 0.03)
    deviation = float(np.std(series.held.returns[-21:], ddof=1)) * 252**0.5
    assert found["volatility"] == pytest.approx(deviation, rel=1e-9)
    calculated = answered(
        own_api.post(
            "/api/v1/calculate",
            json={"positions": POSITIONS, **BANDED, "window_sessions": 21, "measures": ["volatility"]},
        )
    )
    assert calculated["drift_band"] == 0.03
    assert calculated["measures"][0]["value"] == pytest.approx(deviation, rel=1e-9)
    weights = answered(own_api.post(f"{PORTFOLIOS}/{number}/decomposition", json={"window_sessions": 21}))["parts"]
    assert [part["size"] for part in weights] == pytest.approx(series.held.weights[-1].tolist(), rel=1e-9)


def test_a_narrower_band_is_tried(own_api: httpx.Client) -> None:
    number = banded(own_api)["id"]
    path = f"{PORTFOLIOS}/{number}/what-if"
    found = answered(own_api.post(path, json={"positions": POSITIONS, "drift_band": 0.001, "window_sessions": 63}))
    assert (found["before"]["drift_band"], found["after"]["drift_band"]) == (0.03, 0.001)
    targets = [position["target_weight"] for position in POSITIONS]
    for side, band in (("before", 0.03), ("after", 0.001)):
        weights = [part["weight"] for part in found[side]["contributions"]]
        assert np.abs(np.array(weights) - targets).max() <= band
    expected = answered(
        own_api.post(
            "/api/v1/calculate",
            json={"positions": POSITIONS, **NARROW, "window_sessions": 63, "benchmark": "SPX", "measures": ["cagr"]},
        )
    )
    assert found["after"]["measures"]["cagr"] == pytest.approx(expected["measures"][0]["value"], rel=1e-12)
    kept = answered(
        own_api.post(
            path,
            json={
                "trades": [{"symbol": "AAPL", "target_weight": 0.1}, {"symbol": "MSFT", "target_weight": -0.1}],
                "window_sessions": 63,
            },
        )
    )
    assert kept["after"]["drift_band"] == 0.03


def test_pages_say_how_wide_the_band_is(own_api: httpx.Client) -> None:
    banded(own_api, slug="band")
    page = own_api.get("/portfolios/band")
    assert page.status_code == 200
    assert "Drift band of 3.0" in page.text
    sheet = own_api.get("/portfolios/band/tear-sheet")
    assert "drift band of 3.0" in sheet.text


def test_returns_that_are_simulated_are_those_of_its_weights(own_api: httpx.Client, own_seeded: Seeded) -> None:
    banded(own_api, slug="band")
    asked = {"paths": 500, "horizon_sessions": 5, "fit_window_sessions": 252}
    of_portfolio = answered(own_api.post("/api/v1/simulate", json={"portfolio": "band", **asked}))
    of_positions = answered(own_api.post("/api/v1/simulate", json={"positions": POSITIONS, **BANDED, **asked}))
    held = {"positions": POSITIONS, "rebalancing": "daily", **asked}
    assert of_portfolio["fit_start"] == of_positions["fit_start"] == str(SESSIONS[-252])
    daily = answered(own_api.post("/api/v1/simulate", json=held))
    assert of_positions["var_99"] != daily["var_99"]
