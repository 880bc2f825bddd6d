"""Large loads of new and empty tables: what reaches the log, and what somebody else has done meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import psycopg
import pytest
from sqlalchemy import Column, Date, Integer, MetaData, Table

from pipeline.base.types import MonthRange
from pipeline.store import writing
from pipeline.store.bulk_loads import fill
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, with_database
from pipeline.store.migrating import migrate
from pipeline.store.offering import Columns
from pipeline.store.prices import PRICE, price_rows
from pipeline.store.schema import WRITER
from pipeline.store.writing import Write, open_write

DAYS = np.arange("2015-01-01", "2023-01-01", dtype="datetime64[D]")
MONTHS = MonthRange(date(2015, 1, 1), date(2022, 12, 1))
INSTRUMENTS = 50
"""Rows of which a range of half is larger than what is logged all the same (`wal_skip_threshold`, 2 MB)."""
MIB = 1 << 20


def rows(factor: float = 1.0) -> Columns:
    ids = np.repeat(np.arange(1, INSTRUMENTS + 1, dtype=np.int32), len(DAYS))
    close = np.linspace(10, 20, len(ids)) * np.where(np.arange(len(ids)) % 1000 == 0, factor, 1.0)
    return price_rows(ids, np.tile(DAYS, INSTRUMENTS), 1, {"close": close})


def stamped(taken: slice) -> Columns:
    chosen = {name: values[taken] for name, values in rows().items()}
    return chosen | {WRITER: np.full(len(chosen["session"]), 1, dtype=np.int32)}


def logged_bytes(connection: psycopg.Connection, since: str = "0/0") -> int:
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [since]).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture(scope="module")
def lonely_server() -> Iterator[str]:
    """Address of a server whose log nobody else writes to."""
    with tempfile.TemporaryDirectory(prefix="fintech-lonely-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # root's server runs as another user
        with embedded_server(Path(folder) / "pg") as address:
            yield address


@pytest.mark.parametrize("anew", [False, True], ids=["first load", "rebuild"])
def test_the_rows_of_a_new_file_are_not_logged(
    lonely_server: str, monkeypatch: pytest.MonkeyPatch, *, anew: bool
) -> None:
    monkeypatch.setattr(writing, "BULK_ROWS", 1_000)
    database = Database(with_database(lonely_server, f"anew_{anew}"))
    database.ensure_exists()
    migrate(database.url)
    # Whoever reads the rows of a first load first, here the first rebuild, marks them as committed, which is logged.
    for factor in (1.0, 2.0, 3.0) if anew else (1.0,):
        with open_write(database, "prices", "run", "v1", anew=anew, table=PRICE) as write:
            before = logged_bytes(write.connection)
            write.replace(PRICE, rows(factor), MONTHS)
            logged = logged_bytes(write.connection) - before
            parts = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('price')"
            (size,) = write.connection.execute(parts).fetchone()
    assert size > 5 * MIB
    # The digests of what is offered take 9 bytes a row.
    assert logged < size / 2


def test_rows_that_somebody_has_added_since_stay(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, PRICE, stamped(slice(0, 100)))
    with database.connect() as connection:
        fill(connection, PRICE, stamped(slice(100, 300)))
        assert connection.execute("SELECT count(*) FROM price").fetchone() == (300,)
        key = connection.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'price'::regclass AND indisprimary")
        assert key.fetchone() == (1,)


def ask_after(write: Write) -> None:
    """Ask something once what is read ahead has failed."""
    assert write.ahead["nowhere"].exception() is not None
    write.connection.execute("SELECT 1")


def test_what_cannot_be_read_ahead_is_told_as_such(database: Database) -> None:
    columns = [Column("id", Integer(), primary_key=True), Column("day", Date(), primary_key=True)]
    unknown = Table("nowhere", MetaData(), *columns)
    with (
        pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"),
        open_write(database, "prices", "run", "v1", anew=True, table=unknown) as write,
    ):
        ask_after(write)


def test_a_write_that_fails_does_not_wait_for_what_is_read_ahead(database: Database) -> None:
    with database.connect() as other:
        other.execute("LOCK TABLE price IN ACCESS EXCLUSIVE MODE")
        with (
            pytest.raises(RuntimeError, match="no answer"),
            open_write(database, "prices", "run", "v1", anew=True, table=PRICE),
        ):
            raise RuntimeError("no answer")
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM materialization").fetchone() == (0,)
