"""Which format is chosen, what a cursor holds, and what becomes of values in a table."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

from pipeline.base.errors import InvalidInputError
from pipeline.store.var_backtests import VAR_BACKTEST
from serving.answers import Row
from serving.answers.cursors import Order
from serving.answers.formats import MEDIA_TYPES, format_for
from serving.answers.tables import METADATA, encoded


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], "json"),
        ([""], "json"),
        (["*/*"], "json"),
        (["application/*"], "json"),
        (["text/*"], "csv"),
        (["text/html, application/xhtml+xml, */*;q=0.8"], "json"),
        (["text/csv"], "csv"),
        (["TEXT/CSV; charset=utf-8"], "csv"),
        (["application/json;q=0.5, text/csv;q=0.6"], "csv"),
        (["application/json;q=0, */*"], "csv"),
        (["application/json;q=0.4", "application/vnd.apache.parquet"], "parquet"),
        (["application/vnd.apache.arrow.stream;q=x"], "arrow"),
        (["application/json;q=0.5, */*;q=0.1"], "json"),
        (["text/html"], None),
        (["*/*;q=0"], None),
        (["application/json;q=0"], None),
    ],
)
def test_the_format_that_is_liked_best(accept: list[str], wanted: str | None) -> None:
    assert format_for(accept) == wanted


# Cursors ---------------------------------------------------------------------------------------------------

Thing = tuple[date, str, int, UUID, datetime]
ORDER = Order("things", (date, str, int, UUID, datetime), lambda row: row)
KEYS = st.tuples(
    st.dates(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    st.integers(-(2**62), 2**62),
    st.uuids(),
    st.datetimes(timezones=st.just(UTC)),
)


@given(KEYS)
def test_a_cursor_holds_its_key(key: Thing) -> None:
    assert ORDER.decoded(ORDER.cursor_of(key)) == key


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.hex()))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^cursor: "):
        ORDER.decoded(text)


def test_a_cursor_of_another_collection_is_refused() -> None:
    other = Order("others", (int,), lambda row: (row,)).cursor_of(3)
    with pytest.raises(InvalidInputError, match="leave cursor out"):
        Order("things", (int,), lambda row: (row,)).decoded(other)


@pytest.mark.parametrize("values", ['["2020-13-01"]', "[1]", "[null]", "{}", "[]", '["\\ud800"]', "[[]]", "1"])
def test_a_key_of_another_kind_is_refused(values: str) -> None:
    from base64 import urlsafe_b64encode  # noqa: PLC0415

    order = Order("days", (date,), lambda row: (row,))
    made = urlsafe_b64encode(order._digest(values.encode()) + values.encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidInputError):
        order.decoded(made)


def test_a_series_is_walked_by_session_and_the_rest_of_its_key() -> None:
    order = Order.of_series(VAR_BACKTEST, "subject_kind", "subject_id")
    assert order.kinds == (date, str, str)
    assert order.is_reversed


@given(st.lists(st.integers(), unique=True, max_size=40), st.integers(1, 12))
def test_pages_are_the_whole(numbers: list[int], limit: int) -> None:
    order = Order("numbers", (int,), lambda row: (row,))
    rows, found, cursor = sorted(n for n in numbers if abs(n) < 2**62), [], None
    while True:
        page, cursor = order.sliced(rows, limit, cursor)
        found += page
        assert len(page) == limit or cursor is None
        if cursor is None:
            break
    assert found == rows


# Tables ----------------------------------------------------------------------------------------------------


class Inner(Row):
    """A part of a row."""

    weight: float | None


class Everything(Row):
    """A row with a column of each kind."""

    day: date | None
    moment: datetime | None
    number: float | None
    count: int | None
    is_it: bool | None
    text: str | None
    choice: Literal["a", "b"] | None
    inner: list[Inner]
    named: dict[str, float]


@dataclass(frozen=True)
class Part:
    weight: float | None


@dataclass(frozen=True)
class Record:
    day: date | None
    moment: datetime | None
    number: float | None
    count: int | None
    is_it: bool | None
    text: str | None
    choice: str | None
    inner: tuple[Part, ...]
    named: dict[str, float]


EAST = timezone(timedelta(hours=5))
FULL = Record(
    date(1969, 7, 20),
    datetime(1969, 7, 20, 20, 17, 40, 5, tzinfo=EAST),
    0.1,
    2**53 + 1,
    True,
    'a "b", c\nd é',
    "a",
    (Part(0.25), Part(float("nan"))),
    {"x": 1.5},
)
EMPTY = Record(None, None, float("nan"), None, None, None, None, (), {})
INFINITE = Record(None, None, float("inf"), None, None, None, None, (), {})
TOLD = {"notice": "Daten für Tests"}


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_typed_tables(form: str) -> None:
    body = encoded(form, [FULL, EMPTY, INFINITE], Everything, TOLD)
    table = pq.read_table(io.BytesIO(body)) if form == "parquet" else ipc.open_stream(body).read_all()
    assert {name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)} == {
        "day": "date32[day]",
        "moment": "timestamp[us, tz=UTC]",
        "number": "double",
        "count": "int64",
        "is_it": "bool",
        "text": "string",
        "choice": "string",
        "inner": "string",
        "named": "string",
    }
    assert json.loads(table.schema.metadata[METADATA]) == TOLD
    full, empty, infinite = table.to_pylist()
    assert full | {"moment": None} == {
        "day": FULL.day,
        "moment": None,
        "number": 0.1,
        "count": 2**53 + 1,
        "is_it": True,
        "text": FULL.text,
        "choice": "a",
        "inner": '[{"weight":0.25},{"weight":null}]',
        "named": '{"x":1.5}',
    }
    assert full["moment"] == FULL.moment
    assert empty == infinite == dict.fromkeys(full) | {"inner": "[]", "named": "{}"}


def test_csv() -> None:
    body = encoded("csv", [FULL, EMPTY], Everything, TOLD).decode()
    full, empty = csv.DictReader(io.StringIO(body, newline=""))
    assert (full["day"], full["number"], full["count"], full["is_it"]) == ("1969-07-20", "0.1", str(2**53 + 1), "true")
    assert full["text"] == FULL.text
    assert datetime.fromisoformat(full["moment"]) == FULL.moment
    assert {name for name, value in empty.items() if value} == {"inner", "named"}


@pytest.mark.parametrize("form", [name for name in MEDIA_TYPES if name != "json"])
def test_a_table_without_rows_has_its_columns(form: str) -> None:
    body = encoded(form, [], Everything, TOLD)
    if form == "csv":
        assert body.decode().split() == [",".join(Everything.model_fields)]
    else:
        table = pq.read_table(io.BytesIO(body)) if form == "parquet" else ipc.open_stream(body).read_all()
        assert table.num_rows == 0
        assert table.schema.names == list(Everything.model_fields)
