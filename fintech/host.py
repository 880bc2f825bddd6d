"""What every local command stands on: a Postgres, migrated databases and the environment of Dagster."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.base.errors import ConfigurationError, PlatformError
from pipeline.base.settings import PROJECT_ROOT, Settings, export_environment, process_environment
from pipeline.store.engine import Database, sqlalchemy_url, with_database
from pipeline.store.migrating import migrate

APPLICATION_DATABASE = "fintech"
DAGSTER_SUFFIX = "_dagster"


@dataclass(frozen=True, slots=True)
class Host:
    """A prepared machine.

    Parameters
    ----------
    settings
        What the environment asked for.
    database
        The migrated application database.
    environment
        Variables that child processes need.
    """

    settings: Settings
    database: Database
    environment: dict[str, str]


@contextmanager
def prepared_host(settings: Settings) -> Iterator[Host]:
    """Run or reach Postgres, migrate it, and export what Dagster reads from the environment.

    Raises
    ------
    DatabaseError
        If the server is out of reach, too old or out of space.
    ConfigurationError
        If the data folder cannot be used.
    """
    with _server_address(settings) as address:
        database = Database(address)
        database.ensure_exists()
        database.require_supported_server()
        migrate(address)
        dagster_url = _dagster_address(settings, address)
        Database(dagster_url).ensure_exists()
        environment = process_environment(settings, address, sqlalchemy_url(dagster_url, "psycopg2"))
        _make_dagster_home(Path(environment["DAGSTER_HOME"]))
        export_environment(environment)
        yield Host(settings, database, environment)


@contextmanager
def sole_process(settings: Settings, name: str) -> Iterator[None]:
    """Hold a lock of that name in the data folder; the system frees it with the process, however it ends.

    Raises
    ------
    PlatformError
        If another process holds it.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        lock = (settings.data_dir / f"{name}.lock").open("w")
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {settings.data_dir} cannot be written ({error.strerror})",
            "Correct FINTECH_DATA_DIR, the folder's permissions, or free disk space.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlatformError(
                f"Another 'fintech {name}' works on {settings.data_dir}",
                "Wait for it to end or stop it; or set FINTECH_DATA_DIR to a folder of its own.",
            ) from None
        yield


@contextmanager
def _server_address(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield _checked_address(settings.database_url.get_secret_value())
        return
    from pipeline.store.embedded import embedded_server  # noqa: PLC0415 - servers elsewhere do without the wheel

    with embedded_server(settings.data_dir / "pg") as address:
        yield with_database(address, APPLICATION_DATABASE)


def _checked_address(url: str) -> str:
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgres") or not parts.path.strip("/"):
        raise ConfigurationError(
            "DATABASE_URL is not the address of a Postgres database",
            "Write it as postgresql://user:password@host:5432/name.",
            exit_code=2,
        )
    return url


def _dagster_address(settings: Settings, address: str) -> str:
    if settings.dagster_database_url is not None:
        return settings.dagster_database_url.get_secret_value()
    name = urlsplit(address).path.strip("/")
    return with_database(address, f"{name}{DAGSTER_SUFFIX}")


def _make_dagster_home(home: Path) -> None:
    """Dagster wants its configuration inside its home; the repository keeps it at the top."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home / "dagster.yaml")
