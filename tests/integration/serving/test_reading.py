"""What the read routes answer, over real HTTP and a real Postgres."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime

import httpx
import numpy as np
import pytest

from pipeline.risk.measures import MEASURES
from pipeline.store import materializations
from pipeline.store.fx_rates import FX_RATE
from pipeline.store.instruments import Listing, replace_instruments
from pipeline.store.interest_rates import INTEREST_RATE
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.symbol_changes import rename_instrument, retire_instrument
from pipeline.store.writing import Write, open_write
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import MONTHS, NOTICE, SESSIONS, Seeded


def data(answer: httpx.Response):
    """The rows of a collection, or the fields of a resource but for what is told of its data."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.pop("notice") == NOTICE
    assert {found["code"] for found in body.pop("warnings")} >= {"sample_data", "stale"}
    assert body.pop("staleness")["sessions_behind"] > 0
    body.pop("next_cursor", None)
    return body["data"] if set(body) == {"data"} else body


def test_instruments(api: httpx.Client) -> None:
    listed = data(api.get("/api/v1/instruments"))
    assert [instrument["symbol"] for instrument in listed] == ["AAPL", "MSFT", "NEW", "SAP", "SPX"]
    assert data(api.get("/api/v1/instruments/AAPL")) == listed[0]
    assert listed[0] == {
        "symbol": "AAPL",
        "name": "Apple",
        "kind": "stock",
        "sector": "Information Technology",
        "currency": "USD",
        "exchange": "XNYS",
        "provider": "bundled",
        "listed_from": None,
        "delisted_on": None,
    }


def test_a_symbol_and_a_day_name_who_had_it_then(own_seeded: Seeded, own_api: httpx.Client) -> None:
    path = "/api/v1/instruments"
    rename_instrument(own_seeded.database, "MSFT", "MSX", date(2022, 12, 1))
    retire_instrument(own_seeded.database, "AAPL", date(2022, 12, 28))
    reused = Listing("AAPL", "Apple Orchards", "stock", "Consumer Staples", "USD", "XNYS", "bundled")
    with open_write(own_seeded.database, "instruments", "test", "1") as write:
        replace_instruments(write, [reused])
    listed = data(own_api.get(path))
    assert [(i["symbol"], i["name"], i["listed_from"], i["delisted_on"]) for i in listed[:3]] == [
        ("AAPL", "Apple", None, "2022-12-28"),
        ("AAPL", "Apple Orchards", "2022-12-29", None),
        ("MSX", "Microsoft", None, None),
    ]
    assert data(own_api.get(f"{path}/AAPL")) == listed[1]
    assert data(own_api.get(f"{path}/AAPL@2022-12-28")) == listed[0]
    assert data(own_api.get(f"{path}/MSFT@2022-11-30")) == data(own_api.get(f"{path}/MSX")) == listed[2]
    assert data(own_api.get(f"{path}/AAPL/prices")) == []
    assert len(data(own_api.get(f"{path}/AAPL@2013-05-01/prices"))) == 252
    assert len(data(own_api.get(f"{path}/AAPL@2013-05-01/risk"))) == 3
    assert data(own_api.get(f"{path}/MSFT@2013-05-01/forecasts"))["symbol"] == "MSX"
    gone = own_api.get(f"{path}/MSFT")
    assert gone.status_code == 404
    assert gone.json()["remedy"] == "MSFT@2022-11-30 names the last that had it."


def test_a_new_portfolio_holds_who_has_the_symbol_now(own_seeded: Seeded, own_api: httpx.Client) -> None:
    retire_instrument(own_seeded.database, "AAPL", date(2022, 12, 28))
    portfolio = {"name": "P", "rebalancing": "daily", "positions": [{"symbol": "AAPL", "target_weight": 1}]}
    refused = own_api.post("/api/v1/portfolios", json=portfolio)
    assert refused.status_code == 422
    assert "no instrument has the symbol AAPL" in refused.json()["detail"]
    held = data(own_api.get("/api/v1/portfolios/held"))
    assert [position["symbol"] for position in held["positions"]] == ["AAPL", "MSFT"]


def test_prices_are_the_newest_of_the_window_oldest_first(api: httpx.Client, seeded: Seeded) -> None:
    bars = data(api.get("/api/v1/instruments/AAPL/prices", params={"limit": 2}))
    assert [bar["session"] for bar in bars] == [str(session) for session in SESSIONS[-2:]]
    assert [bar["close_adjusted"] for bar in bars] == list(seeded.close["AAPL"][-2:])
    window = {"start": "2021-03-01", "end": "2021-03-05"}
    assert len(data(api.get("/api/v1/instruments/AAPL/prices", params=window))) == 5
    assert len(data(api.get("/api/v1/instruments/AAPL/prices"))) == 252
    assert data(api.get("/api/v1/instruments/AAPL/prices", params={"start": "2023-01-01"})) == []


def test_missing_measures_are_null_with_a_reason(api: httpx.Client) -> None:
    rows = data(api.get("/api/v1/instruments/AAPL/risk", params={"limit": 1}))
    assert rows[0]["session"] == "2022-12-28"
    assert rows[0]["sessions_in_window"] == 252
    assert rows[0]["beta"] is None
    causes = {m.undefined_because for m in MEASURES if (m.undefined_because or "").startswith("no_benchmark")}
    assert rows[0]["reason"] == ", ".join(sorted(filter(None, causes)))
    assert rows[0]["var_99_1d"] > rows[0]["var_95_1d"] > 0
    assert rows[0]["materialization_id"] == 1


def test_forecasts_are_every_models_latest(api: httpx.Client) -> None:
    forecasts = data(api.get("/api/v1/instruments/AAPL/forecasts"))
    assert [(row["as_of"], row["model"]) for row in forecasts["volatility"]] == [
        ("2022-12-28", "ewma"),
        ("2022-12-28", "har"),
    ]
    assert [row["volatility_21d"] for row in forecasts["volatility"]] == [0.2, None]
    assert len(forecasts["quantiles"]) == 1
    older = data(api.get("/api/v1/instruments/AAPL/forecasts", params={"end": "2022-12-27"}))
    assert {row["as_of"] for row in older["volatility"] + older["quantiles"]} == {"2022-12-27"}
    empty = data(api.get("/api/v1/instruments/MSFT/forecasts"))
    assert (empty["symbol"], empty["volatility"], empty["quantiles"]) == ("MSFT", [], [])
    assert (empty["volatility_cursor"], empty["quantiles_cursor"]) == (None, None)


def test_fx_rates(api: httpx.Client) -> None:
    rates = data(api.get("/api/v1/fx-rates/USD", params={"limit": 1}))
    assert rates == [{"session": "2022-12-28", "units_per_euro": 1.04}]
    assert data(api.get("/api/v1/fx-rates/USD", params={"end": "1999-01-01"})) == []
    assert api.get("/api/v1/fx-rates/ZZZ").status_code == 404


def write_price(write: Write, seeded: Seeded) -> None:
    ids = np.array([seeded.instruments["AAPL"].id], dtype=np.int32)
    replace_prices(write, price_rows(ids, SESSIONS[-1:], 1, {"close": np.array([7.0])}), MONTHS)


def write_rate(write: Write, _: Seeded) -> None:
    rows = {"currency": np.array([b"USD"]), "session": SESSIONS[-1:], "units_per_euro": np.array([7.0])}
    write.replace(FX_RATE, rows, MONTHS)


@pytest.mark.parametrize(
    ("asset", "write_new", "path", "field"),
    [
        ("prices", write_price, "/api/v1/instruments/AAPL/prices", "close"),
        ("fx_rates", write_rate, "/api/v1/fx-rates/USD", "units_per_euro"),
    ],
)
def test_a_write_under_way_is_waited_for(
    own_seeded: Seeded, own_api: httpx.Client, asset: str, write_new: Callable, path: str, field: str
) -> None:
    """It may be finished at a moment and committed later: the first answer for the moment holds it, as all do."""
    answers: list[list[dict]] = []

    def read() -> None:
        answers.append(data(own_api.get(path, params={"known_at": moment})))

    with own_seeded.database.connect() as connection:  # as `open_write`, but that the moment lies before the commit
        materializations.take_turn(connection, asset)
        number = materializations.begin(connection, asset, "run", "v1")
        write = Write(own_seeded.database, connection, number, asset)
        write_new(write, own_seeded)
        materializations.finish(connection, write.materialization_id)
        moment = datetime.now(UTC).isoformat()
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(0.5)
        assert reader.is_alive()
    reader.join(10)
    read()
    assert [[row[field] for row in answer] for answer in answers] == [[7.0], [7.0]]


def test_interest_rates(own_seeded: Seeded, serve: Serve) -> None:
    rows = {"series": np.array([b"DTB3"] * 2), "session": SESSIONS[-2:], "annual_rate": np.array([0.042, 0.043])}
    with open_write(own_seeded.database, "interest_rates", "run", "v1") as write:
        write.replace(INTEREST_RATE, rows, MONTHS)
    client = serve(own_seeded.database.url, "market-data-ingestion").client
    rates = data(client.get("/api/v1/interest-rates/DTB3", params={"limit": 1}))
    assert rates == [{"session": "2022-12-28", "annual_rate": 0.043}]
    assert client.get("/api/v1/interest-rates/DGS3MO").status_code == 404
    assert client.get("/api/v1/interest-rates/dtb3").status_code == 422


def test_stored_results_of_a_portfolio_by_id_and_slug(api: httpx.Client, seeded: Seeded) -> None:
    number = seeded.portfolios["held"]
    for path in ("", "/risk", "/simulations"):
        by_slug = data(api.get(f"/api/v1/portfolios/held{path}"))
        assert by_slug == data(api.get(f"/api/v1/portfolios/{number}{path}"))
        assert by_slug
    [row, _] = data(api.get("/api/v1/portfolios/held/simulations"))
    assert row["model"] == "student_t"
    assert row["parameters"] == [{"name": "freedom", "value": 4.5}, {"name": "scale", "value": 0.01}]
    assert [p["slug"] for p in data(api.get("/api/v1/portfolios"))] == ["held", "quarterly", "young"]


def test_an_empty_database_has_no_notice(database, serve: Serve) -> None:
    client = serve(database.url).client
    body = client.get("/api/v1/instruments").json()
    assert body.pop("staleness")["last_session"] is None
    assert body == {"data": [], "notice": None, "warnings": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/instruments/NONE", 404),
        ("/api/v1/instruments/NONE/prices", 404),
        ("/api/v1/instruments/NONE/risk", 404),
        ("/api/v1/instruments/NONE/forecasts", 404),
        ("/api/v1/portfolios/999", 404),
        ("/api/v1/portfolios/no-such/risk", 404),
        ("/api/v1/portfolios/99999999999999999999", 422),
        ("/api/v1/portfolios/UPPER", 422),
        ("/api/v1/instruments/AAPL@2013-02-30", 404),
        ("/api/v1/instruments/NONE@2013-05-01", 404),
        ("/api/v1/instruments/A%00", 422),
        ("/api/v1/instruments/A%ED%A0%80", 422),
        ("/api/v1/portfolios/a%00b", 422),
        ("/api/v1/fx-rates/usd", 422),
        ("/api/v1/instruments/AAPL/prices?limit=0", 422),
        ("/api/v1/instruments/AAPL/prices?limit=10001", 422),
        ("/api/v1/instruments/AAPL/prices?limit=99999999999999999999999", 422),
        ("/api/v1/instruments/AAPL/prices?limit=x", 422),
        ("/api/v1/instruments/AAPL/prices?limit=%00", 422),
        ("/api/v1/instruments/AAPL/prices?start=20200101", 422),
        ("/api/v1/instruments/AAPL/prices?start=2020-13-01", 422),
        ("/api/v1/instruments/AAPL/prices?start=0000-00-00", 422),
        ("/api/v1/instruments/AAPL/prices?start=9999-12-31", 422),
        ("/api/v1/instruments/AAPL/prices?start=2020-01-01%00", 422),
        ("/api/v1/instruments/AAPL/prices?start=2022-01-02&end=2022-01-01", 422),
        ("/api/v1/instruments/AAPL/prices?from=2022-01-02", 422),
        ("/api/v1/instruments/AAPL/prices?%00=1", 422),
        ("/api/v1/instruments/AAPL/prices?%ED%A0%80=1", 422),
        ("/api/v1/nothing", 404),
        ("/nothing", 404),
        ("/health/", 404),
        ("/docs/../secrets", 404),
        ("/docs/index.html", 404),
    ],
)
def test_unusable_addresses_are_problems(api: httpx.Client, path: str, status: int) -> None:
    answer = api.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert all(set(error) == {"field", "message"} for error in problem.get("errors", []))


def test_the_field_is_named(api: httpx.Client) -> None:
    answer = api.get("/api/v1/instruments/AAPL/prices", params={"limit": "0"}).json()
    assert answer["errors"] == [{"field": "query.limit", "message": "Input should be greater than or equal to 1"}]


def test_method_not_allowed(api: httpx.Client) -> None:
    answer = api.post("/api/v1/portfolios/held")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"


def test_every_page_has_a_head(api: httpx.Client) -> None:
    for path in ("/health", "/docs", "/openapi.json", "/api/v1/portfolios"):
        answer = api.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert api.head("/nothing").status_code == 404
    assert api.head("/api/v1/calculate").headers["allow"] == "POST"
