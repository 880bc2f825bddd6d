"""Records of the store that need no database."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from sqlalchemy import BigInteger, Date, Double, Integer, MetaData, SmallInteger, Table, Text

from pipeline.store.binary_copy import HEADER, TRAILER, encode
from pipeline.store.factor_exposures import FACTOR_EXPOSURE, FactorExposureRow
from pipeline.store.instrument_risk import INSTRUMENT_RISK
from pipeline.store.instruments import Instrument, benchmark_of, factor_funds_of
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolio_simulations import PORTFOLIO_SIMULATION, SimulationRow
from pipeline.store.portfolios import Position
from pipeline.store.prices import PricePanel
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST, ProbabilityForecastRow
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST, QUANTILE_LEVELS, QuantileForecastRow, quantile_name
from pipeline.store.risk_columns import MEASURE_COLUMNS, RiskRow, measure_columns
from pipeline.store.schema import column, key, session_key, writer
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST, VolatilityForecastRow
from pipeline.store.writing import WriteOutcome, concatenated

EVERY_TYPE = Table(
    "every_type",
    MetaData(),
    key("id", Integer(), "Id."),
    session_key(),
    column("small", SmallInteger(), "Small."),
    column("big", BigInteger(), "Big."),
    column("value", Double(), "Value."),
    column("word", Text(), "Word."),
    column("day", Date(), "Day."),
    writer(),
)


def test_no_parts_give_no_row_of_the_right_types() -> None:
    rows = concatenated(EVERY_TYPE, [])
    assert {name: values.dtype.str for name, values in rows.items()} == {
        "id": "<i4",
        "session": "<M8[D]",
        "small": "<i2",
        "big": "<i8",
        "value": "<f8",
        "word": "|S1",
        "day": "<M8[D]",
    }
    assert b"".join(encode(rows)) == HEADER + TRAILER


def test_parts_are_put_one_after_the_other() -> None:
    parts = [{"id": np.array([1, 2]), "word": np.array([b"a", b"bcd"])}, {"id": np.array([3]), "word": np.array([b""])}]
    joined = concatenated(EVERY_TYPE, iter(parts))
    assert joined["id"].tolist() == [1, 2, 3]
    assert joined["word"].tolist() == [b"a", b"bcd", b""]


def test_a_write_touches_what_it_inserts_revises_and_deletes() -> None:
    assert WriteOutcome(inserted=1, revised=2, unchanged=4, deleted=8).written == 11


@pytest.mark.parametrize(
    ("level", "name"),
    [(0.01, "quantile_0010"), (0.025, "quantile_0025"), (0.5, "quantile_0500"), (0.99, "quantile_0990")],
)
def test_a_level_names_its_column_in_tenths_of_a_percent(level: float, name: str) -> None:
    assert quantile_name(level) == name
    assert name in QUANTILE_FORECAST.columns


def test_levels_have_columns_of_their_own() -> None:
    assert len({quantile_name(level) for level in QUANTILE_LEVELS}) == len(QUANTILE_LEVELS)


@pytest.mark.parametrize(
    ("row", "table"),
    [
        (SimulationRow, PORTFOLIO_SIMULATION),
        (QuantileForecastRow, QUANTILE_FORECAST),
        (ProbabilityForecastRow, PROBABILITY_FORECAST),
        (VolatilityForecastRow, VOLATILITY_FORECAST),
        (RiskRow, PORTFOLIO_RISK),
        (RiskRow, INSTRUMENT_RISK),
        (FactorExposureRow, FACTOR_EXPOSURE),
    ],
    ids=lambda value: getattr(value, "name", value.__name__ if isinstance(value, type) else str(value)),
)
def test_a_record_has_every_column_but_its_subject(row: type, table: Table) -> None:
    assert {field.name for field in fields(row)} == set(table.columns.keys()) - {"instrument_id", "portfolio_id"}


def test_each_risk_table_gets_columns_of_its_own() -> None:
    one, other = measure_columns(), measure_columns()
    assert [c.name for c in one] == [
        "sessions_in_window",
        *(name for name, _, _ in MEASURE_COLUMNS),
        "risk_free",
        "reason",
    ]
    assert not {id(c) for c in one} & {id(c) for c in other}


# Instruments and portfolios --------------------------------------------------------------------------------


def instrument(symbol: str, kind: str) -> Instrument:
    return Instrument(symbol, symbol, kind, "", "USD", "XNYS", "vendor", id=1)


def test_the_benchmark_is_the_first_index() -> None:
    known = [instrument("AAPL", "stock"), instrument("SP500", "index"), instrument("ZINDEX", "index")]
    assert benchmark_of(known) == known[1]
    assert benchmark_of(known[:1]) is None
    assert benchmark_of([]) is None


def test_factor_funds_are_the_funds() -> None:
    known = [instrument("AAPL", "stock"), instrument("MTUM", "etf"), instrument("SP500", "index")]
    assert factor_funds_of([*known, instrument("VLUE", "etf")]) == [known[1], instrument("VLUE", "etf")]
    assert factor_funds_of(known[:1]) == []


@pytest.mark.parametrize(("amount", "expected"), [({"quantity": -3.0}, -3.0), ({"target_weight": 0.0}, 0.0)])
def test_a_position_has_one_amount(amount: dict[str, float], expected: float) -> None:
    assert Position(1, "AAPL", **amount).amount == expected


# Panels ----------------------------------------------------------------------------------------------------

PANEL = PricePanel(
    np.array(["2022-05-02", "2022-05-03"], dtype="datetime64[D]"),
    np.array([7, 3, 5]),
    np.array([[70.0, 30.0, np.nan], [71.0, 31.0, 51.0]]),
)


def test_columns_of_a_panel_come_in_the_order_asked_for() -> None:
    np.testing.assert_array_equal(PANEL.columns([5, 7]), [[np.nan, 70.0], [51.0, 71.0]])
    np.testing.assert_array_equal(PANEL.column(3), [30.0, 31.0])
    assert PANEL.columns([]).shape == (2, 0)


def test_an_instrument_that_a_panel_does_not_hold_is_an_error() -> None:
    with pytest.raises(IndexError):
        PANEL.column(4)


def test_dates_are_counted_from_postgres_own_epoch() -> None:
    stream = b"".join(encode({"day": np.array(["2000-01-02"], dtype="datetime64[D]")}))
    assert stream[len(HEADER) : -len(TRAILER)] == b"\0\1" + b"\0\0\0\4" + b"\0\0\0\1"
