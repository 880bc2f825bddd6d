"""`fintech plan` and `fintech backfill`: what there is to do, and doing it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from rich.console import Console
from rich.table import Table

from fintech.host import DRIVER_CONFIG, Host, prepared_host, sole_process, statement_failures
from fintech.materializing import LOCATIONS, SOURCE_LOCATION, Driver, Notify, PlannedRun, Tally, forget_dead_runs
from fintech.planning import AssetState, Selection, require_known, runs_of
from fintech.progress import Display, progress_display
from fintech.running import print_written
from pipeline.base.settings import Settings
from pipeline.market_data.providers import require_providers


def print_plan(settings: Settings, selection: Selection, console: Console) -> None:
    """Print the state of the selected months and the runs that a backfill would make; writes nothing."""
    with prepared_host(settings) as host, _driver(host, lambda _: None) as driver:
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
        progress_display(console) as display,
        _driver(host, lambda tally: display.advance(tally.done, tally.work, len(tally.failed_checks))) as driver,
    ):
        _run_selected(driver, selection, display)
        tally = driver.tally
    print_written(tally, console)
    console.print(f"Done in {time.perf_counter() - started:.1f} s.", highlight=False)
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


@contextmanager
def _driver(host: Host, notify: Notify) -> Iterator[Driver]:
    import dagster as dg  # noqa: PLC0415 - after the environment that it reads is exported

    home = host.environment["DAGSTER_HOME"]
    with statement_failures(), dg.DagsterInstance.from_config(home, DRIVER_CONFIG) as instance:
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3_600, max_overflow=4)
        forget_dead_runs(instance)
        yield Driver(instance, host.database, notify)


def _states(driver: Driver, selection: Selection) -> list[AssetState]:
    assets = {asset: location for location in LOCATIONS for asset in driver.assets(location)}
    if selection.assets is not None:
        require_known(selection.assets, list(assets))
    return [driver.state(assets[asset], asset, selection) for asset in assets if selection.includes(asset)]


def _run_selected(driver: Driver, selection: Selection, display: Display) -> None:
    expected = {location: _planned(driver, selection, location) for location in LOCATIONS}
    if expected[SOURCE_LOCATION]:
        driver.run(PlannedRun(SOURCE_LOCATION, ("instruments",), None))
    for location in LOCATIONS:
        # Planned anew: what the runs before have changed makes more months stale here.
        expected[location] = _planned(driver, selection, location)
        ahead = [run for later in LOCATIONS[LOCATIONS.index(location) :] for run in expected[later]]
        total = driver.tally.done + sum(run.partitions for run in ahead)
        total_work = driver.tally.work + sum(run.work for run in ahead)
        for planned in expected[location]:
            display.begin(f"{location}: {', '.join(planned.assets)}", total, total_work)
            driver.run(planned)


def _planned(driver: Driver, selection: Selection, location: str) -> list[PlannedRun]:
    """Runs of a location; assets that need the same months share one."""
    states = [state for state in _states(driver, selection) if state.location == location]
    by_months: dict[tuple[date, ...], list[str]] = {}
    for state in states:
        by_months.setdefault(tuple(state.chosen(selection)), []).append(state.asset)
    return [
        PlannedRun(location, tuple(assets), months)
        for chosen, assets in by_months.items()
        for months in runs_of(chosen)
    ]
