"""The command `fintech export`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import load_settings

export = typer.Typer(help="Write results to files for other programs.", no_args_is_help=True)


@export.command("forecasts")
def export_forecasts(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    form: Annotated[str, typer.Option("--format", help="parquet, csv or arrow.")] = "parquet",
    symbol: Annotated[list[str] | None, typer.Option(help="Instrument; give it several times. All.")] = None,
    model: Annotated[str | None, typer.Option(help="Forecast model, such as har, and its stand-in; all.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day as of which, such as 2020-01-02.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last such day.")] = None,
) -> None:
    """Write stored forecasts: instrument, as_of, horizon, kind, value and model, a row a forecast."""
    from fintech.exporting import ForecastSelection  # noqa: PLC0415 - each command imports only what it needs
    from fintech.exporting import export_forecasts as write  # noqa: PLC0415
    from fintech.host import require_server  # noqa: PLC0415

    settings = load_settings()
    require_server(settings)
    selection = ForecastSelection(tuple(symbol) if symbol else None, model, _day(first), _day(last))
    write(settings, selection, form, output, Console())


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a date", "Write it as 2022-05-02.", exit_code=2) from error
