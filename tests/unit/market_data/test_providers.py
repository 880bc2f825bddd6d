"""The registry of providers and ``bundled``: what it has, and what it says when it has not."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.market_data.providers import ProviderError, bundled, provider_named
from pipeline.market_data.providers.bundled import BundledProvider
from tests.bundled import bundled_bars, bundled_rates

FIRST, LAST = np.datetime64("1990-01-02"), np.datetime64("2022-12-28")


@pytest.mark.parametrize("name", ["", "Bundled", "reuters"])
def test_an_unknown_provider_is_refused_with_the_names_that_exist(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a provider") as caught:
        provider_named(name)
    assert f"FINTECH_PROVIDER={name!r}" in caught.value.cause
    assert "bundled" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_the_bundled_provider_needs_no_options() -> None:
    assert provider_named("bundled").name == "bundled"


# Securities ------------------------------------------------------------------------------------------------


def test_twenty_stocks_one_index_and_five_funds() -> None:
    securities = BundledProvider().securities()
    kinds = [security.kind for security in securities]
    assert (kinds.count("stock"), kinds.count("index"), kinds.count("etf")) == (20, 1, 5)
    assert len({security.symbol for security in securities}) == 26
    assert {(security.currency, security.exchange) for security in securities} == {("USD", "XNYS")}


def test_stocks_have_a_sector_and_others_have_none() -> None:
    for security in BundledProvider().securities():
        assert bool(security.sector) == (security.kind == "stock"), security.symbol
        assert security.name


def test_readers_are_told_how_old_the_data_is() -> None:
    assert str(LAST) in (BundledProvider().notice or "")


# Bars ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "first", "count"), [("stock", FIRST, 8313), ("index", FIRST, 8313), ("etf", None, 2264)]
)
def test_bars_cover_what_the_documentation_says(kind: str, first: np.datetime64 | None, count: int) -> None:
    bars = bundled_bars()
    for index, security in enumerate(BundledProvider().securities()):
        if security.kind == kind:
            sessions = bars.sessions[bars.symbol_index == index]
            assert sessions.min() == (first or np.datetime64("2014-01-02")), security.symbol
            assert sessions.max() == LAST
            assert len(sessions) == len(np.unique(sessions)) == count


def test_bars_are_columns_of_one_length_and_of_positive_closes() -> None:
    bars = bundled_bars()
    assert bars.symbols == tuple(security.symbol for security in BundledProvider().securities())
    assert len(bars.symbol_index) == len(bars.sessions) == len(bars.close_adjusted) == 185_893
    assert (bars.close_adjusted > 0).all()
    assert np.isfinite(bars.close_adjusted).all()


# Rates -----------------------------------------------------------------------------------------------------


def test_rates_begin_with_the_euro() -> None:
    rates = bundled_rates()
    assert rates.sessions.min() == np.datetime64("1999-01-04")
    assert rates.sessions.max() >= LAST
    first = rates.sessions == rates.sessions.min()
    published = dict(zip(rates.currencies[first].tolist(), rates.units_per_euro[first].tolist(), strict=True))
    assert published[b"USD"] == 1.1789  # the ECB's first reference rate
    assert published[b"GBP"] == 0.7111


def test_rates_are_positive_and_one_a_currency_and_day() -> None:
    rates = bundled_rates()
    assert (rates.units_per_euro > 0).all()
    assert not np.isnan(rates.units_per_euro).any()
    codes = np.unique(rates.currencies)
    assert len(codes) >= 40
    assert all(code.isalpha() and code.isupper() and len(code) == 3 for code in codes.tolist())
    keys = np.unique(np.rec.fromarrays([rates.currencies, rates.sessions.astype(np.int64)]))
    assert len(keys) == len(rates.sessions)


# What is missing -------------------------------------------------------------------------------------------


def test_a_missing_distribution_names_the_extra() -> None:
    with pytest.raises(ProviderError, match="needs the package no-such-prices, which is not installed") as caught:
        bundled._locate("no-such-prices", "data.csv")
    assert "market-data" in caught.value.remedy


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "_PRICE_FILES", ("gone_dataset",))
    with pytest.raises(ProviderError, match=r"does not find .*gone_dataset\.csv\.gz in the installed skfolio"):
        bundled._read_bars.__wrapped__()


@pytest.fixture
def price_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one price file that the provider finds."""
    path = tmp_path / "prices.csv.gz"
    monkeypatch.setattr(bundled, "_PRICE_FILES", ("prices",))
    monkeypatch.setattr(bundled, "_locate", lambda *_: path)
    return path


def test_an_unknown_column_is_refused(price_file: Path) -> None:
    price_file.write_bytes(gzip.compress(b"Date,AAPL,ZZZ,QQQ\n2022-05-02,1,2,3\n"))
    with pytest.raises(ProviderError, match=r"unknown columns \['QQQ', 'ZZZ'\] in prices"):
        bundled._read_bars.__wrapped__()


def test_an_empty_cell_is_no_bar_and_a_wrong_value_is_one(price_file: Path) -> None:
    price_file.write_bytes(gzip.compress(b"Date,AAPL,AMD\n2022-05-02,,2\n2022-05-03,0,-1\n"))
    bars = bundled._read_bars.__wrapped__()
    assert [bars.symbols[index] for index in bars.symbol_index] == ["AAPL", "AMD", "AMD"]
    assert bars.sessions.astype(str).tolist() == ["2022-05-03", "2022-05-02", "2022-05-03"]
    assert bars.close_adjusted.tolist() == [0.0, 2.0, -1.0]
