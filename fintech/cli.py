"""The command line ``fintech``."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.base.errors import PlatformError
from pipeline.base.settings import load_settings

USAGE_EXIT_CODE = 2

app = typer.Typer(
    help="Portfolio risk on Dagster: run, serve and look after the platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Materialise what is missing or out of date, and print the results."""
    from fintech.running import run_platform  # noqa: PLC0415 - each command imports only what it needs

    settings = load_settings()
    console = Console()
    run_platform(settings, console)
    from fintech.addresses import local_addresses  # noqa: PLC0415

    console.print("\n`make up` serves these results:")
    for what, address in local_addresses(settings):
        console.print(f"  {what:<12} {address}", highlight=False)


@app.command()
def up() -> None:
    """Serve the Dagster UI, its daemon and the API on loopback until Ctrl-C."""
    from fintech.supervisor import serve_platform  # noqa: PLC0415

    serve_platform(load_settings(), Console())


@app.command()
def serve(
    service: Annotated[list[str] | None, typer.Argument(help="Services; all five if none is named.")] = None,
) -> None:
    """Serve the API alone, on the database that DATABASE_URL names."""
    from serving.server import serve as serve_api  # noqa: PLC0415
    from serving.services import SERVICES, service_named  # noqa: PLC0415

    chosen = [service_named(name) for name in service] if service else SERVICES
    serve_api(chosen, load_settings())


@app.command()
def migrate() -> None:
    """Bring the database's schema to this version, without computing anything."""
    from fintech.host import prepared_host  # noqa: PLC0415

    with prepared_host(load_settings()):
        Console().print("The schema is up to date.")


@app.command()
def version() -> None:
    """Print the version."""
    Console().print(load_settings().app_version, highlight=False)


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
