"""The main job: materialise what is missing or out of date, through Dagster, in one process.

`dagster asset materialize` costs 8-10 s of start-up a call; a driver that holds one instance pays it once.
The runs, events and checks are the same, and show in the UI.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib import import_module

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from fintech.dead_runs import driver_tags
from fintech.planning import AssetState, Selection, asset_state
from pipeline.base.code_version import code_version
from pipeline.base.errors import PlatformError
from pipeline.base.types import MonthRange
from pipeline.orchestration.partitions import MONTHLY, known_months, range_tags
from pipeline.orchestration.staleness import InputStates, enclosing_range, stale_months
from pipeline.orchestration.table_assets import INPUT_MONTHS_METADATA, REBUILD_CONFIG, SECONDS_METADATA
from pipeline.store.engine import Database
from pipeline.store.materializations import read_partition_states, read_seconds_per_month

LOCATIONS = ("market_data", "risk", "simulation", "forecast")
SOURCE_LOCATION = "market_data"
"""Read again on every run: only the provider knows whether it has something new."""

PARTITION_WORK: Mapping[str, float] = {"market_data": 1.0, "risk": 1.0, "simulation": 10.0, "forecast": 2.0}
"""Time of a location's partition on a first run, relative to market data's (measured), to estimate what is left."""

_QUIET: Mapping[str, object] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_ROW_FIGURES = ("rows_inserted", "rows_revised", "rows_deleted", "rows_unchanged")


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """Assets of one location over one range of months.

    Parameters
    ----------
    months
        None for assets without partitions.
    rebuild
        Build their tables anew beside those in use.
    """

    location: str
    assets: tuple[str, ...]
    months: MonthRange | None
    rebuild: bool = False

    @property
    def partitions(self) -> int:
        """Partitions that the run materialises."""
        return len(self.assets) * (len(list(self.months.months())) if self.months else 1)

    @property
    def work(self) -> float:
        """How long it takes in comparison with others."""
        return self.partitions * PARTITION_WORK[self.location]

    @property
    def run_config(self) -> dict[str, object]:
        """Dagster's configuration of the run."""
        chosen = {"config": {REBUILD_CONFIG: True}}
        return {**_QUIET, **({"ops": dict.fromkeys(self.assets, chosen)} if self.rebuild else {})}


@dataclass(slots=True)
class Tally:
    """What the runs did; filled as their events arrive."""

    partitions: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    failed_checks: list[str] = field(default_factory=list)
    work: float = 0.0
    run_seconds: float = 0.0
    _counted: set[tuple[str, str]] = field(default_factory=set)

    @property
    def done(self) -> int:
        """Partitions materialised."""
        return sum(self.partitions.values())

    def total_rows(self, figure: str) -> int:
        """One of the row figures, over all assets."""
        return sum(rows[figure] for rows in self.rows.values())

    def record(self, location: str, run_id: str, event: dg.DagsterEvent) -> None:
        """Count one event of a location's run."""
        if event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            asset = materialization.asset_key.to_user_string()
            self.partitions[asset] = self.partitions.get(asset, 0) + 1
            self.work += PARTITION_WORK[location]
            # Each partition of a range carries the figures of the whole write.
            if (run_id, asset) not in self._counted:
                self._counted.add((run_id, asset))
                self._add(asset, _numbers(materialization))
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if not check.passed:
                self.failed_checks.append(f"{check.asset_key.to_user_string()}.{check.check_name}")

    def _add(self, asset: str, figures: Mapping[str, float]) -> None:
        """Add the figures of one run of an asset to those of its runs before."""
        self.seconds[asset] = self.seconds.get(asset, 0.0) + figures.get(SECONDS_METADATA, 0.0)
        before = self.rows.get(asset, {})
        self.rows[asset] = {name: before.get(name, 0) + int(figures.get(name, 0)) for name in _ROW_FIGURES}


def _numbers(materialization: dg.AssetMaterialization) -> dict[str, float]:
    """The metadata that are numbers."""
    values = {key: value.value for key, value in materialization.metadata.items()}
    return {key: value for key, value in values.items() if isinstance(value, int | float)}


Notify = Callable[[Tally], None]


class Driver:
    """Plans and runs the assets of all locations against one instance."""

    def __init__(self, instance: dg.DagsterInstance, database: Database, notify: Notify) -> None:
        self._instance = instance
        self._database = database
        self._notify = notify
        self._definitions: dict[str, dg.Definitions] = {}
        self.tally = Tally()

    def assets(self, location: str) -> list[str]:
        """The partitioned assets that a location makes."""
        return list(self._partitioned(location))

    def state(self, location: str, asset: str, selection: Selection) -> AssetState:
        """The state of the selected months of an asset; whether a provider has something new is not asked."""
        months = selection.within(known_months())
        inputs = self._partitioned(location)[asset]
        with self._database.connect() as connection:
            built = read_partition_states(connection, asset)
            seconds = read_seconds_per_month(connection, asset)
        return asset_state(
            location,
            asset,
            months,
            self._stale(asset, inputs, location),
            {month: state.rows for month, state in built.items()},
            self._failed(asset),
            seconds,
        )

    def _failed(self, asset: str) -> list[date]:
        """Months whose last attempt failed, as Dagster remembers."""
        statuses = self._instance.get_status_by_partition(
            dg.AssetKey(asset), [month.isoformat() for month in known_months()], MONTHLY
        )
        failed = (key for key, status in (statuses or {}).items() if status is AssetPartitionStatus.FAILED)
        return [date.fromisoformat(key) for key in failed]

    def plan(self, location: str) -> list[PlannedRun]:
        """What is missing or out of date in a location as things stand."""
        keys = self._partitioned(location)
        by_range: dict[MonthRange, list[str]] = {}
        for asset, inputs in keys.items():
            stale = known_months() if location == SOURCE_LOCATION else self._stale(asset, inputs, location)
            if stale:
                by_range.setdefault(enclosing_range(stale), []).append(asset)
        return [PlannedRun(location, tuple(assets), months) for months, assets in by_range.items()]

    def run(self, planned: PlannedRun) -> None:
        """Execute one run.

        Raises
        ------
        PlatformError
            If an asset failed for a known reason; its writes were rolled back.
        KeyboardInterrupt
            If the user interrupted; the run is marked in Dagster.
        """
        run_id = str(uuid.uuid4())
        self._instance.add_event_listener(run_id, partial(self._listen, planned.location))
        tags = {**driver_tags(), **(range_tags(planned.months) if planned.months else {})}
        started = time.perf_counter()
        try:
            self._job(planned.location).execute_in_process(
                run_config=planned.run_config,
                instance=self._instance,
                asset_selection=[dg.AssetKey(asset) for asset in planned.assets],
                run_id=run_id,
                tags=tags,
            )
        except DagsterExecutionInterruptedError as error:
            raise KeyboardInterrupt from error
        except dg.Failure as error:
            raise PlatformError(
                str(error.description), f"See run {run_id} in the Dagster UI (make up) and correct the data."
            ) from error
        finally:
            self.tally.run_seconds += time.perf_counter() - started

    def report_event(self, event: dg.AssetMaterialization) -> None:
        """Tell Dagster of an input that no run makes."""
        self._instance.report_runless_asset_event(event)

    def _listen(self, location: str, entry: dg.EventLogEntry) -> None:
        if entry.dagster_event is not None:
            self.tally.record(location, entry.run_id, entry.dagster_event)
            self._notify(self.tally)

    def _stale(self, asset: str, inputs: Mapping[str, int | None], location: str) -> list[date]:
        with self._database.connect() as connection:
            states = read_partition_states(connection, asset)
            sources = [InputStates(read_partition_states(connection, key), back) for key, back in inputs.items()]
        return stale_months(known_months(), states, sources, code_version(location))

    def _partitioned(self, location: str) -> dict[str, Mapping[str, int | None]]:
        """The partitioned assets that a location makes, with what they read."""
        found: dict[str, Mapping[str, int | None]] = {}
        for assets in self._load(location).assets or []:
            if isinstance(assets, dg.AssetsDefinition) and assets.partitions_def is not None:
                found[assets.key.to_user_string()] = assets.metadata_by_key[assets.key][INPUT_MONTHS_METADATA]
        return found

    def _load(self, location: str) -> dg.Definitions:
        if location not in self._definitions:
            module = import_module(f"pipeline.{location}.definitions")
            self._definitions[location] = module.build_definitions()
        return self._definitions[location]

    def _job(self, location: str) -> dg.JobDefinition:
        return self._load(location).resolve_implicit_global_asset_job_def()
