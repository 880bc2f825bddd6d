"""Bring a database to the schema of this code."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from pipeline.base.errors import DatabaseError
from pipeline.store.engine import sqlalchemy_url

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_PATIENCE = "3s"
"""How long a change waits for those who use a table, while new readers wait behind it (ADR 0018)."""
LONGEST_STATEMENT = "10min"
PAUSES_SECONDS = (2.0, 4.0, 8.0, 16.0)
"""Between two tries of a change whose lock was not granted; those who wait come in meanwhile."""

_TAKE_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('fintech migrations', 0))")
_BOUND = text("SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true)")

logger = logging.getLogger(__name__)


def alembic_config() -> Config:
    """Alembic's configuration, which needs no file: the connection is handed over by `migrate`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def head_revision() -> str | None:
    """The revision of this code."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def migrate(url: str) -> bool:
    """Apply every migration that the database lacks, in one transaction; processes take turns.

    A change that does not get its lock is given up with all before it, and tried again after `PAUSES_SECONDS`.

    Returns
    -------
    bool
        Whether anything was applied.

    Raises
    ------
    DatabaseError
        If the database was migrated by a newer version of the platform, or somebody keeps a table to himself.
    """
    engine = create_engine(sqlalchemy_url(url, "psycopg"), poolclass=NullPool)
    for pause in (*PAUSES_SECONDS, None):
        try:
            return _migrated(engine)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            if pause is None:
                raise DatabaseError(
                    f"The schema cannot be changed: a table was in use at each of {len(PAUSES_SECONDS) + 1} tries"
                    f" ({str(error.orig).splitlines()[0]})",
                    "End the transaction that holds it (pg_stat_activity shows the oldest xact_start), and run again.",
                ) from error
            logger.warning("A table to be changed is in use; trying again in %g s", pause)
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _migrated(engine: Engine) -> bool:
    config, head = alembic_config(), head_revision()
    with engine.begin() as connection:
        connection.execute(_TAKE_TURN)  # before the revision is read, which another process may be changing
        current = MigrationContext.configure(connection).get_current_revision()
        if current == head:
            return False
        connection.execute(_BOUND, {"lock": LOCK_PATIENCE, "statement": LONGEST_STATEMENT})
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseError(
                f"The database is at revision {current}, which this version does not know",
                "Run the version of the platform that wrote it, or use another database.",
            ) from error
    return True
