"""`fintech plan` and `fintech backfill`: what there is to do, and doing it."""

from __future__ import annotations

import logging
import time
from datetime import date

from rich.console import Console
from rich.table import Table

from fintech.compiling import AheadCompiler, compiling_ahead
from fintech.driving import reading_driver, run_locations, running_driver
from fintech.host import prepared_host, sole_process
from fintech.materializing import LOCATIONS, SOURCE_LOCATION, Driver, PlannedRun, Tally
from fintech.planning import AssetState, Selection, require_known, runs_of
from fintech.progress import Display
from fintech.running import Timing, print_written
from pipeline.base.settings import Settings
from pipeline.market_data.providers import require_providers


def print_plan(settings: Settings, selection: Selection, console: Console) -> None:
    """Print the state of the selected months and the runs that a backfill would make; writes nothing."""
    with prepared_host(settings) as host, reading_driver(host) as driver:
        states = _states(driver, selection)
    console.print(plan_table(states, selection))
    seconds = [state.expected_seconds(selection) for state in states if state.chosen(selection)]
    unknown = " (assets that were never built not counted)" if None in seconds else ""
    known = sum(value for value in seconds if value is not None)
    partitions = sum(len(state.chosen(selection)) for state in states)
    console.print(f"{partitions} partitions to compute, about {known:.0f} s in the assets{unknown}.", highlight=False)


def backfill(settings: Settings, selection: Selection, console: Console) -> Tally:
    """Compute the selected months, in the order of the locations; what is done stays done if it is interrupted.

    Raises
    ------
    PlatformError
        With cause and remedy; nothing is half-written.
    """
    started = time.perf_counter()
    logging.getLogger().addHandler(logging.NullHandler())
    require_providers(settings)
    with (
        sole_process(settings, "run"),
        prepared_host(settings) as host,
        compiling_ahead(settings) as compiler,
        running_driver(host, console) as (driver, display),
    ):
        _run_selected(driver, selection, display, compiler)
        tally = driver.tally
    print_written(tally, console)
    console.print(str(Timing.of(tally, started)), highlight=False)
    return tally


def plan_table(states: list[AssetState], selection: Selection) -> Table:
    """The state of each asset, a row an asset, fit for a terminal of 80 columns."""
    table = Table(title="Months by state, and what a backfill computes", title_justify="left", box=None, pad_edge=False)
    table.add_column("asset", no_wrap=True)
    for name in ("missing", "failed", "stale", "current", "runs", "rows", "about s"):
        table.add_column(name, justify="right", no_wrap=True)
    for state in states:
        chosen = state.chosen(selection)
        rows, seconds = state.expected_rows(selection), state.expected_seconds(selection)
        counts = (len(months) for months in (state.missing, state.failed, state.stale, state.current))
        table.add_row(
            state.asset,
            *map(str, counts),
            str(len(runs_of(chosen))),
            "?" if rows is None else f"{rows:,}",
            "?" if seconds is None else f"{seconds:.0f}",
        )
    return table


def _states(driver: Driver, selection: Selection) -> list[AssetState]:
    assets = {asset: location for location in LOCATIONS for asset in driver.assets(location)}
    if selection.assets is not None:
        require_known(selection.assets, list(assets))
    return [driver.state(assets[asset], asset, selection) for asset in assets if selection.includes(asset)]


def _run_selected(driver: Driver, selection: Selection, display: Display, compiler: AheadCompiler) -> None:
    if _planned(driver, selection, SOURCE_LOCATION):
        driver.run(PlannedRun(SOURCE_LOCATION, ("instruments",), None))
    run_locations(driver, display, lambda location: _planned(driver, selection, location), compiler)


def _planned(driver: Driver, selection: Selection, location: str) -> list[PlannedRun]:
    """Runs of a location; assets that need the same months share one."""
    states = [state for state in _states(driver, selection) if state.location == location]
    by_months: dict[tuple[date, ...], list[str]] = {}
    for state in states:
        by_months.setdefault(tuple(state.chosen(selection)), []).append(state.asset)
    return [
        PlannedRun(location, tuple(assets), months, selection.rebuild)
        for chosen, assets in by_months.items()
        for months in runs_of(chosen)
    ]
