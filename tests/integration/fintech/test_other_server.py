"""The main job on a server of one's own, which `DATABASE_URL` names, and on prices of one's own."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg
import pytest

from pipeline.store.engine import libpq_url
from tests.bundled import bundled_bars
from tests.integration.fintech.conftest import CommandLine

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("other_server")]

SYMBOLS = ("AAPL", "AMD", "MSFT")
FIRST_DAY = np.datetime64("2017-06-01")
"""More than the 1,260 returns up to the end of 2022 that a simulation is fitted on."""


@pytest.fixture
def folder_of_prices(tmp_path: Path) -> Path:
    bars = bundled_bars()
    for symbol in SYMBOLS:
        own = bars.take((bars.symbol_index == bars.symbols.index(symbol)) & (bars.sessions >= FIRST_DAY))
        with (tmp_path / f"{symbol}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["date", "adj_close"])
            writer.writerows(zip(own.sessions.astype(str), own.close_adjusted.tolist(), strict=True))
    return tmp_path


def test_the_whole_job_runs_on_it_and_starts_no_other(
    compiled_command_line: CommandLine, new_empty_database: Callable[[], str], folder_of_prices: Path
) -> None:
    address = new_empty_database()
    variables = {
        "DATABASE_URL": address,
        "FINTECH_PROVIDER": "csv",
        "FINTECH_CSV_DIR": str(folder_of_prices),
    }
    first = compiled_command_line.run("run", **variables)
    assert (first.exit_code, first.errors) == (0, "")
    subjects = [line.split(" ")[0] for line in first.output.splitlines()]
    assert all(subjects.count(subject) == 2 for subject in (*SYMBOLS, "core", "tech"))
    assert not (compiled_command_line.data_dir / "pg").exists()
    with psycopg.connect(libpq_url(address)) as connection:
        rows = connection.execute(
            "SELECT symbol, count(*) FROM price JOIN instrument ON id = instrument_id GROUP BY symbol"
        ).fetchall()
    offered = {symbol: (folder_of_prices / f"{symbol}.csv").read_text().count("\n") - 1 for symbol in SYMBOLS}
    assert dict(rows) == offered

    second = compiled_command_line.run("run", **variables)
    assert (second.exit_code, second.errors) == (0, "")
    assert ", 0 rows written:" in second.output
