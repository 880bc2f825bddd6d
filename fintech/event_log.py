"""How `fintech run` keeps Dagster's events: what a run announces and makes is written in bulk.

Dagster announces each partition in statements of its own, and each check for every partition, although a check
without partitions is evaluated once a run and leaves those plans open for ever. On an empty machine that was 18 of
34 s. Every event is kept as before. Specification: ``store_event_batch`` of dagster-postgres 0.29.27, which writes
nothing but materialisations in bulk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage

_ADDRESS = "postgres_url"
_IN_BULK = (dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION)


class BulkEventLog(PostgresEventLogStorage):
    """Dagster's event log, with one statement for many events of a kind."""

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Keep events in their order."""
        for kind, alike in groupby(events, lambda event: event.get_dagster_event().event_type):
            if kind in _IN_BULK:
                self._store_in_bulk(list(alike))
            else:
                super().store_event_batch(list(alike))

    def store_asset_check_event(self, event: dg.EventLogEntry, event_id: int | None) -> None:
        """Note a check, which is planned as it is evaluated: once a run, since none of ours has partitions."""
        dagster_event = event.get_dagster_event()
        planned = dagster_event.event_specific_data
        if isinstance(planned, AssetCheckEvaluationPlanned):
            once = AssetCheckEvaluationPlanned(asset_key=planned.asset_key, check_name=planned.check_name)
            event = event._replace(dagster_event=dagster_event._replace(event_specific_data=once))
        super().store_asset_check_event(event, event_id)

    def _store_in_bulk(self, events: list[dg.EventLogEntry]) -> None:
        """Events of assets, and at each asset its last one."""
        statement = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        with self._connect() as connection:
            ids = list(connection.execute(statement, [self._event_to_row(event) for event in events]).scalars())
        last = {event.get_dagster_event().asset_key: (event, number) for event, number in zip(events, ids, strict=True)}
        with self.index_transaction() as connection:
            self._store_asset_event_tags(connection, events, ids)
            for event, number in last.values():
                self._store_asset_event(connection, event, number)


class DriverStorage(DagsterPostgresStorage):
    """Dagster's storage in Postgres, with that event log."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        self._event_log_storage = BulkEventLog(postgres_url)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DriverStorage:
        """The storage of an instance's configuration."""
        return cls(config_value[_ADDRESS], inst_data)
