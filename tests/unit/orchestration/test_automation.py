"""Which months the daemon asks for once an input has changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests

from pipeline.market_data.definitions import build_definitions as market_data
from pipeline.orchestration.partitions import MONTHLY
from pipeline.orchestration.table_assets import INPUT_MONTHS_METADATA
from pipeline.risk.definitions import build_definitions as risk

NOON = datetime(1996, 12, 15, 12, tzinfo=UTC)
"""An early one: a tick looks at every month up to now, and what it asks for depends on few of them."""
MONTHS = MONTHLY.get_partition_keys(current_time=NOON)
DEFINITIONS = dg.Definitions(
    assets=[asset for build in (market_data, risk) for asset in build().assets or []],
    resources={**(market_data().resources or {}), **(risk().resources or {})},
)
DERIVED = ("instrument_risk", "portfolio_risk")


def months_read(asset: str) -> int:
    """How many months of prices before its own an asset reads."""
    inputs = DEFINITIONS.resolve_asset_graph().get(dg.AssetKey(asset)).metadata[INPUT_MONTHS_METADATA]
    return getattr(inputs, "value", inputs)["prices"]


class Daemon:
    """A daemon that evaluates every condition, tick by tick, and knows what was computed."""

    def __init__(self, instance: dg.DagsterInstance, cursor: AssetDaemonCursor | None = None) -> None:
        self._instance = instance
        self.cursor = cursor

    def tick(self) -> dict[str, list[str]]:
        """The months that a tick asks for, by asset."""
        self.result = dg.evaluate_automation_conditions(
            DEFINITIONS, self._instance, cursor=self.cursor, evaluation_time=NOON
        )
        self.cursor = self.result.cursor
        asked = {name: self.result.get_requested_partitions(dg.AssetKey(name)) for name in DERIVED}
        return {name: sorted(months) for name, months in asked.items() if months}

    def computed(self, asset: str, months: list[str] | None = None, version: str | None = None) -> None:
        """Tell that an asset was computed."""
        tags = {"dagster/data_version": version} if version else {}
        for month in months or [None]:
            self._instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=month, tags=tags))

    def checked(self, asset: str, *, passed: bool) -> None:
        """Tell what the blocking checks of an asset said."""
        for key in DEFINITIONS.resolve_asset_graph().get_check_keys_for_assets({dg.AssetKey(asset)}):
            self._instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(asset_key=key.asset_key, check_name=key.name, passed=passed, metadata={})
            )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Daemon(instance)


@pytest.fixture(scope="module")
def settling(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Daemon]:
    """What a daemon keeps of a platform on which every month is computed, and that daemon: 1,600 events take 10 s."""
    folder = tmp_path_factory.mktemp("settled")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        daemon = Daemon(instance)
        daemon.computed("instruments", version="1")
        daemon.computed("portfolios")
        for asset in ("prices", "fx_rates", *DERIVED):
            daemon.computed(asset, MONTHS)
        for asset in ("instruments", "prices", "fx_rates"):
            daemon.checked(asset, passed=True)
        assert daemon.tick() == {}
    return folder, daemon


@pytest.fixture
def settled(settling: tuple[Path, Daemon], tmp_path: Path) -> Iterator[Daemon]:
    """That daemon over a copy of what it keeps."""
    folder, before = settling
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Daemon(instance, before.cursor)


def test_a_first_deployment_asks_for_nothing(daemon: Daemon) -> None:
    assert daemon.tick() == {}
    assert daemon.tick() == {}


def test_an_old_month_of_prices_asks_once_for_the_months_that_read_it(settled: Daemon) -> None:
    settled.computed("prices", ["1993-03-01"])
    first = MONTHS.index("1993-03-01")
    readers = {asset: MONTHS[first : first + months_read(asset) + 1] for asset in DERIVED}
    assert len(readers["instrument_risk"]) == 14
    assert settled.tick() == readers
    assert settled.tick() == {}
    for asset in DERIVED:
        settled.computed(asset, readers[asset])
    assert settled.tick() == {}
    assert settled.tick() == {}


def test_an_old_month_of_rates_asks_for_the_portfolios_that_may_be_converted(settled: Daemon) -> None:
    settled.computed("fx_rates", ["1993-03-01"])
    first = MONTHS.index("1993-03-01")
    # A month further than prices: on the first session the rate may be one of the week before.
    assert settled.tick() == {"portfolio_risk": MONTHS[first : first + months_read("portfolio_risk") + 2]}
    assert settled.tick() == {}


def test_a_corrected_interest_rate_asks_for_the_months_that_may_read_it(settled: Daemon) -> None:
    settled.computed("interest_rates", ["1993-03-01"])
    first = MONTHS.index("1993-03-01")
    # A month further than prices: on the first session the rate may be one of the fortnight before.
    assert settled.tick() == {asset: MONTHS[first : first + months_read(asset) + 2] for asset in DERIVED}
    assert settled.tick() == {}


def test_interest_rates_that_were_never_read_hold_nothing_back(settled: Daemon) -> None:
    settled.computed("prices", ["1993-03-01"])
    assert set(settled.tick()) == set(DERIVED)


def test_units_of_drift_bands_ask_for_the_months_that_read_them_once_they_have_changed(settled: Daemon) -> None:
    settled.computed("portfolio_units", MONTHS, version="1")
    settled.tick()
    settled.computed("portfolio_units", MONTHS[12:], version="1")
    assert settled.tick() == {}
    settled.computed("portfolio_units", ["1993-03-01"], version="2")
    first = MONTHS.index("1993-03-01")
    assert settled.tick() == {"portfolio_risk": MONTHS[first : first + months_read("portfolio_risk") + 1]}
    assert settled.tick() == {}


def test_missing_prices_hold_back(daemon: Daemon) -> None:
    daemon.computed("instruments", version="1")
    daemon.computed("portfolios")
    daemon.computed("fx_rates", MONTHS)
    for asset in ("instruments", "prices", "fx_rates"):
        daemon.checked(asset, passed=True)
    daemon.tick()
    daemon.computed("fx_rates", ["1993-03-01"])
    assert daemon.tick() == {}


def test_a_stored_portfolio_asks_for_its_whole_history(settled: Daemon) -> None:
    settled.computed("portfolios")
    assert settled.tick() == {"portfolio_risk": MONTHS}
    assert settled.tick() == {}


def test_the_months_of_a_tick_are_one_backfill(settled: Daemon) -> None:
    settled.computed("prices", MONTHS)
    assert settled.tick() == dict.fromkeys(DERIVED, MONTHS)
    subsets = [result.true_subset for result in settled.result.results if not result.true_subset.is_empty]
    graph = DEFINITIONS.resolve_asset_graph()
    [request] = build_run_requests(subsets, graph, run_tags={}, emit_backfills=True)
    assert request.asset_graph_subset.num_partitions_and_non_partitioned_assets == len(subsets) * len(MONTHS)


def test_instruments_count_when_they_have_changed(settled: Daemon) -> None:
    settled.computed("instruments", version="1")
    assert settled.tick() == {}
    settled.computed("instruments", version="2")
    assert settled.tick() == dict.fromkeys(DERIVED, MONTHS)
    assert settled.tick() == {}


def test_a_failed_blocking_check_of_an_input_holds_back(settled: Daemon) -> None:
    settled.computed("prices", ["1994-03-01"])
    settled.checked("prices", passed=False)
    assert settled.tick() == {}
    settled.checked("prices", passed=True)
    assert len(settled.tick()["instrument_risk"]) == 14
