"""What every collection of the API has: four formats with equal tables, and word of how new its data is.

The routes are those of the documentation, so a new one is held to the same.
"""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv, ipc

from serving.answers.formats import MEDIA_TYPES
from serving.finishing import TOLD
from tests.integration.serving.collecting import COLLECTIONS, NAMES, PAGED, SPECIFICATION, query_of, url_of
from tests.integration.serving.seeding import NOTICE

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
    assert rows, f"{path}: seed some rows of it, in seed_listed"
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
    by_name = client.get(url_of(path), params=query_of(path, format=form, **_few(path)))
    assert by_name.status_code == 200, by_name.text
    assert by_name.headers["content-type"].split(";")[0] == MEDIA_TYPES[form]
    by_header = client.get(url_of(path), params=query_of(path, **_few(path)), headers={"Accept": MEDIA_TYPES[form]})
    assert _unaged(by_header) == _unaged(by_name)
    assert "Accept" in by_name.headers.get("vary", "Accept")
    return by_name


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
def test_what_may_not_be_kept_is_kept_in_no_format(listing: httpx.Client, form: str) -> None:
    for path in ("/api/v1/users", "/api/v1/audit", "/api/v1/api-keys", "/api/v1/simulations"):
        answer = listing.get(path, params={"format": form})
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


# What is told, and points in time --------------------------------------------------------------------------


def test_each_answer_tells_what_its_data_is_worth(listing: httpx.Client) -> None:
    body = listing.get("/api/v1/instruments/AAPL/prices", params={"start": "2022-01-03", "limit": 5}).json()
    assert [found["code"] for found in body["warnings"]] == ["sample_data", "stale", "partial_window"]
    told = body["staleness"]
    assert told["last_session"] == "2022-12-28"
    assert told["sessions_behind"] > 900
    assert datetime.fromisoformat(told["materialized_at"]) > datetime.now(UTC) - timedelta(hours=1)
    assert date.fromisoformat(told["expected_session"]) > date(2026, 1, 1)
    resource = listing.get("/api/v1/portfolios/held").json()
    assert [found["code"] for found in resource["warnings"]] == ["sample_data", "stale"]
    posted = listing.post("/api/v1/portfolios/held/risk", json={}).json()
    assert posted["staleness"]["last_session"] == "2022-12-28"
    own = listing.post("/api/v1/calculate", json={"returns": {"values": [0.01, -0.02, 0.03]}}).json()
    assert (own["warnings"], own["staleness"]) == ([], None)
    assert listing.get("/api/v1/measures").json()["staleness"] is None


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
def test_points_in_time_are_checked_alike(listing: httpx.Client, path: str, name: str, value: str, cause: str) -> None:
    answer = listing.get(path, params=query_of(path) | {name: value})
    assert answer.status_code == 422
    assert f"{name}: " in answer.json()["detail"]
    assert cause in answer.json()["detail"]


def test_as_of_ends_a_series(listing: httpx.Client) -> None:
    rows = listing.get("/api/v1/instruments/AAPL/prices", params={"as_of": "2022-06-30", "limit": 2}).json()["data"]
    assert [row["session"] for row in rows] == ["2022-06-29", "2022-06-30"]
    both = listing.get("/api/v1/instruments/AAPL/prices", params={"as_of": "2022-06-30", "end": "2022-06-15"}).json()
    assert both["data"][-1]["session"] == "2022-06-15"


# Strict JSON -----------------------------------------------------------------------------------------------


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


GETS = sorted(
    path for path, operations in SPECIFICATION["paths"].items() if "get" in operations and path.startswith("/api/")
)


@pytest.mark.parametrize("path", GETS)
def test_no_answer_has_what_is_no_json(listing: httpx.Client, path: str) -> None:
    names = NAMES | {"job_id": "00000000-0000-0000-0000-000000000000", "model": "ewma", "user_id": "1", "name": "ewma"}
    filled = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "1"), path)
    answer = listing.get(filled, params=query_of(path))
    if answer.headers["content-type"].startswith(("application/json", "application/problem+json")):
        json.loads(answer.text, parse_constant=_refuse)
    assert answer.status_code < 500, answer.text
