"""Pages of every collection of the API, and the rows of several instruments in one answer."""

from __future__ import annotations

import time
from datetime import date

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.base.types import MonthRange
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.writing import open_write
from tests.integration.serving.collecting import BATCHES, COLLECTIONS, PAGED, parameters_of, query_of, url_of
from tests.integration.serving.seeding import SESSIONS, Seeded

# Pages -----------------------------------------------------------------------------------------------------


def test_every_collection_that_can_grow_has_pages() -> None:
    fixed = {
        "/api/v1/measures",
        "/api/v1/models",
        "/api/v1/scores",
        "/api/v1/strategies",
        "/api/v1/portfolios/{reference}/stress",
    }
    assert set(COLLECTIONS) - set(PAGED) <= fixed


@pytest.mark.parametrize("path", PAGED)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0.05, 1.2))
def test_pages_are_the_whole(listing: httpx.Client, path: str, part: float) -> None:
    whole = listing.get(url_of(path), params=query_of(path, limit=400)).json()["data"]
    limit = max(1, int(part * len(whole)))
    pages, cursor = [], None
    while sum(map(len, pages)) < len(whole):
        asked = query_of(path, limit=limit) | ({} if cursor is None else {"cursor": cursor})
        body = listing.get(url_of(path), params=asked).json()
        pages.append(body["data"])
        cursor = body["next_cursor"]
        if cursor is None:
            break
        assert len(body["data"]) == limit
    if "start" in parameters_of(path) and path not in BATCHES:
        pages.reverse()  # a series goes back in time, and each of its pages is oldest first
        found = [row for page in pages for row in page][-len(whole) :]
    else:
        found = [row for page in pages for row in page][: len(whole)]
    assert found == whole


def test_the_last_page_has_no_next(either: httpx.Client) -> None:
    path, seen = "/api/v1/instruments/AAPL/prices?limit=300", 0
    while True:
        answer = either.get(path)
        seen += len(answer.json()["data"])
        if answer.json()["next_cursor"] is None:
            break
        path = answer.links["next"]["url"]
    assert seen == len(SESSIONS)
    assert "next" not in answer.links


@pytest.mark.parametrize(
    ("resource", "part"),
    [
        ("/api/v1/portfolios/book/value", "history"),
        ("/api/v1/instruments/AAPL/forecasts", "volatility"),
        ("/api/v1/instruments/AAPL/forecasts", "quantiles"),
    ],
)
def test_what_a_resource_cuts_goes_on_in_its_collection(either: httpx.Client, resource: str, part: str) -> None:
    window = {"start": str(SESSIONS[-150]), "end": str(SESSIONS[-10])}
    whole = either.get(f"{resource}/{part}", params={**window, "limit": 10_000}).json()
    assert whole["next_cursor"] is None
    assert len(whole["data"]) >= 141
    cut = either.get(resource, params={**window, "limit": 7}).json()
    assert len(cut[part]) == 7
    before = either.get(f"{resource}/{part}", params={**window, "limit": 10_000, "cursor": cut[f"{part}_cursor"]})
    assert before.json()["data"] + cut[part] == whole["data"]
    page = either.get(f"{resource}/{part}", params={**window, "limit": 7}).json()
    assert page["data"] == cut[part]
    assert [found["code"] for found in page["warnings"]] == ["sample_data", "stale", "partial_window"]
    complete = either.get(resource, params={**window, "limit": 10_000}).json()
    assert complete[part] == whole["data"]
    assert complete[f"{part}_cursor"] is None


@pytest.mark.parametrize("resource", ["/api/v1/portfolios/book/value", "/api/v1/instruments/AAPL/forecasts"])
@pytest.mark.parametrize("parameter", [{"cursor": "AAAA"}, {"format": "csv"}])
def test_a_resource_refuses_what_only_collections_take(
    listing: httpx.Client, resource: str, parameter: dict[str, str]
) -> None:
    refused = listing.get(resource, params=parameter)
    assert refused.status_code == 422, refused.text
    assert f"query.{next(iter(parameter))}" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "name", "names"),
    [("/api/v1/fx-rates", "currency", ["USD"]), ("/api/v1/interest-rates", "series", ["DTB3", "ESTR"])],
)
def test_series_are_listed_with_their_first_and_last_session(
    either: httpx.Client, path: str, name: str, names: list[str]
) -> None:
    listed = either.get(path).json()["data"]
    assert [row[name] for row in listed] == names
    for row in listed:
        rates = either.get(f"{path}/{row[name]}", params={"limit": 10_000}).json()["data"]
        assert (row["first_session"], row["last_session"]) == (rates[0]["session"], rates[-1]["session"])
    unknown = either.get(f"{path}/XXX")
    assert unknown.status_code == 404
    assert path in unknown.json()["remedy"]


def test_rows_that_come_in_between_shift_no_page(own_seeded: Seeded, own_api: httpx.Client) -> None:
    path = "/api/v1/instruments/AAPL/prices"
    first = own_api.get(path, params={"limit": 5}).json()
    ids = np.array([own_seeded.instruments["AAPL"].id], dtype="i4")
    newer = np.array(["2023-01-03"], dtype="datetime64[D]")
    january = MonthRange(date(2023, 1, 1), date(2023, 1, 1))
    with open_write(own_seeded.database, "prices", "run", "v1") as write:
        replace_prices(write, price_rows(ids, newer, 1, {"close_adjusted": np.array([7.0])}), january)
    second = own_api.get(path, params={"limit": 5, "cursor": first["next_cursor"]}).json()
    found = [row["session"] for row in second["data"] + first["data"]]
    assert found == [str(session) for session in SESSIONS[-10:]]
    deadline = time.monotonic() + 5.0  # others' writes are noticed within a second
    while True:
        newest = own_api.get(path, params={"limit": 1}).json()
        told = (newest["data"][0]["session"], newest["staleness"]["last_session"])
        if told == ("2023-01-03", "2023-01-03"):
            break
        assert time.monotonic() < deadline, told
        time.sleep(0.1)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "A" * 2000, "%00", "", "eyJhIjoxfQ"], ids=range(6))
@pytest.mark.parametrize("path", PAGED)
def test_a_cursor_that_no_page_gave_is_refused(listing: httpx.Client, path: str, cursor: str) -> None:
    answer = listing.get(url_of(path), params=query_of(path, cursor=cursor))
    assert answer.status_code == 422, answer.text
    assert "cursor" in answer.json()["detail"]


@pytest.mark.parametrize("path", PAGED)
def test_a_page_is_no_longer_than_the_cap(listing: httpx.Client, path: str) -> None:
    for limit in ("0", "10001", "x"):
        answer = listing.get(url_of(path), params=query_of(path, limit=limit))
        assert answer.status_code == 422
        assert "limit" in answer.json()["detail"]


# Batches ---------------------------------------------------------------------------------------------------


def test_a_batch_is_the_rows_of_each(listing: httpx.Client) -> None:
    window = {"start": "2022-11-01", "end": "2022-12-28"}
    batch = listing.get("/api/v1/prices", params={"symbols": "MSFT,AAPL,AAPL", **window}).json()["data"]
    assert next(iter(batch[0])) == "symbol"
    for symbol in ("AAPL", "MSFT"):
        alone = listing.get(f"/api/v1/instruments/{symbol}/prices", params=window).json()["data"]
        own = [
            {name: value for name, value in row.items() if name != "symbol"} for row in batch if row["symbol"] == symbol
        ]
        assert own == alone
    several = listing.get("/api/v1/prices?symbols=AAPL&symbols=MSFT", params=None).json()["data"]
    assert {row["symbol"] for row in several} == {"AAPL", "MSFT"}
    assert min(row["session"] for row in several) == "2021-12-27"


def test_unknown_symbols_are_named_together(listing: httpx.Client) -> None:
    for path in BATCHES:
        refused = listing.get(path, params={"symbols": "AAPL,NONE,MSFT,NEITHER,MSFT@1980-02-30"})
        assert refused.status_code == 422
        assert refused.json()["detail"] == "symbols: no instrument has the symbol NONE, NEITHER, MSFT@1980-02-30"
    many = ",".join(f"S{number}" for number in range(501))
    assert listing.get("/api/v1/prices", params={"symbols": many}).status_code == 422
    assert listing.get("/api/v1/prices").status_code == 422
