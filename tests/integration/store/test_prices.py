"""Prices as one dense matrix: the sessions asked for, the instruments in the order asked for."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.prices import PricePanel, price_rows, read_price_panel, replace_prices
from pipeline.store.writing import open_write

OPEN_END = date(2030, 1, 1)
ROWS = [
    (1, "2022-05-02", 10.0),
    (1, "2022-05-03", 11.0),
    (1, "2022-06-01", 12.0),
    (2, "2022-05-03", 20.0),
    (9, "2022-05-04", 90.0),
]


@pytest.fixture
def priced(database: Database) -> Database:
    ids, sessions, closes = zip(*ROWS, strict=True)
    with open_write(database, "prices", "run", "v1") as write:
        columns = price_rows(
            np.array(ids, dtype=np.int32),
            np.array(sessions, dtype="datetime64[D]"),
            1,
            {"close_adjusted": np.array(closes)},
        )
        replace_prices(write, columns, MonthRange(date(2022, 5, 1), date(2022, 6, 1)))
    return database


def panel(database: Database, ids: list[int], start: date | None = None, end: date = OPEN_END) -> PricePanel:
    with database.connect() as connection:
        return read_price_panel(connection, ids, start, end)


@pytest.mark.parametrize("ids", [[1, 2], [2, 1]])
def test_columns_follow_the_order_asked_for(priced: Database, ids: list[int]) -> None:
    found = panel(priced, ids)
    assert found.sessions.astype(str).tolist() == ["2022-05-02", "2022-05-03", "2022-06-01"]
    assert found.instrument_ids.tolist() == ids
    np.testing.assert_array_equal(found.column(1), [10.0, 11.0, 12.0])
    np.testing.assert_array_equal(found.column(2), [np.nan, 20.0, np.nan])


def test_sessions_of_other_instruments_are_no_rows(priced: Database) -> None:
    assert panel(priced, [2]).sessions.astype(str).tolist() == ["2022-05-03"]


def test_an_instrument_without_prices_is_a_column_of_gaps(priced: Database) -> None:
    found = panel(priced, [5, 9, 3])
    np.testing.assert_array_equal(found.close, [[np.nan, 90.0, np.nan]])


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, date(2022, 5, 3), [10.0]),
        (date(2022, 5, 3), OPEN_END, [11.0, 12.0]),
        (date(2022, 5, 3), date(2022, 6, 1), [11.0]),
        (date(2022, 7, 1), OPEN_END, []),
        (date(2022, 6, 1), date(2022, 5, 1), []),
    ],
    ids=str,
)
def test_the_start_is_included_and_the_end_is_not(
    priced: Database, start: date | None, end: date, expected: list[float]
) -> None:
    assert panel(priced, [1], start, end).column(1).tolist() == expected


def test_no_instruments_make_an_empty_panel(priced: Database) -> None:
    found = panel(priced, [])
    assert found.close.shape == (0, 0)
    assert found.sessions.dtype == np.dtype("datetime64[D]")


def test_a_large_panel_is_the_matrix_that_was_stored(database: Database) -> None:
    sessions = np.arange("2022-01-01", "2022-12-31", dtype="datetime64[D]")
    close = np.random.default_rng(4).uniform(1, 500, (len(sessions), 40))
    ids = np.random.default_rng(5).permutation(1000)[:40].astype(np.int32)
    columns = price_rows(
        np.tile(ids, len(sessions)),
        np.repeat(sessions, 40),
        1,
        {"close_adjusted": close.ravel()},
    )
    with open_write(database, "prices", "run", "v1") as write:
        replace_prices(write, columns, MonthRange(date(2022, 1, 1), date(2022, 12, 1)))
    found = panel(database, ids.tolist())
    np.testing.assert_array_equal(found.sessions, sessions)
    np.testing.assert_array_equal(found.close, close)
