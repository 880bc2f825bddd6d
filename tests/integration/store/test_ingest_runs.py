"""The books of a load: the database refuses a load that lost a row."""

from __future__ import annotations

from datetime import date

import numpy as np
import psycopg
import pytest

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.ingest_runs import IngestRun, read_ingest_runs, record_ingest_run
from pipeline.store.prices import PRICE, price_rows
from pipeline.store.writing import open_write

MAY = MonthRange(date(2022, 5, 1), date(2022, 5, 1))
ROWS = price_rows(
    np.array([1, 1], dtype=np.int32),
    np.array(["2022-05-02", "2022-05-03"], dtype="datetime64[D]"),
    1,
    {"close": np.array([10.0, 11.0])},
)


def load(database: Database, fetched: int, quarantined: int, repeats: int = 0) -> None:
    with open_write(database, "prices", "run", "v1") as write:
        outcome = write.replace(PRICE, ROWS, MAY)
        record_ingest_run(write, "vendor", MAY, fetched, quarantined, repeats, outcome)


def test_books_that_close_are_kept(database: Database) -> None:
    load(database, fetched=4, quarantined=1, repeats=1)
    load(database, fetched=2, quarantined=0)
    with database.connect() as connection:
        newest, first = read_ingest_runs(connection)
    assert first == IngestRun(1, "vendor", MAY.first, MAY.last, 4, 2, 0, 1, 1, 0)
    assert newest == IngestRun(2, "vendor", MAY.first, MAY.last, 2, 0, 0, 2, 0, 0)


def test_a_lost_row_undoes_the_load(database: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="nothing_lost"):
        load(database, fetched=3, quarantined=0)
    with database.connect() as connection:
        counts = "SELECT (SELECT count(*) FROM price), (SELECT count(*) FROM materialization)"
        assert connection.execute(counts).fetchone() == (0, 0)
