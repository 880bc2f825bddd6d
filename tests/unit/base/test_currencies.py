"""Currencies of ISO 4217."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.base.currencies import CURRENCIES
from pipeline.market_data.providers import FetchRequest
from pipeline.market_data.providers.bundled import BundledProvider


def test_every_currency_that_the_ecb_has_published_this_year_is_known() -> None:
    rates = BundledProvider().fetch(FetchRequest("fx_rates", (), date(2026, 1, 2), date(2100, 1, 1))).fx_rates
    assert rates is not None
    published = {code.decode() for code in np.unique(rates.currencies)}
    assert len(published) > 25
    assert published | {"EUR"} <= CURRENCIES


def test_codes_are_three_capitals() -> None:
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCIES)


@pytest.mark.parametrize("code", ["GBX", "GBp", "usd", "DEM", "ZWL", "BGN", "XXX", "XTS", "XAU", ""])
def test_what_is_no_active_currency_is_unknown(code: str) -> None:
    assert code not in CURRENCIES
