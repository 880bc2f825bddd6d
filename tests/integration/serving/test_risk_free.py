"""Risk-free rates in what is computed on request, and in explanations: the answer says which, and gives them."""

from __future__ import annotations

import math
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.assets.instrument_risk import instrument_reports
from pipeline.risk.assets.portfolio_risk import portfolio_report
from pipeline.risk.measures.risk_free import rates_by_currency
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import benchmark_of, read_instruments
from pipeline.store.interest_rates import INTEREST_RATE, read_rate_quotes
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolios import read_portfolios
from pipeline.store.prices import price_rows, read_price_panel, replace_prices
from pipeline.store.writing import concatenated, open_write
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import MONTHS, SESSIONS, Seeded

QUOTED = 0.02 + 0.01 * np.sin(0.05 * np.arange(len(SESSIONS)))
EXCESS = ("sharpe_ratio", "sortino_ratio", "alpha")


def store_rates(seeded: Seeded, quoted: FloatArray, series: str = "DTB3") -> None:
    with open_write(seeded.database, "interest_rates", "test", "1") as write:
        days = SESSIONS[: len(quoted)]
        write.replace(
            INTEREST_RATE,
            {"series": np.full(len(days), series.encode()), "session": days, "annual_rate": quoted},
            MONTHS,
        )


def daily(quoted: FloatArray, window: int = 252) -> FloatArray:
    """The rate of each of the last returns: that of the session before the one with which it ends."""
    annual = (1 - quoted * 91 / 360) ** (-365 / 91) - 1
    return ((1 + annual) ** (1 / 252) - 1)[-window - 1 : -1]


def sharpe(excess: FloatArray) -> float:
    return float(excess.mean() / excess.std(ddof=1) * math.sqrt(252))


def returns_of(seeded: Seeded, symbol: str, window: int = 252) -> FloatArray:
    close = seeded.close[symbol][-window - 1 :]
    return close[1:] / close[:-1] - 1.0


def values(answer: dict[str, Any]) -> dict[str, float | None]:
    return {measure["name"]: measure["value"] for measure in answer["measures"]}


@pytest.fixture
def rated(own_seeded: Seeded, serve: Serve) -> httpx.Client:
    store_rates(own_seeded, QUOTED)
    return serve(own_seeded.database.url).client


def calculated(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/calculate", json={"var_methods": ["historical"], **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


APPLE = [{"symbol": "AAPL", "quantity": 1.0}]


def test_positions_take_the_stored_rates_of_their_currency(rated: httpx.Client, own_seeded: Seeded) -> None:
    found = calculated(rated, positions=APPLE)
    assert (found["risk_free"], found["risk_free_rate_annual"]) == ("DTB3", None)
    returns = returns_of(own_seeded, "AAPL")
    assert values(found)["sharpe_ratio"] == pytest.approx(sharpe(returns - daily(QUOTED)), rel=1e-9)
    plain = calculated(rated, positions=APPLE, risk_free_rate_annual=0.0)
    assert (plain["risk_free"], plain["risk_free_rate_annual"]) == ("given", 0.0)
    assert values(plain)["sharpe_ratio"] == pytest.approx(sharpe(returns), rel=1e-9)
    euros = calculated(rated, positions=APPLE, base_currency="EUR")
    assert (euros["risk_free"], euros["risk_free_rate_annual"]) == ("none stored: 0", 0.0)


def test_nothing_stored_is_a_rate_of_zero_and_said(own_api: httpx.Client, own_seeded: Seeded) -> None:
    found = calculated(own_api, positions=APPLE)
    assert (found["risk_free"], found["risk_free_rate_annual"]) == ("none stored: 0", 0.0)
    assert values(found)["sharpe_ratio"] == pytest.approx(sharpe(returns_of(own_seeded, "AAPL")), rel=1e-9)
    returns = calculated(own_api, returns={"values": [0.01, -0.02, 0.005]})
    assert (returns["risk_free"], returns["risk_free_rate_annual"]) == ("no currency: 0", 0.0)
    risk = own_api.post("/api/v1/portfolios/held/risk", json={}).json()
    assert (risk["risk_free"], risk["risk_free_rate_annual"]) == ("none stored: 0", 0.0)


def test_returns_take_a_series_by_name(rated: httpx.Client, own_seeded: Seeded) -> None:
    returns = returns_of(own_seeded, "MSFT", 60)
    dated = {"values": returns.tolist(), "dates": [str(day) for day in SESSIONS[-60:]]}
    found = calculated(rated, returns=dated, risk_free_series="DTB3", benchmark={"values": (returns / 2).tolist()})
    assert found["risk_free"] == "DTB3"
    assert values(found)["sharpe_ratio"] == pytest.approx(sharpe(returns - daily(QUOTED, 60)), rel=1e-9)
    assert calculated(rated, returns=dated)["risk_free"] == "no currency: 0"
    weekly = calculated(rated, returns=dated, risk_free_series="DTB3", periods_per_year=52)
    excess = returns - ((1.0 + daily(QUOTED, 60)) ** (252 / 52) - 1.0)
    made = excess.mean() / excess.std(ddof=1) * np.sqrt(52)
    assert values(weekly)["sharpe_ratio"] == pytest.approx(made, rel=1e-9)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"positions": APPLE, "risk_free_series": "SOFR"},
            "risk_free_series=SOFR: unknown; choose one of DTB3, DGS3MO",
        ),
        ({"positions": APPLE, "risk_free_series": "DGS3MO"}, "risk_free_series: no rate of DGS3MO is stored"),
        ({"positions": APPLE, "risk_free_series": "DTB3", "risk_free_rate_annual": 0.01}, "Give at most one of"),
        ({"returns": {"values": [0.01, 0.02]}, "risk_free_series": "DTB3"}, "need the dates of the returns"),
        ({"positions": APPLE, "risk_free_series": "dtb3"}, "risk_free_series"),
    ],
)
def test_a_rate_that_cannot_be_had_is_refused(rated: httpx.Client, body: dict[str, Any], words: str) -> None:
    answer = rated.post("/api/v1/calculate", json=body)
    assert answer.status_code == 422
    assert words in answer.text


def test_a_stored_portfolio_is_measured_by_the_rates_of_its_currency(rated: httpx.Client) -> None:
    found = rated.post("/api/v1/portfolios/held/risk", json={}).json()
    assert (found["risk_free"], found["risk_free_rate_annual"]) == ("DTB3", None)
    plain = rated.post("/api/v1/portfolios/held/risk", json={"risk_free_rate_annual": 0.0}).json()
    assert plain["risk_free"] == "given"
    changed = {name for name in EXCESS if found[name] != plain[name]}
    assert changed == set(EXCESS)
    assert found["volatility"] == plain["volatility"]


def test_rates_that_ended_leave_no_value_and_say_why(own_seeded: Seeded, serve: Serve) -> None:
    store_rates(own_seeded, QUOTED[:-100])
    client = serve(own_seeded.database.url).client
    found = calculated(client, positions=APPLE)
    [measure] = [m for m in found["measures"] if m["name"] == "sharpe_ratio"]
    known = int(np.sum(SESSIONS[-252:] <= SESSIONS[-101] + 14))
    assert measure["value"] is None
    assert measure["undefined"] == f"no_risk_free_rate: known on {known} of 252 sessions"
    risk = client.post("/api/v1/portfolios/held/risk", json={}).json()
    assert {name: risk[name] for name in EXCESS} == dict.fromkeys(EXCESS)
    assert {risk["undefined"][name] for name in EXCESS} == {measure["undefined"]}


def write_risk(seeded: Seeded) -> None:
    """The rows that the assets would write, from prices that a load of prices wrote."""
    with open_write(seeded.database, "prices", "run-of-prices", "code-0") as write:
        close = {seeded.instruments[symbol].id: 2.0 * prices for symbol, prices in seeded.close.items()}
        ids = np.concatenate([np.full(len(own), number, "i4") for number, own in close.items()])
        days = np.concatenate([SESSIONS[-len(own) :] for own in close.values()])
        numbers = {"close_adjusted": np.concatenate(list(close.values()))}
        replace_prices(write, price_rows(ids, days, 1, numbers), MONTHS)
    with open_write(seeded.database, "instrument_risk", "run-of-instruments", "code-1") as write:
        instruments = read_instruments(write.connection)
        quotes = read_rate_quotes(write.connection, ["DTB3"], MONTHS.first, MONTHS.end)
        rates = rates_by_currency(quotes)
        panel = read_price_panel(write.connection, [i.id for i in instruments], None, MONTHS.end)
        write.replace(
            INSTRUMENT_RISK,
            concatenated(INSTRUMENT_RISK, instrument_reports(panel, instruments, MONTHS, rates)),
            MONTHS,
        )
    with open_write(seeded.database, "portfolio_risk", "run-of-portfolios", "code-2") as write:
        blocks = [
            block
            for portfolio in read_portfolios(write.connection)
            for block in portfolio_report(panel, benchmark_of(instruments), portfolio, MONTHS, rates)
        ]
        write.replace(PORTFOLIO_RISK, concatenated(PORTFOLIO_RISK, blocks), MONTHS)


@pytest.mark.parametrize("subject", ["instruments/AAPL", "portfolios/quarterly"])
def test_an_explanation_gives_the_rates_that_give_the_value_again(
    own_seeded: Seeded, serve: Serve, subject: str
) -> None:
    store_rates(own_seeded, QUOTED)
    write_risk(own_seeded)
    store_rates(own_seeded, QUOTED + 0.01)  # what is known later changes no explanation
    client = serve(own_seeded.database.url).client
    row = client.get(f"/api/v1/{subject}/risk", params={"limit": 1}).json()["data"][0]
    assert row["risk_free"] == "DTB3"
    for name in EXCESS:
        answer = client.get(f"/api/v1/{subject}/risk/explain", params={"measure": name})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["value"] == row[name]
        assert abs(found["difference"]) <= 1e-9
        inputs = found["inputs"]
        assert inputs["risk_free"]["series"] == "DTB3"
        assert "91/360" in inputs["risk_free"]["formula"]
        assert found["partitions"]["interest_rates"][-1] == "2022-12-01"
        if name == "sharpe_ratio":
            returns = np.array(inputs["returns"])
            rates = np.array(inputs["risk_free"]["daily"])[-len(returns) :]
            np.testing.assert_allclose(rates, daily(QUOTED), rtol=1e-10)
            assert sharpe(returns - rates) == pytest.approx(found["value"], rel=1e-9)
    other = client.get(f"/api/v1/{subject}/risk/explain", params={"measure": "volatility"}).json()
    assert other["inputs"]["risk_free"] is None


@pytest.mark.parametrize("is_held", [True, False])
def test_an_explanation_of_a_calculation_gives_the_rates_that_it_took(
    rated: httpx.Client, own_seeded: Seeded, is_held: bool
) -> None:
    own = returns_of(own_seeded, "AAPL")
    given = {"values": own.tolist(), "dates": [str(day) for day in SESSIONS[-252:]]}
    body: dict[str, Any] = {"positions": APPLE} if is_held else {"returns": given, "risk_free_series": "DTB3"}
    served = values(calculated(rated, **body))
    answer = rated.post("/api/v1/calculate/explain", json={**body, "figure": "sharpe_ratio"})
    assert answer.status_code == 200, answer.text
    payload = answer.json()
    rates = payload["inputs"]["risk_free"]
    assert rates["series"] == "DTB3"
    assert "risk_free_rate_annual" not in payload["parameters"]
    again = sharpe(np.array(payload["inputs"]["returns"]) - np.array(rates["daily"], dtype=np.float64))
    for value in (payload["value"], payload["recomputed"], again):
        assert value == pytest.approx(served["sharpe_ratio"], rel=1e-9)
    assert payload["doubts"] == []
    assert "2022-12-01" in payload["partitions"]["interest_rates"]
    assert ("prices" in payload["partitions"]) == is_held


def test_an_explanation_of_computed_risk_gives_the_rates_that_it_took(rated: httpx.Client) -> None:
    served = rated.post("/api/v1/portfolios/held/risk", json={"window_sessions": 100}).json()
    body = {"window_sessions": 100, "figure": "sharpe_ratio"}
    payload = rated.post("/api/v1/portfolios/held/risk/explain", json=body).json()
    rates = np.array(payload["inputs"]["risk_free"]["daily"], dtype=np.float64)[-100:]
    again = sharpe(np.array(payload["inputs"]["returns"]) - rates)
    for value in (payload["value"], payload["recomputed"], again):
        assert value == pytest.approx(served["sharpe_ratio"], rel=1e-9)
    assert payload["partitions"]["interest_rates"][-1] == "2022-12-01"
