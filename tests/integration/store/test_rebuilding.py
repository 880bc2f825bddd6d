"""A large table built anew beside the one in use: what a change in place gives, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from threading import Thread
from types import ModuleType
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import IsolationLevel
from sqlalchemy import Table

from pipeline.base.flags import Flag
from pipeline.base.types import MonthRange
from pipeline.store import ranges, rebuilding, writing
from pipeline.store.audit import Actor
from pipeline.store.engine import Database
from pipeline.store.feature_flags import set_flag
from pipeline.store.offering import Columns
from pipeline.store.prices import PRICE, SECOND_PRICE, price_rows, replace_prices
from pipeline.store.writing import WriteOutcome, open_write

MONTHS = MonthRange(date(2022, 1, 1), date(2022, 6, 1))
DAYS = np.arange("2022-01-01", "2022-07-01", dtype="datetime64[D]")
INSTRUMENTS = 12
ALWAYS, NEVER = 0.0, 2.0
"""Shares of new rows from which on a table is built anew."""


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BULK_ROWS", 50)
    monkeypatch.setattr(writing, "REBUILT_SHARE", ALWAYS)


@dataclass(frozen=True)
class Offer:
    """Keys and closes of a whole table."""

    instrument_id: np.ndarray
    session: np.ndarray
    close: np.ndarray

    @property
    def rows(self) -> Columns:
        return price_rows(self.instrument_id, self.session, 1, {"close": self.close})


def offer(seed: int, left_out: float = 0.1) -> Offer:
    """Some of all keys, in any order; closes of few values, so that many rows of two offers agree."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(1, INSTRUMENTS + 1, dtype=np.int32), len(DAYS))
    kept = rng.permutation(np.flatnonzero(rng.random(len(ids)) >= left_out))
    close = rng.integers(1, 4, len(ids)) * 0.1
    return Offer(ids[kept], np.tile(DAYS, INSTRUMENTS)[kept], close[kept])


def write(database: Database, rows: Columns, *, anew: bool = False, table: Table = PRICE) -> WriteOutcome:
    with open_write(database, "prices", "run", "v1", anew=anew, table=table) as opened:
        return replace_prices(opened, rows, MONTHS) if table is PRICE else opened.replace(table, rows, MONTHS)


def contents(database: Database, table: Table = PRICE) -> dict[str, list[tuple]]:
    names = (table.name, f"{table.name}_history", "price_block", "asset_partition")
    with database.connect() as connection:
        return {name: connection.execute(f"SELECT t.* FROM {name} AS t ORDER BY t::text").fetchall() for name in names}


def table_number(database: Database, table: str = "price") -> tuple[int, ...]:
    """Which another table of the same name does not have, of each range."""
    with database.connect() as connection:
        found = connection.execute(
            "SELECT coalesce(inhrelid, c.oid)::int8 FROM pg_class AS c"
            " LEFT JOIN pg_inherits ON inhparent = c.oid WHERE c.oid = %s::regclass ORDER BY 1",
            [table],
        ).fetchall()
        return tuple(number for (number,) in found)


def ranges_in_use(database: Database) -> list[tuple[str, str, int]]:
    """Name, bounds and rows of each range; the tables that are in use alone have a name like theirs."""
    with database.connect() as connection:
        found = connection.execute(
            "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relkind = 'r'"
            " AND (relname ~ '^price_[0-9]' OR relname ~ '^price_rebuilt') ORDER BY 1"
        ).fetchall()
        return [(*one, connection.execute(f"SELECT count(*) FROM {one[0]}").fetchone()[0]) for one in found]


BOTH = pytest.mark.parametrize("table", [PRICE, SECOND_PRICE], ids=["in ranges", "as one"])


@BOTH
@pytest.mark.parametrize("seed", range(4))
def test_it_gives_what_a_change_in_place_gives(
    new_database: Callable[[], Database], monkeypatch: pytest.MonkeyPatch, seed: int, table: Table
) -> None:
    results = []
    for share in (ALWAYS, NEVER, None):
        database = new_database()
        if share is None:  # row by row, as small offers are compared
            monkeypatch.setattr(writing, "BULK_ROWS", 10**9)
        else:
            monkeypatch.setattr(writing, "REBUILT_SHARE", share)
        outcomes = [write(database, offer(10 * seed).rows, table=table)]
        before = table_number(database, table.name)
        outcomes += [write(database, offer(10 * seed + number).rows, table=table) for number in (1, 2)]
        assert (table_number(database, table.name) != before) == (share == ALWAYS)
        results.append((outcomes, contents(database, table)))
    for outcomes, tables in results[1:]:
        assert outcomes == results[0][0]
        for name, rows in tables.items():
            assert rows == results[0][1][name], name
    last = results[0][0][-1]
    assert min(last.inserted, last.revised, last.unchanged, last.deleted) > 0


def test_few_deletions_alone_are_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the session of one that is revised, too."""
    monkeypatch.setattr(writing, "REBUILT_SHARE", NEVER)
    whole = offer(0, left_out=0.0)
    write(database, whole.rows)
    close = np.where((whole.session == DAYS[3]) & (whole.instrument_id == 2), 9.0, whole.close)
    gone = (whole.instrument_id == 5) & np.isin(whole.session, DAYS[[3, 100]])
    outcome = write(database, Offer(whole.instrument_id[~gone], whole.session[~gone], close[~gone]).rows)
    assert (outcome.inserted, outcome.revised, outcome.deleted) == (0, 1, 2)
    assert outcome.unchanged == len(close) - 3
    assert outcome.changed_months == {date(2022, 1, 1), date(2022, 4, 1)}


def test_a_large_load_is_merged_in_place_while_the_flag_is_off(database: Database) -> None:
    write(database, offer(1).rows)
    before = table_number(database)
    with database.connect() as connection:
        set_flag(connection, Flag.BUILD_ANEW, False, "test", Actor("test"))
    assert not write(database, offer(2).rows).built_anew
    assert table_number(database) == before
    assert write(database, offer(2).rows, anew=True).built_anew


def test_the_second_rebuild_writes_nothing(database: Database) -> None:
    write(database, offer(1).rows)
    write(database, offer(2).rows)
    before, number = contents(database)["price"], table_number(database)
    turned = {name: values[::-1] for name, values in offer(2).rows.items()}
    for rows in (offer(2).rows, turned):
        outcome = write(database, rows)
        assert (outcome.written, outcome.changed_months) == (0, frozenset())
        assert (contents(database)["price"], table_number(database)) == (before, number)


@pytest.mark.parametrize("seed", range(2))
def test_a_rebuild_on_request_gives_what_a_change_in_place_gives(
    new_database: Callable[[], Database], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """However little differs, and from however many writes the rows that stay are."""
    monkeypatch.setattr(writing, "REBUILT_SHARE", NEVER)
    results = []
    for anew in (False, True):
        database, whole = new_database(), offer(seed, left_out=0.0)
        rng, outcomes = np.random.default_rng(seed), [write(database, whole.rows)]
        for _ in range(3):
            kept = rng.random(len(whole.close)) > 0.02
            close = np.where(rng.random(len(kept)) > 0.02, whole.close, 7.0)
            rows = Offer(whole.instrument_id[kept], whole.session[kept], close[kept]).rows
            before = table_number(database)
            outcomes += [write(database, rows, anew=anew) for _ in range(2)]
            assert (table_number(database) != before) == anew == outcomes[-1].built_anew
            assert outcomes[-1].written == 0
        results.append((outcomes, contents(database)))
    assert results[0] == results[1]
    with database.connect() as connection:
        assert connection.execute("SELECT count(DISTINCT materialization_id) > 2 FROM price").fetchone() == (True,)


@pytest.mark.parametrize("anew", [True, False])
def test_what_was_changed_by_hand_is_compared_row_by_row(database: Database, *, anew: bool) -> None:
    write(database, offer(1).rows)
    with database.connect() as connection:
        connection.execute("DELETE FROM price WHERE instrument_id = 3 AND session < '2022-02-01'")
        connection.execute("UPDATE price SET close = 99 WHERE instrument_id = 4")
        connection.execute(
            "INSERT INTO price (instrument_id, session, close, source, materialization_id)"
            " VALUES (77, '2022-03-01', 1, 1, 1)"
        )
    second = offer(2)
    outcome = write(database, second.rows, anew=anew)
    with database.connect() as connection:
        found = connection.execute("SELECT instrument_id, session, close FROM price").fetchall()
        kept = connection.execute("SELECT count(*) FROM price_history").fetchone()
    columns = (second.instrument_id, second.session, second.close)
    assert set(found) == set(zip(*(column.tolist() for column in columns), strict=True))
    assert kept == (outcome.revised + outcome.deleted,)
    assert outcome.built_anew == anew


def test_a_rebuild_is_possible_where_the_last_offer_is_unknown(database: Database) -> None:
    """Rows that are as they were keep their writer."""
    write(database, offer(1).rows)
    before = contents(database)["price"]
    with database.connect() as connection:
        connection.execute("UPDATE asset_partition SET digest = NULL WHERE asset = 'prices'")
    number = table_number(database)
    outcome = write(database, offer(1).rows, anew=True)
    assert (outcome.written, outcome.unchanged) == (0, len(before))
    assert table_number(database) != number
    assert contents(database)["price"] == before


CATALOG = """
SELECT 'table', relname, relowner::regrole::text, relpersistence::text,
    array(SELECT unnest(relacl)::text ORDER BY 1)::text, reloptions::text,
    relreplident::text, obj_description(oid, 'pg_class') FROM pg_class WHERE oid = 'price'::regclass
UNION ALL
SELECT 'column', attname, attnum::text, format_type(atttypid, atttypmod), attnotnull::text, attstorage::text,
    attcompression::text, col_description(attrelid, attnum) FROM pg_attribute
    WHERE attrelid = 'price'::regclass AND attnum > 0
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid), convalidated::text, condeferrable::text, coninhcount::text,
    conislocal::text, obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conrelid = 'price'::regclass
UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisprimary::text, indisunique::text,
    indisvalid::text, indisclustered::text, obj_description(indexrelid) FROM pg_index WHERE indrelid = 'price'::regclass
UNION ALL
SELECT 'any', relname, relkind::text, '', '', '', '', '' FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
ORDER BY 1, 2
"""


@BOTH
def test_the_catalog_stays_as_it_was(database: Database, table: Table) -> None:
    write(database, offer(1).rows, table=table)
    reader = f"reader_of_{table.name}"  # roles belong to the server, on which the other table is rebuilt meanwhile
    catalog = CATALOG.replace("'price'", f"'{table.name}'")
    with database.connect() as connection:
        connection.execute(f"CREATE ROLE {reader}")
        connection.execute(f"GRANT SELECT ON {table.name} TO {reader} WITH GRANT OPTION")
        connection.execute(f"GRANT SELECT ON {table.name} TO PUBLIC")
        connection.execute(f"REVOKE TRIGGER ON {table.name} FROM CURRENT_USER")
        connection.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT UPDATE ON TABLES TO {reader}")
        before = connection.execute(catalog).fetchall()
    number = table_number(database, table.name)
    write(database, offer(2).rows, table=table)
    assert table_number(database, table.name) != number
    with database.connect() as connection:
        after = connection.execute(catalog).fetchall()
        connection.execute(f"DROP OWNED BY {reader}")
        connection.execute(f"DROP ROLE {reader}")
    assert after == before
    assert any(f"{reader}=r*" in str(row) for row in after)


@pytest.mark.parametrize(
    "belonging",
    [
        "CREATE VIEW closes AS SELECT close FROM second_price",
        "CREATE FUNCTION closing(second_price) RETURNS float8 LANGUAGE sql RETURN $1.close",
        "ALTER TABLE second_price SET (fillfactor = 90)",
        "CREATE INDEX ON price (session)",
        "CREATE INDEX ON price_1 (session)",
        "CREATE TABLE note (id int4, day date, FOREIGN KEY (id, day) REFERENCES price)",
        "ALTER TABLE price_1 SET (fillfactor = 90)",
        "CREATE VIEW closes AS SELECT close FROM price_1",
        "GRANT SELECT (close) ON price TO PUBLIC",
        "CREATE STATISTICS together ON open, close FROM price",
    ],
)
def test_what_it_cannot_take_over_is_kept_by_a_change_in_place(database: Database, belonging: str) -> None:
    table = SECOND_PRICE if "second_price" in belonging else PRICE
    write(database, offer(1).rows, table=table)
    with database.connect() as connection:
        connection.execute(belonging)
    number = table_number(database, table.name)
    assert write(database, offer(2, left_out=0.0).rows, table=table).written > 0
    assert table_number(database, table.name) == number
    assert len(contents(database, table)[table.name]) == len(DAYS) * INSTRUMENTS


def test_what_refers_to_a_table_in_ranges_stays(database: Database) -> None:
    write(database, offer(1).rows)
    with database.connect() as connection:
        connection.execute("CREATE VIEW closes AS SELECT instrument_id, session, close FROM price")
        connection.execute("CREATE FUNCTION closing(price) RETURNS float8 LANGUAGE sql RETURN $1.close")
    assert write(database, offer(2).rows).built_anew
    rows = contents(database)["price"]
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM closes").fetchone() == (len(rows),)
        assert connection.execute("SELECT closing(p) = close FROM price AS p LIMIT 1").fetchone() == (True,)


def test_part_of_a_table_is_changed_in_place(database: Database) -> None:
    write(database, offer(1).rows)
    number, second = table_number(database), offer(2)
    half = MonthRange(MONTHS.first, date(2022, 3, 1))
    inside = second.session < np.datetime64("2022-04-01")
    with open_write(database, "prices", "run", "v1") as opened:
        replace_prices(opened, {name: values[inside] for name, values in second.rows.items()}, half)
    assert table_number(database) == number
    later = [row for row in contents(database)["price"] if row[1] >= date(2022, 4, 1)]
    assert len(later) == int((offer(1).session >= np.datetime64("2022-04-01")).sum())


def failing(message: str) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise RuntimeError(message)

    return fail


@pytest.mark.parametrize(
    ("table", "module", "step"),
    [
        *((SECOND_PRICE, rebuilding, step) for step in ("_build", "_keep", "_read_deleted", "_hand_over", "_rebuilt")),
        *((PRICE, rebuilding, step) for step in ("_keep", "_read_deleted", "_take_alone", "take_over", "_rebuilt")),
        *((PRICE, ranges, step) for step in ("_fill", "_finish")),
    ],
)
def test_a_failure_leaves_the_table_in_use(
    database: Database, monkeypatch: pytest.MonkeyPatch, table: Table, module: ModuleType, step: str
) -> None:
    write(database, offer(1).rows, table=table)
    before, number = contents(database, table), table_number(database, table.name)
    with monkeypatch.context() as patched:
        patched.setattr(module, step, failing(step))
        with pytest.raises(RuntimeError, match=step):
            write(database, offer(2).rows, table=table)
    assert (contents(database, table), table_number(database, table.name)) == (before, number)
    assert not any("rebuilt" in name for name, _, _ in ranges_in_use(database))
    assert write(database, offer(2).rows, table=table).written > 0
    assert len(contents(database, table)[table.name]) == len(offer(2).close)


def test_a_reader_that_holds_on_is_not_waited_for(database: Database) -> None:
    """Nor do those behind it wait longer than the exchange tries."""
    write(database, offer(1).rows)
    number = table_number(database)
    with database.connect() as reader:
        reader.isolation_level = IsolationLevel.REPEATABLE_READ
        seen = reader.execute("SELECT count(*), sum(close) FROM price").fetchone()
        assert write(database, offer(2).rows).written > 0
        assert reader.execute("SELECT count(*), sum(close) FROM price").fetchone() == seen
    assert table_number(database) == number
    assert not any("rebuilt" in name for name, _, _ in ranges_in_use(database))
    assert len(contents(database)["price"]) == len(offer(2).close)


def test_a_snapshot_from_before_sees_a_whole_table(database: Database) -> None:
    """A transaction that first looks after the exchange finds the new table filled, not empty."""
    write(database, offer(1).rows)
    with database.connect() as reader:
        reader.isolation_level = IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM asset_partition")
        write(database, offer(2).rows)
        assert reader.execute("SELECT count(*) FROM price").fetchone() == (len(offer(2).close),)


@pytest.fixture
def watching(database: Database) -> Iterator[set[tuple[int, float]]]:
    """What a reader sees meanwhile: the rows and the highest close of each look."""
    seen: set[tuple[int, float]] = set()
    ends: list[bool] = []

    def watch() -> None:
        with psycopg.connect(database.url, autocommit=True) as reader:
            while not ends:
                seen.add(reader.execute("SELECT count(*), min(close), max(close) FROM price").fetchone())

    write(database, offer(1).rows)
    thread = Thread(target=watch)
    thread.start()
    yield seen
    ends.append(True)
    thread.join()


def test_a_reader_sees_the_old_table_or_the_new(database: Database, watching: set[tuple[int, float, float]]) -> None:
    numbers, whole = {table_number(database)}, offer(1, left_out=0.0)
    expected = {(len(offer(1).close), offer(1).close.min(), offer(1).close.max())}
    for close in (10.0, 20.0, 30.0, 40.0):
        rows = Offer(whole.instrument_id, whole.session, np.full(len(whole.close), close)).rows
        with suppress(psycopg.errors.LockNotAvailable):
            write(database, rows)
        numbers.add(table_number(database))
        expected.add((len(whole.close), close, close))
    assert len(numbers) == 5
    assert len(watching) > 1
    assert watching <= expected
