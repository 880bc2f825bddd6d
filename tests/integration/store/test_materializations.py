"""Who wrote what, and what must be told to readers: writes, partitions, providers and their notices."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.store.engine import Database
from pipeline.store.materializations import (
    UNPARTITIONED,
    PartitionState,
    begin,
    count_rows,
    read_partition_states,
    record_partitions,
    touch,
)
from pipeline.store.provenance import read_last_writes
from pipeline.store.providers import read_notices, record_provider
from pipeline.store.writing import open_write

MAY, JUNE = date(2022, 5, 1), date(2022, 6, 1)


def write(
    database: Database, rows: dict[date, int], changed: list[date], code: str = "v1", asset: str = "prices"
) -> int:
    with database.connect() as connection:
        number = begin(connection, asset, "run", code)
        record_partitions(connection, number, asset, rows, changed)
        return number


def states(database: Database, asset: str = "prices") -> dict[date, PartitionState]:
    with database.connect() as connection:
        return read_partition_states(connection, asset)


def test_a_later_write_has_a_higher_number(database: Database) -> None:
    with database.connect() as connection:
        numbers = [begin(connection, asset, "run", "v1") for asset in ("a", "b", "a")]
    assert numbers == sorted(set(numbers))


def test_a_write_names_its_run_its_code_and_its_moment(database: Database) -> None:
    with database.connect() as connection:
        begin(connection, "prices", "run 7", "v3")
        row = connection.execute("SELECT asset, run_id, code_version, started_at FROM materialization").fetchone()
    assert row is not None
    assert row[:3] == ("prices", "run 7", "v3")
    assert abs(datetime.now(UTC) - row[3]) < timedelta(minutes=1)


def test_a_first_write_built_and_changed_its_partitions(database: Database) -> None:
    number = write(database, {MAY: 3, JUNE: 0}, [MAY])
    assert states(database) == {
        MAY: PartitionState(MAY, 3, number, number, "v1"),
        JUNE: PartitionState(JUNE, 0, number, number, "v1"),
    }


def test_a_rebuild_changes_only_what_it_names(database: Database) -> None:
    first = write(database, {MAY: 3, JUNE: 5}, [MAY, JUNE])
    second = write(database, {MAY: 3, JUNE: 6}, [JUNE], code="v2")
    assert states(database) == {
        MAY: PartitionState(MAY, 3, second, first, "v2"),
        JUNE: PartitionState(JUNE, 6, second, second, "v2"),
    }


def test_partitions_beside_a_write_are_left_alone(database: Database) -> None:
    first = write(database, {MAY: 3}, [MAY])
    write(database, {JUNE: 5}, [JUNE])
    write(database, {MAY: 9}, [MAY], asset="fx_rates")
    assert states(database)[MAY] == PartitionState(MAY, 3, first, first, "v1")
    assert list(states(database, "fx_rates")) == [MAY]


def test_rows_are_counted_over_all_partitions_of_an_asset(database: Database) -> None:
    write(database, {MAY: 3, JUNE: 5}, [MAY])
    write(database, {MAY: 100}, [MAY], asset="fx_rates")
    with database.connect() as connection:
        assert count_rows(connection, "prices") == 8
        assert count_rows(connection, "unknown") == 0


def test_an_input_that_no_asset_makes_changes_with_every_touch(database: Database) -> None:
    with database.connect() as connection:
        numbers = [touch(connection, "portfolios", "created", "") for _ in range(2)]
    assert states(database, "portfolios") == {
        UNPARTITIONED: PartitionState(UNPARTITIONED, 0, numbers[1], numbers[1], "")
    }


def test_the_number_is_taken_before_the_inputs_are_read(database: Database) -> None:
    """An input that changes while an asset computes has a higher number, so the result counts as stale."""
    with open_write(database, "risk", "run", "v1") as opened:
        changed = write(database, {MAY: 1}, [MAY])
    assert changed > opened.materialization_id


# Providers -------------------------------------------------------------------------------------------------


def notices(database: Database, *records: tuple[str, str | None]) -> list[str]:
    with database.connect() as connection:
        for name, notice in records:
            record_provider(connection, name, notice)
        return read_notices(connection)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], []),
        ([("vendor", None)], []),
        ([("b", "of b"), ("a", "of a"), ("c", None)], ["of a", "of b"]),
        ([("a", "old"), ("a", "new")], ["new"]),
        ([("a", "old"), ("a", None)], []),
        ([("a", None), ("a", "new")], ["new"]),
    ],
    ids=str,
)
def test_the_notices_are_those_of_the_providers_in_use(
    database: Database, records: list[tuple[str, str | None]], expected: list[str]
) -> None:
    assert notices(database, *records) == expected


def test_an_unchanged_provider_is_not_written(database: Database) -> None:
    notices(database, ("a", "of a"), ("b", None))
    with database.connect() as connection:
        before = connection.execute("SELECT name, xmin::text FROM provider ORDER BY name").fetchall()
    notices(database, ("a", "of a"), ("b", None))
    with database.connect() as connection:
        assert connection.execute("SELECT name, xmin::text FROM provider ORDER BY name").fetchall() == before


def test_the_last_write_of_each_asset_is_the_one_that_built_last(database: Database) -> None:
    numbers = {}
    for asset in ("prices", "fx_rates", "prices"):
        with open_write(database, asset, "run", "v1") as write:
            record_partitions(write.connection, write.materialization_id, asset, {date(2022, 1, 1): 1}, [])
            numbers[asset] = write.materialization_id
    with database.connect() as connection:
        written = read_last_writes(connection)
    assert [(row.asset, row.id) for row in written] == sorted(numbers.items())
