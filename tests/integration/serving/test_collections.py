"""What every collection of the API has: four formats with equal tables, pages, and word of how new its data is.

The routes are those of the documentation, so a new one is held to the same.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv, ipc

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.interest_rates import INTEREST_RATE
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.quarantine import QuarantinedRow, replace_quarantine
from pipeline.store.writing import open_write
from serving.answers.formats import MEDIA_TYPES
from serving.app import create_app
from serving.finishing import TOLD
from tests.integration.serving.explained_results import seed_explained
from tests.integration.serving.gateways import serving_all
from tests.integration.serving.running import local_settings
from tests.integration.serving.seeding import MONTHS, NOTICE, SESSIONS, Seeded

SPECIFICATION = create_app("backend-api", local_settings("postgresql://nobody@127.0.0.1/none")).openapi()
SCHEMAS = SPECIFICATION["components"]["schemas"]
NAMES = {
    "symbol": "AAPL",
    "reference": "held",
    "currency": "USD",
    "series": "DTB3",
    "name": "min_variance",
}
BATCHES = ("/api/v1/prices", "/api/v1/instrument-risk", "/api/v1/volatility-forecasts", "/api/v1/quantile-forecasts")
WITHOUT_ROWS = {
    "/api/v1/api-keys",
    "/api/v1/audit",
    "/api/v1/models",
    "/api/v1/portfolios/{reference}/limit-events",
    "/api/v1/portfolios/{reference}/transactions",
    "/api/v1/scores",
    "/api/v1/simulations",
    "/api/v1/strategies/{name}/nav",
    "/api/v1/strategies/{name}/weights",
    "/api/v1/users",
}
"""Collections that nothing is seeded of; their formats agree on no rows."""


def _schema(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation["responses"]["200"].get("content", {})
    found = content.get("application/json", {}).get("schema", {})
    return SCHEMAS[found["$ref"].rpartition("/")[2]] if "$ref" in found else {}


def _collections() -> Iterator[str]:
    for path, operations in SPECIFICATION["paths"].items():
        if "get" in operations and {"data", "next_cursor"} <= set(_schema(operations["get"]).get("properties", ())):
            yield path


COLLECTIONS = sorted(_collections())
PAGED = [
    path
    for path in COLLECTIONS
    if "cursor" in {each["name"] for each in SPECIFICATION["paths"][path]["get"]["parameters"]}
]


def url_of(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], path)


@pytest.fixture(scope="module")
def database(new_database: Any) -> Database:
    seeded = seed_explained(new_database())
    _fill(seeded)
    return seeded.database


def _fill(seeded: Seeded) -> None:
    rows = {"series": np.full(9, b"DTB3"), "session": SESSIONS[-9:], "annual_rate": np.linspace(0.01, 0.05, 9)}
    with open_write(seeded.database, "interest_rates", "run", "v1") as write:
        write.replace(INTEREST_RATE, rows, MONTHS)
    refused = [
        QuarantinedRow("bundled", symbol, day, "spike", {"close": 1.5, "note": 'a "b", c'})
        for symbol in ("AAPL", "MSFT")
        for day in (date(2022, 12, 1), date(2022, 12, 2), date(2022, 12, 5))
    ]
    with open_write(seeded.database, "prices", "run", "v1") as write:
        replace_quarantine(write, refused, MONTHS)


@pytest.fixture(scope="module")
def client(database: Database) -> Iterator[httpx.Client]:
    with serving_all(database.url, over_http=False) as made:
        yield made


@pytest.fixture(scope="module", params=["in_process", "over_http"])
def either(client: httpx.Client, database: Database, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A gateway that serves all itself, and one that calls four services."""
    if request.param == "in_process":
        yield client
        return
    with serving_all(database.url, over_http=True) as made:
        yield made


# Formats ---------------------------------------------------------------------------------------------------


def test_every_collection_is_known() -> None:
    assert len(COLLECTIONS) >= 25
    for path in COLLECTIONS:
        content = SPECIFICATION["paths"][path]["get"]["responses"]["200"]["content"]
        assert set(content) >= set(MEDIA_TYPES.values()), f"{path}: take a query of serving.inputs that has a format"


@pytest.mark.parametrize("path", COLLECTIONS)
def test_four_formats_are_equal_tables(either: httpx.Client, path: str) -> None:
    answers = {form: _asked(either, path, form) for form in MEDIA_TYPES}
    rows = answers["json"].json()["data"]
    assert rows or path in WITHOUT_ROWS, f"{path}: seed some rows of it"
    parquet = pq.read_table(io.BytesIO(answers["parquet"].content))
    arrow = ipc.open_stream(answers["arrow"].content).read_all()
    assert parquet.equals(arrow)
    assert _as_json(arrow) == rows
    assert not any(_has_nan(column) for column in arrow.columns)
    assert _of_csv(answers["csv"].content, arrow.schema).equals(_without_empty_texts(arrow))


def _of_csv(content: bytes, schema: pa.Schema) -> pa.Table:
    """A CSV with the types of the other tables, as it has none of its own."""
    return csv.read_csv(
        io.BytesIO(content),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=schema, strings_can_be_null=True),
    )


def _without_empty_texts(table: pa.Table) -> pa.Table:
    """The table as a CSV tells it, where an empty text is a missing one."""
    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(number)
            table = table.set_column(number, field, pc.if_else(pc.equal(column, ""), None, column))
    return table


def _asked(client: httpx.Client, path: str, form: str) -> httpx.Response:
    by_name = client.get(url_of(path), params=_query(path, format=form, **_few(path)))
    assert by_name.status_code == 200, by_name.text
    assert by_name.headers["content-type"].split(";")[0] == MEDIA_TYPES[form]
    by_header = client.get(url_of(path), params=_query(path, **_few(path)), headers={"Accept": MEDIA_TYPES[form]})
    assert _unaged(by_header) == _unaged(by_name)
    assert "Accept" in by_name.headers.get("vary", "Accept")
    return by_name


def _query(path: str, **more: object) -> dict[str, Any]:
    return ({"symbols": "AAPL,MSFT"} if path in BATCHES else {}) | more


def _few(path: str) -> dict[str, int]:
    return {"limit": 40} if path in PAGED else {}


def _unaged(answer: httpx.Response) -> bytes:
    """The body, without the moments at which keys were last used."""
    return re.sub(rb'"last_used_at":"[^"]*"', b"", answer.content)


def _as_json(table: pa.Table) -> list[dict[str, Any]]:
    nested = {name for name in table.column_names if _is_nested(table, name)}
    return [
        {
            name: json.loads(value) if name in nested and value is not None else _plain(value)
            for name, value in row.items()
        }
        for row in table.to_pylist()
    ]


def _is_nested(table: pa.Table, name: str) -> bool:
    values = [value for value in table.column(name).to_pylist() if isinstance(value, str)]
    return bool(values) and all(value[:1] in "[{" for value in values)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _has_nan(column: pa.ChunkedArray) -> bool:
    return pa.types.is_floating(column.type) and bool(np.isnan(column.drop_null().to_numpy()).any())


def test_what_is_told_beside_the_rows_goes_along(either: httpx.Client) -> None:
    path = "/api/v1/instruments/AAPL/prices?limit=3"
    body = either.get(path).json()
    told = {name: value for name, value in body.items() if name != "data"}
    for form in ("csv", "parquet", "arrow"):
        answer = either.get(path, params={"limit": 3, "format": form})
        assert json.loads(answer.headers[TOLD]) == told
        assert answer.links["next"]["url"].endswith(f"cursor={told['next_cursor']}")
    arrow = ipc.open_stream(either.get(path, params={"limit": 3, "format": "arrow"}).content).schema
    assert json.loads(arrow.metadata[b"fintech"]) == told
    assert told["notice"] == NOTICE
    assert b"adjusted" in arrow.field("close_adjusted").metadata[b"description"]
    assert [str(arrow.field(name).type) for name in ("session", "close_adjusted")] == ["date32[day]", "double"]


def test_formats_have_tags_of_their_own(either: httpx.Client) -> None:
    path = "/api/v1/instruments/AAPL/prices"
    tags = {form: either.get(path, params={"format": form}).headers["etag"] for form in MEDIA_TYPES}
    assert len(set(tags.values())) == len(MEDIA_TYPES)
    for accept in (MEDIA_TYPES["csv"], MEDIA_TYPES["arrow"], MEDIA_TYPES["csv"]):
        assert either.get(path, headers={"Accept": accept}).headers["content-type"].startswith(accept)
    same = either.get(path, params={"format": "csv"}, headers={"If-None-Match": tags["csv"]})
    other = either.get(path, params={"format": "csv"}, headers={"If-None-Match": tags["json"]})
    assert (same.status_code, other.status_code) == (304, 200)


@pytest.mark.parametrize("form", list(MEDIA_TYPES))
def test_what_may_not_be_kept_is_kept_in_no_format(client: httpx.Client, form: str) -> None:
    for path in ("/api/v1/users", "/api/v1/audit", "/api/v1/api-keys", "/api/v1/simulations"):
        answer = client.get(path, params={"format": form})
        assert "no-store" in answer.headers["cache-control"]
        assert "etag" not in answer.headers


def test_what_nobody_can_be_given_is_refused(either: httpx.Client) -> None:
    refused = either.get("/api/v1/instruments", headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"].startswith("Accept: names no format of this address; send one of application/json")
    assert either.get("/api/v1/instruments", params={"format": "xml"}).status_code == 422
    wins = either.get("/api/v1/instruments", params={"format": "csv"}, headers={"Accept": "image/png"})
    assert wins.headers["content-type"].startswith("text/csv")


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


@pytest.mark.parametrize("path", [path for path in PAGED if path not in WITHOUT_ROWS])
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0.05, 1.2))
def test_pages_are_the_whole(client: httpx.Client, path: str, part: float) -> None:
    whole = client.get(url_of(path), params=_query(path, limit=400)).json()["data"]
    limit = max(1, int(part * len(whole)))
    pages, cursor = [], None
    while sum(map(len, pages)) < len(whole):
        asked = _query(path, limit=limit) | ({} if cursor is None else {"cursor": cursor})
        body = client.get(url_of(path), params=asked).json()
        pages.append(body["data"])
        cursor = body["next_cursor"]
        if cursor is None:
            break
        assert len(body["data"]) == limit
    if "start" in {each["name"] for each in SPECIFICATION["paths"][path]["get"]["parameters"]} and path not in BATCHES:
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
def test_a_cursor_that_no_page_gave_is_refused(client: httpx.Client, path: str, cursor: str) -> None:
    answer = client.get(url_of(path), params=_query(path, cursor=cursor))
    assert answer.status_code == 422, answer.text
    assert "cursor" in answer.json()["detail"]


@pytest.mark.parametrize("path", PAGED)
def test_a_page_is_no_longer_than_the_cap(client: httpx.Client, path: str) -> None:
    for limit in ("0", "10001", "x"):
        answer = client.get(url_of(path), params=_query(path, limit=limit))
        assert answer.status_code == 422
        assert "limit" in answer.json()["detail"]


# Batches ---------------------------------------------------------------------------------------------------


def test_a_batch_is_the_rows_of_each(client: httpx.Client) -> None:
    window = {"start": "2022-11-01", "end": "2022-12-28"}
    batch = client.get("/api/v1/prices", params={"symbols": "MSFT,AAPL,AAPL", **window}).json()["data"]
    assert next(iter(batch[0])) == "symbol"
    for symbol in ("AAPL", "MSFT"):
        alone = client.get(f"/api/v1/instruments/{symbol}/prices", params=window).json()["data"]
        own = [
            {name: value for name, value in row.items() if name != "symbol"} for row in batch if row["symbol"] == symbol
        ]
        assert own == alone
    several = client.get("/api/v1/prices?symbols=AAPL&symbols=MSFT", params=None).json()["data"]
    assert {row["symbol"] for row in several} == {"AAPL", "MSFT"}
    assert min(row["session"] for row in several) == "2021-12-27"


def test_unknown_symbols_are_named_together(client: httpx.Client) -> None:
    for path in BATCHES:
        refused = client.get(path, params={"symbols": "AAPL,NONE,MSFT,NEITHER,MSFT@1980-02-30"})
        assert refused.status_code == 422
        assert refused.json()["detail"] == "symbols: no instrument has the symbol NONE, NEITHER, MSFT@1980-02-30"
    many = ",".join(f"S{number}" for number in range(501))
    assert client.get("/api/v1/prices", params={"symbols": many}).status_code == 422
    assert client.get("/api/v1/prices").status_code == 422


# What is told, and points in time --------------------------------------------------------------------------


def test_each_answer_tells_what_its_data_is_worth(client: httpx.Client) -> None:
    body = client.get("/api/v1/instruments/AAPL/prices", params={"start": "2022-01-03", "limit": 5}).json()
    assert [found["code"] for found in body["warnings"]] == ["sample_data", "stale", "partial_window"]
    told = body["staleness"]
    assert told["last_session"] == "2022-12-28"
    assert told["sessions_behind"] > 900
    assert datetime.fromisoformat(told["materialized_at"]) > datetime.now(UTC) - timedelta(hours=1)
    assert date.fromisoformat(told["expected_session"]) > date(2026, 1, 1)
    resource = client.get("/api/v1/portfolios/held").json()
    assert [found["code"] for found in resource["warnings"]] == ["sample_data", "stale"]
    posted = client.post("/api/v1/portfolios/held/risk", json={}).json()
    assert posted["staleness"]["last_session"] == "2022-12-28"
    own = client.post("/api/v1/calculate", json={"returns": {"values": [0.01, -0.02, 0.03]}}).json()
    assert (own["warnings"], own["staleness"]) == ([], None)
    assert client.get("/api/v1/measures").json()["staleness"] is None


@pytest.mark.parametrize("path", ["/api/v1/instruments/AAPL/prices", "/api/v1/fx-rates/USD", "/api/v1/prices"])
@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("known_at", "2999-01-01T00:00:00Z", "lies in the future; give a moment that has passed"),
        ("known_at", "2022-01-01T00:00:00", "needs a time zone, such as 2022-12-28T18:00:00Z"),
        ("as_of", "2199-01-01", "lies in the future; give a day up to today"),
        ("as_of", "yesterday", "should be a date"),
        ("as_of", "1985-01-01", "lies before the first session, 2020-01-01"),
        ("known_at", "1985-01-01T00:00:00Z", "lies before the first load, 20"),
    ],
)
def test_points_in_time_are_checked_alike(client: httpx.Client, path: str, name: str, value: str, cause: str) -> None:
    answer = client.get(path, params=_query(path) | {name: value})
    assert answer.status_code == 422
    assert f"{name}: " in answer.json()["detail"]
    assert cause in answer.json()["detail"]


def test_as_of_ends_a_series(client: httpx.Client) -> None:
    rows = client.get("/api/v1/instruments/AAPL/prices", params={"as_of": "2022-06-30", "limit": 2}).json()["data"]
    assert [row["session"] for row in rows] == ["2022-06-29", "2022-06-30"]
    both = client.get("/api/v1/instruments/AAPL/prices", params={"as_of": "2022-06-30", "end": "2022-06-15"}).json()
    assert both["data"][-1]["session"] == "2022-06-15"


# Strict JSON -----------------------------------------------------------------------------------------------


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


GETS = sorted(
    path for path, operations in SPECIFICATION["paths"].items() if "get" in operations and path.startswith("/api/")
)


@pytest.mark.parametrize("path", GETS)
def test_no_answer_has_what_is_no_json(client: httpx.Client, path: str) -> None:
    names = NAMES | {"job_id": "00000000-0000-0000-0000-000000000000", "model": "ewma", "user_id": "1", "name": "ewma"}
    filled = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "1"), path)
    answer = client.get(filled, params=_query(path))
    if answer.headers["content-type"].startswith(("application/json", "application/problem+json")):
        json.loads(answer.text, parse_constant=_refuse)
    assert answer.status_code < 500, answer.text
