"""`fintech flags`: which risky paths are on, and turning one off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection
from psycopg.errors import UndefinedTable
from rich.console import Console
from rich.table import Table

from fintech.actors import command_line_actor
from fintech.host import reached_server
from pipeline.base.errors import ConfigurationError, DatabaseError
from pipeline.base.flags import FLAGS, flag_named
from pipeline.base.settings import Settings
from pipeline.store.engine import Database
from pipeline.store.feature_flags import read_overrides, set_flag, unset_flag

STATES = {"on": True, "off": False}


def list_flags(settings: Settings, console: Console) -> None:
    """Print every flag, and who set those that are not what the code says."""
    with _connected(settings) as connection:
        overrides = {override.name: override for override in read_overrides(connection)}
    table = Table("flag", "state", "by", "meaning, owner and end", box=None, pad_edge=False)
    for flag, spec in FLAGS.items():
        override = overrides.pop(flag, None)
        by = f"{override.set_by}, {override.set_at:%Y-%m-%d %H:%M}: {override.reason}" if override else "default"
        state = _state(spec.default if override is None else override.is_on)
        table.add_row(flag, state, by, f"{spec.meaning} {spec.owner}, until {spec.remove_after}.")
    for name, left in overrides.items():
        table.add_row(name, _state(left.is_on), left.set_by, "This version has no such flag: `fintech flags unset` it.")
    console.print(table)


def set_one(settings: Settings, name: str, state: str, reason: str, console: Console) -> None:
    """Turn a flag on or off.

    Raises
    ------
    NotFoundError
        If there is no such flag.
    ConfigurationError
        If the state is neither on nor off.
    InvalidInputError
        If no reason is given.
    """
    flag = flag_named(name)
    if state not in STATES:
        raise ConfigurationError(f"{state!r} is no state of a flag", "Write on or off.", exit_code=2)
    with _connected(settings) as connection:
        set_flag(connection, flag, STATES[state], reason, command_line_actor())
    console.print(f"{flag} is {state}. Services know within 5 s, assets from their next write on.", highlight=False)


def unset_one(settings: Settings, name: str, console: Console) -> None:
    """Let a flag be its default again.

    Raises
    ------
    NotFoundError
        If it was not set.
    """
    with _connected(settings) as connection:
        unset_flag(connection, name, command_line_actor())
    console.print(f"{name} is what the code says again.", highlight=False)


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    """A connection that is there in every image, also where Dagster is not."""
    try:
        with reached_server(settings) as addresses, Database(addresses.application).connect() as connection:
            yield connection
    except UndefinedTable as error:
        raise DatabaseError(
            f"The database's schema is not that of this version ({error.diag.message_primary})",
            "Run `fintech migrate`.",
        ) from error


def _state(is_on: bool) -> str:
    return next(word for word, value in STATES.items() if value == is_on)
