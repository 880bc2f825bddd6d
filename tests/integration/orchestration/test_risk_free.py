"""Stored risk by stored interest rates: values, no look-ahead, corrections, and currencies without rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from pipeline.base.settings import env_name
from pipeline.base.types import MonthRange, add_months
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest, FetchResult, Offer
from pipeline.market_data.providers.protocol import InterestRates
from pipeline.orchestration.partitions import known_months
from pipeline.orchestration.staleness import InputStates, stale_months
from pipeline.orchestration.table_assets import INPUT_MONTHS_METADATA
from pipeline.store.materializations import read_partition_states
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from tests.integration.orchestration.conftest import Platform

TWO_YEARS = MonthRange(date(2021, 1, 1), date(2022, 12, 1))
NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
AUTUMN = MonthRange(date(2022, 10, 1), date(2022, 12, 1))
RISK = ["instrument_risk", "portfolio_risk"]
EXCESS = ("sharpe_ratio", "sortino_ratio", "alpha")


def discount(days: np.ndarray) -> np.ndarray:
    """Rates that rise from 0.05 % in January 2021 to 4.4 % in December 2022, of every business day."""
    return 0.0005 + 0.0435 * ((days - np.datetime64("2021-01-01")).astype(float) / 730) ** 2


@dataclass
class Bills:
    """A provider of the bill's rates, which knows those up to a day."""

    last: str
    corrected: str
    name: str = "bills"
    notice: str | None = None
    offers: frozenset[Offer] = field(default_factory=lambda: frozenset({"interest_rates"}))

    def fetch(self, request: FetchRequest) -> FetchResult:
        days = np.arange(request.first, np.datetime64(request.last, "D") + 1, dtype="datetime64[D]")
        days = days[np.is_busday(days) & (days <= np.datetime64(self.last or "2999-01-01"))]
        rates = np.where(days == np.datetime64(self.corrected or "1900-01-01"), 0.5, discount(days))
        return FetchResult(interest_rates=InterestRates(np.full(len(days), b"DTB3"), days, rates))


class BillsResource(ProviderResource):
    last: str = ""
    corrected: str = ""

    @property
    def provider(self) -> Bills:
        return Bills(self.last, self.corrected)


def load_rates(platform: Platform, months: MonthRange = TWO_YEARS, **options: str) -> None:
    platform.materialize(
        "market_data", ["interest_rates"], months, interest_provider=BillsResource(name="bills", **options)
    )


@pytest.fixture
def rated(priced: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """Two years of real prices, a portfolio in dollars and one in euros, and settings that choose interest rates."""
    monkeypatch.setenv(env_name("interest_provider"), "fred")
    with priced.database.connect() as connection:
        ids = dict(connection.execute("SELECT symbol, id FROM instrument").fetchall())
        for slug, currency in (("dollars", "USD"), ("euros", "EUR")):
            positions = tuple(Position(ids[s], s, target_weight=0.5) for s in ("AAPL", "KO"))
            create_portfolio(connection, NewPortfolio(slug, "monthly", positions, slug=slug, base_currency=currency))
    return priced


def stored(platform: Platform, table: str) -> list[tuple]:
    names = ", ".join(
        row[0]
        for row in platform.rows(
            f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
            " AND column_name <> 'materialization_id' ORDER BY ordinal_position"
        )
    )
    return platform.rows(f"SELECT {names} FROM {table} ORDER BY 1, 2")


def one(platform: Platform, symbol: str, columns: str, session: str) -> tuple:
    [row] = platform.rows(
        f"SELECT {columns} FROM instrument_risk JOIN instrument ON instrument.id = instrument_id"
        f" WHERE symbol = '{symbol}' AND session = '{session}'"
    )
    return row


def closes(platform: Platform, symbol: str) -> pd.Series:
    rows = platform.rows(
        "SELECT session, coalesce(close, close_adjusted) FROM price JOIN instrument ON instrument.id = instrument_id"
        f" WHERE symbol = '{symbol}' ORDER BY 1"
    )
    return pd.Series([close for _, close in rows], index=pd.to_datetime([day for day, _ in rows]))


def daily_rates(sessions: Sequence[pd.Timestamp]) -> np.ndarray:
    """Of each session by the words of the definition: the newest of a business day before it, by bill arithmetic."""
    before = [(day - pd.tseries.offsets.BDay(1)).to_datetime64().astype("datetime64[D]") for day in sessions]
    price = 1 - discount(np.array(before)) * 91 / 360
    annual = price ** (-365 / 91) - 1
    return (1 + annual) ** (1 / 252) - 1


def test_stored_measures_are_those_of_the_excess_over_the_bill(rated: Platform) -> None:
    load_rates(rated)
    rated.materialize("risk", RISK, AUTUMN)
    session = "2022-11-30"
    sharpe, sortino, alpha, said, reason = one(
        rated, "AAPL", "sharpe_ratio, sortino_ratio, alpha, risk_free, reason", session
    )
    returns = closes(rated, "AAPL").pct_change()[:session][-252:]
    index = closes(rated, "SP500").pct_change()[returns.index]
    rate = daily_rates(returns.index)
    assert 252 * rate.mean() > 0.01
    excess, other = returns.to_numpy() - rate, index.to_numpy() - rate
    assert sharpe == pytest.approx(excess.mean() / excess.std(ddof=1) * math.sqrt(252), rel=1e-9)
    shortfall = np.sqrt(np.mean(np.minimum(excess, 0) ** 2))
    assert sortino == pytest.approx(excess.mean() / shortfall * math.sqrt(252), rel=1e-9)
    intercept = np.polyfit(other, excess, 1)[1]
    assert alpha == pytest.approx(252 * intercept, rel=1e-8)
    assert (said, reason) == ("DTB3", None)


def test_a_currency_without_rates_is_measured_by_a_rate_of_zero_and_says_so(rated: Platform) -> None:
    rated.materialize("risk", RISK, AUTUMN)
    before = {table: stored(rated, table) for table in RISK}
    said = rated.rows(
        "SELECT DISTINCT risk_free FROM instrument_risk UNION SELECT DISTINCT risk_free FROM portfolio_risk"
    )
    assert said == [("none stored: 0",)]
    load_rates(rated)
    rated.materialize("risk", RISK, AUTUMN)
    assert dict(
        rated.rows(
            "SELECT slug, string_agg(DISTINCT risk_free, '|') FROM portfolio_risk"
            " JOIN portfolio ON portfolio.id = portfolio_id GROUP BY slug"
        )
    ) == {"dollars": "DTB3", "euros": "none stored: 0"}
    [euros] = rated.rows("SELECT id FROM portfolio WHERE slug = 'euros'")[0]
    assert [row for row in stored(rated, "portfolio_risk") if row[0] == euros] == [
        row for row in before["portfolio_risk"] if row[0] == euros
    ]
    changed = rated.rows("SELECT count(*) FROM instrument_risk WHERE sharpe_ratio IS NULL AND sessions_in_window = 252")
    assert changed == [(0,)]
    assert stored(rated, "instrument_risk") != before["instrument_risk"]


def test_later_rates_change_no_row(rated: Platform) -> None:
    load_rates(rated, last="2022-11-15")
    rated.materialize("risk", RISK, NOVEMBER)
    early = "session <= '2022-11-16'"
    known = {table: rated.rows(f"SELECT * FROM {table} WHERE {early} ORDER BY 1, 2") for table in RISK}
    load_rates(rated)
    rated.materialize("risk", RISK, NOVEMBER)
    assert {table: rated.rows(f"SELECT * FROM {table} WHERE {early} ORDER BY 1, 2") for table in RISK} == known
    assert rated.rows(f"SELECT count(*) FROM instrument_risk WHERE {early} AND sharpe_ratio IS NULL") == [(0,)]


def test_rates_that_end_leave_measures_without_a_value_after_a_fortnight(rated: Platform) -> None:
    load_rates(rated, last="2022-10-31")
    rated.materialize("risk", RISK, NOVEMBER)
    rows = rated.rows(
        "SELECT DISTINCT session, sharpe_ratio IS NULL, volatility IS NULL, risk_free, reason FROM instrument_risk"
        " JOIN instrument ON instrument.id = instrument_id WHERE symbol = 'AAPL' ORDER BY session"
    )
    for session, missing, no_volatility, said, reason in rows:
        old = (session - date(2022, 10, 31)).days > 14
        assert (missing, no_volatility, said) == (old, False, "DTB3")
        assert reason == ("no_risk_free_rate" if old else None)
    assert {row[1] for row in rows} == {True, False}


def test_any_partition_computed_again_has_the_same_bytes(rated: Platform) -> None:
    load_rates(rated, MonthRange(date(2022, 3, 1), date(2022, 12, 1)))
    rated.materialize("risk", RISK, TWO_YEARS)
    whole = {table: rated.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in RISK}
    assert {said for (said,) in rated.rows("SELECT DISTINCT risk_free FROM instrument_risk")} == {
        "DTB3",
        "none stored: 0",
    }
    for month in (date(2021, 6, 1), date(2022, 2, 1), date(2022, 3, 1), date(2022, 10, 1)):
        result = rated.materialize("risk", RISK, MonthRange(month, month))
        for table in RISK:
            (event,) = result.asset_materializations_for_node(table)
            assert event.metadata["rows_revised"].value == 0
    rated.materialize("risk", RISK, AUTUMN)
    assert {table: rated.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in RISK} == whole


def stale(platform: Platform, asset: str) -> list[date]:
    """Months of a risk asset that must be computed, as a run plans them."""
    definitions = import_module("pipeline.risk.definitions").build_definitions()
    [made] = [a for a in definitions.assets if getattr(a, "key", None) and a.key.to_user_string() == asset]
    inputs = made.metadata_by_key[made.key][INPUT_MONTHS_METADATA]
    with platform.database.connect() as connection:
        states = read_partition_states(connection, asset)
        sources = [InputStates(read_partition_states(connection, key), back) for key, back in inputs.items()]
    version = next(iter(states.values())).code_version
    return [month for month in stale_months(known_months(), states, sources, version) if month in states]


def test_a_corrected_rate_makes_the_months_stale_that_may_read_it(rated: Platform) -> None:
    load_rates(rated)
    rated.materialize("risk", RISK, TWO_YEARS)
    assert [stale(rated, asset) for asset in RISK] == [[], []]
    load_rates(rated)
    assert [stale(rated, asset) for asset in RISK] == [[], []]  # read again, and nothing new
    before = one(rated, "AAPL", "sharpe_ratio", "2022-08-31")
    load_rates(rated, corrected="2021-09-15")
    months = [add_months(date(2021, 9, 1), later) for later in range(16)]
    assert stale(rated, "instrument_risk") == months[:15]  # 13 months and one
    assert stale(rated, "portfolio_risk") == months
    rated.materialize("risk", RISK, MonthRange(months[0], months[-1]))
    assert [stale(rated, asset) for asset in RISK] == [[], []]
    assert one(rated, "AAPL", "sharpe_ratio", "2022-08-31") < before
