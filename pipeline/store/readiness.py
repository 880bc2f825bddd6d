"""Whether a database can be worked with: it answers, and its schema was made."""

from __future__ import annotations

import psycopg
from psycopg.errors import UndefinedTable

from pipeline.base.errors import DatabaseError
from pipeline.store.bounded import BoundedConnection
from pipeline.store.engine import libpq_url, unreachable


def check_readiness(url: str, connect_timeout_seconds: int) -> str:
    """Ask the database over a connection of its own, so that a full pool is no sign of illness.

    Returns
    -------
    str
        Revision of the schema.

    Raises
    ------
    DatabaseError
        If no server answers, or the schema was never made.
    """
    try:
        with BoundedConnection.connect(
            libpq_url(url), connect_timeout=connect_timeout_seconds, autocommit=True
        ) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except UndefinedTable:
        row = None
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from error
    if row is None:
        raise DatabaseError("The database has no schema yet", "Run 'fintech run', which makes it, and try again.")
    return str(row[0])
