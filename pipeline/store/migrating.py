"""Bring a database to the schema of this code."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from pipeline.base.errors import DatabaseError
from pipeline.store.engine import sqlalchemy_url

MIGRATIONS = Path(__file__).parent / "migrations"
_TAKE_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('fintech migrations', 0))")


def alembic_config() -> Config:
    """Alembic's configuration, which needs no file: the connection is handed over by `migrate`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def migrate(url: str) -> bool:
    """Apply every migration that the database lacks, in one transaction; processes take turns.

    Returns
    -------
    bool
        Whether anything was applied.

    Raises
    ------
    DatabaseError
        If the database was migrated by a newer version of the platform.
    """
    config = alembic_config()
    head = ScriptDirectory.from_config(config).get_current_head()
    engine = create_engine(sqlalchemy_url(url, "psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(_TAKE_TURN)  # before the revision is read, which another process may be changing
        current = MigrationContext.configure(connection).get_current_revision()
        if current == head:
            return False
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseError(
                f"The database is at revision {current}, which this version does not know",
                "Run the version of the platform that wrote it, or use another database.",
            ) from error
    return True
