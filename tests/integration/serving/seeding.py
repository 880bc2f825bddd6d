"""A small database with a few results of each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import Date, Double, Table, Text

from pipeline.base.types import MonthRange
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import rolling_report
from pipeline.store.engine import Database
from pipeline.store.fx_rates import FX_RATE
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import Instrument, Listing, read_instruments, replace_instruments
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from pipeline.store.prices import price_rows, replace_prices
from pipeline.store.providers import record_provider
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.schema import WRITER, session_column
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST
from pipeline.store.writing import Write, open_write

NOTICE = "Demonstration data: made up for tests."
SESSIONS = np.arange("2020-01-01", "2022-12-29", dtype="datetime64[D]")
SESSIONS = SESSIONS[np.is_busday(SESSIONS)]
DOLLARS_PER_EURO = np.r_[
    1.1 + 0.05 * np.sin(0.07 * np.arange(len(SESSIONS) - 5)) + 0.01 * np.cos(1.3 * np.arange(len(SESSIONS) - 5)),
    1.0 + 0.01 * np.arange(5),
]
SHORT_SESSIONS = 30
"""Prices of NEW, which was listed late."""
MONTHS = MonthRange(date(2020, 1, 1), date(2022, 12, 1))
_LISTINGS = (
    Listing("AAPL", "Apple", "stock", "Information Technology", "USD", "XNYS", "bundled"),
    Listing("MSFT", "Microsoft", "stock", "Information Technology", "USD", "XNYS", "bundled"),
    Listing("NEW", "Newcomer", "stock", "Energy", "USD", "XNYS", "bundled"),
    Listing("SAP", "SAP", "stock", "Information Technology", "EUR", "XETR", "bundled"),
    Listing("SPX", "S&P 500", "index", "", "USD", "XNYS", "bundled"),
)


@dataclass(frozen=True, slots=True)
class Seeded:
    """What is in the database."""

    database: Database
    instruments: dict[str, Instrument]
    close: dict[str, NDArray[np.float64]]
    """Symbol → prices on the last sessions."""
    portfolios: dict[str, int]
    """Slug → id."""


def seed(database: Database) -> Seeded:
    """Five instruments, three years of prices, three portfolios, and a few results of each kind."""
    with open_write(database, "instruments", "test", "1") as write:
        replace_instruments(write, _LISTINGS)
        record_provider(write.connection, "bundled", NOTICE)
        instruments = {instrument.symbol: instrument for instrument in read_instruments(write.connection)}
        close = _seed_prices(write, instruments)
        write.replace(
            FX_RATE,
            {"currency": _text("USD", len(SESSIONS)), "session": SESSIONS, "units_per_euro": DOLLARS_PER_EURO},
            MONTHS,
        )
        _seed_results(write.replace, instruments["AAPL"].id, close["AAPL"])
        portfolios = _seed_portfolios(write.connection, instruments)
        rows = {"portfolio_id": np.full(3, portfolios["held"], "i4"), "session": SESSIONS[-3:]}
        write.replace(PORTFOLIO_RISK, filled(PORTFOLIO_RISK, 3, **rows), MONTHS)
        rows = {name: values[:2] for name, values in rows.items()} | {"model": _text("student_t", 2)}
        rows |= {"parameters": _text('{"freedom": 4.5, "scale": 0.01}', 2)}
        write.replace(PORTFOLIO_SIMULATION, filled(PORTFOLIO_SIMULATION, 2, **rows), MONTHS)
    return Seeded(database, instruments, close, portfolios)


def _seed_prices(write: Write, instruments: dict[str, Instrument]) -> dict[str, NDArray[np.float64]]:
    draws = np.random.default_rng(7)
    market = draws.normal(0.0004, 0.01, len(SESSIONS))
    lengths = dict.fromkeys(instruments, len(SESSIONS)) | {"NEW": SHORT_SESSIONS}
    close = {
        symbol: 100 * np.cumprod(1 + 0.8 * market[-length:] + draws.normal(0, 0.01, length))
        for symbol, length in lengths.items()
    }
    columns = price_rows(
        np.concatenate([np.full(len(close[s]), i.id, "i4") for s, i in instruments.items()]),
        np.concatenate([SESSIONS[-len(close[s]) :] for s in instruments]),
        1,
        {"close_adjusted": np.concatenate([close[s] for s in instruments])},
    )
    replace_prices(write, columns, MONTHS)
    return close


def _seed_results(replace: Callable[..., object], instrument_id: int, close: NDArray[np.float64]) -> None:
    rows = slice(len(SESSIONS) - 3, len(SESSIONS))
    report = rolling_report(simple_returns(close), None, rows, RiskSpec())  # no benchmark: beta is NULL
    subject = {"instrument_id": np.full(3, instrument_id, "i4"), "session": SESSIONS[-3:]}
    replace(INSTRUMENT_RISK, {**subject, **report.columns}, MONTHS)
    # Two sessions, two models; the younger session is the last.
    subject = {
        "instrument_id": np.full(4, instrument_id, "i4"),
        "as_of": np.repeat(SESSIONS[-2:], 2),
        "model": np.array([b"ewma", b"har"] * 2),
        "trained_through": np.repeat(SESSIONS[-2:], 2),
    }
    missing = {"volatility_21d": np.array([0.2, np.nan] * 2)}
    replace(VOLATILITY_FORECAST, filled(VOLATILITY_FORECAST, 4, **subject, **missing), MONTHS)
    subject = {name: values[::2] for name, values in subject.items()}
    replace(QUANTILE_FORECAST, filled(QUANTILE_FORECAST, 2, **subject), MONTHS)


def _seed_portfolios(connection: psycopg.Connection, instruments: dict[str, Instrument]) -> dict[str, int]:
    def positions(**amounts: dict[str, float]) -> tuple[Position, ...]:
        return tuple(Position(instruments[s].id, s, **amount) for s, amount in amounts.items())

    new = (
        NewPortfolio("Held", "buy_and_hold", positions(AAPL={"quantity": 2.0}, MSFT={"quantity": 1.0}), slug="held"),
        NewPortfolio(
            "Quarterly",
            "quarterly",
            positions(AAPL={"target_weight": 0.25}, MSFT={"target_weight": 0.75}),
            slug="quarterly",
        ),
        NewPortfolio("Young", "daily", positions(NEW={"target_weight": 1.0}), slug="young"),
    )
    return {portfolio.slug or "": create_portfolio(connection, portfolio) for portfolio in new}


def filled(table: Table, rows: int, **given: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Rows of a table with something plausible in each column that is not given."""
    columns = dict(given)
    for column in table.columns:
        if column.name in columns or column.name == WRITER:
            continue
        if isinstance(column.type, Double):
            columns[column.name] = 0.01 + 0.001 * _n(rows)
        elif isinstance(column.type, Text):
            columns[column.name] = _text("x", rows)
        elif isinstance(column.type, Date):
            columns[column.name] = SESSIONS[-rows:]
        else:
            columns[column.name] = np.full(rows, 252, "i8" if column.name == "seed" else _width(column.type))
    assert session_column(table) in columns
    return columns


def _width(kind: object) -> str:
    return "i2" if type(kind).__name__ == "SmallInteger" else "i4"


def _n(rows: int) -> NDArray[np.float64]:
    return np.arange(rows, dtype=np.float64)


def _text(value: str, rows: int) -> NDArray[np.bytes_]:
    return np.full(rows, value.encode())
