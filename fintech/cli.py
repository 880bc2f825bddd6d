"""The command line ``fintech``."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fintech import accounts_cli, exporting_cli, models_cli, operations_cli, simulating_cli
from pipeline.base.errors import PlatformError
from pipeline.base.settings import Settings, load_settings

USAGE_EXIT_CODE = 2

By = Annotated[str, typer.Option(help="Who decides.")]
Note = Annotated[str, typer.Option(help="Why.")]

app = typer.Typer(
    help="Portfolio risk on Dagster: run, serve and look after the platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Materialise what is missing or out of date, and print the results."""
    settings = _local_settings()
    from fintech.running import run_platform  # noqa: PLC0415 - each command imports only what it needs

    console = Console()
    run_platform(settings, console)
    from fintech.addresses import local_addresses  # noqa: PLC0415

    console.print("\n`make up` serves these results:")
    for what, address in local_addresses(settings):
        console.print(f"  {what:<12} {address}", highlight=False)


@app.command()
def up() -> None:
    """Serve the Dagster UI, its daemon and the API on loopback until Ctrl-C."""
    settings = _local_settings()
    from fintech.supervisor import serve_platform  # noqa: PLC0415

    serve_platform(settings, Console())


@app.command()
def serve(
    service: Annotated[list[str] | None, typer.Argument(help="Services; all five if none is named.")] = None,
) -> None:
    """Serve the API alone, on the database that DATABASE_URL names."""
    from serving.observability.log_lines import write_json_lines  # noqa: PLC0415
    from serving.server import serve as serve_api  # noqa: PLC0415
    from serving.services import SERVICES, service_named  # noqa: PLC0415

    chosen = [service_named(name) for name in service] if service else SERVICES
    write_json_lines([known.name for known in chosen])
    serve_api(chosen, load_settings())


From = Annotated[str | None, typer.Option("--from", help="First month, such as 2020-01; the first of all.")]
To = Annotated[str | None, typer.Option("--to", help="Last month; the running one.")]
Assets = Annotated[str | None, typer.Option(help="Assets, separated by commas; all.")]
OnlyMissing = Annotated[bool, typer.Option("--only-missing", help="Only months that were never built.")]
OnlyFailed = Annotated[bool, typer.Option("--only-failed", help="Only months whose last attempt failed.")]
CurrentToo = Annotated[bool, typer.Option("--all", help="Also months that are up to date.")]
Rebuild = Annotated[
    bool,
    typer.Option("--rebuild", help="All months, and each table anew beside the one in use where that is possible."),
]


@app.command()
def plan(
    first: From = None,
    last: To = None,
    assets: Assets = None,
    only_missing: OnlyMissing = False,
    only_failed: OnlyFailed = False,
    current_too: CurrentToo = False,
) -> None:
    """Show which months are missing, failed or out of date, and what a backfill would take; writes nothing."""
    settings = _local_settings()
    from fintech.backfilling import print_plan  # noqa: PLC0415
    from fintech.planning import selection_of  # noqa: PLC0415

    selection = selection_of(
        first, last, assets, only_missing=only_missing, only_failed=only_failed, current_too=current_too
    )
    print_plan(settings, selection, Console())


@app.command()
def backfill(
    first: From = None,
    last: To = None,
    assets: Assets = None,
    only_missing: OnlyMissing = False,
    only_failed: OnlyFailed = False,
    current_too: CurrentToo = False,
    rebuild: Rebuild = False,
) -> None:
    """Compute the months that `plan` shows; interrupted, it goes on where it stopped."""
    settings = _local_settings()
    from fintech.backfilling import backfill as run_backfill  # noqa: PLC0415
    from fintech.planning import selection_of  # noqa: PLC0415

    selection = selection_of(
        first,
        last,
        assets,
        only_missing=only_missing,
        only_failed=only_failed,
        current_too=current_too,
        rebuild=rebuild,
    )
    run_backfill(settings, selection, Console())


quarantine = typer.Typer(help="Look at refused rows, release them or reject them.", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")


@quarantine.command("list")
def quarantine_list(
    state: Annotated[str | None, typer.Option(help="held, released or rejected; all.")] = None,
) -> None:
    """Show refused rows, the newest session first."""
    settings = _local_settings()
    from fintech.deciding import print_quarantine  # noqa: PLC0415

    print_quarantine(settings, state, Console())


@quarantine.command("release")
def quarantine_release(symbol: str, session: str, by: By, note: Note) -> None:
    """Accept a refused row as it is, and compute its month and what depends on it."""
    settings = _local_settings()
    from fintech.deciding import decide_row  # noqa: PLC0415

    decide_row(settings, (symbol, session), "released", (by, note), Console())


@quarantine.command("reject")
def quarantine_reject(symbol: str, session: str, by: By, note: Note) -> None:
    """Keep a refused row out for good."""
    settings = _local_settings()
    from fintech.deciding import decide_row  # noqa: PLC0415

    decide_row(settings, (symbol, session), "rejected", (by, note), Console())


@quarantine.command("payloads")
def quarantine_payloads() -> None:
    """Show the answers of vendors that were refused as a whole, the last refused first."""
    settings = _local_settings()
    from fintech.refused import print_refused  # noqa: PLC0415

    print_refused(settings, Console())


@quarantine.command("payload")
def quarantine_payload(
    sha256: Annotated[str, typer.Argument(help="Digest of the answer, or its beginning.")],
) -> None:
    """Write an answer of a vendor, byte for byte, to the standard output."""
    settings = _local_settings()
    from fintech.refused import write_payload  # noqa: PLC0415

    write_payload(settings, sha256, sys.stdout.buffer)


instruments = typer.Typer(help="Retire instruments, or give them another symbol.", no_args_is_help=True)
app.add_typer(instruments, name="instruments")

On = Annotated[str, typer.Option(help="Day, such as 2022-06-09.")]


@instruments.command("retire")
def instruments_retire(symbol: str, on: On) -> None:
    """End an instrument on its last listed day; its rows stay, and a reused symbol is a new instrument."""
    settings = _local_settings()
    from fintech.relisting import retire  # noqa: PLC0415

    retire(settings, symbol, on, Console())


@instruments.command("rename")
def instruments_rename(old: str, new: str, on: On) -> None:
    """Give an instrument another symbol from a day on; it keeps its rows."""
    settings = _local_settings()
    from fintech.relisting import rename  # noqa: PLC0415

    rename(settings, old, new, on, Console())


app.command()(simulating_cli.simulate)
app.add_typer(accounts_cli.users, name="users")
app.add_typer(accounts_cli.keys, name="keys")
app.add_typer(models_cli.models, name="models")
app.add_typer(exporting_cli.export, name="export")
app.command()(operations_cli.health)
app.command()(operations_cli.logs)
app.command()(operations_cli.backup)
app.command()(operations_cli.restore)
app.command()(operations_cli.prune)
app.add_typer(operations_cli.flags, name="flags")


@app.command()
def migrate() -> None:
    """Bring the database's schema to this version, without computing anything."""
    from fintech.host import prepared_host  # noqa: PLC0415

    with prepared_host(_local_settings()):
        Console().print("The schema is up to date.")


@app.command()
def version() -> None:
    """Print the version."""
    Console().print(load_settings().app_version, highlight=False)


def _local_settings() -> Settings:
    """The settings of a command that works on a database, before it imports more than an image may have."""
    from fintech.host import require_server  # noqa: PLC0415

    settings = load_settings()
    require_server(settings)
    return settings


def run_command_line() -> int:
    """Run a command; a known failure is one line with cause and remedy.

    Returns
    -------
    int
        Exit code.
    """
    try:
        # Outside its stand-alone mode typer returns 130 for Ctrl-C instead of leaving.
        return app(prog_name="fintech", standalone_mode=False) or 0
    except PlatformError as error:
        _print_error(str(error))
        return error.exit_code
    except typer.TyperException as error:
        if str(error):  # empty where no command is named, which prints the help
            _print_error(re.sub(r"(?<![.?])$", ".", str(error)) + " See fintech --help.")
        return USAGE_EXIT_CODE


def _print_error(text: str) -> None:
    line = " ".join(text.split())  # servers answer in several lines
    Console(stderr=True).print(f"[red]error:[/red] {escape(line)}", highlight=False, soft_wrap=True)
