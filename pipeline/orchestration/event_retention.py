"""Old events of Dagster that nothing rests on: its log grows with every step, and Dagster itself removes none.

``DagsterInstance.delete_run`` would remove a run's materialisations with its log, and with them that a partition was
ever built. So events are removed, not runs: of every asset and partition the newest event of each kind stays, however
old. That is what Dagster 1.13.27 asks the log for: the newest materialisation and observation of a partition, its
tags, and whether an attempt was planned after it (``SqlEventLogStorage.get_latest_storage_id_by_partition``,
``get_latest_tags_by_partition``, ``get_latest_asset_partition_materialization_attempts_without_materializations``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES, NOT_FINISHED_STATUSES
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, delete, func, or_, select

BATCH_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class OldEvents:
    """Numbers of rows that go.

    Parameters
    ----------
    events
        Of the log; the tags of those of assets go with them.
    checks
        Evaluations of checks that were evaluated again since.
    """

    events: Sequence[int]
    checks: Sequence[int]


def old_events(instance: dg.DagsterInstance, older_than: timedelta) -> OldEvents:
    """What nothing rests on.

    Raises
    ------
    TypeError
        If the instance keeps its events elsewhere than in a database.
    """
    before = (datetime.now(UTC) - older_than).replace(tzinfo=None)  # Dagster's columns are UTC without saying so
    unfinished = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))]
    log, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    with _storage(instance).index_connection() as connection:
        goes = and_(
            log.timestamp < before,
            log.run_id.not_in(unfinished),
            or_(log.asset_key.is_(None), log.id.not_in(_newest(log.asset_key, log.partition, log.dagster_event_type))),
        )
        superseded = and_(
            checks.create_timestamp < before,
            checks.id.not_in(_newest(checks.asset_key, checks.check_name, checks.partition, checks.execution_status)),
        )
        return OldEvents(
            _ids(connection, SqlEventLogStorageTable, goes), _ids(connection, AssetCheckExecutionsTable, superseded)
        )


def delete_events(instance: dg.DagsterInstance, old: OldEvents) -> None:
    """Remove them, a batch a statement; interrupted, it leaves tags without an event, which nobody asks for."""
    with _storage(instance).index_connection() as connection:
        for ids in _batches(old.events):
            connection.execute(delete(SqlEventLogStorageTable).where(SqlEventLogStorageTable.c.id.in_(ids)))
            connection.execute(delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(ids)))
        for ids in _batches(old.checks):
            connection.execute(delete(AssetCheckExecutionsTable).where(AssetCheckExecutionsTable.c.id.in_(ids)))


_UNFINISHED = sorted({*IN_PROGRESS_RUN_STATUSES, *NOT_FINISHED_STATUSES}, key=lambda status: status.value)


def _storage(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"events are kept by {type(storage).__name__}, not in a database")
    return storage


def _newest(*by: Column[str]) -> Select[tuple[int]]:
    """Number of the newest row of each."""
    table = by[0].table
    return select(func.max(table.c.id)).where(table.c.asset_key.is_not(None)).group_by(*by)


def _ids(connection: Connection, table: Table, condition: ColumnElement[bool]) -> list[int]:
    return list(connection.execute(select(table.c.id).where(condition).order_by(table.c.id)).scalars())


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(ids), BATCH_ROWS):
        yield ids[first : first + BATCH_ROWS]
