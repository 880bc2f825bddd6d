"""`fintech simulate`: the engine of the API at the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fintech.host import Host, prepared_host
from fintech.summary import percent
from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings

if TYPE_CHECKING:
    from serving.routes.simulating.forms import SimulatedRow, SimulateIn

Advance = Callable[[int], None]

HELP = "fintech simulate --help has the options."

FIGURES: Mapping[str, str] = {
    "return_mean": "mean return",
    "return_05": "return, 5 % quantile",
    "return_50": "return, median",
    "return_95": "return, 95 % quantile",
    "var_95": "VaR 95 at the horizon",
    "var_99": "VaR 99 at the horizon",
    "es_975": "ES 97.5 at the horizon",
    "es_99": "ES 99 at the horizon",
    "probability_of_loss": "probability of a loss",
    "max_drawdown_mean": "mean of the deepest fall",
    "cost_mean": "mean cost of trades",
}


def print_simulation(settings: Settings, given: Mapping[str, Any], console: Console, *, as_json: bool) -> None:
    """Simulate with a line of progress, and print the figures.

    Parameters
    ----------
    given
        Fields of the body of ``POST /api/v1/simulate``.

    Raises
    ------
    ConfigurationError
        Naming the field that cannot be used.
    """
    with prepared_host(settings) as host:
        asked = _checked(given)
        with progress_of(asked.paths, Console(stderr=True) if as_json else console) as advance:
            found, notice = _simulated(host, asked, advance)
    if as_json:
        from serving.routes.simulating.forms import SimulatedOut  # noqa: PLC0415

        print(SimulatedOut(**dict(found), notice=notice).model_dump_json())
        return
    console.print(simulation_table(found))
    drawn = f"{found.paths} paths of {found.horizon_sessions} sessions, {found.model}, seed {found.seed}"
    for line in (f"{drawn}; fitted on {found.fit_start} to {found.session}", notice):
        if line:
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def simulation_table(found: SimulatedRow) -> Table:
    """The figures in percent, and the errors of those that have one."""
    table = Table(box=None, pad_edge=False)
    for name in ("in %", "", "±"):
        table.add_column(name, justify="left" if name == "in %" else "right", no_wrap=True)
    for name, label in FIGURES.items():
        error = getattr(found, f"{name}_error", None)
        table.add_row(label, percent(getattr(found, name)), "" if error is None else f"{100 * error:.2f}")
    shares = {
        "goal": found.probability_of_goal,
        "wealth": found.probability_of_wealth,
        "ruin": found.probability_of_ruin,
        "depletion": found.depletion if found.depletion.value > 0.0 else None,
    }
    for label, share in shares.items():
        if share is not None:
            table.add_row(f"probability of {label}", percent(share.value), f"{100 * share.error:.2f}")
    for part in found.contributions or ():
        label = f"ES 97.5, part of {part.symbol or 'costs'}"
        table.add_row(label, percent(part.es_975), f"{100 * part.es_975_error:.2f}")
    return table


def _checked(given: Mapping[str, Any]) -> SimulateIn:
    from serving.routes.simulating.forms import SimulateIn  # noqa: PLC0415 - after the folder of compiled code is set

    try:
        return SimulateIn.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        cause = f"{field}: {first['msg']}" if field else first["msg"]
        raise ConfigurationError(cause, HELP, exit_code=2) from error


def _simulated(host: Host, asked: SimulateIn, advance: Advance) -> tuple[SimulatedRow, str | None]:
    from pipeline.risk.measures.errors import MeasureInputError  # noqa: PLC0415
    from pipeline.store.providers import read_notices  # noqa: PLC0415
    from serving.routes.simulating.engine import About, begun, checked_spec, described, parts_of  # noqa: PLC0415
    from serving.routes.simulating.inputs import read_subject  # noqa: PLC0415

    checked_spec(asked)  # before prices are looked for
    with host.database.connect() as connection:
        try:
            subject = read_subject(connection, asked)
        except MeasureInputError as error:
            raise ConfigurationError(str(error), HELP, exit_code=2) from error
        notice = " ".join(read_notices(connection)) or None
    simulation = begun(asked, subject.number, subject.returns, subject.held)
    outcomes = simulation.empty_outcomes()
    for rows in parts_of(asked, subject.held):
        simulation.walk(outcomes.part(rows), rows.start)
        advance(rows.stop)
    symbols = () if subject.held is None else subject.held.symbols
    about = About(subject.portfolio_id, subject.first, subject.last, symbols)
    return described(asked, about, simulation, outcomes), notice


@contextmanager
def progress_of(paths: int, console: Console) -> Iterator[Advance]:
    """A bar if the console is a terminal, else a line at each tenth; gives what is told of paths that are walked."""
    if not console.is_terminal:
        yield _lines(paths, console)
        return
    columns = (TextColumn("simulating"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("simulating", total=paths)
        yield lambda done: bar.update(task, completed=done)


def _lines(paths: int, console: Console) -> Advance:
    started, reported = time.monotonic(), 0

    def advance(done: int) -> None:
        nonlocal reported
        tenth = 10 * done // paths
        if tenth > reported:
            reported = tenth
            line = f"  {done}/{paths} paths, {time.monotonic() - started:.1f} s"
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    return advance
