"""All that the bundled provider has: real prices and rates for tests and benches."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.market_data.providers import FetchRequest, FetchResult, FxRates, Offer
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.rules import Bars


def bundled_bars() -> Bars:
    """Every bar."""
    bars = _everything("bars").bars
    assert bars is not None
    return bars


@cache
def stock_returns() -> FloatArray:
    """(8312, 20) daily returns of the bundled stocks, 1990 to 2022."""
    bars = bundled_bars().sorted()
    closes = [bars.close_adjusted[bars.symbol_index == index] for index in range(len(bars.symbols))]
    longest = max(map(len, closes))
    wanted = [close for symbol, close in zip(bars.symbols, closes, strict=True) if symbol != "SP500"]
    close = np.column_stack([close for close in wanted if len(close) == longest])
    return close[1:] / close[:-1] - 1.0


def bundled_rates() -> FxRates:
    """Every exchange rate."""
    rates = _everything("fx_rates").fx_rates
    assert rates is not None
    return rates


def _everything(what: Offer) -> FetchResult:
    return BundledProvider().fetch(FetchRequest(what, (), date(1900, 1, 1), date(2100, 1, 1)))
