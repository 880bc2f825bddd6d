"""The settings of the embedded server: of a new data folder, of an older one, and of one that somebody has set."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pytest

from pipeline.base.types import MonthRange
from pipeline.store.embedded import SETTINGS, embedded_server
from pipeline.store.engine import Database, libpq_url, with_database
from pipeline.store.migrating import migrate
from pipeline.store.offering import Columns
from pipeline.store.prices import PRICE, price_rows, replace_prices
from pipeline.store.writing import BULK_ROWS, WriteOutcome, open_write

MINIMAL, REPLICA = ("minimal", "0"), ("replica", "10")
DAYS = np.arange("1990-01-01", "2010-01-01", dtype="datetime64[D]")
MONTHS = MonthRange(date(1990, 1, 1), date(2009, 12, 1))
INSTRUMENTS = 15


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder of a server of its own, which root's server can reach."""
    with tempfile.TemporaryDirectory(prefix="fintech-embedded-") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "pg"


def settings(address: str) -> tuple[str, str]:
    with psycopg.connect(libpq_url(address)) as connection:
        found = connection.execute("SELECT current_setting('wal_level'), current_setting('max_wal_senders')").fetchone()
    assert found is not None
    return found[0], found[1]


def test_an_older_folder_is_taken_over_with_its_data(folder: Path) -> None:
    with embedded_server(folder) as address:
        assert settings(address) == MINIMAL
    file = folder / "postgresql.conf"
    file.write_text(file.read_text().replace(SETTINGS, ""))
    file.with_name("postgresql.auto.conf").write_text("wal_level = replica\nmax_wal_senders = 10\n")
    with embedded_server(folder) as address, psycopg.connect(libpq_url(address), autocommit=True) as connection:
        assert settings(address) == REPLICA  # somebody wants it
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        connection.execute("ALTER SYSTEM RESET ALL")
    for _ in range(2):
        with embedded_server(folder) as address, psycopg.connect(libpq_url(address)) as connection:
            assert settings(address) == MINIMAL
            assert connection.execute("SELECT number FROM kept").fetchone() == (1,)
        assert file.read_text().count(SETTINGS) == 1


def rows(factor: float) -> Columns:
    ids = np.repeat(np.arange(1, INSTRUMENTS + 1, dtype=np.int32), len(DAYS))
    close = np.linspace(10, 20, len(ids)) * np.where(np.arange(len(ids)) % 100 == 0, factor, 1.0)
    return price_rows(ids, np.tile(DAYS, INSTRUMENTS), 1, {"close": close})


def load(database: Database, factor: float) -> WriteOutcome:
    with open_write(database, "prices", "run", "v1", anew=factor > 1, table=PRICE) as write:
        return replace_prices(write, rows(factor), MONTHS)


def contents(database: Database) -> tuple:
    query = "SELECT count(*), sum(hashtextextended(p::text, 0)), (SELECT count(*) FROM price_history) FROM price AS p"
    with database.connect() as connection:
        found = connection.execute(query).fetchone()
        (by_key,) = connection.execute("SELECT sum(close) FROM price WHERE instrument_id = 7").fetchone() or (None,)
    assert found is not None
    return *found, by_key


@pytest.mark.parametrize("factors", [[1.0], [1.0, 2.0]], ids=["first load", "rebuild"])
def test_a_load_that_is_not_logged_outlives_a_lost_server(folder: Path, factors: list[float]) -> None:
    """Above the size from which a new table is flushed instead of logged (``wal_skip_threshold``)."""
    assert len(DAYS) * INSTRUMENTS > BULK_ROWS
    with embedded_server(folder) as address:
        database = Database(with_database(address, "lost"))
        database.ensure_exists()
        migrate(database.url)
        outcomes = [load(database, factor) for factor in factors]
        assert outcomes[-1].built_anew == (len(factors) > 1)
        before = contents(database)
        main_process = psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))
        for process in (main_process, *main_process.children()):
            os.kill(process.pid, signal.SIGKILL)
    with embedded_server(folder) as address:
        database = Database(with_database(address, "lost"))
        assert contents(database) == before
        assert load(database, factors[-1]).written == 0
