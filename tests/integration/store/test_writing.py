from datetime import date

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.materializations import PartitionState, count_rows, read_partition_states
from pipeline.store.offering import Columns
from pipeline.store.prices import PRICE, price_rows
from pipeline.store.writing import WriteOutcome, concatenated, open_write

MAY = MonthRange(date(2022, 5, 1), date(2022, 5, 1))
MAY_AND_JUNE = MonthRange(date(2022, 5, 1), date(2022, 6, 1))


def bars(*rows: tuple[int, str, float]) -> Columns:
    ids, sessions, closes = zip(*rows, strict=True) if rows else ((), (), ())
    keys = np.array(ids, dtype=np.int32), np.array(sessions, dtype="datetime64[D]")
    return price_rows(*keys, 1, {"close_adjusted": np.array(closes, dtype=np.float64)})


def write(database: Database, rows: Columns, months: MonthRange, code: str = "v1") -> WriteOutcome:
    with open_write(database, "prices", "run", code) as opened:
        return opened.replace(PRICE, rows, months)


def stored(database: Database) -> list[tuple]:
    with database.connect() as connection:
        query = "SELECT instrument_id, session::text, close_adjusted, materialization_id FROM price ORDER BY 1, 2"
        return connection.execute(query).fetchall()


FIRST = bars((1, "2022-05-02", 10.0), (1, "2022-05-03", 11.0), (2, "2022-06-01", 20.0))


def test_first_write_inserts_everything(database: Database) -> None:
    outcome = write(database, FIRST, MAY_AND_JUNE)
    assert (outcome.inserted, outcome.written) == (3, 3)
    assert outcome.changed_months == {date(2022, 5, 1), date(2022, 6, 1)}
    assert len(stored(database)) == 3


def test_the_same_rows_again_are_not_touched(database: Database) -> None:
    write(database, FIRST, MAY_AND_JUNE)
    before = stored(database)
    outcome = write(database, FIRST, MAY_AND_JUNE)
    assert (outcome.written, outcome.unchanged, outcome.changed_months) == (0, 3, frozenset())
    assert stored(database) == before  # the writer's number is still the first one's


def test_only_what_differs_is_written(database: Database) -> None:
    write(database, FIRST, MAY_AND_JUNE)
    changed = bars((1, "2022-05-02", 10.0), (1, "2022-05-03", 11.5), (1, "2022-05-04", 12.0), (2, "2022-06-01", 20.0))
    outcome = write(database, changed, MAY_AND_JUNE)
    assert (outcome.inserted, outcome.revised, outcome.deleted, outcome.unchanged) == (1, 1, 0, 2)
    assert outcome.changed_months == {date(2022, 5, 1)}
    assert [row[3] for row in stored(database)] == [1, 2, 2, 1]


def test_rows_that_are_gone_are_deleted_inside_the_range_only(database: Database) -> None:
    write(database, FIRST, MAY_AND_JUNE)
    outcome = write(database, bars((1, "2022-05-02", 10.0)), MAY)
    assert (outcome.deleted, outcome.unchanged) == (1, 1)
    assert [row[1] for row in stored(database)] == ["2022-05-02", "2022-06-01"]


def test_an_empty_write_empties_the_range(database: Database) -> None:
    write(database, FIRST, MAY_AND_JUNE)
    assert write(database, concatenated(PRICE, []), MAY).deleted == 2
    assert len(stored(database)) == 1


def test_partitions_remember_who_built_and_who_changed_them(database: Database) -> None:
    write(database, FIRST, MAY_AND_JUNE)
    write(database, bars((1, "2022-05-02", 9.0), (1, "2022-05-03", 11.0)), MAY, code="v2")
    with database.connect() as connection:
        states = read_partition_states(connection, "prices")
        assert count_rows(connection, "prices") == 3
    assert states[date(2022, 5, 1)] == PartitionState(date(2022, 5, 1), 2, 2, 2, "v2")
    assert states[date(2022, 6, 1)] == PartitionState(date(2022, 6, 1), 1, 1, 1, "v1")


def test_a_failure_leaves_everything_as_it_was(database: Database) -> None:
    write(database, FIRST, MAY_AND_JUNE)
    before = stored(database)

    def fail_after_writing() -> None:
        with open_write(database, "prices", "run", "v1") as opened:
            opened.replace(PRICE, bars((1, "2022-05-02", 99.0)), MAY_AND_JUNE)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail_after_writing()
    assert stored(database) == before
    with database.connect() as connection:
        assert read_partition_states(connection, "prices")[date(2022, 5, 1)].built_by == 1


def test_columns_must_be_the_tables(database: Database) -> None:
    with pytest.raises(ValueError, match="close_adjusted"):
        write(database, {name: values for name, values in FIRST.items() if name != "close_adjusted"}, MAY_AND_JUNE)


def test_two_writers_of_one_asset_take_turns(database: Database) -> None:
    with open_write(database, "prices", "first", "v1") as opened, database.connect() as other:
        opened.replace(PRICE, FIRST, MAY_AND_JUNE)
        lock = "SELECT pg_try_advisory_xact_lock(hashtextextended('prices', 0))"
        assert other.execute(lock).fetchone() == (False,)


def statements(database: Database, rows: Columns) -> tuple[WriteOutcome, int]:
    """What a write did, and how many rows it staged."""
    with open_write(database, "prices", "run", "v1") as opened:
        outcome = opened.replace(PRICE, rows, MAY_AND_JUNE)
        there = opened.connection.execute("SELECT to_regclass('pg_temp.stage') IS NOT NULL").fetchone()
        staged = opened.connection.execute("SELECT count(*) FROM stage").fetchone() if there == (True,) else (0,)
    return outcome, staged[0]


def test_only_sessions_that_differ_are_staged(database: Database) -> None:
    write(database, FIRST, MAY_AND_JUNE)
    assert statements(database, FIRST) == (WriteOutcome(unchanged=3), 0)
    revised = bars((1, "2022-05-02", 10.0), (1, "2022-05-03", 11.5), (2, "2022-06-01", 20.0))
    outcome, staged = statements(database, revised)
    assert (outcome.revised, outcome.unchanged, staged) == (1, 2, 1)


def test_a_session_that_is_gone_is_deleted_although_no_other_differs(database: Database) -> None:
    write(database, FIRST, MAY_AND_JUNE)
    outcome, staged = statements(database, bars((1, "2022-05-02", 10.0), (2, "2022-06-01", 20.0)))
    assert (outcome.deleted, outcome.unchanged, staged) == (1, 2, 0)
    assert [row[1] for row in stored(database)] == ["2022-05-02", "2022-06-01"]


def test_a_month_of_which_nothing_is_known_is_compared_whole(database: Database) -> None:
    """As after an upgrade from a version that kept no digests."""
    write(database, FIRST, MAY_AND_JUNE)
    with database.connect() as connection:
        connection.execute("UPDATE asset_partition SET digest = NULL")
    outcome, staged = statements(database, FIRST)
    assert (outcome.written, outcome.unchanged, staged) == (0, 3, 3)


def test_a_large_first_load_has_its_key_and_its_statistics(database: Database) -> None:
    days = np.arange("2022-05-01", "2022-06-01", dtype="datetime64[D]")
    ids = np.arange(1, 4001, dtype=np.int32)
    rows = price_rows(
        np.repeat(ids, len(days)), np.tile(days, len(ids)), 1, {"close": np.full(len(ids) * len(days), 5.0)}
    )
    assert write(database, rows, MAY).inserted == len(ids) * len(days) > 100_000
    with database.connect() as connection:
        kind = "SELECT contype FROM pg_constraint WHERE conname = 'price_pkey'"
        assert connection.execute(kind).fetchone() == ("p",)
        known = connection.execute("SELECT n_distinct FROM pg_stats WHERE tablename = 'price' AND attname = 'session'")
        assert known.fetchone() == (len(days),)
