import numpy as np
import psycopg
import pytest

from pipeline.store import binary_copy
from pipeline.store.binary_copy import copy_in, copy_out
from pipeline.store.engine import Database

TABLE = "CREATE TABLE sample (i2 int2, i4 int4, i8 int8, value float8, day date, word text)"


def columns(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    words = np.array(["", "a", "naïve", "a much longer word", "€"])
    return {
        "i2": random.integers(-(2**15), 2**15, rows).astype(np.int16),
        "i4": random.integers(-(2**31), 2**31, rows).astype(np.int32),
        "i8": random.integers(-(2**63), 2**63 - 1, rows),
        "value": np.where(random.random(rows) < 0.2, np.nan, random.standard_normal(rows) * 1e6),
        "day": np.datetime64("1969-12-01") + random.integers(-50_000, 50_000, rows).astype("timedelta64[D]"),
        "word": np.char.encode(random.choice(words, rows), "utf-8"),
    }


@pytest.mark.parametrize("rows", [0, 1, 7, 1_000, binary_copy.BLOCK_ROWS + 3])
def test_what_goes_in_is_what_psycopg_reads(database: Database, rows: int) -> None:
    given = columns(rows)
    with database.connect() as connection:
        connection.execute(TABLE)
        copy_in(connection, "sample", given)
        found = connection.execute("SELECT * FROM sample").fetchall()
    assert len(found) == rows
    for name, values in zip(given, zip(*found, strict=True), strict=False):
        expected = given[name].astype(object)
        if name == "value":
            expected = [None if np.isnan(value) else value for value in given[name]]
        elif name == "word":
            expected = [word.decode() or None for word in given[name]]
        assert list(values) == list(expected), name


def test_a_missing_date_is_null(database: Database) -> None:
    given = columns(2)
    given["day"][1] = np.datetime64("NaT")
    with database.connect() as connection:
        connection.execute(TABLE)
        copy_in(connection, "sample", given)
        assert connection.execute("SELECT count(*) FROM sample WHERE day IS NULL").fetchone() == (1,)


def test_what_comes_out_is_what_went_in(database: Database) -> None:
    given = columns(5_000)
    row = np.dtype([("i4", "i4"), ("value", "f8"), ("day", "datetime64[D]")])
    with database.connect() as connection:
        connection.execute(TABLE)
        copy_in(connection, "sample", given)
        query = psycopg.sql.SQL("SELECT i4, value, day FROM sample WHERE value IS NOT NULL")
        found = copy_out(connection, query, row)
    kept = ~np.isnan(given["value"])
    for name in row.names or ():
        np.testing.assert_array_equal(found[name], given[name][kept])


def test_columns_of_different_length_are_refused(database: Database) -> None:
    given = columns(3) | {"i4": np.array([1], dtype=np.int32)}
    with database.connect() as connection:
        connection.execute(TABLE)
        with pytest.raises(ValueError, match="differ in length"):
            copy_in(connection, "sample", given)


def test_a_type_without_encoding_is_refused(database: Database) -> None:
    given = columns(1) | {"value": np.array([1 + 2j])}
    with database.connect() as connection:
        connection.execute(TABLE)
        with pytest.raises(TypeError, match="complex128"):
            copy_in(connection, "sample", given)
