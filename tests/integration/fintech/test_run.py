"""A run that completes, after others were interrupted; and a second one, which finds nothing to do."""

from __future__ import annotations

import re

import pytest

from fintech.samples import sample_portfolios
from fintech.summary import summary_tables
from pipeline.base.compiled_code import COMPLETE
from pipeline.orchestration.partitions import known_months
from pipeline.store.embedded import embedded_server
from pipeline.store.engine import Database, with_database
from pipeline.store.instruments import read_instruments
from tests.integration.fintech.conftest import CommandLine, Ended
from tests.integration.fintech.contents import MONTHLY_TABLES, found_rows, half_written, recorded_rows, writers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shared_data_folder")]

TERMINAL_COLUMNS = 80


def test_the_run_completes(completed_run: Ended, shared_command_line: CommandLine) -> None:
    assert (completed_run.exit_code, completed_run.errors) == (0, "")
    assert shared_command_line.leftovers() == []


def test_compiled_code_is_kept_in_the_data_folder(completed_run: Ended, shared_command_line: CommandLine) -> None:
    assert list((shared_command_line.data_dir / "numba").rglob("*.nbi"))


def test_nothing_is_left_to_compile_for_the_run_itself(completed_run: Ended, shared_command_line: CommandLine) -> None:
    folder = shared_command_line.data_dir / "numba"
    (complete,) = folder.rglob(COMPLETE)
    assert [file for file in folder.rglob("*.nb?") if file.stat().st_mtime > complete.stat().st_mtime] == []


def test_every_month_of_every_asset_is_there_with_the_rows_that_were_recorded(
    completed_run: Ended, shared_command_line: CommandLine
) -> None:
    with shared_command_line.rows() as ask:
        assert half_written(ask) == []
        for asset in MONTHLY_TABLES:
            ((months,),) = ask(f"SELECT count(*) FROM asset_partition WHERE asset = '{asset}'")
            assert months == len(known_months()), asset
            rows = sum(found_rows(ask, asset).values())
            assert rows == sum(recorded_rows(ask, asset).values()), asset
            assert rows > 300 or asset == "portfolio_units", asset  # no sample portfolio has a drift band


def test_interrupted_starts_left_nothing_behind(completed_run: Ended, shared_command_line: CommandLine) -> None:
    with shared_command_line.rows() as ask:
        databases = {name for (name,) in ask("SELECT datname FROM pg_database WHERE NOT datistemplate")}
    assert databases == {"postgres", "fintech", "fintech_dagster"}
    assert not (shared_command_line.data_dir / "pg.unfinished").exists()


def test_the_output_is_plain_lines_with_count_total_and_estimate(completed_run: Ended) -> None:
    lines = completed_run.output.splitlines()
    for work in (
        "market_data: instruments ...",
        "simulation: portfolio_simulation, strategy_weights, strategy_nav ...",
    ):
        assert work in lines
    assert [line for line in lines if re.fullmatch(r"  \d+/\d+ partitions, \d+ s, about \d+ s left.*", line)]
    assert "\x1b" not in completed_run.output
    assert "Done in " in completed_run.output


def test_the_summary_fits_a_terminal_and_names_every_instrument_and_portfolio(
    completed_run: Ended, shared_command_line: CommandLine
) -> None:
    with (
        embedded_server(shared_command_line.data_dir / "pg") as address,
        Database(with_database(address, "fintech")).connect() as connection,
    ):
        instruments = {instrument.symbol: instrument for instrument in read_instruments(connection)}
        titles = [str(table.title) for table in summary_tables(connection)]
    lines = [line.rstrip() for line in completed_run.output.splitlines()]
    first = lines.index(titles[0])
    assert all(len(line) <= TERMINAL_COLUMNS for line in lines[first:])
    assert all(title in lines for title in titles)
    samples = [sample.slug for sample in sample_portfolios(instruments)]
    assert len(samples) == 3
    for subject in [*instruments, *samples]:
        was, may_come = (line.split() for line in lines if line.split(" ")[0] == subject)
        assert all(is_number(cell) for cell in [*was[2:], *may_come[1:]]), subject
        assert (len(was), len(may_come)) == (2 + 7, 1 + 8), subject


def is_number(cell: str) -> bool:
    return re.fullmatch(r"-?\d+\.\d+", cell) is not None


def test_a_second_run_writes_no_row_and_says_so(completed_run: Ended, shared_command_line: CommandLine) -> None:
    with shared_command_line.rows() as ask:
        before = writers(ask)
    second = shared_command_line.run("run")
    with shared_command_line.rows() as ask:
        after = writers(ask)
    assert (second.exit_code, second.errors) == (0, "")
    assert ", 0 rows written:\n  0 new, 0 revised, 0 deleted, " in second.output
    assert after == before
    assert "simulation: portfolio_simulation" not in second.output
