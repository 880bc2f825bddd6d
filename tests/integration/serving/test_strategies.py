"""Strategies over real HTTP: stored ones as they are, without what computes them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pipeline.simulation.strategies.catalogue import STRATEGIES
from pipeline.store.strategies import STRATEGY_NAV, STRATEGY_WEIGHT
from pipeline.store.writing import open_write
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import MONTHS, NOTICE, SESSIONS, Seeded

STRATEGY = "/api/v1/strategies"
LAST = [str(session) for session in SESSIONS[-4:]]


@pytest.fixture
def walked(own_seeded: Seeded) -> Seeded:
    """Two month's ends of one strategy, and four sessions of it and another."""
    apple, microsoft = own_seeded.instruments["AAPL"].id, own_seeded.instruments["MSFT"].id
    with open_write(own_seeded.database, "strategy_weights", "run", "v1") as write:
        rows = {
            "strategy": np.full(3, b"hrp"),
            "session": np.array([LAST[0], LAST[0], LAST[2]], dtype="datetime64[D]"),
            "instrument_id": np.array([apple, microsoft, microsoft], "i4"),
            "weight": np.array([0.25, 0.75, 1.0]),
            "method": np.array([b"hrp", b"hrp", b"equal_weight"]),
            "window_sessions": np.full(3, 504, "i2"),
            "eligible": np.array([2, 2, 1], "i2"),
            "reason": np.array([b"", b"", b"not_solved: SolverError"]),
        }
        write.replace(STRATEGY_WEIGHT, rows, MONTHS)
    with open_write(own_seeded.database, "strategy_nav", "run", "v1") as write:
        rows = {
            "strategy": np.repeat([b"hrp", b"equal_weight"], 4),
            "session": np.tile(SESSIONS[-4:], 2),
            "nav": np.r_[1.0, 1.1, 1.2, 1.25, 1.0, 1.0, 0.9, 0.95],
            "daily_return": np.full(8, 0.01),
            "turnover": np.tile([1.0, 0.0, 0.5, 0.0], 2),
            "cost": np.tile([0.001, 0.0, 0.0005, 0.0], 2),
        }
        write.replace(STRATEGY_NAV, rows, MONTHS)
    return own_seeded


def test_strategies_are_listed_with_what_they_came_to(walked: Seeded, serve: Serve) -> None:
    client = serve(walked.database.url, "portfolio-simulation").client
    body = client.get(STRATEGY).json()
    assert body["notice"] == NOTICE
    found = {row["name"]: row for row in body["data"]}
    assert list(found) == list(STRATEGIES)
    assert found["hrp"] == {
        "name": "hrp",
        "summary": STRATEGIES["hrp"].summary,
        "start": LAST[0],
        "session": LAST[3],
        "nav": 1.25,
        "growth_annual": pytest.approx(1.25**63 - 1.0),
        "turnover_annual": pytest.approx(1.5 * 63),
        "cost_annual": pytest.approx(0.0015 * 63),
    }
    assert set(found["min_cvar"].values()) == {"min_cvar", STRATEGIES["min_cvar"].summary, None}


def test_one_strategy_says_what_it_holds(walked: Seeded, serve: Serve) -> None:
    client = serve(walked.database.url, "portfolio-simulation").client
    one = client.get(f"{STRATEGY}/hrp").json()
    assert (one["nav"], one["notice"]) == (1.25, NOTICE)
    weights = one["weights"]
    assert (weights["session"], weights["method"], weights["reason"]) == (
        LAST[2],
        "equal_weight",
        "not_solved: SolverError",
    )
    assert weights["stocks"] == [{"symbol": "MSFT", "weight": 1.0}]
    young = client.get(f"{STRATEGY}/min_cvar").json()
    assert (young["weights"], young["nav"], young["start"]) == (None, None, None)


def test_values_and_weights_by_window_and_page(walked: Seeded, serve: Serve) -> None:
    client = serve(walked.database.url, "portfolio-simulation").client
    rows = client.get(f"{STRATEGY}/hrp/nav", params={"start": LAST[1], "end": LAST[2]}).json()["data"]
    assert [(row["session"], row["nav"], row["turnover"]) for row in rows] == [(LAST[1], 1.1, 0.0), (LAST[2], 1.2, 0.5)]
    page = client.get(f"{STRATEGY}/hrp/nav", params={"limit": 3}).json()
    assert [row["session"] for row in page["data"]] == LAST[1:]
    rest = client.get(f"{STRATEGY}/hrp/nav", params={"limit": 3, "cursor": page["next_cursor"]}).json()
    assert ([row["session"] for row in rest["data"]], rest["next_cursor"]) == (LAST[:1], None)
    newest = client.get(f"{STRATEGY}/hrp/weights", params={"limit": 1}).json()
    assert [row["session"] for row in newest["data"]] == [LAST[2]]
    [before] = client.get(f"{STRATEGY}/hrp/weights", params={"limit": 1, "cursor": newest["next_cursor"]}).json()[
        "data"
    ]
    assert before["stocks"] == [{"symbol": "AAPL", "weight": 0.25}, {"symbol": "MSFT", "weight": 0.75}]
    assert (before["session"], before["method"], before["eligible"], before["reason"]) == (LAST[0], "hrp", 2, None)


@pytest.mark.parametrize("what", ["", "/nav", "/weights"])
def test_a_strategy_that_does_not_exist_is_named(walked: Seeded, serve: Serve, what: str) -> None:
    client = serve(walked.database.url, "portfolio-simulation").client
    answer = client.get(f"{STRATEGY}/best{what}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is no strategy 'best'"
    assert answer.json()["remedy"] == f"Use one of {', '.join(STRATEGIES)}."
    assert client.get(f"{STRATEGY}/NOT-A-NAME{what}").status_code == 422


def test_serving_loads_nothing_that_strategies_are_computed_with() -> None:
    program = (
        "import sys, serving.app; print([m for m in ('skfolio', 'sklearn', 'cvxpy', 'numba') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
