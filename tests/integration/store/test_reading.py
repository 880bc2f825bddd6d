"""Windows of a series and its monthly means, on tables with one and with several rows a session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.store.engine import Database
from pipeline.store.fx_rates import FX_RATE, FxRate, read_fx_rates
from pipeline.store.instruments import INSTRUMENT
from pipeline.store.prices import PRICE, Bar, price_rows, read_bars, read_last_session, replace_prices
from pipeline.store.reading import LATEST, Window, read_monthly_means, read_newest
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST, read_volatility_forecasts
from pipeline.store.writing import open_write

YEARS = MonthRange(date(2015, 1, 1), date(2024, 12, 1))
DAYS = [date(2022, 5, 2) + timedelta(days=number) for number in range(10)]


def store_prices(database: Database, prices: dict[tuple[int, date], float]) -> None:
    with open_write(database, "prices", "run", "v1") as write:
        columns = price_rows(
            np.array([instrument for instrument, _ in prices], dtype=np.int32),
            np.array([day for _, day in prices], dtype="datetime64[D]"),
            1,
            {"close_adjusted": np.array(list(prices.values()), dtype=np.float64)},
        )
        replace_prices(write, columns, YEARS)


@pytest.fixture
def priced(database: Database) -> Database:
    """Ten sessions of instrument 1, stored newest first, and one later session of instrument 2."""
    prices = {(1, day): float(number) for number, day in enumerate(DAYS)}
    store_prices(database, {**dict(reversed(prices.items())), (2, date(2022, 6, 1)): 99.0})
    return database


def closes(database: Database, window: Window, instrument_id: int = 1) -> list[float]:
    with database.connect() as connection:
        return [bar.close_adjusted for bar in read_bars(connection, instrument_id, window)]


# Windows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(), list(range(10))),
        (LATEST, [9]),
        (Window(limit=3), [7, 8, 9]),
        (Window(limit=0), []),
        (Window(start=DAYS[4]), [4, 5, 6, 7, 8, 9]),
        (Window(end=DAYS[2]), [0, 1, 2]),
        (Window(start=DAYS[4], end=DAYS[4]), [4]),
        (Window(start=DAYS[1], end=DAYS[8], limit=2), [7, 8]),
        (Window(start=DAYS[5], end=DAYS[4]), []),
        (Window(start=date(2023, 1, 1)), []),
    ],
    ids=str,
)
def test_a_window_keeps_the_newest_rows_oldest_first(priced: Database, window: Window, expected: list[int]) -> None:
    assert closes(priced, window) == expected


def test_a_window_holds_one_subject(priced: Database) -> None:
    assert closes(priced, Window(), instrument_id=2) == [99.0]
    assert closes(priced, Window(), instrument_id=3) == []


def test_rows_are_records_of_their_fields(priced: Database) -> None:
    with priced.connect() as connection:
        assert read_bars(connection, 1, LATEST) == [Bar(DAYS[9], None, None, None, None, None, 9.0)]
        assert read_last_session(connection) == date(2022, 6, 1)


def test_without_prices_there_is_no_last_session(database: Database) -> None:
    with database.connect() as connection:
        assert read_last_session(connection) is None
        assert read_bars(connection, 1, Window()) == []


def test_a_table_without_sessions_has_no_newest_rows(database: Database) -> None:
    with database.connect() as connection, pytest.raises(ValueError, match="instrument has no session column"):
        read_newest(connection, INSTRUMENT, {"symbol": "AAPL"}, Window(), Bar)


@dataclass(frozen=True)
class Priced:
    close_adjusted: float
    materialization_id: int


def test_the_record_says_which_columns_are_read(priced: Database) -> None:
    with priced.connect() as connection:
        [row] = read_newest(connection, PRICE, {"instrument_id": 2}, LATEST, Priced)
    assert row == Priced(99.0, 1)


def test_values_are_never_read_as_statements(database: Database) -> None:
    with database.connect() as connection:
        assert read_fx_rates(connection, "' OR true --", Window()) == []


def test_a_rate_comes_back(database: Database) -> None:
    rates = {
        "currency": np.array([b"USD", b"JPY", b"USD"]),
        "session": np.array(["2022-05-03", "2022-05-03", "2022-05-02"], dtype="datetime64[D]"),
        "units_per_euro": np.array([1.05, 137.0, 1.0]),
    }
    with open_write(database, "fx_rates", "run", "v1") as write:
        write.replace(FX_RATE, rates, YEARS)
        assert read_fx_rates(write.connection, "USD", Window()) == [
            FxRate(date(2022, 5, 2), 1.0),
            FxRate(date(2022, 5, 3), 1.05),
        ]
        assert read_fx_rates(write.connection, "usd", Window()) == []


@pytest.mark.parametrize("order", [(b"ewma", b"har", b"zeta"), (b"zeta", b"har", b"ewma"), (b"har", b"zeta", b"ewma")])
def test_rows_of_one_session_come_in_the_order_of_their_key(database: Database, order: tuple[bytes, ...]) -> None:
    days = np.array(["2022-05-02"] * 3 + ["2022-05-03"] * 3, dtype="datetime64[D]")
    columns = {
        "instrument_id": np.ones(6, dtype=np.int32),
        "as_of": days,
        "model": np.array([*order, *order]),
        "volatility_1d": np.array([0.1, 0.2, np.nan] * 2),
        "volatility_5d": np.full(6, 0.2),
        "volatility_21d": np.full(6, 0.2),
        "model_version": np.full(6, b"1"),
        "trained_through": days,
    }
    with open_write(database, "volatility_forecast", "run", "v1") as write:
        write.replace(VOLATILITY_FORECAST, columns, YEARS)
        rows = read_volatility_forecasts(write.connection, 1, Window(limit=4))
    assert [(row.as_of.day, row.model) for row in rows] == [(2, "zeta"), (3, "ewma"), (3, "har"), (3, "zeta")]
    assert [row.volatility_1d for row in rows if row.model.encode() == order[2]] == [None] * (1 + (order[2] == b"zeta"))


# Monthly means ---------------------------------------------------------------------------------------------

OPEN_END = date(2025, 1, 1)
MONTH_ENDS = {
    date(2022, 1, 3): 1.0,
    date(2022, 1, 31): 3.0,
    date(2022, 2, 28): 10.0,
    date(2022, 4, 1): 20.0,
    date(2022, 4, 28): 40.0,
}


def means(database: Database, months: int, end: date = OPEN_END, **subject: int) -> list[tuple[date, float]]:
    with database.connect() as connection:
        return read_monthly_means(connection, PRICE, "close_adjusted", end, months, subject)


@pytest.fixture
def monthly(database: Database) -> Database:
    """January, February and April of instrument 1; instrument 2 in April alone."""
    store_prices(database, {(1, day): close for day, close in MONTH_ENDS.items()} | {(2, date(2022, 4, 4)): 90.0})
    return database


JANUARY, FEBRUARY, APRIL = (date(2022, 1, 1), 2.0), (date(2022, 2, 1), 10.0), (date(2022, 4, 1), 30.0)


@pytest.mark.parametrize(
    ("months", "expected"),
    [(60, [JANUARY, FEBRUARY, APRIL]), (4, [JANUARY, FEBRUARY, APRIL]), (3, [FEBRUARY, APRIL]), (1, [APRIL])],
)
def test_means_cover_whole_months_up_to_the_newest(monthly: Database, months: int, expected: list) -> None:
    assert means(monthly, months, instrument_id=1) == expected


def test_a_month_is_never_cut_in_two(database: Database) -> None:
    """Two months with a row before a month without: the first one's mean is of all its days."""
    store_prices(database, {(1, date(2022, 1, 3)): 1.0, (1, date(2022, 1, 31)): 3.0, (1, date(2022, 3, 15)): 5.0})
    assert means(database, 2) == [(date(2022, 3, 1), 5.0)]
    assert means(database, 3) == [JANUARY, (date(2022, 3, 1), 5.0)]


def test_rows_from_the_end_on_do_not_count(monthly: Database) -> None:
    assert means(monthly, 2, date(2022, 4, 1), instrument_id=1) == [JANUARY, FEBRUARY]
    assert means(monthly, 1, date(2022, 4, 2), instrument_id=1) == [(date(2022, 4, 1), 20.0)]
    assert means(monthly, 60, date(2022, 1, 1)) == []


def test_without_a_subject_the_mean_is_over_all(monthly: Database) -> None:
    assert means(monthly, 1) == [(date(2022, 4, 1), 50.0)]
    assert means(monthly, 1, instrument_id=2) == [(date(2022, 4, 1), 90.0)]
    assert means(monthly, 1, instrument_id=3) == []


def test_missing_values_are_no_part_of_a_mean(database: Database) -> None:
    columns = {
        "instrument_id": np.ones(3, dtype=np.int32),
        "as_of": np.array(["2022-03-01", "2022-04-01", "2022-04-04"], dtype="datetime64[D]"),
        "model": np.full(3, b"ewma"),
        "volatility_1d": np.array([np.nan, 0.2, np.nan]),
        "volatility_5d": np.full(3, 0.2),
        "volatility_21d": np.full(3, 0.2),
        "model_version": np.full(3, b"1"),
        "trained_through": np.array(["2022-03-01"] * 3, dtype="datetime64[D]"),
    }
    with open_write(database, "volatility_forecast", "run", "v1") as write:
        write.replace(VOLATILITY_FORECAST, columns, YEARS)
        found = read_monthly_means(write.connection, VOLATILITY_FORECAST, "volatility_1d", OPEN_END, 60, {})
    assert found == [(date(2022, 4, 1), 0.2)]
