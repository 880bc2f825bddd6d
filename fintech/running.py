"""`fintech run`: from an empty machine to printed results."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from rich.console import Console

from fintech.compiling import AheadCompiler, compiling_ahead
from fintech.driving import run_locations, running_driver
from fintech.host import Host, prepared_host, sole_process
from fintech.materializing import SOURCE_LOCATION, PlannedRun, Tally
from fintech.samples import register_samples
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

    @classmethod
    def of(cls, tally: Tally, started: float) -> Timing:
        """The time since `started`, split by what the runs reported."""
        ours = sum(tally.seconds.values())
        return cls(time.perf_counter() - started, ours, tally.run_seconds - ours)

    def __str__(self) -> str:
        """A sentence for the end of a command."""
        return f"Done in {self.total:.1f} s: {self.ours:.1f} s in the assets, {self.dagster:.1f} s in Dagster's runs."


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
    with sole_process(settings, "run"), prepared_host(settings) as host, compiling_ahead(settings) as compiler:
        tally = _materialize(host, console, compiler)
        _print_results(host, console, tally)
    timing = Timing.of(tally, started)
    console.print(str(timing), highlight=False)
    return timing


def _materialize(host: Host, console: Console, compiler: AheadCompiler) -> Tally:
    from pipeline.orchestration.portfolio_input import portfolios_event  # noqa: PLC0415

    with running_driver(host, console) as (driver, display):
        instruments = PlannedRun(SOURCE_LOCATION, ("instruments",), None)
        display.begin("market_data: instruments", instruments.partitions, instruments.work)
        driver.run(instruments)
        with host.database.connect() as connection:
            write = register_samples(connection)
        if write is not None:
            with host.database.connect() as connection:
                driver.report_event(portfolios_event(connection, write))
        run_locations(driver, display, driver.plan, compiler)
        return driver.tally


def _print_results(host: Host, console: Console, tally: Tally) -> None:
    from fintech.summary import summary_tables  # noqa: PLC0415 - numba, whose cache folder the host has named by now

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
