"""What is found out of rows that are not judged yet makes a load sooner, and never another one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from psycopg import errors
from sqlalchemy import MetaData

from pipeline.base.types import BoolArray, MonthRange
from pipeline.store import writing
from pipeline.store.engine import Database
from pipeline.store.offering import Columns
from pipeline.store.preparing import preparing
from pipeline.store.prices import PRICE, price_rows, replace_prices
from pipeline.store.writing import WriteOutcome, open_write
from tests.integration.store.test_rebuilding import contents

MONTHS = MonthRange(date(2022, 1, 1), date(2022, 6, 1))
DAYS = np.arange("2022-01-01", "2022-07-01", dtype="datetime64[D]")
IDS = np.repeat(np.arange(1, 13, dtype=np.int32), len(DAYS))
FIRST = np.arange(len(IDS)) % 3 * 1.0 + 1.0


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BULK_ROWS", 50)
    monkeypatch.setattr(writing, "REBUILT_SHARE", 2.0)


def rows(close: np.ndarray) -> Columns:
    return price_rows(IDS, np.tile(DAYS, 12), 1, {"close": close})


def taken(columns: Columns, chosen: BoolArray) -> Columns:
    return {name: values[chosen] for name, values in columns.items()}


def write(
    database: Database, candidates: Columns, chosen: BoolArray, *, prepared: bool, anew: bool = True
) -> WriteOutcome:
    with open_write(database, "prices", "run", "v1", anew=anew, table=PRICE) as opened:
        if not prepared:
            return replace_prices(opened, taken(candidates, chosen), MONTHS)
        with preparing(opened, PRICE, candidates, MONTHS) as ahead:
            pass
        return replace_prices(opened, ahead.result().take(chosen), MONTHS)


def draws(seed: int) -> tuple[Columns, BoolArray]:
    """Bars of which a few are revised, some of those to no close at all, and a few refused."""
    rng = np.random.default_rng(seed)
    close = np.where(rng.random(len(IDS)) < 0.05, 7.0, FIRST)
    close[rng.random(len(IDS)) < 0.01] = np.nan
    return rows(close), ~np.isnan(close) & (rng.random(len(IDS)) > 0.02)


@pytest.mark.parametrize("anew", [True, False])
def test_a_load_that_is_prepared_gives_what_another_gives(new_database: Callable[[], Database], *, anew: bool) -> None:
    results = []
    for prepared in (False, True):
        database = new_database()
        outcomes = [write(database, *draws(seed), prepared=prepared, anew=anew) for seed in (1, 2, 3)]
        assert [outcome.built_anew for outcome in outcomes[1:]] == [anew] * 2
        results.append((outcomes, contents(database)))
    assert results[0] == results[1]
    last = results[0][0][-1]
    assert min(last.inserted, last.revised, last.unchanged, last.deleted) > 0


def test_rows_that_nobody_has_prepared_are_looked_for(database: Database) -> None:
    """What is offered in the end differs from what was prepared."""
    everything = np.ones(len(IDS), dtype=bool)
    write(database, rows(FIRST), everything, prepared=False)
    other = np.where(np.arange(len(IDS)) % 100 == 1, 8.0, FIRST)
    with open_write(database, "prices", "run", "v1", anew=True, table=PRICE) as opened:
        with preparing(opened, PRICE, rows(np.where(np.arange(len(IDS)) % 100 == 0, 7.0, FIRST)), MONTHS):
            pass
        outcome = replace_prices(opened, rows(other), MONTHS)
    assert outcome.revised == (other == 8.0).sum()
    assert outcome.built_anew
    history = contents(database)["price_history"]
    assert len(history) == outcome.revised
    assert {(row[0], row[1]) for row in history} == {
        (number, day.astype(object))
        for number, day in zip(IDS[other == 8.0], np.tile(DAYS, 12)[other == 8.0], strict=True)
    }


def test_rows_of_other_months_are_refused_with_the_column(database: Database) -> None:
    everything = np.ones(len(IDS), dtype=bool)
    write(database, rows(FIRST), everything, prepared=False)
    one_month = MonthRange(date(2022, 1, 1), date(2022, 1, 1))
    with (
        pytest.raises(ValueError, match="price: session lies outside the months"),
        open_write(database, "prices", "run", "v1", anew=True, table=PRICE) as opened,
        preparing(opened, PRICE, rows(FIRST), one_month) as ahead,
    ):
        ahead.result()


@pytest.mark.parametrize("anew", [True, False])
def test_who_prepares_in_vain_is_told_why_and_not_by_the_next_statement(database: Database, *, anew: bool) -> None:
    def prepare_in_vain() -> None:
        with open_write(database, "prices", "run", "v1", anew=anew, table=PRICE) as opened:
            opened.connection.execute("ALTER TABLE asset_partition RENAME TO elsewhere")
            with preparing(opened, PRICE, rows(FIRST), MONTHS):
                pass
            opened.connection.execute("SELECT 1")

    with pytest.raises(errors.UndefinedTable, match="asset_partition"):
        prepare_in_vain()


def test_who_writes_nothing_is_told_why_the_table_cannot_be_read(database: Database) -> None:
    absent = PRICE.to_metadata(MetaData(), name="absent")
    with (
        pytest.raises(errors.UndefinedTable, match="absent") as caught,
        open_write(database, "prices", "run", "v1", anew=True, table=absent) as opened,
        preparing(opened, PRICE, rows(FIRST), MONTHS),
    ):
        pass
    assert caught.value.__cause__ is not caught.value
