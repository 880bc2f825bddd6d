"""Positions simulated together by the API: rebalanced, at a cost, with payments, and in parts of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.simulation.models import MODELS
from pipeline.simulation.run import CashFlow, SimulationSpec, simulate
from pipeline.store.engine import Database
from tests.integration.serving.gateways import serving_all
from tests.integration.serving.seeding import Seeded, seed
from tests.integration.serving.simulations import (
    AS_JOB,
    BODY,
    SIMULATE,
    WEIGHTS,
    WINDOW,
    ended,
    submit,
)

JOINT: dict[str, Any] = {
    **{name: value for name, value in BODY.items() if name != "portfolio"},
    **WEIGHTS,
    "fit_on": "positions",
    "cost_bps": 12.0,
    "monthly_flow": -0.01,
    "flows": [{"session": 5, "amount": 0.2}],
    "contributions": True,
    "goal_wealth": 1.1,
}


@pytest.fixture(scope="module")
def place(new_database: Callable[[], Database]) -> Seeded:
    return seed(new_database())


@pytest.fixture(scope="module", params=["in_process", "over_http"])
def client(place: Seeded, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving_all(place.database.url, over_http=request.param == "over_http") as found:
        yield found


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_is_the_cores_to_the_rounding_of_its_weights(place: Seeded, client: httpx.Client, model: str) -> None:
    answer = client.post(SIMULATE, json={**JOINT, "model": model})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    close = np.column_stack([place.close[symbol] for symbol in ("AAPL", "MSFT")])[-WINDOW - 1 :]
    spec = SimulationSpec(
        model=model,
        paths=1_000,
        horizon_sessions=21,
        fit_window_sessions=WINDOW,
        rebalancing="monthly",
        cost_bps=12.0,
        monthly_flow=-0.01,
        flows=(CashFlow(5, 0.2),),
        contributions=True,
    )
    target = np.array([0.6, 0.4])
    # The weights of the last session have drifted since the month began, so only nearly.
    expected = simulate(close[1:] / close[:-1] - 1.0, spec, 0, target, target)
    assert found["return_50"] == pytest.approx(expected.return_50, abs=2e-3)
    assert found["es_975"] == pytest.approx(expected.es_975, rel=0.05)
    assert found["cost_mean"] == pytest.approx(expected.cost_mean, rel=0.2)
    assert found["wealth_mean"] == pytest.approx(1.19 + found["return_mean"], abs=1e-12)
    assert 0.0 < found["probability_of_wealth"]["value"] <= 1.0
    assert found["depletion"] == {"value": 0.0, "error": 0.0}
    parts = found["contributions"]
    assert [part["symbol"] for part in parts] == ["AAPL", "MSFT", None]
    assert sum(part["gain_mean"] for part in parts) == pytest.approx(found["return_mean"], abs=1e-12)
    assert sum(part["es_975"] for part in parts) == pytest.approx(found["es_975"], abs=1e-12)


def test_a_job_gives_the_same_digits(client: httpx.Client) -> None:
    at_once = client.post(SIMULATE, json=JOINT).json()
    job = ended(client, submit(client, JOINT)["id"])
    assert job["state"] == "done", job
    assert job["result"] == {name: at_once[name] for name in job["result"]}


def test_a_stored_portfolio_is_simulated_by_its_own_policy(place: Seeded, client: httpx.Client) -> None:
    body = {**BODY, "fit_on": "positions", "model": "gbm", "contributions": True}
    found = client.post(SIMULATE, json=body).json()
    assert found["portfolio_id"] == found["subject"] == place.portfolios["held"]
    assert found["contributions"][-1]["symbol"] is None
    alike = client.post(SIMULATE, json={**BODY, "model": "gbm"}).json()
    assert alike["contributions"] is None
    assert found["return_mean"] == pytest.approx(alike["return_mean"], abs=0.02)
    assert_is_wider_than_nothing(found)


def assert_is_wider_than_nothing(found: dict[str, Any]) -> None:
    assert found["return_05"] < found["return_50"] < found["return_95"]
    assert len(found["drawdown"]["errors"]) == len(found["drawdown"]["levels"])


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "costs of one series": ({"fit_on": "portfolio", "contributions": False}, "cost_bps: of one series"),
    "parts of one series": ({"fit_on": "portfolio", "cost_bps": 0.0}, "contributions: of one series"),
    "unknown fit": ({"fit_on": "everything"}, "fit_on"),
    "negative cost": ({"cost_bps": -1.0}, "cost_bps"),
    "a flow beyond": ({"flows": [{"session": 22, "amount": 0.1}]}, "flows.0.session: 22 is beyond the horizon"),
    "a flow of text": ({"flows": [{"session": 2, "amount": "0.1"}]}, "amount"),
    "a flow before": ({"flows": [{"session": 0, "amount": 0.1}]}, "session"),
    "an endless flow": ({"monthly_flow": 11.0}, "monthly_flow"),
    "a negative goal": ({"goal_wealth": -0.1}, "goal_wealth"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("headers", [{}, AS_JOB], ids=["at once", "as a job"])
def test_bad_values_are_refused_by_name(client: httpx.Client, case: str, headers: dict[str, str]) -> None:
    change, said = BAD[case]
    answer = client.post(SIMULATE, json={**JOINT, **change}, headers=headers)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"] + str(answer.json().get("remedy"))


def test_payments_into_one_series(place: Seeded, client: httpx.Client) -> None:
    body = {**BODY, "monthly_flow": 0.05, "goal_wealth": 1.0}
    found = client.post(SIMULATE, json=body).json()
    assert found["wealth_mean"] == pytest.approx(1.05 + found["return_mean"], abs=1e-12)
    without = client.post(SIMULATE, json=BODY).json()
    # It is paid in at the last close: nothing is earned on it.
    assert found["return_mean"] == pytest.approx(without["return_mean"], rel=1e-12)
    assert place.portfolios["held"] == found["portfolio_id"]
