"""Portfolios of dollars and euros: valued in their base currency, and their return split from the exchange rate's."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import DOLLARS_PER_EURO, SESSIONS, Seeded

PORTFOLIOS = "/api/v1/portfolios"
TOLERANCE = 1e-12
PARTS = ("local", "fx", "cross")
DAYS = pd.DatetimeIndex(SESSIONS)
DOLLARS = pd.Series(DOLLARS_PER_EURO, DAYS)
UNITS = {"AAPL": 3.0, "SAP": 5.0}
WEIGHTS = {"AAPL": 0.3, "SAP": 0.7}
DAYS_WITH_A_RATE = ("02-28", "03-01", "03-02", "03-03", "03-04", "03-07", "03-08", "03-21")
POLICIES = ("buy_and_hold", "daily", "monthly", "quarterly")


def stored(client: httpx.Client, amounts: dict[str, float], rebalancing: str, currency: str = "USD") -> str:
    """The address of a new portfolio."""
    field = "quantity" if rebalancing == "buy_and_hold" else "target_weight"
    positions = [{"symbol": symbol, field: amount} for symbol, amount in amounts.items()]
    body = {"name": "P", "base_currency": currency, "rebalancing": rebalancing, "positions": positions}
    answer = client.post(PORTFOLIOS, json=body)
    assert answer.status_code == 201, answer.text
    return f"{PORTFOLIOS}/{answer.json()['id']}"


def split(client: httpx.Client, address: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"{address}/currency", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def closes(seeded: Seeded, *symbols: str) -> pd.DataFrame:
    return pd.DataFrame({symbol: pd.Series(seeded.close[symbol], DAYS) for symbol in symbols})


def opening(policy: str, converted: pd.DataFrame) -> pd.DataFrame:
    """Weights before each return, session by session: what is held is valued, and rebalanced as a period ends."""
    held = pd.Series(UNITS) if policy == "buy_and_hold" else pd.Series(WEIGHTS) / converted.iloc[0]
    period = {"monthly": "M", "quarterly": "Q", "daily": "D"}.get(policy)
    rows = []
    for day, following in zip(converted.index[:-1], converted.index[1:], strict=True):
        if period and day.to_period(period) != following.to_period(period):
            held = pd.Series(WEIGHTS) / converted.loc[day]
        value = held * converted.loc[day]
        rows.append(value / value.sum())
    return pd.DataFrame(rows, converted.index[1:])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("window", [{}, {"start": "2021-05-03", "end": "2022-02-15"}, {"start": "2019-01-01"}])
def test_the_parts_are_those_of_pandas(
    own_seeded: Seeded, own_api: httpx.Client, policy: str, window: dict[str, str]
) -> None:
    amounts = UNITS if policy == "buy_and_hold" else WEIGHTS
    found = split(own_api, stored(own_api, amounts, policy), **window)
    close = closes(own_seeded, *amounts)
    rate = pd.DataFrame({"AAPL": 1.0, "SAP": DOLLARS})
    weights = opening(policy, close * rate)
    local, fx = close.pct_change().iloc[1:], rate.pct_change().iloc[1:]
    expected = pd.DataFrame(
        {
            "local": (weights * local).sum(axis=1),
            "fx": (weights * fx).sum(axis=1),
            "cross": (weights * local * fx).sum(axis=1),
            "total": (weights * (close * rate).pct_change().iloc[1:]).sum(axis=1),
        }
    ).loc[window.get("start", "2021-12-29") : window.get("end")]
    rows = pd.DataFrame(found["sessions"]).set_index("session")
    assert list(rows.index) == [str(day.date()) for day in expected.index]
    np.testing.assert_allclose(rows[list(expected)].to_numpy(), expected.to_numpy(), rtol=0, atol=TOLERANCE)
    assert (rows["total"] - rows[list(PARTS)].sum(axis=1)).abs().max() <= TOLERANCE
    compounded, whole = found["compounded"], (1.0 + expected).prod() - 1.0
    for part in ("local", "fx", "total"):
        assert compounded[part] == pytest.approx(whole[part], abs=TOLERANCE)
    assert compounded["total"] == pytest.approx(sum(compounded[part] for part in PARTS), abs=TOLERANCE)
    assert found["sessions_left_out"] == 0


def test_of_one_foreign_stock_the_total_is_the_product_of_price_and_rate(
    own_seeded: Seeded, own_api: httpx.Client
) -> None:
    found = split(own_api, stored(own_api, {"SAP": 2.0}, "buy_and_hold"), start="2022-01-03", end="2022-11-30")
    price = closes(own_seeded, "SAP")["SAP"]
    first, last = "2021-12-31", "2022-11-30"
    assert (found["window_start"], found["as_of"], found["base_currency"]) == (first, last, "USD")
    local, fx = price[last] / price[first] - 1.0, DOLLARS[last] / DOLLARS[first] - 1.0
    total = price[last] * DOLLARS[last] / (price[first] * DOLLARS[first]) - 1.0
    expected = {"local": local, "fx": fx, "cross": local * fx, "total": total}
    assert found["compounded"] == pytest.approx(expected, abs=TOLERANCE)
    assert found["exposures"] == [
        {"currency": "EUR", "weight": 1.0, "symbols": ["SAP"], "fx_return": pytest.approx(fx, abs=TOLERANCE)}
    ]
    series = (price * DOLLARS).pct_change().loc["2022-01-03":last]
    totals = [row["total"] for row in found["sessions"]]
    np.testing.assert_allclose(totals, series.to_numpy(), rtol=0, atol=TOLERANCE)


def test_exposures_are_the_weights_at_the_end_by_currency(own_seeded: Seeded, own_api: httpx.Client) -> None:
    amounts = {"AAPL": 3.0, "MSFT": 1.0, "SAP": 5.0}
    found = split(own_api, stored(own_api, amounts, "buy_and_hold", "EUR"), end="2022-12-27")
    value = pd.Series(amounts) * closes(own_seeded, *amounts).loc["2022-12-27"]
    value[["AAPL", "MSFT"]] /= DOLLARS["2022-12-27"]
    weights = value / value.sum()
    assert [(e["currency"], e["symbols"]) for e in found["exposures"]] == [("EUR", ["SAP"]), ("USD", ["AAPL", "MSFT"])]
    assert [e["weight"] for e in found["exposures"]] == pytest.approx(
        [weights["SAP"], weights["AAPL"] + weights["MSFT"]], abs=TOLERANCE
    )


def test_in_one_currency_nothing_comes_from_exchange(api: httpx.Client) -> None:
    found = split(api, f"{PORTFOLIOS}/held")
    assert found["exposures"] == [{"currency": "USD", "weight": 1.0, "symbols": ["AAPL", "MSFT"], "fx_return": 0.0}]
    assert {row["fx"] for row in found["sessions"]} == {row["cross"] for row in found["sessions"]} == {0.0}
    assert found["compounded"]["total"] == found["compounded"]["local"] != 0.0


def test_sessions_without_a_rate_of_the_week_are_left_out(own_seeded: Seeded, serve: Serve) -> None:
    with own_seeded.database.connect() as connection:
        connection.execute("DELETE FROM fx_rate WHERE session BETWEEN '2022-03-02' AND '2022-03-18'")
    client = serve(own_seeded.database.url).client
    address = stored(client, {"SAP": 1.0}, "buy_and_hold")
    found = split(client, address, start="2022-02-28", end="2022-03-31")
    days = [row["session"] for row in found["sessions"]]
    # The rate of 1 March serves up to the 8th.
    assert days[:8] == [f"2022-{day}" for day in DAYS_WITH_A_RATE]
    assert found["sessions_left_out"] == 8
    price = closes(own_seeded, "SAP")["SAP"]
    spanning = found["sessions"][7]["total"]
    expected = price["2022-03-21"] * DOLLARS["2022-03-21"] / (price["2022-03-08"] * DOLLARS["2022-03-01"]) - 1.0
    assert spanning == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"start": "2022-12-28", "end": "2022-12-01"}, "start lies after end"),
        ({"start": "2023-06-01"}, "start: no two sessions"),
        ({"start": "2010-01-01", "end": "2010-12-31"}, "start: no two sessions of that time"),
        ({"start": "yesterday"}, "query.start"),
        ({"limit": "3"}, "query.limit"),
    ],
)
def test_a_window_that_cannot_be_split_is_refused_by_name(api: httpx.Client, query: dict[str, str], named: str) -> None:
    answer = api.get(f"{PORTFOLIOS}/held/currency", params=query)
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]


def test_risk_and_stress_are_of_the_value_in_the_base_currency(own_seeded: Seeded, own_api: httpx.Client) -> None:
    address = stored(own_api, UNITS, "buy_and_hold")
    values = closes(own_seeded, *UNITS).mul(pd.DataFrame({"AAPL": 1.0, "SAP": DOLLARS})) * pd.Series(UNITS)
    value = values.sum(axis=1)
    risk = own_api.post(f"{address}/risk").json()
    volatility = value.pct_change().iloc[-252:].std(ddof=1) * np.sqrt(252)
    assert risk["volatility"] == pytest.approx(volatility, rel=1e-10)
    stress = own_api.post(f"{address}/stress", json={"hypothetical": {"symbols": {"SAP": -0.1}}}).json()
    assert (stress["currency"], stress["value"]) == ("USD", pytest.approx(value.iloc[-1], rel=1e-12))
    assert stress["scenarios"][0]["total_amount"] == pytest.approx(-0.1 * values["SAP"].iloc[-1], rel=1e-10)
    parts = own_api.post(f"{address}/decomposition").json()["parts"]
    sizes = {part["name"]: part["size"] for part in parts}
    assert sizes == pytest.approx((values.iloc[-1] / value.iloc[-1]).to_dict(), rel=1e-12)
    tail = own_api.post(f"{address}/tail", json={"window_sessions": 252}).json()
    assert tail["var"] == pytest.approx(risk["var"], rel=1e-12)


@pytest.mark.parametrize(("currency", "is_dollar"), [(None, True), ("USD", True), ("EUR", False)])
def test_positions_of_several_currencies_are_measured_in_one(
    seeded: Seeded, api: httpx.Client, currency: str | None, is_dollar: bool
) -> None:
    positions = [{"symbol": symbol, "quantity": units} for symbol, units in UNITS.items()]
    body = {"positions": positions, "base_currency": currency, "benchmark": "SPX", "measures": ["volatility", "beta"]}
    answer = api.post("/api/v1/calculate", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    close = closes(seeded, *UNITS, "SPX")
    rate = pd.DataFrame({"AAPL": 1.0, "SAP": DOLLARS, "SPX": 1.0})
    converted = close * rate if is_dollar else (close * rate).div(DOLLARS, axis=0)
    value = (converted[list(UNITS)] * pd.Series(UNITS)).sum(axis=1)
    window, index = (series.pct_change().iloc[-252:] for series in (value, converted["SPX"]))
    measures = {measure["name"]: measure["value"] for measure in found["measures"]}
    assert measures["volatility"] == pytest.approx(window.std(ddof=1) * np.sqrt(252), rel=1e-10)
    assert measures["beta"] == pytest.approx(window.cov(index) / index.var(ddof=1), rel=1e-9)
    assert found["base_currency"] == ("USD" if is_dollar else "EUR")


def test_positions_of_one_currency_are_measured_in_it(seeded: Seeded, api: httpx.Client) -> None:
    body = {"positions": [{"symbol": "SAP", "quantity": 1.0}], "measures": ["volatility"]}
    found = api.post("/api/v1/calculate", json=body).json()
    window = closes(seeded, "SAP")["SAP"].pct_change().iloc[-252:]
    assert found["base_currency"] == "EUR"
    assert found["measures"][0]["value"] == pytest.approx(window.std(ddof=1) * np.sqrt(252), rel=1e-10)


def test_turnover_counts_in_the_base_currency(own_seeded: Seeded, serve: Serve) -> None:
    with own_seeded.database.connect() as connection:
        connection.execute("UPDATE price SET volume = 1000")
    client = serve(own_seeded.database.url).client
    body = {"positions": [{"symbol": "SAP", "quantity": 5_000.0}], "liquidity": {"participation": 0.5}}
    found = {
        currency: client.post("/api/v1/calculate", json=body | {"base_currency": currency}).json()["positions"][0]
        for currency in ("EUR", "USD")
    }
    # To sell takes as long in any currency.
    days = [position["liquidation_sessions"] for position in found.values()]
    assert days[0] == pytest.approx(days[1], rel=1e-12)
    assert days[0] > 1.0


def test_quantities_are_taken_as_of_the_newest_session(own_seeded: Seeded, serve: Serve) -> None:
    """AAPL was split 2:1 two weeks before the newest session; whoever states units knows it."""
    with own_seeded.database.connect() as connection:
        apple = own_seeded.instruments["AAPL"].id
        connection.execute(
            "UPDATE price SET close = close_adjusted * CASE WHEN session < '2022-12-15' THEN 2 ELSE 1 END"
            " WHERE instrument_id = %s",
            [apple],
        )
        connection.execute(
            "INSERT INTO corporate_action (instrument_id, ex_session, split_numerator, split_denominator, dividend,"
            " factor, source, materialization_id)"
            " SELECT %s, '2022-12-15', 2, 1, 0, 0.5, 1, max(id) FROM materialization",
            [apple],
        )
    client = serve(own_seeded.database.url).client
    amounts = {"AAPL": 3.0, "MSFT": 5.0}
    value = pd.Series(amounts) * closes(own_seeded, *amounts).iloc[-1]
    positions = [{"symbol": symbol, "quantity": units} for symbol, units in amounts.items()]
    found = client.post("/api/v1/calculate", json={"positions": positions}).json()
    weights = {position["symbol"]: position["weight"] for position in found["positions"]}
    assert weights == pytest.approx((value / value.sum()).to_dict(), rel=1e-12)
    address = stored(client, amounts, "buy_and_hold")
    assert [p["quantity"] for p in client.get(address).json()["positions"]] == [3.0, 5.0]
    stress = client.post(f"{address}/stress", json={"hypothetical": {"market": -0.1}}).json()
    assert stress["value"] == pytest.approx(value.sum(), rel=1e-12)
    # Twice as much of AAPL, its split left out, would make this worth something.
    prices = closes(own_seeded, "AAPL", "MSFT").iloc[-1]
    short = {"AAPL": 3.0, "MSFT": -3.5 * prices["AAPL"] / prices["MSFT"]}
    body = {"name": "P", "positions": [{"symbol": s, "quantity": q} for s, q in short.items()]}
    answer = client.post(PORTFOLIOS, json=body)
    assert answer.status_code == 422
    assert "positions: worth -" in answer.json()["detail"]
