"""Overrides of flags (`pipeline.base.flags`): who turned which path off, why, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import Boolean, DateTime, Table, Text, func

from pipeline.base.errors import InvalidInputError, NotFoundError
from pipeline.base.flags import DEFAULTS, Flag
from pipeline.store import audit
from pipeline.store.audit import Actor
from pipeline.store.schema import METADATA, column, key

FEATURE_FLAG = Table(
    "feature_flag",
    METADATA,
    key("name", Text(), "Name of the flag."),
    column("is_on", Boolean(), "What it is instead of its default.", nullable=False),
    column("reason", Text(), "Why.", nullable=False),
    column("set_by", Text(), "Who set it.", nullable=False),
    column(
        "set_at",
        DateTime(timezone=True),
        "When it was set.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    comment="Flags that are not what the code says.",
)


@dataclass(frozen=True, slots=True)
class Override:
    """A flag that is not what the code says."""

    name: str
    is_on: bool
    reason: str
    set_by: str
    set_at: datetime


def read_overrides(connection: Connection) -> list[Override]:
    """Every override, also of flags that this code no longer has."""
    with connection.cursor(row_factory=class_row(Override)) as cursor:
        return cursor.execute("SELECT name, is_on, reason, set_by, set_at FROM feature_flag ORDER BY name").fetchall()


def read_flags(connection: Connection) -> Mapping[Flag, bool]:
    """What every flag is now."""
    known = {override.name: override.is_on for override in read_overrides(connection)}
    return {flag: known.get(flag, default) for flag, default in DEFAULTS.items()}


def is_on(connection: Connection, flag: Flag) -> bool:
    """What a flag is now."""
    return read_flags(connection)[flag]


def set_flag(connection: Connection, flag: Flag, is_on: bool, reason: str, actor: Actor) -> None:
    """Override a flag, and note who did and why.

    Raises
    ------
    InvalidInputError
        If the reason is empty.
    """
    if not reason.strip():
        raise InvalidInputError("reason: is empty", "Say why: whoever finds the flag set will ask.")
    row = connection.execute(
        """
        INSERT INTO feature_flag AS known (name, is_on, reason, set_by) VALUES (%s, %s, %s, %s)
        ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on, reason = excluded.reason,
            set_by = excluded.set_by, set_at = clock_timestamp()
        RETURNING old.is_on
        """,
        [flag, is_on, reason.strip(), actor.name],
    ).fetchone()
    assert row is not None
    detail = {"is_on": is_on, "was": DEFAULTS[flag] if row[0] is None else row[0], "reason": reason.strip()}
    audit.record(connection, actor, "flag.set", f"flag:{flag}", detail)


def unset_flag(connection: Connection, name: str, actor: Actor) -> None:
    """Let a flag be what the code says, and note who did; also one that this code no longer has.

    Raises
    ------
    NotFoundError
        If it has no override.
    """
    row = connection.execute("DELETE FROM feature_flag WHERE name = %s RETURNING is_on", [name]).fetchone()
    if row is None:
        raise NotFoundError(f"The flag {name!r} is not set", "`fintech flags list` shows which are.")
    audit.record(connection, actor, "flag.unset", f"flag:{name}", {"was": row[0]})
