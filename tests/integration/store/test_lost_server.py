"""A server that is lost in the middle of a load: nothing of it remains, and the next load is whole."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pytest

from pipeline.base.errors import DatabaseError
from pipeline.base.types import MonthRange
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, with_database
from pipeline.store.migrating import migrate
from pipeline.store.offering import Columns
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.writing import WriteOutcome, open_write

MONTHS = MonthRange(date(2020, 1, 1), date(2022, 12, 1))
Victims = Callable[[psycopg.Connection], list[int]]
DAYS = np.arange("2020-01-01", "2023-01-01", dtype="datetime64[D]")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder of a server of its own, which root's server can reach."""
    with tempfile.TemporaryDirectory(prefix="fintech-lost-") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "pg"


def rows(factor: float) -> Columns:
    ids = np.arange(1, 21, dtype=np.int32)
    close = factor * np.linspace(10, 20, len(ids) * len(DAYS))
    return price_rows(np.repeat(ids, len(DAYS)), np.tile(DAYS, len(ids)), 1, {"close": close})


def load(database: Database, factor: float, victims: Victims | None = None) -> WriteOutcome:
    """Load, and kill processes of the server before the load is committed."""
    with open_write(database, "prices", "run", "v1") as write:
        outcome = replace_prices(write, rows(factor), MONTHS)
        for pid in victims(write.connection) if victims else ():
            os.kill(pid, signal.SIGKILL)
    return outcome


def checksum(database: Database) -> tuple:
    with database.connect() as connection:
        query = (
            "SELECT count(*), sum(hashtextextended(p::text, 0)), (SELECT count(*) FROM price_history),"
            " (SELECT count(*) FROM price_block), (SELECT max(id) FROM materialization) FROM price AS p"
        )
        found = connection.execute(query).fetchone()
    assert found is not None
    return found


@pytest.mark.parametrize("own_process_only", [False, True], ids=["whole server", "own process"])
def test_a_lost_server_leaves_the_last_load_whole(folder: Path, own_process_only: bool) -> None:
    def victims(connection: psycopg.Connection) -> list[int]:
        if own_process_only:
            return [connection.info.backend_pid]
        main_process = psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))
        return [process.pid for process in (main_process, *main_process.children())]

    with embedded_server(folder) as address:
        database = Database(with_database(address, "lost"))
        database.ensure_exists()
        migrate(database.url)
        load(database, 1.0)
        before = checksum(database)
        with pytest.raises(DatabaseError):
            load(database, 2.0, victims)
    with embedded_server(folder) as address:
        database = Database(with_database(address, "lost"))
        assert checksum(database) == before
        assert load(database, 2.0).revised == len(DAYS) * 20
        assert checksum(database)[0] == before[0]
