"""`fintech instruments`: retired and renamed by an operator, and what is refused."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.instruments import Listing, read_instrument, replace_instruments
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.writing import open_write
from tests.integration.fintech.conftest import CommandLine

MAY = MonthRange(date(2022, 5, 1), date(2022, 5, 1))


@pytest.fixture
def listed(database: Database) -> Database:
    """FB with a price on 2 May 2022, and OTH without."""
    with open_write(database, "instruments", "run", "v1") as write:
        replace_instruments(write, [Listing(s, s, "stock", "", "USD", "XNYS", "vendor") for s in ("FB", "OTH")])
    with open_write(database, "prices", "run", "v1") as write:
        ids, days = np.array([1], dtype=np.int32), np.array(["2022-05-02"], dtype="datetime64[D]")
        replace_prices(write, price_rows(ids, days, 1, {"close": np.array([7.0])}), MAY)
    return database


def test_an_instrument_is_renamed_and_then_retired(command_line: CommandLine, listed: Database) -> None:
    renamed = command_line.run("instruments", "rename", "FB", "META", "--on", "2022-05-02", DATABASE_URL=listed.url)
    assert (renamed.exit_code, renamed.errors) == (0, "")
    assert "FB is META since 2022-05-02, and was FB before" in renamed.output
    retired = command_line.run("instruments", "retire", "META", "--on", "2022-05-03", DATABASE_URL=listed.url)
    assert (retired.exit_code, retired.errors) == (0, "")
    assert "META@2022-05-03" in retired.output
    with listed.connect() as connection:
        found = read_instrument(connection, "FB@2022-05-01")
        assert found == read_instrument(connection, "META@2022-05-03")
    assert (found.id, found.symbol, found.delisted_on) == (1, "META", date(2022, 5, 3))
    again = command_line.run("instruments", "retire", "META", "--on", "2022-05-03", DATABASE_URL=listed.url)
    assert again.exit_code == 1
    assert "META is already retired, on 2022-05-03. There is nothing to do." in again.error_line


@pytest.mark.parametrize(
    ("arguments", "exit_code", "cause"),
    [
        (["retire", "FB", "--on", "2022-04-29"], 1, "on: FB has prices until 2022-05-02, after 2022-04-29. Retire it"),
        (["retire", "XX", "--on", "2022-05-02"], 1, "No instrument has the symbol 'XX'"),
        (["retire", "FB", "--on", "2.5.2022"], 2, "--on '2.5.2022' is not a date. Write it as 2022-05-02."),
        (["retire", "FB", "--on", "2199-01-01"], 2, "--on 2199-01-01 is still to come"),
        (["retire", "FB"], 2, "Missing parameter: on. See fintech --help."),
        (["rename", "FB", "OTH", "--on", "2022-05-02"], 1, "An instrument has the symbol OTH now"),
        (["rename", "FB", "FB", "--on", "2022-05-02"], 2, "'FB' cannot be the new symbol of FB"),
        (["rename", "FB", "A B", "--on", "2022-05-02"], 2, "'A B' cannot be the new symbol of FB"),
        (["rename", "XX", "YY", "--on", "2022-05-02"], 1, "No instrument has the symbol 'XX'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    command_line: CommandLine, listed: Database, arguments: list[str], exit_code: int, cause: str
) -> None:
    refused = command_line.run("instruments", *arguments, DATABASE_URL=listed.url)
    assert cause in refused.error_line
    assert refused.exit_code == exit_code
    with listed.connect() as connection:
        assert connection.execute("SELECT count(*) FROM materialization").fetchone() == (2,)
