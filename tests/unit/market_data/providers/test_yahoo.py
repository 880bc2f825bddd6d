"""Tables as ``yfinance`` returns them, turned back into what was traded; the library itself is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.market_data.providers import FetchRequest, PayloadRefusedError, ProviderOptions
from pipeline.market_data.providers import yahoo as module
from pipeline.market_data.providers.yahoo import YahooProvider, history_of, later_splits, security_of

DAYS = pd.DatetimeIndex(["2024-06-06", "2024-06-07", "2024-06-10", "2024-06-11"], tz="America/New_York")
OPTIONS = ProviderOptions(symbols=("NVDA", "GONE"))


def history() -> pd.DataFrame:
    """A share that splits ten for one on 10 June and pays a cent on the days before and after."""
    return pd.DataFrame(
        {
            "Open": [119.0, 120.0, 121.0, 122.0],
            "High": [122.0, 122.0, 123.0, 123.0],
            "Low": [118.0, 119.0, 120.0, 121.0],
            "Close": [121.0, 120.9, 121.8, np.nan],
            "Adj Close": [120.9, 120.8, 121.7, np.nan],
            "Volume": [1_000, 2_000, 3_000, 4_000],
            "Dividends": [0.0, 0.01, 0.0, 0.01],
            "Stock Splits": [0.0, 0.0, 10.0, 0.0],
        },
        index=DAYS,
    )


def download(symbol: str, first: date) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    if symbol == "GONE":
        raise module._UnknownError("Yahoo has no prices: possibly delisted")
    frame = history()
    return frame[frame.index >= pd.Timestamp(first, tz="America/New_York")], {"currency": "USD", "longName": "Nvidia"}


def test_later_splits_are_taken_back() -> None:
    bars = history_of("NVDA", history())
    assert bars.values[:, 3].tolist()[:3] == [1210.0, 1209.0, 121.8]
    assert bars.values[:, 0].tolist() == [1190.0, 1200.0, 121.0, 122.0]
    assert bars.values[:, 4].tolist() == [100.0, 200.0, 3_000.0, 4_000.0]
    assert bars.values[:, 5].tolist()[:3] == [120.9, 120.8, 121.7]
    assert bars.dividend.tolist() == pytest.approx([0.0, 0.1, 0.0, 0.01])
    assert bars.split_factor.tolist() == [1.0, 1.0, 10.0, 1.0]


def test_splits_count_for_the_days_before_them_alone() -> None:
    assert later_splits(np.array([1.0, 2.0, 1.0, 3.0])).tolist() == [6.0, 3.0, 3.0, 1.0]
    assert later_splits(np.array([])).tolist() == []


def test_days_are_those_of_the_exchange_in_any_order() -> None:
    bars = history_of("NVDA", history().iloc[::-1])
    assert bars.sessions.astype(str).tolist() == ["2024-06-06", "2024-06-07", "2024-06-10", "2024-06-11"]
    assert history_of("NVDA", history().tz_localize(None)).sessions.tolist() == bars.sessions.tolist()
    assert len(history_of("NVDA", history().iloc[:0]).sessions) == 0


def test_what_is_asked_for_is_answered_and_the_rest_named() -> None:
    result = YahooProvider(OPTIONS, download).fetch(FetchRequest("bars", (), date(2024, 6, 7), date(2024, 6, 7)))
    assert result.bars is not None
    assert result.bars.symbols == ("NVDA",)
    assert result.bars.close.tolist() == [1209.0]
    assert list(result.missing) == ["GONE"]
    assert result.payloads[0].content.startswith(b"Date," if history().index.name else b",")


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(PayloadRefusedError, match="lacks Adj Close"):
        history_of("NVDA", history().drop(columns="Adj Close"))


@pytest.mark.parametrize(
    ("currency", "iso", "scale"),
    [("USD", "USD", 1.0), ("GBp", "GBP", 0.01), ("ZAc", "ZAR", 0.01), ("ILA", "ILS", 0.01), (None, "USD", 1.0)],
)
def test_pence_keep_their_unit_and_tell_their_scale(currency: str | None, iso: str, scale: float) -> None:
    described = security_of("VOD.L", {"currency": currency, "instrumentType": "EQUITY", "exchangeName": "LSE"})
    assert (described.currency, described.price_scale, described.exchange) == (iso, scale, "XLON")


def test_instruments_are_described_and_unknown_ones_left_out() -> None:
    assert [security.name for security in YahooProvider(OPTIONS, download).securities()] == ["Nvidia"]


def test_readers_are_told_that_the_use_is_personal() -> None:
    assert (YahooProvider(OPTIONS, download).notice or "").startswith("Personal use only")


def test_without_the_extra_the_provider_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.market_data.providers.yahoo.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="yfinance, which is not installed") as caught:
        YahooProvider(OPTIONS)
    assert "fintech-platform[yahoo]" in caught.value.remedy
    assert caught.value.exit_code == 2
