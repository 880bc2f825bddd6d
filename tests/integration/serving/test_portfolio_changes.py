"""Changing and deleting portfolios."""

from __future__ import annotations

from datetime import date
from typing import Any

import httpx
import pytest

from pipeline.store.limits import NewEvent, record_events
from pipeline.store.materializations import UNPARTITIONED, read_partition_states
from pipeline.store.portfolio_changes import delete_portfolio
from pipeline.store.portfolios import PORTFOLIOS_INPUT
from tests.integration.serving.accounts import SECURED, House, bearer, furnish, log_in
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded

PORTFOLIOS = "/api/v1/portfolios"
HELD, QUARTERLY = f"{PORTFOLIOS}/held", f"{PORTFOLIOS}/quarterly"


def quantities(**amounts: float) -> dict[str, Any]:
    return {"positions": [{"symbol": symbol, "quantity": amount} for symbol, amount in amounts.items()]}


def weights(**amounts: float) -> dict[str, Any]:
    return {"positions": [{"symbol": symbol, "target_weight": amount} for symbol, amount in amounts.items()]}


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return f"{answer.json()['detail']} {answer.json().get('remedy', '')}"


def write_of_portfolios(seeded: Seeded) -> int:
    """The write by which what is computed from the portfolios is out of date."""
    with seeded.database.connect() as connection:
        return read_partition_states(connection, PORTFOLIOS_INPUT)[UNPARTITIONED].changed_by


def actions(api: httpx.Client) -> list[str]:
    return [entry["action"] for entry in api.get("/api/v1/audit").json()["data"]]


def test_a_portfolio_is_renamed(own_api: httpx.Client, own_seeded: Seeded) -> None:
    before, write = own_api.get(HELD), write_of_portfolios(own_seeded)
    answer = own_api.patch(HELD, json={"name": "Kept", "slug": "kept"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {**before.json(), "name": "Kept", "slug": "kept"}
    again = own_api.get(f"{PORTFOLIOS}/kept")
    assert again.json() == answer.json()
    assert again.headers["etag"] == answer.headers["etag"] != before.headers["etag"]
    assert own_api.get(HELD).status_code == 404
    assert write_of_portfolios(own_seeded) == write  # a name makes no result wrong
    assert actions(own_api)[0] == "portfolio.change"
    assert "quarterly" in problem(own_api.patch(f"{PORTFOLIOS}/kept", json={"slug": "quarterly"}), 409)
    assert own_api.patch(f"{PORTFOLIOS}/kept", json={"slug": None}).json()["slug"] is None


def test_a_policy_is_changed(own_api: httpx.Client, own_seeded: Seeded) -> None:
    write = write_of_portfolios(own_seeded)
    assert own_api.patch(QUARTERLY, json={"rebalancing": "daily"}).json()["rebalancing"] == "daily"
    assert write_of_portfolios(own_seeded) > write
    risk = own_api.post(f"{QUARTERLY}/risk").json()
    assert risk["rebalancing"] == "daily"


def test_a_benchmark_of_its_own_is_what_beta_refers_to(own_api: httpx.Client, own_seeded: Seeded) -> None:
    market, write = own_api.post(f"{HELD}/risk").json(), write_of_portfolios(own_seeded)
    assert market["benchmark"] == "SPX"
    assert own_api.patch(HELD, json={"benchmark": "AAPL"}).json()["benchmark"] == "AAPL"
    assert write_of_portfolios(own_seeded) > write
    own = own_api.post(f"{HELD}/risk").json()
    assert own["benchmark"] == "AAPL"
    assert own["beta"] != market["beta"]
    assert own["volatility"] == market["volatility"]
    against = {"positions": [{"symbol": "AAPL", "quantity": 2}, {"symbol": "MSFT", "quantity": 1}], "benchmark": "AAPL"}
    measured = {m["name"]: m["value"] for m in own_api.post("/api/v1/calculate", json=against).json()["measures"]}
    assert own["beta"] == pytest.approx(measured["beta"], rel=1e-12)
    assert own["tracking_error"] == pytest.approx(measured["tracking_error"], rel=1e-12)
    assert own_api.patch(HELD, json={"benchmark": None}).json()["benchmark"] is None
    assert own_api.post(f"{HELD}/risk").json() == market
    made = own_api.post(PORTFOLIOS, json={"name": "P", "benchmark": "MSFT", **quantities(AAPL=1)})
    assert made.json()["benchmark"] == "MSFT"


def test_positions_are_replaced(own_api: httpx.Client, own_seeded: Seeded) -> None:
    write = write_of_portfolios(own_seeded)
    answer = own_api.put(f"{HELD}/positions", json=quantities(MSFT=3))
    assert answer.status_code == 200, answer.text
    assert answer.json()["positions"] == [{"symbol": "MSFT", "quantity": 3.0, "target_weight": None}]
    assert own_api.get(HELD).json() == answer.json()
    assert write_of_portfolios(own_seeded) > write
    alone = own_api.post("/api/v1/calculate", json={**quantities(MSFT=3), "measures": ["sharpe_ratio"]}).json()
    assert own_api.post(f"{HELD}/risk").json()["sharpe_ratio"] == pytest.approx(alone["measures"][0]["value"])
    # The policy goes with what is held.
    answer = own_api.put(f"{HELD}/positions", json={**weights(AAPL=0.5, MSFT=0.5), "rebalancing": "monthly"})
    assert answer.json()["rebalancing"] == "monthly"
    assert own_api.put(f"{HELD}/positions", json=weights(AAPL=1.0)).json()["rebalancing"] == "monthly"
    assert own_api.put(f"{HELD}/positions", json=quantities(AAPL=1)).json()["rebalancing"] == "buy_and_hold"
    assert actions(own_api)[:2] == ["portfolio.positions"] * 2


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("PATCH", "held", {}, "name, slug, benchmark"),
        ("PATCH", "held", {"owner_id": 1}, "body.owner_id"),
        ("PATCH", "held", {"name": None}, "name: null"),
        ("PATCH", "held", {"name": "a\x00"}, "body.name"),
        ("PATCH", "held", {"benchmark": "NONE"}, "benchmark: no instrument has the symbol NONE"),
        ("PATCH", "held", {"rebalancing": "daily"}, "rebalancing: daily does not go with these positions"),
        ("PATCH", "quarterly", {"rebalancing": "buy_and_hold"}, "which are target weights"),
        ("PUT", "held/positions", {"positions": []}, "body.positions"),
        ("PUT", "held/positions", quantities(NONE=1), "positions: no instrument has the symbol NONE"),
        ("PUT", "held/positions", quantities(AAPL=1, MSFT=-1000), "positions: worth -"),
        ("PUT", "held/positions", weights(AAPL=1.0), "rebalancing: target weights need"),
        ("PUT", "quarterly/positions", weights(AAPL=0.5), "sum"),
        ("PUT", "quarterly/positions", {**quantities(AAPL=1), "rebalancing": "daily"}, "rebalancing"),
    ],
)
def test_a_bad_change_is_refused_by_name(
    api: httpx.Client, method: str, path: str, body: dict[str, Any], named: str
) -> None:
    before = api.get(PORTFOLIOS).json()
    assert named in problem(api.request(method, f"{PORTFOLIOS}/{path}", json=body), 422)
    assert api.get(PORTFOLIOS).json() == before


def test_a_change_that_comes_too_late_is_refused(own_api: httpx.Client) -> None:
    tag = own_api.get(HELD).headers["etag"]
    first = own_api.put(f"{HELD}/positions", json=quantities(AAPL=5), headers={"If-Match": tag})
    assert first.status_code == 200, first.text
    requests: list[tuple[str, str, Any]] = [
        ("PUT", f"{HELD}/positions", quantities(MSFT=5)),
        ("PATCH", HELD, {"name": "Other"}),
        ("DELETE", HELD, None),
    ]
    for method, path, body in requests:
        assert "If-Match" in problem(own_api.request(method, path, json=body, headers={"If-Match": tag}), 412)
    assert own_api.get(HELD).json() == first.json()
    for known in (first.headers["etag"], "*"):
        answer = own_api.patch(HELD, json={"name": f"By {known[:2]}"}, headers={"If-Match": known})
        assert answer.status_code == 200, answer.text


def test_a_deleted_portfolio_is_gone_with_its_results(own_api: httpx.Client, own_seeded: Seeded) -> None:
    write, number = write_of_portfolios(own_seeded), own_seeded.portfolios["held"]
    limits = {"limits": [{"measure": "var_99_1d", "direction": "above", "warn": 0.03, "breach": 0.04}]}
    assert own_api.put(f"{HELD}/limits", json=limits).status_code == 200
    assert own_api.get(f"{HELD}/risk").json()["data"] != []
    answer = own_api.delete(HELD)
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("", "/risk", "/simulations", "/limits", "/limit-events", "/tail", "/stress", "/contributions"):
        for reference in ("held", str(number)):
            problem(own_api.get(f"{PORTFOLIOS}/{reference}{path}"), 404)
    assert "held" not in [found["slug"] for found in own_api.get(PORTFOLIOS).json()["data"]]
    problem(own_api.delete(HELD), 404)
    assert write_of_portfolios(own_seeded) > write
    assert actions(own_api)[0] == "portfolio.delete"
    made = own_api.post(PORTFOLIOS, json={"name": "P", "slug": "held", **quantities(AAPL=1)})
    assert made.json()["id"] != number  # so that nobody takes over the results that are still stored
    assert own_api.get(f"{HELD}/risk").json()["data"] == []


def test_a_writer_that_meets_a_deletion_goes_on(own_seeded: Seeded) -> None:
    """The watch of the limits read the portfolio before it was deleted."""
    number, day = own_seeded.portfolios["held"], date(2022, 12, 28)
    event = NewEvent("k", number, "WARN", "var_99_1d", "above", day, day, None, 0.1, 0.2)
    with own_seeded.database.connect() as connection:
        assert record_events(connection, [event]) == 1
        delete_portfolio(connection, number)
        assert record_events(connection, [event]) == 0


@pytest.fixture
def house(own_seeded: Seeded) -> House:
    return furnish(own_seeded.database)


def test_only_who_owns_it_changes_it(house: House, serve: Serve) -> None:
    client = serve(house.database.url, **SECURED).client
    tokens = {name: bearer(log_in(client, name)["access_token"]) for name in ("alice", "bob", "vera", "otto")}
    requests: list[tuple[str, str, Any]] = [
        ("PUT", "/positions", quantities(AAPL=1)),
        ("PATCH", "", {"name": "Mine"}),
        ("DELETE", "", None),
    ]
    for method, path, body in requests:
        address = f"{PORTFOLIOS}/bobs{path}"
        problem(client.request(method, address, json=body, headers=tokens["alice"]), 404)
        problem(client.request(method, address, json=body, headers=tokens["vera"]), 403)
        shared = client.request(method, f"{PORTFOLIOS}/everybodys{path}", json=body, headers=tokens["alice"])
        assert "everybody's" in problem(shared, 403)
    for name, reference in (("bob", "bobs"), ("otto", "everybodys")):
        for method, path, body in requests:
            answer = client.request(method, f"{PORTFOLIOS}/{reference}{path}", json=body, headers=tokens[name])
            assert answer.is_success, answer.text
