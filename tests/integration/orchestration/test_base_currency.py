"""Portfolios of instruments in several currencies: the assets value them in the portfolio's own."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from pipeline.base.types import MonthRange
from pipeline.risk.assets.limit_watch import judge_limits
from pipeline.store.instruments import read_instruments
from pipeline.store.limits import NewLimit, replace_limits
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from tests.integration.orchestration.conftest import Platform

NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
UNITS = {"JNJ": 10.0, "KO": 40.0}
"""KO is said to be priced in euros."""

NO_RATE = "XTS"


@pytest.fixture
def mixed(priced: Platform) -> Platform:
    """The same holdings in three currencies, of which one has no rate."""
    with priced.database.connect() as connection:
        connection.execute("UPDATE instrument SET currency = 'EUR' WHERE symbol = 'KO'")
        ids = {i.symbol: i.id for i in read_instruments(connection)}
        positions = tuple(Position(ids[symbol], symbol, quantity=q) for symbol, q in UNITS.items())
        for currency in ("USD", "EUR", NO_RATE):
            create_portfolio(connection, NewPortfolio(currency, "buy_and_hold", positions, currency, currency.lower()))
    return priced


def rates(platform: Platform) -> pd.Series:
    found = platform.rows("SELECT session, units_per_euro FROM fx_rate WHERE currency = 'USD' ORDER BY session")
    return pd.Series({pd.Timestamp(day): units for day, units in found})


def closes(platform: Platform) -> pd.DataFrame:
    """Of each symbol in its own currency."""
    found = platform.rows(
        "SELECT session, symbol, close_adjusted FROM price JOIN instrument ON id = instrument_id"
        " WHERE symbol IN ('JNJ', 'KO', 'SP500')"
    )
    close = pd.DataFrame(found, columns=["session", "symbol", "close"]).pivot(
        index="session", columns="symbol", values="close"
    )
    close.index = pd.to_datetime(close.index)
    return close


def in_currency(platform: Platform, currency: str) -> pd.DataFrame:
    """(sessions with a rate) closes in a currency: the last rate up to a week old."""
    close, published = closes(platform), rates(platform)
    days = pd.date_range(published.index[0], close.index[-1])
    dollars = published.reindex(days).ffill(limit=7).reindex(close.index)
    if currency == "USD":
        converted = close.assign(KO=close["KO"] * dollars)
    else:
        converted = close.assign(JNJ=close["JNJ"] / dollars, SP500=close["SP500"] / dollars)
    return converted.dropna()


def measured(platform: Platform, slug: str) -> dict[pd.Timestamp, tuple[float, float]]:
    """Session → volatility and beta."""
    found = platform.rows(
        "SELECT session, volatility, beta FROM portfolio_risk JOIN portfolio ON id = portfolio_id"
        f" WHERE slug = '{slug}' ORDER BY session"
    )
    return {pd.Timestamp(session): figures for session, *figures in found}


@pytest.mark.parametrize("currency", ["USD", "EUR"])
def test_risk_is_that_of_the_value_in_the_base_currency(mixed: Platform, currency: str) -> None:
    result = mixed.materialize("risk", ["portfolio_risk"], NOVEMBER)
    close = in_currency(mixed, currency)
    returns = (close[list(UNITS)] * pd.Series(UNITS)).sum(axis=1).pct_change()
    index = close["SP500"].pct_change()
    found = measured(mixed, currency.lower())
    assert len(found) == 21
    for session, (volatility, beta) in found.items():
        window, market = (series.loc[:session].iloc[-252:] for series in (returns, index))
        assert volatility == pytest.approx(window.std(ddof=1) * np.sqrt(252), rel=1e-10)
        assert beta == pytest.approx(window.cov(market) / market.var(ddof=1), rel=1e-9)
    [left_out] = [e for e in result.get_asset_check_evaluations() if e.check_name == "portfolios_computed"]
    assert not left_out.passed
    [sample] = left_out.metadata["left_out"].value
    assert sample.startswith(f"{NO_RATE.lower()}: There is no exchange rate of {NO_RATE}")
    assert measured(mixed, NO_RATE.lower()) == {}


def test_sessions_without_a_rate_of_the_week_are_left_out(mixed: Platform) -> None:
    mixed.materialize("risk", ["portfolio_risk"], NOVEMBER)
    assert pd.Timestamp("2022-11-09") in measured(mixed, "usd")
    mixed.rows("DELETE FROM fx_rate WHERE session BETWEEN '2022-11-02' AND '2022-11-18' RETURNING 1")
    mixed.materialize("risk", ["portfolio_risk"], NOVEMBER)
    close = in_currency(mixed, "USD")
    found = measured(mixed, "usd")
    assert list(found) == [day for day in close.index if day.month == 11 and day.year == 2022]
    # The rate of 1 November serves up to the 8th.
    assert [day.day for day in found] == [1, 2, 3, 4, 7, 8, 21, 22, 23, 25, 28, 29, 30]
    returns = (close[list(UNITS)] * pd.Series(UNITS)).sum(axis=1).pct_change()
    expected = returns.loc[:"2022-11-30"].iloc[-252:].std(ddof=1) * np.sqrt(252)
    assert found[pd.Timestamp("2022-11-30")][0] == pytest.approx(expected, rel=1e-10)


def test_weights_and_limits_are_of_the_base_currency(mixed: Platform) -> None:
    with mixed.database.connect() as connection:
        for number in (1, 3):
            replace_limits(connection, number, [NewLimit("largest_weight", "above", 0.1, 0.2)])
    mixed.materialize("risk", ["portfolio_risk", "portfolio_contribution"], NOVEMBER)
    values = in_currency(mixed, "USD")[list(UNITS)].loc[:"2022-11-30"].iloc[-1] * pd.Series(UNITS)
    weights = values / values.sum()
    stored = dict(
        mixed.rows(
            "SELECT symbol, weight FROM portfolio_contribution JOIN instrument ON id = instrument_id"
            " WHERE portfolio_id = 1"
        )
    )
    assert stored == pytest.approx(weights.to_dict(), rel=1e-12)
    with mixed.database.connect() as connection:
        [judgement] = judge_limits(connection)
    assert judgement.states[0].value == pytest.approx(weights.max(), rel=1e-12)
