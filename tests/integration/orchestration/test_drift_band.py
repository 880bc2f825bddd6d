"""A drift band in the pipeline: months that are read from some month on are those of one walk since the start."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from pipeline.base.types import FloatArray, MonthRange
from pipeline.orchestration.staleness import InputStates, stale_months
from pipeline.risk.assets.portfolio_risk import LOOK_BACK_MONTHS
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.report import HeldSeries, held_series, rolling_report
from pipeline.store.instruments import read_instruments
from pipeline.store.materializations import read_partition_states
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio, read_portfolio
from pipeline.store.prices import read_price_panel
from tests.integration.orchestration.conftest import AUTUMN, Platform

TWO_YEARS = MonthRange(date(2021, 1, 1), AUTUMN.last)
NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
BAND = 0.02
TARGETS = {"AAPL": 0.3, "AMD": 0.3, "KO": 0.4}
READERS = ["portfolio_risk", "portfolio_contribution", "portfolio_tail"]


@pytest.fixture
def banded(priced: Platform) -> Platform:
    with priced.database.connect() as connection:
        ids = {instrument.symbol: instrument.id for instrument in read_instruments(connection)}
        # Not in the order of their numbers, as units are stored.
        positions = tuple(Position(ids[symbol], symbol, target_weight=TARGETS[symbol]) for symbol in TARGETS)
        create_portfolio(connection, NewPortfolio("Band", "drift_band", positions, slug="band", drift_band=BAND))
        weights = tuple(Position(ids[symbol], symbol, target_weight=1 / 2) for symbol in ("AAPL", "KO"))
        create_portfolio(connection, NewPortfolio("Month", "monthly", weights, slug="month"))
    return priced


def walked(platform: Platform) -> tuple[HeldSeries, Holdings, FloatArray]:
    """The portfolio held since its first session, in one walk."""
    with platform.database.connect() as connection:
        portfolio = read_portfolio(connection, "band")
        ids = [position.instrument_id for position in portfolio.positions]
        panel = read_price_panel(connection, ids, None, AUTUMN.end)
    holdings = Holdings(portfolio.amounts, *portfolio.policy)
    return held_series(panel.close, panel.sessions, None, holdings), holdings, panel.close


def stored(platform: Platform, table: str = "portfolio_unit") -> list[tuple]:
    return platform.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3")


def stale(platform: Platform, asset: str, source: str, months_back: int) -> list[date]:
    """Months of the asset that are out of date by that input alone."""
    with platform.database.connect() as connection:
        built, states = (read_partition_states(connection, name) for name in (asset, source))
    version = next(iter(built.values())).code_version
    return stale_months(sorted(built), built, [InputStates(states, months_back)], version)


def test_a_portfolio_in_a_drift_band(banded: Platform) -> None:
    """One platform for all that is asked of it: prices take a while to load."""
    result = banded.materialize("risk", ["portfolio_units"], TWO_YEARS)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    units_are_those_of_the_walk(banded)
    pages = [event.metadata for event in result.asset_materializations_for_node("portfolio_units")]
    assert max(page["trades_count"].value for page in pages if "trades_count" in page) > 1
    a_month_alone_is_that_of_all_months(banded, ["portfolio_units"], ["portfolio_unit"])
    result = banded.materialize("risk", READERS, AUTUMN)
    assert all(check.passed for check in result.get_asset_check_evaluations() if "computed" in check.check_name)
    rows_are_those_of_one_walk(banded)
    a_month_alone_is_that_of_all_months(banded, READERS, READERS)
    a_corrected_price_reaches_as_far_as_the_units_that_it_changes(banded)


def units_are_those_of_the_walk(platform: Platform) -> None:
    series, holdings, close = walked(platform)
    setting = holdings.setting_rows(close)
    trades = np.flatnonzero(setting == np.arange(len(setting)))
    assert 10 < len(trades) < len(close) // 4
    rows = platform.rows(
        "SELECT session, symbol, units, set_on, traded FROM portfolio_unit JOIN instrument ON id = instrument_id"
        " ORDER BY 1, 2"
    )
    days = series.sessions.astype(date).tolist()
    kept = {row[0] for row in rows}
    assert kept == {days[trade] for trade in trades} | {b for a, b in pairwise([days[0], *days]) if a.month != b.month}
    places = {day: place for place, day in enumerate(days)}
    for number, (session, symbol, units, set_on, traded) in enumerate(rows):
        place, column = places[session], list(TARGETS).index(symbol)
        assert (set_on, units) == (
            days[setting[place]],
            list(TARGETS.values())[column] / close[setting[place], column],
        )
        if set_on < session:
            assert traded == 0.0
        elif place == 0:
            assert traded == TARGETS[symbol]
        elif number % 3 == 0:
            trade = [row[4] for row in rows[number : number + 3]]
            assert sum(trade) == pytest.approx(0.0, abs=1e-12)
            assert max(map(abs, trade)) > BAND


def rows_are_those_of_one_walk(platform: Platform) -> None:
    series, _, _ = walked(platform)
    rows = AUTUMN.rows_of(series.sessions)
    report = rolling_report(series.held.returns, None, rows, RiskSpec(), series.held, None)
    names = ("volatility", "max_drawdown", "var_99_1d", "es_975_1d")
    found = platform.rows(
        f"SELECT {', '.join(names)} FROM portfolio_risk JOIN portfolio ON id = portfolio_id WHERE slug = 'band'"
        " ORDER BY session"
    )
    for name, column in zip(names, np.array(found).T, strict=True):
        assert column.tolist() == report.columns[name].tolist(), name
    weights = platform.rows(
        "SELECT weight FROM portfolio_contribution JOIN portfolio ON portfolio.id = portfolio_id"
        " JOIN instrument ON instrument.id = instrument_id WHERE slug = 'band' AND session = '2022-11-30'"
        " ORDER BY symbol"
    )
    (row,) = np.flatnonzero(series.sessions == np.datetime64("2022-11-30"))
    assert [weight for (weight,) in weights] == series.held.weights[row - 1].tolist()


def a_month_alone_is_that_of_all_months(platform: Platform, assets: list[str], tables: list[str]) -> None:
    before = [stored(platform, table) for table in tables]
    result = platform.materialize("risk", assets, NOVEMBER)
    for asset in assets:
        page = result.asset_materializations_for_node(asset)[0].metadata
        assert (page["rows_inserted"].value, page["rows_revised"].value, page["rows_deleted"].value) == (0, 0, 0)
    assert [stored(platform, table) for table in tables] == before


def a_corrected_price_reaches_as_far_as_the_units_that_it_changes(platform: Platform) -> None:
    """A close between two trades changes none, and that of a trade what it and the next one did: no later month."""
    series, holdings, close = walked(platform)
    setting = holdings.setting_rows(close)
    spring = slice(*np.searchsorted(series.sessions, np.array(["2021-03-01", "2021-05-01"], "datetime64[D]")))
    between = next(row for row in range(spring.start, spring.stop) if setting[row] < row and setting[row + 1] <= row)
    before = stored(platform)
    correct(platform, series.sessions[between], 1.0001)
    assert stored(platform) == before
    trade = next(row for row in range(spring.start, spring.stop) if setting[row] == row)
    correct(platform, series.sessions[trade], 1.0001)
    changed = {row[1] for row in set(stored(platform)) - set(before)}
    assert np.datetime64(min(changed)) == series.sessions[trade]
    assert np.datetime64(max(changed)) == series.sessions[np.flatnonzero(setting > trade)[0]]
    assert stale(platform, "portfolio_units", "prices", 1_200) == []
    assert stale(platform, "portfolio_risk", "portfolio_units", LOOK_BACK_MONTHS) == []


def correct(platform: Platform, session: np.datetime64, factor: float) -> None:
    """Apple's close of a session, and what is computed from it."""
    with platform.database.connect() as connection:
        changed = connection.execute(
            "UPDATE price SET close = close * %(by)s, close_adjusted = close_adjusted * %(by)s"
            " WHERE session = %(session)s AND instrument_id = (SELECT id FROM instrument WHERE symbol = 'AAPL')",
            {"by": factor, "session": session.astype(date)},
        )
        assert changed.rowcount == 1
    platform.materialize("risk", ["portfolio_units"], TWO_YEARS)


def test_a_portfolio_whose_units_are_not_stored_is_left_out_by_name(banded: Platform) -> None:
    result = banded.materialize("risk", ["portfolio_contribution"], NOVEMBER)
    (check,) = (one for one in result.get_asset_check_evaluations() if one.check_name == "portfolios_computed")
    assert not check.passed
    assert "materialise portfolio_units" in str(check.metadata["left_out"])
    slugs = "SELECT DISTINCT slug FROM portfolio_contribution JOIN portfolio ON id = portfolio_id"
    assert banded.rows(slugs) == [("month",)]


def test_without_a_drift_band_there_are_no_units(priced: Platform) -> None:
    result = priced.materialize("risk", ["portfolio_units"], NOVEMBER)
    (page,) = (event.metadata for event in result.asset_materializations_for_node("portfolio_units"))
    assert "drift band" in str({name: value.value for name, value in page.items()})
