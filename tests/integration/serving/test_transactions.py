"""Portfolios that keep a book: transactions, what is held by them, and what they earned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.store.materializations import UNPARTITIONED, read_partition_states
from pipeline.store.portfolios import PORTFOLIOS_INPUT
from tests.integration.serving.accounts import SECURED, bearer, furnish, log_in
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import DOLLARS_PER_EURO, NOTICE, SESSIONS, Seeded

PORTFOLIOS = "/api/v1/portfolios"
BOOK = f"{PORTFOLIOS}/book"
TRANSACTIONS = f"{BOOK}/transactions"
TODAY = datetime.now(UTC).date()


def on(row: int) -> str:
    return str(SESSIONS[row])


def trade(kind: str, row: int, symbol: str, quantity: float, **others: Any) -> dict[str, Any]:
    return {"kind": kind, "trade_date": on(row), "symbol": symbol, "quantity": quantity, **others}


def cash(kind: str, row: int, amount: float, **others: Any) -> dict[str, Any]:
    return {"kind": kind, "trade_date": on(row), "amount": amount, **others}


@pytest.fixture
def api(own_api: httpx.Client) -> httpx.Client:
    """A gateway with an empty book."""
    answer = own_api.post(PORTFOLIOS, json={"name": "Book", "slug": "book"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["keeps_book"] is True
    assert answer.json()["positions"] == []
    return own_api


def record(api: httpx.Client, *given: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(TRANSACTIONS, json={"transactions": list(given)})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def refused(answer: httpx.Response, status: int = 422) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return f"{answer.json()['detail']} {answer.json().get('remedy', '')}"


def test_holdings_follow_from_transactions(api: httpx.Client, own_seeded: Seeded) -> None:
    with own_seeded.database.connect() as connection:
        before = read_partition_states(connection, PORTFOLIOS_INPUT)[UNPARTITIONED].changed_by
    found = record(api, trade("buy", -300, "AAPL", 3), trade("buy", -200, "MSFT", 1), trade("sell", -100, "AAPL", 1))
    assert found["positions"] == [{"symbol": "AAPL", "quantity": 2.0}, {"symbol": "MSFT", "quantity": 1.0}]
    assert found["notice"] == NOTICE
    stored = api.get(BOOK).json()
    assert [(p["symbol"], p["quantity"]) for p in stored["positions"]] == [("AAPL", 2.0), ("MSFT", 1.0)]
    with own_seeded.database.connect() as connection:
        assert read_partition_states(connection, PORTFOLIOS_INPUT)[UNPARTITIONED].changed_by > before
    # Risk is that of what is held now.
    book, held = (api.post(f"{PORTFOLIOS}/{name}/risk").json() for name in ("book", "held"))
    for risk in (book, held):
        for field in ("portfolio_id", "staleness"):
            risk.pop(field, None)
    assert book == held
    listed = api.get(TRANSACTIONS).json()["data"]
    assert [(t["kind"], t["symbol"], t["quantity"]) for t in listed] == [
        ("buy", "AAPL", 3.0),
        ("buy", "MSFT", 1.0),
        ("sell", "AAPL", 1.0),
    ]
    assert found["recorded"] == [t["id"] for t in listed]
    sold = record(api, trade("sell", -1, "MSFT", 1))
    assert [p["symbol"] for p in sold["positions"]] == ["AAPL"]
    actions = [entry["action"] for entry in api.get("/api/v1/audit").json()["data"]]
    assert actions[:2] == ["transactions.record"] * 2


def test_the_value_is_that_of_what_was_held_then(api: httpx.Client, own_seeded: Seeded) -> None:
    close = own_seeded.close["AAPL"]
    record(
        api,
        cash("deposit", -300, 10_000),
        trade("buy", -300, "AAPL", 10, fee=5),
        trade("sell", -50, "AAPL", 4, price=150.0),
        cash("withdrawal", -20, 500, fee=1),
    )
    answer = api.get(f"{BOOK}/value", params={"limit": 1_000})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    bought = 10 * close[-300] + 5
    left = 10_000 - bought + 600 - 501
    assert (found["first_session"], found["as_of"]) == (on(-300), on(-1))
    assert found["cash"] == pytest.approx(left)
    assert found["value"] == pytest.approx(left + 6 * close[-1])
    assert (found["paid_in"], found["taken_out"]) == (10_000, 500)
    assert found["profit"] == pytest.approx(found["value"] + 500 - 10_000)
    assert found["realised"] == pytest.approx(600 - 0.4 * bought)
    assert found["unrealised"] == pytest.approx(6 * close[-1] - 0.6 * bought)
    assert found["profit"] == pytest.approx(found["realised"] + found["unrealised"] - 1)  # the withdrawal's fee
    held = np.where(np.arange(300) < 250, 10.0, 6.0)
    money = np.where(np.arange(300) < 250, 10_000 - bought, 10_000 - bought + 600) - np.where(
        np.arange(300) < 280, 0, 501
    )
    value = held * close[-300:] + money
    assert [row["value"] for row in found["history"]] == pytest.approx(value.tolist())
    out = np.where(np.arange(300) == 280, 500.0, 0.0)
    returns = (value + out) / np.r_[10_000.0, value[:-1]] - 1
    assert [row["time_weighted_return"] for row in found["history"]] == pytest.approx(returns.tolist(), abs=1e-12)
    assert found["time_weighted_return"] == pytest.approx(np.prod(1 + returns) - 1)
    assert found["time_weighted_return_annual"] == pytest.approx(np.prod(1 + returns) ** (252 / 300) - 1)
    years = (SESSIONS[-300:] - SESSIONS[-300]).astype(float) / 365
    rate = found["money_weighted_return_annual"]
    flows = out - np.where(np.arange(300) == 0, 10_000.0, 0.0)
    flows[-1] += value[-1]
    assert (flows * (1 + rate) ** -years).sum() == pytest.approx(0.0, abs=1e-6)
    short = api.get(f"{BOOK}/value", params={"limit": 5, "end": on(-10)}).json()["history"]
    assert [row["session"] for row in short] == [on(row) for row in range(-14, -9)]


def test_a_foreign_trade_is_converted_on_its_session(api: httpx.Client, own_seeded: Seeded) -> None:
    record(api, trade("buy", -100, "SAP", 2, price=90.0))
    found = api.get(f"{BOOK}/value").json()
    assert found["paid_in"] == pytest.approx(180 * DOLLARS_PER_EURO[-100])
    assert found["value"] == pytest.approx(2 * own_seeded.close["SAP"][-1] * DOLLARS_PER_EURO[-1])


def test_units_grow_by_splits(api: httpx.Client, own_seeded: Seeded) -> None:
    with own_seeded.database.connect() as connection:
        connection.execute(
            "INSERT INTO corporate_action (instrument_id, ex_session, split_numerator, split_denominator, dividend,"
            " factor, source, materialization_id) VALUES (%s, %s, 4, 1, 0, 0.25, 1, 1)",
            [own_seeded.instruments["AAPL"].id, on(-50)],
        )
    record(api, trade("buy", -100, "AAPL", 10), trade("sell", -10, "AAPL", 30))
    assert api.get(BOOK).json()["positions"][0]["quantity"] == pytest.approx(10)
    position = api.get(f"{BOOK}/value").json()["positions"][0]
    assert position["quantity"] == pytest.approx(10)
    assert "40 were held" in refused(api.post(TRANSACTIONS, json={"transactions": [trade("sell", -20, "AAPL", 41)]}))


def test_a_file_is_recorded(api: httpx.Client) -> None:
    lines = [
        "kind,trade_date,symbol,quantity,price,fee,amount,short",
        f"deposit,{on(-60)},,,,,5000,",
        f"buy,{on(-60)},AAPL,10,,1.5,,",
        f"sell,{on(-30)},MSFT,2,120.25,,,true",
    ]
    answer = api.post(TRANSACTIONS, content="\r\n".join(lines), headers={"content-type": "text/csv; charset=utf-8"})
    assert answer.status_code == 201, answer.text
    listed = api.get(TRANSACTIONS).json()["data"]
    assert [(t["kind"], t["amount"], t["fee"], t["is_short"]) for t in listed] == [
        ("deposit", 5000.0, 0.0, False),
        ("buy", None, 1.5, False),
        ("sell", None, 0.0, True),
    ]
    assert api.get(BOOK).json()["positions"][1]["quantity"] == -2.0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "column kind"),
        ("kind,trade_date\n", "0 transactions"),
        ("kind,trade_date,colour\nbuy,2022-01-03,red\n", "unknown column 'colour'"),
        ("kind,trade_date,amount\ndeposit,2022-01-03,ten\n", "body.transactions.0.amount"),
        ("kind,trade_date,amount\ndeposit,2022-01-03,nan\n", "body.transactions.0.amount"),
        ("kind,trade_date,amount\ndeposit,2022-01-03,5\ndeposit,03.01.2022,5\n", "body.transactions.1.trade_date"),
        ("kind,trade_date,amount\ndeposit,2022-01-03,5,6\n", "body.transactions.0"),
        ('kind,trade_date,amount\n"deposit,2022-01-03,5\n', "no CSV that can be read"),
        (b"kind,trade_date\n\xff,2022-01-03\n", "no UTF-8"),
    ],
)
def test_a_bad_file_is_refused_as_a_whole(api: httpx.Client, text: Any, named: str) -> None:
    assert named in refused(api.post(TRANSACTIONS, content=text, headers={"content-type": "text/csv"}))
    assert api.get(TRANSACTIONS).json()["data"] == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], "body.transactions"),
        ([trade("buy", -9, "AAPL", 1), trade("buy", -9, "NONE", 1)], "body.transactions.1: symbol: no instrument"),
        ([trade("buy", -9, "AAPL", 0)], "body.transactions.0.quantity"),
        ([trade("buy", -9, "AAPL", "1")], "body.transactions.0.quantity"),
        ([trade("gift", -9, "AAPL", 1)], "body.transactions.0.kind"),
        ([{"kind": "buy", "trade_date": on(-9), "symbol": "AAPL"}], "quantity: a buy needs one"),
        ([cash("deposit", -9, 5, symbol="AAPL")], "symbol: a deposit has none"),
        ([trade("buy", -9, "AAPL", 1, short=True)], "short: a buy cannot be one"),
        ([trade("sell", -9, "AAPL", 1)], "body.transactions.0: quantity: 1 of AAPL sold on"),
        ([trade("buy", -5, "AAPL", 2), trade("sell", -9, "AAPL", 1)], "body.transactions.1: quantity: 1 of AAPL"),
        ([trade("buy", -200, "NEW", 1)], "NEW has no price in USD in the month up to"),
        ([cash("withdrawal", -9, 5)], "amount: 5 taken out"),
        (
            [{"kind": "deposit", "trade_date": str(TODAY + timedelta(days=2)), "amount": 1.0}],
            "trade_date: " + str(TODAY + timedelta(days=2)) + " has not come",
        ),
    ],
)
def test_bad_transactions_are_refused_by_row(api: httpx.Client, given: list[dict[str, Any]], named: str) -> None:
    assert named in refused(api.post(TRANSACTIONS, json={"transactions": given}))
    assert api.get(TRANSACTIONS).json()["data"] == []


def test_a_mistake_is_taken_back_unless_a_sale_stands_on_it(api: httpx.Client) -> None:
    bought, more, _ = record(
        api, trade("buy", -30, "AAPL", 2), trade("buy", -20, "AAPL", 1), trade("sell", -10, "AAPL", 2)
    )["recorded"]
    assert api.delete(f"{TRANSACTIONS}/{more}").status_code == 204
    assert api.get(BOOK).json()["positions"] == []
    assert "does not go with that" in refused(api.delete(f"{TRANSACTIONS}/{bought}"), 409)
    assert "no transaction" in refused(api.delete(f"{TRANSACTIONS}/{more}"), 404)
    assert "no transaction" in refused(api.delete(f"{TRANSACTIONS}/{10**12}"), 404)
    assert len(api.get(TRANSACTIONS).json()["data"]) == 2


def test_stated_positions_and_a_book_do_not_mix(api: httpx.Client) -> None:
    body = {"transactions": [trade("buy", -9, "AAPL", 1)]}
    assert "are stated" in refused(api.post(f"{PORTFOLIOS}/held/transactions", json=body), 409)
    assert "are stated" in refused(api.get(f"{PORTFOLIOS}/held/value"), 409)
    stated = {"positions": [{"symbol": "AAPL", "quantity": 1}]}
    assert "follow from the transactions" in refused(api.put(f"{BOOK}/positions", json=stated), 409)
    weighted = api.post(PORTFOLIOS, json={"name": "P", "rebalancing": "daily"})
    assert "keeps a book" in refused(weighted)


def test_an_empty_book_is_answered_everywhere(api: httpx.Client) -> None:
    assert "none given" in refused(api.post(f"{BOOK}/risk"))
    assert "no transaction" in refused(api.get(f"{BOOK}/value"), 404)
    assert api.get(f"{BOOK}/risk").json()["data"] == []
    for path in ("tail", "decomposition", "backtests", "forecast"):
        refused(api.post(f"{BOOK}/{path}"))
    refused(api.get(f"{BOOK}/report"))
    refused(api.post(f"{BOOK}/stress", json={"historical": "all"}))
    answer = api.post(f"{BOOK}/what-if", json={"positions": [{"symbol": "AAPL", "quantity": 1}]})
    assert "portfolio value" in refused(answer)
    record(api, cash("deposit", -9, 100))
    found = api.get(f"{BOOK}/value").json()
    assert (found["value"], found["cash"], found["time_weighted_return"]) == (100, 100, 0)


def test_others_do_not_see_or_write_a_book(own_seeded: Seeded, serve: Serve) -> None:
    client = serve(furnish(own_seeded.database).database.url, **SECURED).client
    tokens = {name: bearer(log_in(client, name)["access_token"]) for name in ("alice", "bob", "vera")}
    assert client.post(PORTFOLIOS, json={"name": "B", "slug": "book"}, headers=tokens["bob"]).status_code == 201
    body = {"transactions": [cash("deposit", -9, 5)]}
    assert client.post(TRANSACTIONS, json=body, headers=tokens["bob"]).status_code == 201
    refused(client.post(TRANSACTIONS, json=body, headers=tokens["alice"]), 404)
    refused(client.post(TRANSACTIONS, json=body, headers=tokens["vera"]), 403)
    refused(client.get(TRANSACTIONS, headers=tokens["alice"]), 404)
    refused(client.get(f"{BOOK}/value", headers=tokens["alice"]), 404)
    assert len(client.get(TRANSACTIONS, headers=tokens["bob"]).json()["data"]) == 1
