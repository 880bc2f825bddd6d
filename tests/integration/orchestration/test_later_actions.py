"""A dividend and a split that come after a portfolio was made change no row of an earlier month."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from pydantic import Field

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.providers import FetchRequest, FetchResult
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.rules import Actions, Bars
from pipeline.orchestration.staleness import InputStates, stale_months
from pipeline.store.instruments import read_instruments
from pipeline.store.materializations import read_partition_states
from pipeline.store.portfolios import PORTFOLIOS_INPUT, NewPortfolio, Position, create_portfolio, read_portfolio
from tests.integration.orchestration.conftest import Platform

LOADED = MonthRange(date(2021, 1, 1), date(2022, 11, 1))
MEASURED = MonthRange(date(2022, 10, 1), date(2022, 11, 1))
DECEMBER = MonthRange(date(2022, 12, 1), date(2022, 12, 1))
MADE_ON = np.datetime64("2022-10-03")
ACTIONS = (
    ("AAPL", np.datetime64("2022-03-01"), 2, 0.0),
    ("MSFT", np.datetime64("2022-08-01"), 1, 4.0),
    ("MSFT", np.datetime64("2022-12-01"), 1, 3.0),
    ("AAPL", np.datetime64("2022-12-15"), 3, 0.0),
)
QUANTITIES = {"AAPL": 30.0, "KO": 50.0, "MSFT": 20.0}


@dataclass
class Trading(BundledProvider):
    """The bundled closes as if they had been traded, with splits and dividends.

    Parameters
    ----------
    untold
        Days of which it does not tell the actions.
    """

    untold: tuple[str, ...] = ()

    def fetch(self, request: FetchRequest) -> FetchResult:
        answer = super().fetch(request)
        if answer.bars is None:
            return answer
        bars = answer.bars
        close = bars.close_adjusted.copy()
        for symbol, day, split, dividend in reversed(ACTIONS):
            before = (bars.symbol_index == bars.symbols.index(symbol)) & (bars.sessions < day)
            close[before] = close[before] * split + dividend
        volume, unknown = np.full(len(close), 1e6), np.full(len(close), np.nan)
        traded = Bars(bars.symbols, bars.symbol_index, bars.sessions, close, close, close, close, volume, unknown)
        told = [action for action in ACTIONS if str(action[1]) not in self.untold]
        symbols, days, splits, dividends = zip(*told, strict=True)
        index = np.array([bars.symbols.index(symbol) for symbol in symbols])
        old = np.ones(len(index), dtype=np.int64)
        actions = Actions(bars.symbols, index, np.array(days), np.array(splits), old, np.array(dividends))
        return replace(answer, bars=traded, actions=actions)


class TradingResource(ProviderResource):
    """A provider resource of `Trading`."""

    untold: list[str] = Field(default_factory=list)

    @property
    def provider(self) -> Trading:
        return Trading(tuple(self.untold))


def load(platform: Platform, months: MonthRange, *untold: str) -> None:
    provider = TradingResource(name="bundled", untold=list(untold))
    platform.materialize("market_data", ["prices"], months, provider=provider)


def compute(platform: Platform, months: MonthRange) -> dict[str, int]:
    """The rows that a run of the asset wrote."""
    result = platform.materialize("risk", ["portfolio_risk"], months)
    [event] = result.asset_materializations_for_node("portfolio_risk")[-1:]
    return {name: event.metadata[name].value for name in ("rows_inserted", "rows_revised", "rows_deleted")}


@pytest.fixture
def held(platform: Platform) -> Platform:
    """Prices up to November, and a portfolio held and one rebalanced, both made in October."""
    platform.materialize("market_data", ["instruments"])
    load(platform, LOADED)
    with platform.database.connect() as connection:
        ids = {i.symbol: i.id for i in read_instruments(connection)}
        units = tuple(Position(ids[symbol], symbol, quantity=q) for symbol, q in QUANTITIES.items())
        thirds = tuple(Position(ids[symbol], symbol, target_weight=1 / 3) for symbol in QUANTITIES)
        create_portfolio(connection, NewPortfolio("Held", "buy_and_hold", units, slug="held"))
        create_portfolio(connection, NewPortfolio("Thirds", "monthly", thirds, slug="thirds"))
        connection.execute("UPDATE portfolio SET created_at = '2022-10-03T19:00:00-04:00'")
    return platform


def test_a_later_dividend_and_split_write_no_row_of_an_old_month(held: Platform) -> None:
    assert compute(held, MEASURED)["rows_inserted"] == 2 * 42
    query = "SELECT * FROM portfolio_risk ORDER BY portfolio_id, session"
    before = held.rows(query)
    load(held, DECEMBER)
    assert held.rows("SELECT count(*) FROM corporate_action") == [(4,)]
    assert compute(held, MEASURED) == {"rows_inserted": 0, "rows_revised": 0, "rows_deleted": 0}
    assert held.rows(query) == before


def outdated(platform: Platform) -> list[date]:
    """Months of the asset that were built before the portfolios changed."""
    with platform.database.connect() as connection:
        built = read_partition_states(connection, "portfolio_risk")
        portfolios = InputStates(read_partition_states(connection, PORTFOLIOS_INPUT), None)
    version = next(iter(built.values())).code_version
    return stale_months(sorted(built), built, [portfolios], version)


def test_an_action_that_arrives_late_changes_the_weights_before_it(held: Platform) -> None:
    """A dividend with an ex-date before the portfolio was made, of which the provider tells only afterwards."""
    late = "2022-08-01"
    load(held, LOADED, late)
    compute(held, MEASURED)
    assert outdated(held) == []
    load(held, DECEMBER, late)  # with two actions after the portfolio was made
    assert outdated(held) == []
    load(held, LOADED)
    assert outdated(held) == list(MEASURED.months())
    assert compute(held, MEASURED)["rows_revised"] > 0
    load(held, LOADED)
    assert outdated(held) == []


def test_quantities_are_those_of_the_day_on_which_the_portfolio_was_made(held: Platform) -> None:
    load(held, DECEMBER)
    compute(held, DECEMBER)
    close = pd.DataFrame(
        held.rows("SELECT session, symbol, close FROM price JOIN instrument ON id = instrument_id"),
        columns=["session", "symbol", "close"],
    ).pivot(index="session", columns="symbol", values="close")[list(QUANTITIES)]
    close.index = pd.to_datetime(close.index)
    earned = close / close.shift()
    for symbol, day, split, dividend in ACTIONS:
        place = close.index.get_loc(pd.Timestamp(day))
        earned.iloc[place, list(QUANTITIES).index(symbol)] = (
            close[symbol].iloc[place] * split / (close[symbol].iloc[place - 1] - dividend)
        )
    grown = earned.fillna(1.0).cumprod()
    made = pd.Timestamp(MADE_ON)
    # What the owner's units were worth on that day, carried forward and back by what they earned.
    value = (pd.Series(QUANTITIES) * close.loc[made] * grown / grown.loc[made]).sum(axis=1)
    expected = value.pct_change().iloc[-252:].std(ddof=1) * np.sqrt(252)
    [(volatility,)] = held.rows(
        "SELECT volatility FROM portfolio_risk JOIN portfolio ON id = portfolio_id WHERE slug = 'held'"
        " ORDER BY session DESC LIMIT 1"
    )
    assert volatility == pytest.approx(expected, rel=1e-10)


def test_what_the_owner_stated_is_kept(held: Platform) -> None:
    with held.database.connect() as connection:
        before = read_portfolio(connection, "held")
    load(held, DECEMBER)
    with held.database.connect() as connection:
        found = read_portfolio(connection, "held")
        connection.execute("UPDATE portfolio SET created_at = '2022-12-14T23:59:00-05:00'")
        evening = read_portfolio(connection, "held")
        connection.execute("UPDATE portfolio SET created_at = '2022-12-15T00:01:00-05:00'")
        morning = read_portfolio(connection, "held")
    assert found == before
    assert [p.quantity for p in morning.positions] == [30.0, 50.0, 20.0]
    assert [p.growth for p in found.positions][:2] == [2.0, 1.0]
    # The split of the 15th is not known to a quantity of the evening before, wherever the server stands.
    assert evening.positions[0].growth == 2.0
    assert morning.positions[0].growth == pytest.approx(6.0, rel=1e-15)
    assert evening.positions[0].amount == 15.0
