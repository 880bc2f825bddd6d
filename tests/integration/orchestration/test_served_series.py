"""Assets write what the API passes through, with the rows that it is made from."""

from __future__ import annotations

from datetime import date

from pydantic_core import to_json

from pipeline.base.types import MonthRange
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import read_instruments
from pipeline.store.outdating import PRICE_SERIES, RISK_SERIES
from pipeline.store.prices import read_bars
from pipeline.store.reading import Window
from pipeline.store.served_series import ServedSeries, read_series_of_instrument
from tests.integration.orchestration.conftest import Platform
from tests.integration.orchestration.test_later_actions import LOADED, load

EVERYTHING = Window(limit=10_000)
DECEMBER = MonthRange(date(2022, 12, 1), date(2022, 12, 1))


def texts(platform: Platform, resource: str, symbol: str = "AAPL") -> ServedSeries | None:
    with platform.database.connect() as connection:
        return read_series_of_instrument(connection, resource, symbol, EVERYTHING.limit, {})


def is_of_its_rows(platform: Platform, symbol: str) -> bool:
    found = texts(platform, PRICE_SERIES, symbol)
    with platform.database.connect() as connection:
        number = next(each.id for each in read_instruments(connection) if each.symbol == symbol)
        rows = read_bars(connection, number, EVERYTHING)
    return found is not None and b"[" + b",".join(found.bodies) + b"]" == to_json(rows, inf_nan_mode="null")


def test_prices_are_stored_as_they_are_answered(platform: Platform) -> None:
    platform.materialize("market_data", ["instruments"])
    load(platform, LOADED, "2022-12-01", "2022-12-15")
    assert is_of_its_rows(platform, "AAPL")
    before = {symbol: texts(platform, PRICE_SERIES, symbol) for symbol in ("AAPL", "KO")}
    load(platform, DECEMBER)  # with a split of AAPL, which changes every close before it
    assert is_of_its_rows(platform, "AAPL")
    assert is_of_its_rows(platform, "KO")
    after = {symbol: texts(platform, PRICE_SERIES, symbol) for symbol in before}
    assert [one == other for one, other in zip(before["AAPL"].bodies, after["AAPL"].bodies, strict=True)] == [False] * 2
    assert before["KO"].bodies[0] == after["KO"].bodies[0]
    assert before["KO"].bodies[1] in after["KO"].bodies[1]


def test_risk_is_stored_as_it_is_answered(priced: Platform) -> None:
    autumn = MonthRange(date(2022, 10, 1), date(2022, 12, 1))
    priced.materialize("risk", ["instrument_risk"], autumn)
    found = texts(priced, RISK_SERIES)
    [(rows,)] = priced.rows(
        f"SELECT count(*) FROM {INSTRUMENT_RISK.name} JOIN instrument ON instrument_id = id WHERE symbol = 'AAPL'"
    )
    assert found is not None
    assert rows == found.bodies[0].count(b'"session":') > 50
    assert not priced.rows("SELECT * FROM outdated_year WHERE resource IN ('prices', 'instrument_risk')")
    writers = priced.rows("SELECT max(materialization_id) FROM served_year")
    priced.materialize("risk", ["instrument_risk"], autumn)
    assert priced.rows("SELECT max(materialization_id) FROM served_year") == writers
