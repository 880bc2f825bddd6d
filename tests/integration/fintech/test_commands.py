"""The commands besides run and up, and what is no command."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from pipeline.store.engine import Database
from pipeline.store.migrating import migrate
from pipeline.store.readiness import check_readiness
from serving.services import SERVICES
from tests.integration.fintech.conftest import CommandLine


def test_help_lists_every_command(command_line: CommandLine) -> None:
    told = command_line.run("--help")
    assert told.exit_code == 0
    assert told.errors == ""
    for command in ("run", "up", "serve", "migrate", "version"):
        assert f" {command} " in told.output


def test_no_command_prints_the_help_and_fails(command_line: CommandLine) -> None:
    told = command_line.run()
    assert (told.exit_code, told.errors) == (2, "")
    assert "Usage: fintech" in told.output


def test_the_version_is_that_of_the_distribution(command_line: CommandLine) -> None:
    told = command_line.run("version")
    assert (told.output, told.errors, told.exit_code) == (f"{version('fintech-platform')}\n", "", 0)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["jump"], "No such command 'jump'. Did you mean 'up'? See fintech --help."),
        (["run", "--fast"], "No such option: --fast. See fintech --help."),
        (["run", "twice"], "Got unexpected extra argument(s) (twice). See fintech --help."),
        (["serve", "nothing"], f"There is no service 'nothing'. Choose one of {SERVICES[0].name}, "),
        (["serve"], "needs DATABASE_URL"),
    ],
)
def test_what_cannot_be_done_is_one_line(command_line: CommandLine, arguments: list[str], cause: str) -> None:
    refused = command_line.run(*arguments)
    assert cause in refused.error_line
    assert refused.exit_code == 2
    assert not command_line.data_dir.exists()


def test_migrate_makes_the_schema_and_says_so(command_line: CommandLine, database: Database, server: str) -> None:
    with database.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    for _ in range(2):
        done = command_line.run("migrate", DATABASE_URL=database.url)
        assert (done.output, done.errors, done.exit_code) == ("The schema is up to date.\n", "", 0)
    assert check_readiness(database.url, 5)
    assert migrate(database.url) is False
    assert not (command_line.data_dir / "pg").exists()


def test_migrate_refuses_a_database_of_a_newer_version(command_line: CommandLine, database: Database) -> None:
    with database.connect() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = command_line.run("migrate", DATABASE_URL=database.url)
    assert "9999, which this version does not know" in refused.error_line
    assert refused.exit_code == 1


def test_a_user_who_may_not_make_tables_is_told(command_line: CommandLine, database: Database) -> None:
    with database.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT USAGE ON SCHEMA public TO reader")
    url = f"{database.url}{'&' if '?' in database.url else '?'}user=reader"
    refused = command_line.run("migrate", DATABASE_URL=url)
    assert "permission denied for schema public" in refused.error_line
    assert refused.exit_code == 1
