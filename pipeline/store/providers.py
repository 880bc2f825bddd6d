"""Providers in use, and what every reader of their data must be told."""

from __future__ import annotations

from psycopg import Connection
from sqlalchemy import Identity, SmallInteger, Table, Text

from pipeline.store.schema import METADATA, column, key

PROVIDER = Table(
    "provider",
    METADATA,
    key("name", Text(), "Name of the provider."),
    column(
        "id",
        SmallInteger(),
        "Number by which bars refer to the provider.",
        nullable=False,
        unique=True,
        server_default=Identity(always=True),
    ),
    column("notice", Text(), "Warning that every surface shows beside its data."),
    comment="Providers whose data is stored.",
)


def record_provider(connection: Connection, name: str, notice: str | None) -> int:
    """Remember a provider and its notice; an unchanged row is not written.

    Returns
    -------
    int
        Number of the provider.
    """
    connection.execute(
        """
        INSERT INTO provider AS known (name, notice) VALUES (%s, %s)
        ON CONFLICT (name) DO UPDATE SET notice = excluded.notice
        WHERE known.notice IS DISTINCT FROM excluded.notice
        """,
        [name, notice],
    )
    row = connection.execute("SELECT id FROM provider WHERE name = %s", [name]).fetchone()
    assert row is not None
    return int(row[0])


def read_notices(connection: Connection) -> list[str]:
    """The notices of every provider in use."""
    return [row[0] for row in connection.execute("SELECT notice FROM provider WHERE notice IS NOT NULL ORDER BY name")]


def read_named_notices(connection: Connection) -> list[tuple[str, str]]:
    """Name and notice of every provider in use that has a notice."""
    return connection.execute("SELECT name, notice FROM provider WHERE notice IS NOT NULL ORDER BY name").fetchall()
