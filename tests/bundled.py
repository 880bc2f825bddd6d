"""All that the bundled provider has: real prices and rates for tests and benches."""

from __future__ import annotations

from datetime import date

from pipeline.market_data.providers import FetchRequest, FetchResult, FxRates, Offer
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.rules import Bars


def bundled_bars() -> Bars:
    """Every bar."""
    bars = _everything("bars").bars
    assert bars is not None
    return bars


def bundled_rates() -> FxRates:
    """Every exchange rate."""
    rates = _everything("fx_rates").fx_rates
    assert rates is not None
    return rates


def _everything(what: Offer) -> FetchResult:
    return BundledProvider().fetch(FetchRequest(what, (), date(1900, 1, 1), date(2100, 1, 1)))
