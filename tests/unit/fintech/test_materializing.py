"""What the driver counts, on events that Dagster itself made."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from fintech.materializing import LOCATIONS, PARTITION_WORK, PlannedRun, Tally
from pipeline.base.types import MonthRange

FIGURES = {
    "seconds_in_asset": 1.5,
    "rows_inserted": 7,
    "rows_revised": 2,
    "rows_deleted": 1,
    "rows_unchanged": 90,
    "trend": "not a number",
}
MONTHS = dg.StaticPartitionsDefinition(["a", "b", "c"])


@dg.asset(
    partitions_def=MONTHS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("complete", asset="prices"), dg.AssetCheckSpec("plausible", asset="prices")],
)
def prices() -> dg.MaterializeResult:
    passed, failed = (
        dg.AssetCheckResult(passed=True, check_name="complete"),
        dg.AssetCheckResult(passed=False, check_name="plausible", severity=dg.AssetCheckSeverity.WARN),
    )
    return dg.MaterializeResult(metadata=FIGURES, check_results=[passed, failed])


@dg.asset
def instruments() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows_inserted": 3})


@pytest.fixture(scope="module")
def tally() -> Tally:
    """Of a range of three partitions and of an asset without partitions."""
    counted = Tally()
    range_tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
    for asset, location, tags in ((prices, "simulation", range_tags), (instruments, "market_data", {})):
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize([asset], instance=instance, tags=tags)
            for event in result.all_events:
                counted.record(location, result.run_id, event)
    return counted


def test_each_partition_is_counted_once(tally: Tally) -> None:
    assert tally.partitions == {"prices": 3, "instruments": 1}
    assert tally.done == 4


def test_rows_of_a_range_are_counted_once_though_each_partition_carries_them(tally: Tally) -> None:
    assert tally.total_rows("rows_inserted") == 7 + 3
    assert tally.rows["prices"] == {"rows_inserted": 7, "rows_revised": 2, "rows_deleted": 1, "rows_unchanged": 90}
    assert tally.seconds == {"prices": 1.5, "instruments": 0.0}


def test_runs_of_one_asset_add_up() -> None:
    counted = Tally()
    for first, last in (("a", "b"), ("c", "c")):
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize([prices], instance=instance, tags=tags)
            for event in result.all_events:
                counted.record("risk", result.run_id, event)
    assert counted.partitions == {"prices": 3}
    assert counted.rows["prices"] == {"rows_inserted": 14, "rows_revised": 4, "rows_deleted": 2, "rows_unchanged": 180}
    assert counted.seconds == {"prices": 3.0}


def test_figures_that_are_missing_are_zero(tally: Tally) -> None:
    assert tally.rows["instruments"]["rows_unchanged"] == 0


def test_only_failed_checks_are_named(tally: Tally) -> None:
    assert tally.failed_checks == ["prices.plausible"]


def test_work_weighs_partitions_by_location(tally: Tally) -> None:
    assert tally.work == 3 * PARTITION_WORK["simulation"] + PARTITION_WORK["market_data"]


def test_every_location_has_a_weight() -> None:
    assert set(PARTITION_WORK) == set(LOCATIONS)


def test_a_planned_run_counts_assets_times_months() -> None:
    quarter = MonthRange(date(2022, 10, 1), date(2022, 12, 1))
    planned = PlannedRun("simulation", ("one", "two"), quarter)
    assert planned.partitions == 6
    assert planned.work == 6 * PARTITION_WORK["simulation"]
    assert PlannedRun("market_data", ("instruments",), None).partitions == 1
