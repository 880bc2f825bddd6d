"""Making portfolios and measuring them on request."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.risk.measures import MEASURES
from tests.integration.serving.seeding import NOTICE, SESSIONS, SHORT_SESSIONS, Seeded

PORTFOLIOS = "/api/v1/portfolios"


def held(*amounts: tuple[str, Any], field: str = "quantity", **others: Any) -> dict[str, Any]:
    return {"name": "P", "positions": [{"symbol": symbol, field: amount} for symbol, amount in amounts], **others}


def weighted(*amounts: tuple[str, Any], **others: Any) -> dict[str, Any]:
    return held(*amounts, field="target_weight", **{"rebalancing": "daily", **others})


def test_a_portfolio_is_stored_and_found(own_api: httpx.Client) -> None:
    body = weighted(("AAPL", 0.25), ("MSFT", 0.75), name="  Zwei Äpfel ", slug="zwei", rebalancing="monthly")
    answer = own_api.post(PORTFOLIOS, json=body)
    assert answer.status_code == 201, answer.text
    stored = answer.json()
    assert stored["notice"] == NOTICE
    assert answer.headers["location"] == f"{PORTFOLIOS}/{stored['id']}"
    assert stored["name"] == "Zwei Äpfel"
    assert stored["rebalancing"] == "monthly"
    assert stored["positions"] == [
        {"symbol": "AAPL", "quantity": None, "target_weight": 0.25},
        {"symbol": "MSFT", "quantity": None, "target_weight": 0.75},
    ]
    assert own_api.get(answer.headers["location"]).json() == stored
    assert own_api.get(f"{PORTFOLIOS}/zwei").json() == stored
    again = own_api.post(PORTFOLIOS, json=body)
    assert again.status_code == 409
    assert "zwei" in again.json()["detail"]
    # Quantities are held, said or not; a short position is one.
    for said in ({}, {"rebalancing": "buy_and_hold"}):
        answer = own_api.post(PORTFOLIOS, json=held(("AAPL", 3), ("MSFT", -1), **said))
        assert answer.json()["rebalancing"] == "buy_and_hold"
    computed = own_api.post(f"{PORTFOLIOS}/zwei/risk", json={})
    assert computed.status_code == 200
    assert len(own_api.get(PORTFOLIOS).json()["data"]) == 6


def test_a_portfolio_without_prices_is_stored(own_seeded: Seeded, own_api: httpx.Client) -> None:
    """Its value is not known yet; the pipeline computes it once there are prices."""
    with own_seeded.database.connect() as connection:
        connection.execute("DELETE FROM price WHERE instrument_id = %s", [own_seeded.instruments["NEW"].id])
    assert own_api.post(PORTFOLIOS, json=held(("NEW", 1), ("AAPL", -1))).status_code == 201


def test_conflicts_are_documented(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    release = f"{PORTFOLIOS.removesuffix('portfolios')}quarantine/{{symbol}}/{{session}}/release"
    for path in (PORTFOLIOS, release):
        assert "409" in paths[path]["post"]["responses"]


SURROGATE = b'{"name": "\\ud800", "positions": [{"symbol": "AAPL", "quantity": 1}]}'


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "body.name"),
        (held(), "body.positions"),
        (held(("AAPL", 1)) | {"unknown": 1}, "body.unknown"),
        (held(("AAPL", 1), base_currency="JPY"), "base_currency: JPY has no exchange rate, and AAPL is priced in USD"),
        (held(("SAP", 1), base_currency="CHF"), "base_currency: CHF has no exchange rate, and SAP is priced in EUR"),
        (held(("NONE", 1)), "NONE"),
        (held(("AAPL", 1), ("AAPL", 2)), "twice"),
        (held(("AAPL", 0)), "positions: no quantity is above 0"),
        (held(("AAPL", 0), ("MSFT", -0.0)), "positions: no quantity is above 0"),
        (held(("AAPL", -1), ("MSFT", 0)), "positions: no quantity is above 0"),
        (held(("AAPL", 1), ("MSFT", -1000)), "positions: worth -"),
        (held(("AAPL", 1), ("NEW", -1000)), "at the closes of 2022-12-28"),
        (held(("AAPL", 1), rebalancing="daily"), "rebalancing"),
        (weighted(("AAPL", 1), rebalancing=None), "rebalancing"),
        (weighted(("AAPL", 1), rebalancing="buy_and_hold"), "rebalancing"),
        (weighted(("AAPL", 1), rebalancing="yearly"), "body.rebalancing"),
        (weighted(("AAPL", 0.5), ("MSFT", 0.49)), "sum"),
        (weighted(("AAPL", 1.00001)), "sum"),
        ({"name": "P", "positions": [{"symbol": "AAPL"}]}, "exactly one"),
        ({"name": "P", "positions": [{"symbol": "AAPL", "quantity": 1, "target_weight": 1}]}, "exactly one"),
        (
            {"name": "P", "positions": [{"symbol": "AAPL", "quantity": 1}, {"symbol": "MSFT", "target_weight": 1}]},
            "not both",
        ),
        (held(("AAPL", "1")), "body.positions.0.quantity"),
        (held(("AAPL", True)), "body.positions.0.quantity"),
        (held(("AAPL", 10**400)), "body.positions.0.quantity"),
        (held(("AAPL", 1e300)), "body.positions.0.quantity"),
        (held(("A\x00", 1)), "body.positions.0.symbol"),
        (held(("AAPL", 1), name="a\x00b"), "body.name"),
        (held(("AAPL", 1), name="   "), "body.name"),
        (held(("AAPL", 1), name="x" * 201), "body.name"),
        (held(("AAPL", 1), slug="1abc"), "body.slug"),
        (held(("AAPL", 1), slug="a"), "body.slug"),
        (held(("AAPL", 1), slug="abc\n"), "body.slug"),
        (held(*((f"S{i}", 1) for i in range(501))), "body.positions"),
        ([], "body"),
        (None, "body"),
        (SURROGATE, "body.name"),
        (SURROGATE.replace(b'"name"', b'"\\ud800"'), "body"),
        (b'{"name": "P", "positions": [{"symbol": "AAPL", "quantity": NaN}]}', "body.positions.0.quantity"),
        (b'{"name": "P", "positions": [{"symbol": "AAPL", "quantity": -Infinity}]}', "body.positions.0.quantity"),
        (b"{", "body"),
    ],
)
def test_a_bad_portfolio_is_refused_by_name(api: httpx.Client, body: Any, named: str) -> None:
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = api.post(PORTFOLIOS, headers={"content-type": "application/json"}, **content)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]
    assert len(api.get(PORTFOLIOS).json()["data"]) == 3


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"\xff\xfe", 422), (b"[" * 200_000, 422), (b"1" * 5000, 422), (b" " * 1_100_000, 413)],
)
def test_a_body_that_is_no_json_is_refused(api: httpx.Client, content: bytes, status: int) -> None:
    answer = api.post(PORTFOLIOS, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_long_body_without_a_declared_length_is_refused(api: httpx.Client) -> None:
    pieces = (b" " * 1000 for _ in range(1_100))
    answer = api.post(PORTFOLIOS, content=pieces, headers={"content-type": "application/json"})
    assert answer.status_code == 413, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def risk(api: httpx.Client, reference: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"{PORTFOLIOS}/{reference}/risk", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["notice"] == NOTICE
    return answer.json()


def test_risk_of_what_is_held_is_what_its_definition_gives(api: httpx.Client, seeded: Seeded) -> None:
    found = risk(api, "held")
    close = np.column_stack([seeded.close["AAPL"], seeded.close["MSFT"]])[-253:]
    values = close * [2.0, 1.0]
    returns = values.sum(axis=1)[1:] / values.sum(axis=1)[:-1] - 1
    losses = np.sort(-((close[1:] / close[:-1] - 1) @ (values[-1] / values[-1].sum())))
    assert found["var"] == pytest.approx(losses[249], rel=1e-12)  # ⌈0.99 × 252⌉ = 250th
    tail = (250 / 252 - 0.99) * losses[249] + losses[250:].sum() / 252
    assert found["expected_shortfall"] == pytest.approx(tail / 0.01, rel=1e-12)
    assert found["var"] == found["var_99_1d"]
    assert found["expected_shortfall"] == found["es_99_1d"]
    assert found["volatility"] == pytest.approx(returns.std(ddof=1) * np.sqrt(252), rel=1e-12)
    assert found["sharpe_ratio"] == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(252), rel=1e-9)
    expected = {
        "as_of": "2022-12-28",
        "window_start": str(SESSIONS[-253]),
        "window_sessions": 252,
        "confidence": 0.99,
        "horizon_sessions": 1,
        "var_method": "historical",
        "expected_shortfall_method": "historical",
        "benchmark": "SPX",
        "risk_free_rate_annual": 0.0,
        "undefined": {},
    }
    assert {name: found[name] for name in expected} == expected
    assert all(isinstance(found[measure.name], float) for measure in MEASURES)


def test_the_request_steers_the_risk(api: httpx.Client) -> None:
    default = risk(api, "quarterly")
    assert api.post(f"{PORTFOLIOS}/quarterly/risk").json() == default
    lower = risk(api, "quarterly", confidence=0.95, risk_free_rate_annual=0.02)
    assert lower["var"] == default["var_95_1d"]
    assert lower["sharpe_ratio"] < default["sharpe_ratio"]
    assert risk(api, "quarterly", confidence=0.975)["expected_shortfall"] == default["es_975_1d"]
    older = risk(api, "quarterly", as_of="2022-06-05", window_sessions=60)  # a Sunday
    assert (older["as_of"], older["window_sessions"]) == ("2022-06-03", 60)


def test_what_is_read_does_not_change_the_number(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partial reading gives what the whole history gives, although weights drift from rebalancings before it."""
    found = risk(api, "quarterly", window_sessions=100)
    monkeypatch.setattr("serving.routes.portfolio_risk.reaches_back", lambda *_: False)
    assert risk(api, "quarterly", window_sessions=100) == found


def test_a_window_without_variation_gives_null_and_a_reason(api: httpx.Client) -> None:
    found = risk(api, "young", window_sessions=SHORT_SESSIONS - 1)
    assert found["window_start"] == str(SESSIONS[-SHORT_SESSIONS])
    two = risk(api, "young", window_sessions=2)
    missing = {name for name, value in two.items() if value is None and name != "drift_band"}
    assert missing == set(two["undefined"])


@pytest.mark.parametrize(
    ("reference", "body", "status", "named"),
    [
        ("young", {}, 422, "returns"),
        ("held", {"window_sessions": 8000}, 422, "returns"),
        ("held", {"as_of": "1950-01-01"}, 422, "positions"),
        ("held", {"as_of": "0001-01-01"}, 422, "body.as_of"),
        ("held", {"as_of": "9999-12-31"}, 422, "body.as_of"),
        ("held", {"as_of": 0}, 422, "body.as_of"),
        ("held", {"confidence": 0.9}, 422, "body.confidence"),
        ("held", {"confidence": "0.99"}, 422, "body.confidence"),
        ("held", {"window_sessions": 1}, 422, "body.window_sessions"),
        ("held", {"window_sessions": 10**30}, 422, "body.window_sessions"),
        ("held", {"window_sessions": True}, 422, "body.window_sessions"),
        ("held", {"risk_free_rate_annual": 1.0}, 422, "body.risk_free_rate_annual"),
        ("held", {"horizon": 10}, 422, "body.horizon"),
        ("none", {}, 404, "none"),
    ],
)
def test_a_bad_request_for_risk_is_refused_by_name(
    api: httpx.Client, reference: str, body: dict[str, Any], status: int, named: str
) -> None:
    answer = api.post(f"{PORTFOLIOS}/{reference}/risk", json=body)
    assert answer.status_code == status, answer.text
    assert named in answer.json()["detail"]


def test_risk_without_any_price(database, serve) -> None:
    client = serve(database.url).client
    assert client.post(f"{PORTFOLIOS}/1/risk").status_code == 404
