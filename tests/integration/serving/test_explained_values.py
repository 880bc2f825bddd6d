"""Prices, values and histories follow from the payloads of their explanations: splits, dividends, books and cash."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.risk.measures.drawdown import drawdowns
from pipeline.store.corporate_actions import action_rows, replace_actions
from pipeline.store.engine import Database
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.writing import open_write
from serving.routes.explaining.bars import AS_GIVEN
from serving.routes.explaining.books import BOOK_FIGURES
from tests.integration.serving.explained import TOLERANCE, explained, get, require_again
from tests.integration.serving.running import local_settings, running_service
from tests.integration.serving.seeding import DOLLARS_PER_EURO, MONTHS, SESSIONS, Seeded, seed

EX_SPLIT, EX_DIVIDEND = len(SESSIONS) - 60, len(SESSIONS) - 20
"""A split of 4:1 and a dividend of 1.5 of AAPL."""
ASKED = [None, str(SESSIONS[EX_SPLIT - 1]), str(SESSIONS[EX_SPLIT]), str(SESSIONS[-1])]


def write_traded(seeded: Seeded, run_id: str, scale: float = 1.0) -> None:
    """AAPL as it was traded, four times as dear before its split; SAP in its provider's adjusted closes alone."""
    close = seeded.close["AAPL"] * np.where(np.arange(len(SESSIONS)) < EX_SPLIT, 4.0, 1.0) * scale
    with open_write(seeded.database, "prices", run_id, "code-0") as write:
        ids = {symbol: instrument.id for symbol, instrument in seeded.instruments.items()}
        others = [symbol for symbol in seeded.close if symbol != "AAPL"]
        lengths = [len(seeded.close[symbol]) for symbol in others]
        nothing = np.full(sum(lengths), np.nan)
        columns = price_rows(
            np.concatenate([np.full(len(SESSIONS), ids["AAPL"]), np.repeat([ids[s] for s in others], lengths)]).astype(
                "i4"
            ),
            np.concatenate([SESSIONS, *(SESSIONS[-length:] for length in lengths)]),
            1,
            {
                "open": np.r_[close * 0.99, nothing],
                "close": np.r_[close, nothing],
                "volume": np.r_[np.full(len(SESSIONS), 500.0), nothing],
                "close_adjusted": np.r_[close, np.concatenate([seeded.close[symbol] for symbol in others])],
            },
        )
        replace_prices(write, columns, MONTHS)
        before = close[EX_DIVIDEND - 1]
        actions = action_rows(
            np.full(2, ids["AAPL"], "i4"),
            SESSIONS[[EX_SPLIT, EX_DIVIDEND]],
            1,
            (np.array([4, 1]), np.array([1, 1])),
            np.array([0.0, 1.5]),
            np.array([0.25, 1.0 - 1.5 / before]),
        )
        replace_actions(write, actions, MONTHS)


@pytest.fixture(scope="module")
def traded(new_database: Callable[[], Database]) -> Iterator[tuple[httpx.Client, datetime]]:
    """A gateway over prices that were revised once, and a moment before that; with a book in two currencies."""
    seeded = seed(new_database())
    write_traded(seeded, "run-of-first", 1.01)
    between = datetime.now(UTC)
    write_traded(seeded, "run-of-prices")
    with running_service("backend-api", local_settings(seeded.database.url)) as service:
        client = service.client
        for name in ("book", "saver"):
            assert client.post("/api/v1/portfolios", json={"name": name, "slug": name}).status_code == 201
        record(
            client,
            "book",
            {"kind": "deposit", "trade_date": str(SESSIONS[5]), "amount": 5_000.0, "fee": 2.0},
            {"kind": "buy", "trade_date": str(SESSIONS[10]), "symbol": "AAPL", "quantity": 3.0, "fee": 1.0},
            {"kind": "buy", "trade_date": str(SESSIONS[20]), "symbol": "SAP", "quantity": 7.0},
            {"kind": "sell", "trade_date": str(SESSIONS[300]), "symbol": "SAP", "quantity": 2.0},
            {"kind": "buy", "trade_date": str(SESSIONS[310]), "symbol": "MSFT", "quantity": 1.0},
            {"kind": "sell", "trade_date": str(SESSIONS[320]), "symbol": "MSFT", "quantity": 1.0},
            {"kind": "withdrawal", "trade_date": str(SESSIONS[400]), "amount": 50.0},
        )
        record(client, "saver", {"kind": "deposit", "trade_date": str(SESSIONS[5]), "amount": 250.0})
        yield client, between


@pytest.fixture
def api(traded: tuple[httpx.Client, datetime]) -> httpx.Client:
    return traded[0]


def record(client: httpx.Client, name: str, *transactions: dict[str, Any]) -> None:
    answer = client.post(f"/api/v1/portfolios/{name}/transactions", json={"transactions": transactions})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("session", ASKED)
def test_an_adjusted_close_is_the_traded_one_times_later_factors(api: httpx.Client, session: str | None) -> None:
    asked = {} if session is None else {"session": session}
    payload = explained(api, "instruments/AAPL/prices", **asked)
    served = get(api, "instruments/AAPL/prices", end=payload["session"], limit=1)["data"][0]
    bars = payload["inputs"]["bars"]
    (given,) = bars["given"]
    later = [action["factor"] for action in bars["actions"] if action["ex_session"] > given["session"]]
    assert len(later) == sum(day > np.datetime64(given["session"]) for day in SESSIONS[[EX_SPLIT, EX_DIVIDEND]])
    require_again(payload, served["close_adjusted"], given["close"] * math.prod(later) * bars["price_unit"])
    assert given["provider"] == payload["parameters"]["provider"] == "bundled"
    (revised,) = (one for one in bars["revisions"] if one["close"] is not None)
    assert revised["close"] == pytest.approx(1.01 * given["close"])
    assert [write["run_id"] for write in payload["prices_written_by"]] == ["run-of-prices"]
    assert payload["prices_written_by"][0]["id"] == given["materialization_id"] == revised["superseded_by"]
    assert {write["run_id"] for write in payload["inputs_written_by"]} <= {"run-of-first", "run-of-prices"}
    assert payload["written_by"] is None


def test_an_action_names_what_it_was(api: httpx.Client) -> None:
    bars = explained(api, "instruments/AAPL/prices", session=str(SESSIONS[0]))["inputs"]["bars"]
    split, dividend = bars["actions"]
    before = get(api, "instruments/AAPL/prices", end=str(SESSIONS[EX_DIVIDEND - 1]), limit=1)["data"][0]["close"]
    assert split["factor"] == split["split_denominator"] / split["split_numerator"] == 0.25
    assert dividend["factor"] == pytest.approx(1.0 - dividend["dividend"] / before, rel=TOLERANCE)


def test_a_close_of_an_earlier_knowledge_is_explained_as_it_was(traded: tuple[httpx.Client, datetime]) -> None:
    client, between = traded
    asked = {"session": str(SESSIONS[100]), "known_at": between.isoformat()}
    payload = explained(client, "instruments/AAPL/prices", **asked)
    now = explained(client, "instruments/AAPL/prices", session=str(SESSIONS[100]))
    assert payload["value"] != now["value"]
    given = payload["inputs"]["bars"]["given"][0]
    assert given["close"] == pytest.approx(1.01 * now["inputs"]["bars"]["given"][0]["close"])
    assert [write["run_id"] for write in payload["prices_written_by"]] == ["run-of-first"]


@pytest.mark.parametrize("measure", AS_GIVEN)
def test_what_is_as_given_is_served_as_given(api: httpx.Client, measure: str) -> None:
    served = get(api, "instruments/AAPL/prices", limit=1)["data"][0]
    payload = get(api, "instruments/AAPL/prices/explain", measure=measure)
    assert payload["value"] == payload["recomputed"] == served[measure]
    assert (payload["undefined_because"] is None) == (served[measure] is not None)
    assert payload["inputs"]["bars"]["given"][0][measure] == served[measure]


def test_a_close_without_one_as_traded_is_the_providers_own(api: httpx.Client) -> None:
    served = get(api, "instruments/SAP/prices", limit=1)["data"][0]["close_adjusted"]
    payload = explained(api, "instruments/SAP/prices")
    given = payload["inputs"]["bars"]["given"][0]
    assert given["close"] is None
    require_again(payload, served, given["close_adjusted"])
    assert payload["definition"]["formula"].startswith("close_adjusted as given")


def test_a_daily_return_is_of_two_closes(api: httpx.Client) -> None:
    for session in (str(SESSIONS[EX_SPLIT]), str(SESSIONS[-1])):
        rows = get(api, "instruments/AAPL/prices", end=session, limit=2)["data"]
        payload = explained(api, "instruments/AAPL/prices", measure="daily_return", session=session)
        wanted = rows[1]["close_adjusted"] / rows[0]["close_adjusted"] - 1.0
        require_again(payload, wanted, wanted)
        assert abs(wanted) < 0.2  # a split is no loss
    first = get(api, "instruments/AAPL/prices/explain", measure="daily_return", session=str(SESSIONS[0]))
    assert first["value"] is first["recomputed"] is None
    assert first["undefined_because"] == "there is no price before it"


@pytest.mark.parametrize("session", ASKED)
def test_the_value_of_stated_positions(api: httpx.Client, session: str | None) -> None:
    asked = {} if session is None else {"session": session}
    payload = explained(api, "portfolios/held/value", **asked)
    day = payload["session"]
    positions = {one["symbol"]: one for one in payload["inputs"]["positions"]}
    assert set(positions) == {"AAPL", "MSFT"}
    total = math.fsum(one["quantity"] * one["price"] * one["exchange_rate"] for one in positions.values())
    require_again(payload, payload["value"], total)
    bar = get(api, "instruments/AAPL/prices", end=day, limit=1)["data"][0]
    assert positions["AAPL"]["price"] == bar["close"]
    # The portfolio was made after the actions: two units of today were half a unit of before the split.
    grown = 2.0 * (bar["close_adjusted"] / bar["close"])
    assert positions["AAPL"]["quantity"] == pytest.approx(grown, rel=TOLERANCE)


def test_the_newest_value_is_the_one_that_the_page_shows(api: httpx.Client) -> None:
    payload = explained(api, "portfolios/held/value")
    shown = f"{payload['value']:,.2f}"
    assert f">{shown}</a></strong><span>Worth" in api.get("/portfolios/held").text


@pytest.mark.parametrize(("portfolio", "symbols"), [("held", ("AAPL", "MSFT")), ("quarterly", ("AAPL", "MSFT"))])
def test_weights_at_a_close(api: httpx.Client, portfolio: str, symbols: tuple[str, ...]) -> None:
    found = {}
    for symbol in symbols:
        payload = explained(api, f"portfolios/{portfolio}/value", measure="weight", symbol=symbol)
        require_again(payload, payload["value"], payload["inputs"]["weights"][symbol])
        found[symbol] = payload["value"]
    assert sum(found.values()) == pytest.approx(1.0)
    if portfolio == "held":
        value = explained(api, "portfolios/held/value")
        worth = {one["symbol"]: one["value"] for one in value["inputs"]["positions"]}
        assert found["AAPL"] == pytest.approx(worth["AAPL"] / value["value"], rel=TOLERANCE)


@pytest.mark.parametrize("measure", BOOK_FIGURES)
def test_figures_of_a_book(api: httpx.Client, measure: str) -> None:
    served = get(api, "portfolios/book/value")
    payload = explained(api, "portfolios/book/value", measure=measure)
    assert payload["value"] == pytest.approx(served[measure], rel=TOLERANCE)
    assert payload["difference"] == pytest.approx(0.0, abs=TOLERANCE * max(1.0, abs(served[measure])))
    assert len(payload["inputs"]["book"]["trades"]) == 5
    assert len(payload["inputs"]["book"]["flows"]) == 2


@pytest.mark.parametrize("row", [-1, 305, 12])
def test_a_book_is_worth_its_positions_and_its_cash(api: httpx.Client, row: int) -> None:
    session = str(SESSIONS[row])
    history = {one["session"]: one for one in get(api, "portfolios/book/value", limit=1_000)["history"]}
    payload = explained(api, "portfolios/book/value", session=session)
    inputs = payload["inputs"]
    total = math.fsum(one["quantity"] * one["price"] * one["exchange_rate"] for one in inputs["positions"])
    require_again(payload, history[session]["value"], total + inputs["cash"])
    assert inputs["cash"] == history[session]["cash"]
    for one in inputs["positions"]:
        if one["symbol"] == "SAP":
            assert (one["currency"], one["exchange_rate"]) == ("EUR", DOLLARS_PER_EURO[row])


def test_a_book_of_cash_alone(api: httpx.Client) -> None:
    payload = get(api, "portfolios/saver/value/explain")
    assert payload["value"] == payload["recomputed"] == payload["inputs"]["cash"] == 250.0
    assert payload["inputs"]["positions"] == []


@pytest.mark.parametrize("portfolio", ["held", "quarterly"])
@pytest.mark.parametrize(("first", "last"), [(-253, -1), (EX_SPLIT - 5, EX_SPLIT + 5), (0, -1)])
def test_histories(api: httpx.Client, portfolio: str, first: int, last: int) -> None:
    asked = {"start": str(SESSIONS[first]), "session": str(SESSIONS[last])}
    found = {
        measure: explained(api, f"portfolios/{portfolio}/history", measure=measure, **asked)
        for measure in ("wealth", "drawdown", "total_return")
    }
    returns = np.array(found["wealth"]["inputs"]["returns"])
    assert len(returns) == found["wealth"]["parameters"]["sessions"]
    wealth = float(np.prod(1.0 + returns))
    require_again(found["wealth"], found["wealth"]["value"], wealth)
    require_again(found["total_return"], found["total_return"]["value"], wealth - 1.0)
    require_again(found["drawdown"], found["drawdown"]["value"], float(drawdowns(returns)[-1]))


def test_a_return_without_a_start_is_the_sessions_own(api: httpx.Client) -> None:
    day, before = str(SESSIONS[-40]), str(SESSIONS[-41])
    own = explained(api, "portfolios/held/history", measure="total_return", session=day)
    assert own["parameters"]["start"] == before
    assert (
        own["value"]
        == explained(api, "portfolios/held/history", measure="total_return", session=day, start=before)["value"]
    )


def test_days_without_a_close_are_those_before_them(api: httpx.Client) -> None:
    """As the months of a report: from the last close of the month before to the last one of its own."""
    months = get(api, "portfolios/held/report")["performance"]["months"]
    for month, start, session in (
        ("2022-10-01", "2022-09-30", "2022-10-31"),
        ("2020-01-01", "2019-12-31", "2020-01-31"),
    ):
        (served,) = (one for one in months if one["start"] == month)
        asked = {"start": start, "session": session}
        for measure in ("total_return", "benchmark_return"):
            payload = explained(api, "portfolios/held/history", measure=measure, **asked)
            assert payload["value"] == pytest.approx(served[measure], rel=TOLERANCE)
    close = payload["inputs"]["benchmark_close"]
    require_again(payload, payload["value"], close[-1] / close[0] - 1.0)


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("instruments/AAPL/prices", {"session": "2022-12-25"}, "instruments/AAPL/prices"),
        ("instruments/AAPL/prices", {"measure": "bid"}, "close_adjusted"),
        ("portfolios/quarterly/value", {}, "measure=weight"),
        ("portfolios/held/value", {"measure": "cash"}, "value, weight"),
        ("portfolios/held/value", {"measure": "weight"}, "AAPL, MSFT"),
        ("portfolios/held/value", {"session": "2022-12-25"}, "portfolios/held"),
        ("portfolios/book/value", {"session": str(SESSIONS[0])}, "portfolios/book/value"),
        ("portfolios/held/history", {"measure": "sharpe"}, "drawdown"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_can(
    api: httpx.Client, path: str, query: dict[str, str], words: str
) -> None:
    answer = api.get(f"/api/v1/{path}/explain", params=query)
    assert answer.status_code == 404, answer.text[:300]
    assert words in answer.json()["remedy"]
