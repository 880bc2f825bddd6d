"""Real returns of the bundled stocks, index and rates."""

from __future__ import annotations

from functools import cache

import numpy as np

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.windows import simple_returns
from tests.bundled import bundled_bars

INDEX = "SP500"
FACTOR_FUNDS = ("MTUM", "QUAL", "SIZE", "USMV", "VLUE")
CRISIS_YEARS = slice(4_500, 5_004)
"""2007-11 to 2009-11 among the returns since 1990."""


@cache
def close_of(symbol: str) -> tuple[DateArray, FloatArray]:
    """Sessions and adjusted closes, oldest first."""
    bars = bundled_bars()
    own = bars.take(bars.symbol_index == bars.symbols.index(symbol)).sorted()
    return own.sessions, own.close_adjusted


@cache
def stock_symbols() -> tuple[str, ...]:
    return tuple(symbol for symbol in bundled_bars().symbols if symbol not in (INDEX, *FACTOR_FUNDS))


@cache
def stock_returns() -> FloatArray:
    """(8312, 20) since 1990."""
    returns = simple_returns(np.column_stack([close_of(symbol)[1] for symbol in stock_symbols()]))
    returns.flags.writeable = False
    return returns


@cache
def index_returns() -> FloatArray:
    """(8312,) on the same sessions."""
    returns = simple_returns(close_of(INDEX)[1])
    returns.flags.writeable = False
    return returns


@cache
def fund_returns() -> FloatArray:
    """(n, 5) of the factor funds since 2014; the last n sessions of the stocks."""
    assert all((close_of(fund)[0] == close_of(FACTOR_FUNDS[0])[0]).all() for fund in FACTOR_FUNDS)
    returns = simple_returns(np.column_stack([close_of(fund)[1] for fund in FACTOR_FUNDS]))
    returns.flags.writeable = False
    return returns
