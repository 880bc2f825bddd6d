"""`fintech run`: from an empty machine to printed results."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from rich.console import Console

from fintech.host import DRIVER_CONFIG, Host, prepared_host, sole_process, statement_failures
from fintech.materializing import LOCATIONS, SOURCE_LOCATION, Driver, PlannedRun, Tally, forget_dead_runs
from fintech.progress import Display, progress_display
from fintech.samples import register_samples
from fintech.summary import summary_tables
from pipeline.base.settings import Settings
from pipeline.market_data.providers import require_providers
from pipeline.store.providers import read_notices


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of a run went, in seconds.

    Parameters
    ----------
    total
        From the command's start to its end.
    ours
        Inside assets: reading, computing, checking, writing.
    dagster
        The rest of the runs: planning, events, and loading the locations.
    """

    total: float
    ours: float
    dagster: float


def run_platform(settings: Settings, console: Console) -> Timing:
    """Materialise what is missing or out of date, and print the results.

    Raises
    ------
    PlatformError
        With cause and remedy; nothing is half-written.
    """
    started = time.perf_counter()
    # Otherwise libraries log to standard error, in many lines, what then ends the run with one line of ours.
    logging.getLogger().addHandler(logging.NullHandler())
    require_providers(settings)  # a name that does not exist, or a key that is missing: before anything starts
    with sole_process(settings, "run"), prepared_host(settings) as host:
        tally = _materialize(host, console)
        _print_results(host, console, tally)
    ours = sum(tally.seconds.values())
    timing = Timing(time.perf_counter() - started, ours, tally.run_seconds - ours)
    console.print(
        f"Done in {timing.total:.1f} s: {timing.ours:.1f} s in the assets, {timing.dagster:.1f} s in Dagster's runs.",
        highlight=False,
    )
    return timing


def _materialize(host: Host, console: Console) -> Tally:
    import dagster as dg  # noqa: PLC0415 - after the environment that it reads is exported

    from pipeline.orchestration.portfolio_input import portfolios_event  # noqa: PLC0415

    home = host.environment["DAGSTER_HOME"]
    with (
        statement_failures(),
        dg.DagsterInstance.from_config(home, DRIVER_CONFIG) as instance,
        progress_display(console) as display,
    ):
        # One pooled connection instead of one per event: 14.1 → 6.2 ms a partition (ADR 0001).
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3_600, max_overflow=4)
        forget_dead_runs(instance)
        driver = Driver(
            instance,
            host.database,
            lambda tally: display.advance(tally.done, tally.work, len(tally.failed_checks)),
        )
        instruments = PlannedRun(SOURCE_LOCATION, ("instruments",), None)
        display.begin("market_data: instruments", instruments.partitions, instruments.work)
        driver.run(instruments)
        with host.database.connect() as connection:
            write = register_samples(connection)
        if write is not None:
            with host.database.connect() as connection:
                driver.report_event(portfolios_event(connection, write))
        _run_locations(driver, display)
        return driver.tally


def _run_locations(driver: Driver, display: Display) -> None:
    """Run each location after the ones it reads from, planning it only then."""
    expected = {location: driver.plan(location) for location in LOCATIONS}
    for location in LOCATIONS:
        expected[location] = driver.plan(location)
        ahead = [run for later in LOCATIONS[LOCATIONS.index(location) :] for run in expected[later]]
        total = driver.tally.done + sum(run.partitions for run in ahead)
        total_work = driver.tally.work + sum(run.work for run in ahead)
        for planned in expected[location]:
            display.begin(f"{location}: {', '.join(planned.assets)}", total, total_work)
            driver.run(planned)


def _print_results(host: Host, console: Console, tally: Tally) -> None:
    with host.database.connect() as connection:
        notices = read_notices(connection)
        tables = summary_tables(connection)
    for table in tables:
        console.print()
        console.print(table)
    console.print()
    for notice in notices:
        console.print(f"[yellow]{notice}[/yellow]", highlight=False)
    print_written(tally, console)


def print_written(tally: Tally, console: Console) -> None:
    """Say what the runs did to the tables."""
    written = sum(tally.total_rows(name) for name in ("rows_inserted", "rows_revised", "rows_deleted"))
    console.print(f"{tally.done} partitions materialised, {written:,} rows written:", highlight=False)
    console.print(
        f"  {tally.total_rows('rows_inserted'):,} new, {tally.total_rows('rows_revised'):,} revised,"
        f" {tally.total_rows('rows_deleted'):,} deleted, {tally.total_rows('rows_unchanged'):,} unchanged.",
        highlight=False,
    )
    if tally.failed_checks:
        console.print(f"[yellow]Checks with a warning: {', '.join(sorted(set(tally.failed_checks)))}[/yellow]")
