"""A backup is of one moment, there once it is whole, and none is lost to one that fails."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fintech.operations import backup as backing_up
from fintech.operations.backup import backups_in
from fintech.operations.manifest import MANIFEST, Manifest
from fintech.operations.programs import program
from pipeline.base.errors import DatabaseError
from pipeline.store.dumping import sum_tables
from pipeline.store.engine import database_name, libpq_url
from tests.integration.fintech.operations.conftest import Platform, with_address
from tests.integration.fintech.test_full_disk import small_disk


def test_it_says_which_moment_it_is_of(platform: Platform) -> None:
    made = platform.backup()
    manifest = Manifest.read(made)
    manifest.require_files(made)
    application = manifest.databases["application"]
    with platform.database.connect() as connection:
        assert sum_tables(connection) == application.tables
        [(revision,)] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert application.revision == revision
    assert application.tables["public.price"].rows > 0
    assert f"log position {application.lsn}, revision {revision}." in platform.said.getvalue()
    assert manifest.databases["dagster"].revision is None
    assert (made.stat().st_mode & 0o777) == 0o700


def test_what_is_committed_meanwhile_is_not_in_it(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two snapshots and the dumps somebody deletes everything, and both dump and sums have it still."""
    dump, deleted = backing_up.run_program, []

    def dump_after_a_change(*arguments: object) -> None:
        if not deleted:
            with platform.database.connect() as connection:
                deleted.append(connection.execute("DELETE FROM price").rowcount)
        dump(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(backing_up, "run_program", dump_after_a_change)
    made = platform.backup()
    assert Manifest.read(made).databases["application"].tables["public.price"].rows == deleted[0] > 0
    platform.restore(made, replace=True)
    with platform.database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM price").fetchone() == (deleted[0],)


def test_sums_find_what_differs_and_not_the_order(platform: Platform) -> None:
    with platform.database.connect() as connection:
        first = sum_tables(connection)["public.price"]
        connection.execute("CREATE TEMPORARY TABLE all_prices AS SELECT * FROM price ORDER BY random()")
        connection.execute("DELETE FROM price")
        connection.execute("INSERT INTO price SELECT * FROM all_prices")
        assert sum_tables(connection)["public.price"] == first
        connection.execute(
            "UPDATE price SET close_adjusted = close_adjusted * 1.0000000001 WHERE ctid = (SELECT min(ctid) FROM price)"
        )
        other = sum_tables(connection)["public.price"]
        assert other.rows == first.rows
        assert other.sum != first.sum
        connection.rollback()


def test_the_last_ones_are_kept(platform: Platform) -> None:
    made = [platform.backup(keep=2) for _ in range(3)]
    assert backups_in(platform.folder) == [made[2], made[1]]
    assert f"Removed {made[0]}." in platform.said.getvalue()


def test_drafts_of_killed_backups_go_and_are_no_backups(platform: Platform) -> None:
    old, new = (platform.folder / f"{backing_up.DRAFT}{name}" for name in ("old", "new"))
    for draft in (old, new):
        draft.mkdir(parents=True)
        (draft / MANIFEST).write_text("{}")
    os.utime(old, (time.time() - 2 * backing_up.ABANDONED_SECONDS,) * 2)
    made = platform.backup(keep=1)
    assert sorted(platform.folder.iterdir()) == sorted([new, made])
    assert backups_in(platform.folder) == [made]


def test_a_full_disk_leaves_the_backups_before(platform: Platform) -> None:
    with small_disk() as disk:
        platform.folder = disk / "backups"
        made = platform.backup()
        filler = disk / "filler"
        filler.write_bytes(b"\0" * (shutil.disk_usage(disk).free - 2**15))
        with pytest.raises(DatabaseError, match=r"pg_dump failed, .*No space left on device"):
            platform.backup(keep=1)
        assert list(platform.folder.iterdir()) == [made]


def test_a_folder_that_cannot_be_written_is_named(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    platform.folder = tmp_path / "file" / "backups"
    with pytest.raises(backing_up.BackupError, match=r"cannot be written .*--folder"):
        platform.backup()


# Passwords ---------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(platform: Platform) -> Iterator[Platform]:
    """The platform by a user of whom its server wants a password."""
    user = f"guarded_{database_name(platform.database.url)}"
    [(rules,)] = platform.tell("SHOW hba_file")
    before = Path(rules).read_text()
    Path(rules).write_text(f"local all {user} scram-sha-256\n{before}")
    platform.tell(f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD 'right'")
    platform.tell("SELECT pg_reload_conf()")
    address = platform.database.url.partition("@")
    yield with_address(platform, f"postgresql://{user}:right@{address[2]}")
    Path(rules).write_text("".join(line for line in Path(rules).read_text().splitlines(True) if user not in line))
    platform.tell("SELECT pg_reload_conf()")
    platform.tell(f"DROP OWNED BY {user}")


def test_a_password_is_given_to_the_programs_out_of_sight(guarded: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    start = backing_up.run_program.__globals__["subprocess"].Popen

    def watched(command: list[str], **options: object) -> object:
        seen.append(command)
        return start(command, **options)

    monkeypatch.setattr(backing_up.run_program.__globals__["subprocess"], "Popen", watched)
    made = guarded.backup()
    assert len(seen) >= 2
    assert not any("right" in str(word) for command in seen for word in command)
    assert "right" not in (made / MANIFEST).read_text()


def test_a_wrong_password_is_told_without_it(guarded: Platform) -> None:
    wrong = with_address(guarded, guarded.database.url.replace(":right@", ":wr0ng@"))
    with pytest.raises(DatabaseError, match="password authentication failed") as refused:
        wrong.backup()
    assert "wr0ng" not in str(refused.value)
    assert list(wrong.folder.iterdir()) == []


def test_a_program_that_is_older_than_the_server_is_refused() -> None:
    with pytest.raises(DatabaseError, match=r"No pg_dump of Postgres 99 or newer is at hand \(.*pg_dump is \d+"):
        program("pg_dump", 99)


def test_the_program_fits_the_server(platform: Platform) -> None:
    with psycopg.connect(libpq_url(platform.database.url)) as connection:
        major = connection.info.server_version // 10_000
    assert json.loads((platform.backup() / MANIFEST).read_text())["databases"]["dagster"]["server_major"] == major
    assert program("pg_dump", major).exists()
