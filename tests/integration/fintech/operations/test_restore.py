"""The restore drill: dump, drop, restore, and all is as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg.errors import AdminShutdown, OperationalError
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from fintech.operations.manifest import MANIFEST, BackupError
from pipeline.base.errors import ConflictError, DatabaseError
from pipeline.store.access import become_api
from pipeline.store.dumping import exchange, make_beside, sum_tables
from pipeline.store.engine import Database, libpq_url, sqlalchemy_url
from pipeline.store.migrating import alembic_config
from tests.docs.schema_contract import read_contract
from tests.integration.fintech.operations.conftest import Platform, seconds_said

POLICIES = "SELECT tablename, policyname, cmd, roles::text, qual, with_check FROM pg_policies ORDER BY 1, 2"
TRIGGERS = "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
SECURED = "SELECT relname FROM pg_class WHERE relrowsecurity ORDER BY 1"
LONGEST_SECONDS = 60.0


def everything(database: Database) -> dict[str, object]:
    """What a database holds, and who may do what in it."""
    with database.connect() as connection:
        return {
            "sums": sum_tables(connection),
            **{name: connection.execute(name).fetchall() for name in (POLICIES, TRIGGERS, SECURED)},
        }


def test_the_drill(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    databases = (platform.database, platform.dagster)
    before = [everything(database) for database in databases]
    with platform.database.connect() as connection:
        contract = read_contract(connection)
    assert before[0][POLICIES]
    assert before[0][SECURED]
    platform.backup()
    platform.drop()
    assert platform.names() == set()

    platform.restore()
    seconds = seconds_said(platform.said.getvalue())
    with capsys.disabled():
        print(f"\nrestore drill: {seconds:.1f} s")
    assert seconds < LONGEST_SECONDS
    assert [everything(database) for database in databases] == before
    with platform.database.connect() as connection:
        assert read_contract(connection) == contract
    assert platform.names() == {"", "_dagster"}


def test_the_schema_is_the_code_s_and_later_tables_are_granted(platform: Platform) -> None:
    platform.backup()
    platform.restore(replace=True)
    config = alembic_config()
    with create_engine(sqlalchemy_url(platform.database.url, "psycopg"), poolclass=NullPool).begin() as connection:
        config.attributes["connection"] = connection
        command.check(config)
    with platform.database.connect() as connection:
        connection.execute("CREATE TABLE later (id int)")
        become_api(connection)
        assert connection.execute("SELECT count(*) FROM later").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM portfolio").fetchone() == (0,)  # without a caller
        connection.rollback()


def test_what_is_there_is_replaced_on_request_only_and_kept(platform: Platform) -> None:
    platform.backup()
    with platform.database.connect() as connection:
        connection.execute("DELETE FROM price")
    with pytest.raises(ConflictError, match=r"has tables, which a restore would replace. Add --replace"):
        platform.restore()
    assert platform.names() == {"", "_dagster"}
    platform.restore(replace=True)
    with platform.database.connect() as connection:
        assert connection.execute("SELECT count(*) > 0 FROM price").fetchone() == (True,)
    aside = Database(platform.database.url.replace("?", "_before?", 1))
    with aside.connect() as connection:
        assert connection.execute("SELECT count(*) FROM price").fetchone() == (0,)
    platform.restore(replace=True)
    assert platform.names() == {"", "_dagster", "_before", "_dagster_before"}


def test_open_connections_are_ended_and_come_back(platform: Platform) -> None:
    platform.backup()
    with psycopg.connect(libpq_url(platform.database.url)) as open_one:
        open_one.execute("SELECT * FROM price")
        platform.restore(replace=True)
        with pytest.raises((AdminShutdown, OperationalError)):
            open_one.execute("SELECT 1")
    with platform.database.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_database_that_is_half_filled_is_made_anew(platform: Platform) -> None:
    with make_beside(platform.database).connect() as connection:
        connection.execute("CREATE TABLE price (half int)")
    platform.backup()
    platform.restore(replace=True)
    assert "_restored" not in platform.names()


def test_an_exchange_that_fails_leaves_every_name(platform: Platform) -> None:
    make_beside(platform.database)  # and none for Dagster's
    with pytest.raises(psycopg.Error):
        exchange([platform.database, platform.dagster])
    assert platform.names() == {"", "_dagster", "_restored"}
    for database in (platform.database, platform.dagster):
        with database.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


# Damage ------------------------------------------------------------------------------------------------------


def _truncate(made: Path) -> None:
    largest = max((made / "application").iterdir(), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.truncate(largest.stat().st_size // 2)


def _remove(made: Path) -> None:
    next((made / "dagster").glob("*.dat.gz")).unlink()


def _forget(made: Path) -> None:
    (made / MANIFEST).unlink()


def _cut(made: Path) -> None:
    (made / MANIFEST).write_text((made / MANIFEST).read_text()[:-40])


def _newer(made: Path) -> None:
    _edit(made, lambda application: application.update(server_major=99))


def _other_rows(made: Path) -> None:
    _edit(made, lambda application: application["tables"]["public.price"].update(sum="7"))


def _edit(made: Path, change: Callable[[dict], None]) -> None:
    told = json.loads((made / MANIFEST).read_text())
    change(told["databases"]["application"])
    (made / MANIFEST).write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_truncate, r"application/.* has SHA-256 \w{12}…, not \w{12}…. This backup is damaged"),
        (_remove, r"dagster/.*dat.gz is missing"),
        (_forget, r"is no whole backup: it has no manifest.json"),
        (_cut, r"manifest.json cannot be read \(JSONDecodeError"),
        (_newer, r"The backup is of Postgres 99, and the server is \d+"),
        (_other_rows, r"1 tables are not what was backed up, the first of them public.price \("),
    ],
)
def test_half_a_backup_replaces_nothing(platform: Platform, damage: Callable[[Path], None], said: str) -> None:
    made = platform.backup()
    damage(made)
    with platform.database.connect() as connection:
        connection.execute("DELETE FROM price")
    with pytest.raises(BackupError, match=said):
        platform.restore(made, replace=True)
    assert platform.names() == {"", "_dagster"}
    with platform.database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM price").fetchone() == (0,)


def test_a_folder_that_is_not_there(platform: Platform) -> None:
    with pytest.raises(BackupError, match="There is no folder"):
        platform.restore(platform.folder / "gone")


def test_a_server_that_is_not_there(platform: Platform) -> None:
    platform.backup()
    platform.settings = platform.settings.model_copy(
        update={"database_url": type(platform.settings.database_url)("postgresql://u@127.0.0.1:1/d")}
    )
    with pytest.raises(DatabaseError, match="No Postgres answers"):
        platform.restore(replace=True)
