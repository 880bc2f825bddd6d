"""Planning writes nothing; a backfill computes what the plan shows, and a second one finds nothing to do."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from tests.integration.fintech.conftest import CommandLine
from tests.integration.fintech.contents import writers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backfill")]

AUTUMN = ("--from", "2022-10", "--to", "2022-12")


@pytest.fixture(scope="module")
def filled(backfill_command_line: CommandLine) -> CommandLine:
    """Three months of prices and risk, on an empty machine."""
    done = backfill_command_line.run("backfill", *AUTUMN, "--assets", "prices,instrument_risk")
    assert (done.exit_code, done.errors) == (0, "")
    assert "6 partitions materialised" not in done.output  # and the instruments
    assert "7 partitions materialised" in done.output
    return backfill_command_line


def test_a_backfill_computes_what_is_selected(filled: CommandLine) -> None:
    with filled.rows() as ask:
        built = ask(
            "SELECT asset, count(*), min(month)::text FROM asset_partition WHERE rows > 0 GROUP BY 1 ORDER BY 1"
        )
    assert built == [
        ("instrument_risk", 3, "2022-10-01"),
        ("instruments", 1, "0001-01-01"),
        ("prices", 3, "2022-10-01"),
    ]


def test_a_plan_shows_the_states_and_writes_nothing(filled: CommandLine) -> None:
    with filled.rows() as ask:
        before = writers(ask)
    shown = filled.run("plan", "--from", "2022-09", "--to", "2022-12", "--assets", "prices,instrument_risk")
    with filled.rows() as ask:
        assert writers(ask) == before
    assert (shown.exit_code, shown.errors) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in shown.output.splitlines() if line}
    assert rows["prices"][:5] == ["1", "0", "0", "3", "1"]
    assert "2 partitions to compute" in shown.output


def test_a_second_backfill_finds_nothing_to_do(filled: CommandLine) -> None:
    again = filled.run("backfill", *AUTUMN, "--assets", "prices,instrument_risk")
    assert again.exit_code == 0
    assert "0 partitions materialised, 0 rows written" in again.output


def test_what_is_current_is_computed_again_on_request_and_is_the_same(filled: CommandLine) -> None:
    with filled.rows() as ask:
        before = writers(ask)
    again = filled.run("backfill", *AUTUMN, "--assets", "prices", "--all")
    assert ", 0 rows written:" in again.output
    with filled.rows() as ask:
        assert writers(ask) == before


def test_a_release_is_kept_and_the_month_is_loaded_again(filled: CommandLine) -> None:
    with filled.rows() as ask:
        ask(
            "INSERT INTO quarantine (provider, symbol, session, rule, payload, materialization_id)"
            """ VALUES ('bundled', 'AAPL', '2022-11-07', 'spike', '{"close_adjusted": 1.0}', 1) RETURNING 1"""
        )
    listed = filled.run("quarantine", "list")
    assert "AAPL" in listed.output
    assert "held" in listed.output
    released = filled.run("quarantine", "release", "AAPL", "2022-11-07", "--by", "an analyst", "--note", "checked")
    assert (released.exit_code, released.errors) == (0, "")
    assert "released: AAPL 2022-11-07, refused by spike." in released.output
    with filled.rows() as ask:
        assert ask("SELECT decision, decided_by FROM quarantine_decision") == [("released", "an analyst")]
    assert filled.run("quarantine", "list", "--state", "held").output == "Nothing is held.\n"


def test_nothing_to_release_is_one_line(filled: CommandLine) -> None:
    refused = filled.run("quarantine", "release", "AAPL", "2022-11-08", "--by", "a", "--note", "b")
    assert refused.exit_code == 1
    assert refused.error_line.startswith("error: Nothing of AAPL on 2022-11-08 is in quarantine.")


def test_a_refused_answer_is_listed_and_written_byte_for_byte(filled: CommandLine) -> None:
    assert filled.run("quarantine", "payloads").output == "No answer of a vendor was refused.\n"
    content = bytes(range(256)) + b"<html>\r\n"
    digest = hashlib.sha256(content).hexdigest()
    with filled.rows() as ask:
        ask(
            "INSERT INTO raw_payload (sha256, provider, name, media_type, size_bytes, content)"
            f" VALUES ('{digest}', 'vendor', 'AAPL', 'text/html', {len(content)}, '\\x{zlib.compress(content).hex()}')"
            " RETURNING 1"
        )
        ask(
            "INSERT INTO payload_refusal (sha256, provider, name, rule, asset, reason, times)"
            f" VALUES ('{digest}', 'vendor', 'AAPL', 'html_payload', 'prices', 'it is a web page', 1) RETURNING 1"
        )
    listed = filled.run("quarantine", "payloads")
    assert digest[:16] in listed.output
    assert "it is a web page" in " ".join(listed.output.split())
    written = filled.start("quarantine", "payload", digest[:16])
    assert written.process.wait(60) == 0
    assert written.output_file.read_bytes() == content
    nothing = filled.run("quarantine", "payload", "0" * 64)
    assert nothing.exit_code == 1
    assert nothing.error_line.startswith("error: No answer with the digest")


def test_a_rebuild_builds_the_table_anew_and_changes_no_row(filled: CommandLine) -> None:
    """The last test of the module, for it loads all months."""
    number = "SELECT inhrelid::int8 FROM pg_inherits WHERE inhparent = 'price'::regclass ORDER BY 1"
    rows = "SELECT p.* FROM price AS p ORDER BY 1, 2"
    filled.run("backfill", "--assets", "prices")
    with filled.rows() as ask:
        before, stored = ask(number), ask(rows)
    rebuilt = filled.run("backfill", "--assets", "prices", "--rebuild")
    assert (rebuilt.exit_code, rebuilt.errors) == (0, "")
    assert ", 0 rows written:" in rebuilt.output
    with filled.rows() as ask:
        assert ask(number) != before
        assert ask(rows) == stored
    refused = filled.run("backfill", "--assets", "prices", "--rebuild", "--from", "2022-10")
    assert refused.exit_code == 2
    assert "--rebuild takes all months of an asset" in refused.error_line
