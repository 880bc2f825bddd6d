"""A small platform with both databases, and its backups."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from rich.console import Console

from fintech.host import prepared_host
from fintech.operations.backup import backup
from fintech.operations.restore import restore
from pipeline.base.settings import Settings
from pipeline.store.engine import Database, database_name, libpq_url, with_database
from tests.integration.serving.running import local_settings
from tests.integration.serving.seeding import seed

JOBS = 2


@dataclass
class Platform:
    """Both databases, the folder of backups and what the commands said."""

    settings: Settings
    database: Database
    folder: Path
    said: StringIO = field(default_factory=StringIO)

    @property
    def dagster(self) -> Database:
        return Database(with_database(self.database.url, f"{database_name(self.database.url)}_dagster"))

    @property
    def console(self) -> Console:
        return Console(file=self.said, width=300)

    def backup(self, keep: int = 7) -> Path:
        return backup(self.settings, self.folder, keep, JOBS, self.console)

    def restore(self, source: Path | None = None, *, replace: bool = False) -> None:
        restore(self.settings, source or self.folder, JOBS, self.console, replace=replace)

    def tell(self, statement: str) -> list[tuple]:
        """Ask the server itself."""
        with psycopg.connect(libpq_url(with_database(self.database.url, "postgres")), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def names(self) -> set[str]:
        """Databases of the platform."""
        name = database_name(self.database.url)
        return {
            found.removeprefix(name)
            for (found,) in self.tell("SELECT datname FROM pg_database")
            if found.startswith(name)
        }

    def drop(self) -> None:
        """Lose everything."""
        for database in (self.database, self.dagster):
            name = sql.Identifier(database_name(database.url)).as_string()
            self.tell(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def platform(new_database: Callable[[], Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A platform with seeded data and an empty instance of Dagster."""
    return made_platform(seed(new_database()).database, tmp_path, monkeypatch)


def made_platform(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A platform over a migrated database."""
    settings = local_settings(database.url, data_dir=folder / "data")
    for variable in ("DATABASE_URL", "DAGSTER_DATABASE_URL", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(variable, "")  # what the host exports is taken back after the test
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder / "numba"))
    with prepared_host(settings):
        return Platform(settings, database, folder / "backups")


def with_address(platform: Platform, url: str) -> Platform:
    """The same platform, reached by another address."""
    settings = platform.settings.model_copy(update={"database_url": SecretStr(url)})
    return Platform(settings, Database(url), platform.folder)


def seconds_said(text: str) -> float:
    """Of a restore."""
    found = re.search(r"UTC in ([\d.]+) s:", text)
    assert found, text
    return float(found[1])
