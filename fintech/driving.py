"""How `fintech run`, `fintech plan` and `fintech backfill` share one driver and the order of its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from rich.console import Console

from fintech.compiling import AheadCompiler
from fintech.dead_runs import forget_dead_runs
from fintech.host import DRIVER_CONFIG, Host, statement_failures
from fintech.materializing import LOCATIONS, SOURCE_LOCATION, Driver, Notify, PlannedRun
from fintech.progress import Display, progress_display

Plan = Callable[[str], list[PlannedRun]]
"""What there is to do in a location as things stand."""


@contextmanager
def reading_driver(host: Host) -> Iterator[Driver]:
    """A driver that plans, beside whatever others run meanwhile."""
    with instance_on(host) as instance:
        yield Driver(instance, host.database, lambda _: None)


@contextmanager
def running_driver(host: Host, console: Console) -> Iterator[tuple[Driver, Display]]:
    """A driver that runs, with the display of its progress; runs of killed ones before it are marked as canceled."""
    with instance_on(host) as instance, progress_display(console) as display:
        forget_dead_runs(instance)
        yield Driver(instance, host.database, _shown_on(display)), display


def run_locations(driver: Driver, display: Display, plan: Plan, compiler: AheadCompiler) -> None:
    """Run each location after the ones it reads from, planning it only then: what ran before makes more stale."""
    expected = {location: plan(location) for location in LOCATIONS}
    for location in LOCATIONS:
        expected[location] = plan(location)
        ahead = [run for later in LOCATIONS[LOCATIONS.index(location) :] for run in expected[later]]
        total = driver.tally.done + sum(run.partitions for run in ahead)
        total_work = driver.tally.work + sum(run.work for run in ahead)
        for planned in expected[location]:
            if location != SOURCE_LOCATION:
                compiler.wait(location)
            display.begin(f"{location}: {', '.join(planned.assets)}", total, total_work)
            driver.run(planned)


def _shown_on(display: Display) -> Notify:
    return lambda tally: display.advance(tally.done, tally.work, len(tally.failed_checks))


@contextmanager
def instance_on(host: Host) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of a host, as its drivers use it."""
    home = host.environment["DAGSTER_HOME"]
    with statement_failures(), dg.DagsterInstance.from_config(home, DRIVER_CONFIG) as instance:
        # One pooled connection instead of one per event: 14.1 → 6.2 ms a partition (ADR 0001).
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3_600, max_overflow=4)
        yield instance
