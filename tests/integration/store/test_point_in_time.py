"""Revisions are kept, and the same moment gives the same rows for ever."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from pipeline.base.errors import InvalidInputError
from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.fx_rates import FX_RATE, read_fx_rates
from pipeline.store.point_in_time import NOW, Knowledge
from pipeline.store.prices import price_rows, read_bars, read_price_panel, replace_prices
from pipeline.store.reading import Window
from pipeline.store.writing import WriteOutcome, open_write

MAY = MonthRange(date(2022, 5, 1), date(2022, 5, 1))
DAYS = np.array(["2022-05-02", "2022-05-03", "2022-05-04"], dtype="datetime64[D]")


def store(database: Database, closes: dict[str, float]) -> WriteOutcome:
    days = np.array(list(closes), dtype="datetime64[D]")
    rows = price_rows(np.full(len(days), 1, dtype=np.int32), days, 1, {"close": np.array(list(closes.values()))})
    with open_write(database, "prices", "run", "v1") as write:
        return replace_prices(write, rows, MAY)


def now(database: Database) -> datetime:
    """The server's time; the test and the server share a clock, but not its resolution."""
    with database.connect() as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    time.sleep(0.002)
    return row[0]


def closes(database: Database, known: Knowledge = NOW) -> dict[str, float | None]:
    with database.connect() as connection:
        return {str(bar.session): bar.close for bar in read_bars(connection, 1, Window(limit=10), known)}


FIRST = {"2022-05-02": 10.0, "2022-05-03": 11.0}
REVISED = {"2022-05-02": 10.0, "2022-05-03": 11.5, "2022-05-04": 12.0}
DELETED = {"2022-05-02": 10.0, "2022-05-04": 12.0}


def test_each_moment_keeps_its_rows(database: Database) -> None:
    before = now(database)
    moments = {}
    for name, rows in (("first", FIRST), ("revised", REVISED), ("deleted", DELETED), ("restored", REVISED)):
        store(database, rows)
        moments[name] = now(database)
    assert closes(database, Knowledge(before)) == {}
    assert closes(database, Knowledge(moments["first"])) == FIRST
    assert closes(database, Knowledge(moments["revised"])) == REVISED
    assert closes(database, Knowledge(moments["deleted"])) == DELETED
    assert closes(database, Knowledge(moments["restored"])) == closes(database) == REVISED


def test_a_revision_counts_once_and_keeps_the_old_value(database: Database) -> None:
    store(database, FIRST)
    outcome = store(database, REVISED)
    assert (outcome.inserted, outcome.revised, outcome.unchanged) == (1, 1, 1)
    with database.connect() as connection:
        kept = connection.execute(
            "SELECT session::text, close, materialization_id, superseded_by FROM price_history"
        ).fetchall()
    assert kept == [("2022-05-03", 11.0, 1, 2)]


def test_equal_rows_leave_no_history(database: Database) -> None:
    store(database, FIRST)
    store(database, dict(reversed(FIRST.items())))
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM price_history").fetchone() == (0,)


def test_the_panel_is_read_as_known(database: Database) -> None:
    store(database, FIRST)
    moment = now(database)
    store(database, REVISED)
    with database.connect() as connection:
        known = read_price_panel(connection, [1], None, date(2023, 1, 1), Knowledge(moment))
        current = read_price_panel(connection, [1], None, date(2023, 1, 1))
    assert known.close[:, 0].tolist() == [10.0, 11.0]
    assert current.close[:, 0].tolist() == [10.0, 11.5, 12.0]


def test_rates_are_read_as_known(database: Database) -> None:
    def rates(value: float) -> None:
        rows = {"currency": np.array([b"USD"]), "session": DAYS[:1], "units_per_euro": np.array([value])}
        with open_write(database, "fx_rates", "run", "v1") as write:
            write.replace(FX_RATE, rows, MAY)

    rates(1.05)
    moment = now(database)
    rates(1.06)
    with database.connect() as connection:
        found = [
            read_fx_rates(connection, "USD", Window(), known)[0].units_per_euro for known in (Knowledge(moment), NOW)
        ]
    assert found == [1.05, 1.06]


def test_the_future_is_not_known(database: Database) -> None:
    with pytest.raises(InvalidInputError, match="lies in the future"):
        closes(database, Knowledge(datetime.now(UTC) + timedelta(minutes=1)))


def test_a_write_under_way_is_waited_for(database: Database) -> None:
    """A write may be finished at a moment and not yet visible: an answer for that moment must hold it."""
    store(database, FIRST)
    found: dict[str, float | None] = {}
    with database.connect() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('prices', 0))")
        reader = threading.Thread(target=lambda: found.update(closes(database, Knowledge(now(database)))))
        reader.start()
        reader.join(0.3)
        assert reader.is_alive()
    reader.join(5)
    assert found == FIRST


def test_reading_what_is_there_now_does_not_wait(database: Database) -> None:
    store(database, FIRST)
    with database.connect() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('prices', 0))")
        assert closes(database) == FIRST


def test_the_numbers_of_an_assets_writes_ascend_with_their_commits(database: Database) -> None:
    threads = [threading.Thread(target=store, args=(database, {"2022-05-02": 10.0 + n})) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.connect() as connection:
        order = connection.execute("SELECT id FROM materialization ORDER BY finished_at").fetchall()
    assert order == sorted(order)
    assert len(order) == 6
