"""`fintech instruments`: an instrument is no longer listed, or goes by another symbol."""

from __future__ import annotations

import re
from datetime import date

from rich.console import Console

from fintech.actors import command_line_actor
from fintech.host import prepared_host
from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings
from pipeline.store.symbol_changes import rename_instrument, retire_instrument

_SYMBOL = re.compile(r"[!-~]{1,32}")


def retire(settings: Settings, symbol: str, on: str, console: Console) -> None:
    """End an instrument's symbol; its rows stay.

    Raises
    ------
    ConfigurationError
        If the day is none, or still to come.
    NotFoundError
        If no instrument has had the symbol.
    ConflictError
        If it is retired already, or has a price after the day.
    """
    day = _parsed_past_day(on)
    with prepared_host(settings) as host:
        instrument = retire_instrument(host.database, symbol, day, command_line_actor())
    console.print(
        f"Retired: {symbol}, {instrument.name}, on {day}. Its rows stay, at {symbol}@{day} in the API.\n"
        f"Once the provider has prices of {symbol} after that day, `fintech run` registers a new instrument for them.",
        highlight=False,
        soft_wrap=True,
    )


def rename(settings: Settings, old: str, new: str, on: str, console: Console) -> None:
    """Give an instrument another symbol from a day on; it keeps its id and its rows.

    Raises
    ------
    ConfigurationError
        If the day is none, or still to come, or the new symbol cannot be one.
    NotFoundError
        If no instrument has had the old symbol.
    ConflictError
        If the new one is taken.
    """
    day = _parsed_past_day(on)
    if not _SYMBOL.fullmatch(new) or new == old:
        raise ConfigurationError(
            f"{new!r} cannot be the new symbol of {old}",
            "Give another symbol of 1 to 32 printable ASCII characters without spaces.",
            exit_code=2,
        )
    with prepared_host(settings) as host:
        instrument = rename_instrument(host.database, old, new, day, command_line_actor())
    console.print(
        f"Renamed: {instrument.name} is {new} since {day}, and was {old} before.\n"
        f"Where FINTECH_SYMBOLS names {old}, name {new} instead; then `fintech run` loads it by its new symbol.",
        highlight=False,
        soft_wrap=True,
    )


def _parsed_past_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--on {text!r} is not a date", "Write it as 2022-05-02.", exit_code=2) from error
    if day > date.today():  # noqa: DTZ011 - any zone's will do
        raise ConfigurationError(f"--on {day} is still to come", "Give a day that has passed.", exit_code=2)
    return day
