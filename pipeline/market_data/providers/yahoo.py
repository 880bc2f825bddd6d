"""Provider ``yahoo``: Yahoo Finance through the library ``yfinance``, an optional extra for personal use.

Yahoo gives prices, volumes and dividends as if every later split had happened already. They are turned back into
what was traded and paid with the splits that Yahoo names, so each request reaches from its first day to today.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from pipeline.base.errors import ConfigurationError
from pipeline.base.types import FloatArray
from pipeline.market_data.providers.errors import ProviderError
from pipeline.market_data.providers.histories import History, actions_of, bars_of
from pipeline.market_data.providers.options import ProviderOptions
from pipeline.market_data.providers.payloads import refused
from pipeline.market_data.providers.protocol import FetchRequest, FetchResult, Offer, Payload, Security
from pipeline.market_data.rules.schema_drift import SCHEMA_DRIFT, refuse_schema_drift

NOTICE = "Personal use only: Yahoo's terms allow no other use of its prices, and it vouches for none of them."

VALUES = ("Open", "High", "Low", "Close", "Volume", "Adj Close")
"""Its names for the numbers of a bar, in the order of `VALUE_FIELDS`."""

REQUIRED = (*VALUES, "Dividends", "Stock Splits")
TIMEOUT_SECONDS = 20

_SURELY_TRADED = timedelta(days=14)

Download: TypeAlias = Callable[[str, date], tuple[pd.DataFrame, Mapping[str, Any]]]
"""From a symbol and a first day to the history until today and Yahoo's description of it."""

KINDS = {"EQUITY": "stock", "ETF": "etf", "MUTUALFUND": "etf", "INDEX": "index"}

# Hundredths of a currency, as Yahoo writes them, and the ISO 4217 currency of each.
HUNDREDTHS = {"GBp": "GBP", "GBX": "GBP", "ZAc": "ZAR", "ILA": "ILS"}

# Its codes for exchanges, and the ISO 10383 market of each.
MARKETS = {
    **dict.fromkeys(("NMS", "NGM", "NCM"), "XNAS"),
    **{"NYQ": "XNYS", "PCX": "ARCX", "ASE": "XASE", "BTS": "BATS", "TOR": "XTSE", "LSE": "XLON", "GER": "XETR"},
    **{"PAR": "XPAR", "AMS": "XAMS", "MIL": "XMIL", "MCE": "XMAD", "EBS": "XSWX", "JPX": "XTKS", "HKG": "XHKG"},
}


class _UnknownError(Exception):
    """Yahoo has no prices of a symbol."""


class YahooProvider:
    """Daily prices of Yahoo Finance for the symbols that the options name."""

    name = "yahoo"
    notice: str | None = NOTICE
    offers: frozenset[Offer] = frozenset({"bars"})

    def __init__(self, options: ProviderOptions, download: Download | None = None) -> None:
        if download is None and find_spec("yfinance") is None:
            raise ConfigurationError(
                "Provider 'yahoo' needs the package yfinance, which is not installed",
                "Install the extra, for personal use only: pip install 'fintech-platform[yahoo]'.",
                exit_code=2,
            )
        self._symbols = options.required_symbols(self.name)
        self._download = download or download_history

    def securities(self) -> tuple[Security, ...]:
        """The symbols that Yahoo knows, as it describes them.

        Raises
        ------
        ProviderError
            If Yahoo cannot be read.
        """
        found = []
        for symbol in self._symbols:
            try:
                _, described = self._download(symbol, date.today() - _SURELY_TRADED)  # noqa: DTZ011 - any zone's will do
            except _UnknownError:
                continue
            found.append(security_of(symbol, described))
        return tuple(found)

    def fetch(self, request: FetchRequest) -> FetchResult:
        """Bars as traded, and actions; a symbol without prices is named in `FetchResult.missing`.

        Raises
        ------
        ProviderError
            If Yahoo cannot be read, or something else than bars is asked for.
        """
        if request.what != "bars" or request.as_of is not None:
            raise ProviderError("Provider 'yahoo' has bars as they stand today, and nothing else", "Ask for these.")
        payloads, histories, missing = [], [], {}
        for symbol in request.symbols or self._symbols:
            try:
                frame, _ = self._download(symbol, request.first)
            except _UnknownError as error:
                missing[symbol] = str(error)
                continue
            payloads.append(payload_of(symbol, frame))
            histories.append(history_of(symbol, frame).inside(request.first, request.last))
        return FetchResult(
            payloads=tuple(payloads), bars=bars_of(histories), actions=actions_of(histories), missing=missing
        )


def download_history(symbol: str, first: date) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    """Ask Yahoo.

    Raises
    ------
    ProviderError
        If it cannot be read, or wants fewer requests.
    """
    import yfinance  # noqa: PLC0415 - an optional extra
    from yfinance.exceptions import YFRateLimitError, YFTickerMissingError  # noqa: PLC0415

    # Otherwise a failure is an empty table, which reads like an instrument that was not traded.
    yfinance.config.debug.hide_exceptions = False
    ticker = yfinance.Ticker(symbol)
    try:
        frame = ticker.history(start=first.isoformat(), auto_adjust=False, actions=True, timeout=TIMEOUT_SECONDS)
        return frame, ticker.history_metadata
    except YFTickerMissingError as error:
        raise _UnknownError(f"Yahoo has no prices: {error}") from None
    except YFRateLimitError as error:
        raise ProviderError(
            f"Yahoo refuses {symbol}: {error}", "Run again later, with fewer FINTECH_SYMBOLS."
        ) from None
    except Exception as error:  # the library lets through whatever its transport and its parsing raise
        raise ProviderError(
            f"Yahoo cannot be read for {symbol} ({type(error).__name__}: {error})",
            "Run again later; if it lasts, install a newer yfinance.",
        ) from error


def payload_of(symbol: str, frame: pd.DataFrame) -> Payload:
    """The table as it is kept: what Yahoo sent, the library has read."""
    return Payload(symbol, "text/csv", frame.to_csv().encode())


def history_of(symbol: str, frame: pd.DataFrame) -> History:
    """What was traded and paid, from figures that later splits have changed.

    Raises
    ------
    PayloadRefusedError
        If a column is missing.
    """
    reason = refuse_schema_drift([str(column) for column in frame.columns], REQUIRED)
    if reason is not None:
        raise refused(SCHEMA_DRIFT, reason, "Yahoo", payload_of(symbol, frame))
    index = pd.DatetimeIndex(frame.index)
    sessions = (index.tz_localize(None) if index.tz else index).to_numpy().astype("datetime64[D]")
    order = np.argsort(sessions, kind="stable")
    split = frame["Stock Splits"].to_numpy(dtype=np.float64)[order]
    split[~(split > 0)] = 1.0  # 0 says that there is none
    later = later_splits(split)
    values = frame[list(VALUES)].to_numpy(dtype=np.float64)[order]
    values[:, :4] *= later[:, None]
    values[:, 4] /= later
    dividend = np.nan_to_num(frame["Dividends"].to_numpy(dtype=np.float64)[order]) * later
    return History(symbol, sessions[order], values, split, dividend)


def later_splits(split: FloatArray) -> FloatArray:
    """(m,) product of the split factors of all later rows."""
    product: FloatArray = np.cumprod(split[::-1])[::-1] / split
    return product


def security_of(symbol: str, described: Mapping[str, Any]) -> Security:
    """The instrument of a description."""
    currency = str(described.get("currency") or "USD")
    return Security(
        symbol,
        str(described.get("longName") or described.get("shortName") or symbol),
        KINDS.get(str(described.get("instrumentType")), "stock"),
        currency=HUNDREDTHS.get(currency, currency),
        exchange=MARKETS.get(str(described.get("exchangeName")), "XNYS"),
        price_scale=0.01 if currency in HUNDREDTHS else 1.0,
    )
