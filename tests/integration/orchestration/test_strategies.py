"""Strategies on bundled prices: what is stored, no look-ahead, the same bytes again, and the page."""

from __future__ import annotations

import base64
import re
from datetime import date

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.simulation.assets.strategy_weights import LOOK_BACK_MONTHS, SPEC
from pipeline.simulation.strategies.catalogue import STRATEGIES
from pipeline.simulation.strategies.weighing import weigh
from pipeline.store.instruments import read_instruments
from pipeline.store.prices import read_price_panel
from tests.integration.orchestration.conftest import Platform

ASSETS = ["strategy_weights", "strategy_nav"]
PRICED = MonthRange(date(2020, 1, 1), date(2022, 12, 1))
RECENT = MonthRange(date(2022, 1, 1), date(2022, 12, 1))
OCTOBER = MonthRange(date(2022, 10, 1), date(2022, 10, 1))
COSTLY_SINCE = "2022-08-01"
SIMPLE = {"equal_weight", "inverse_volatility"}


def weights(platform: Platform, where: str = "true") -> list[tuple]:
    return platform.rows(
        "SELECT strategy, session, instrument_id, weight, method, window_sessions, eligible, reason"
        f" FROM strategy_weight WHERE {where} ORDER BY 1, 2, 3"
    )


def values(platform: Platform, where: str = "true") -> list[tuple]:
    return platform.rows(
        f"SELECT strategy, session, nav, daily_return, turnover, cost FROM strategy_nav WHERE {where} ORDER BY 1, 2"
    )


def forget(platform: Platform, where: str) -> None:
    """As if those months had never been computed."""
    with platform.database.connect() as connection:
        for table, asset in (("strategy_weight", "strategy_weights"), ("strategy_nav", "strategy_nav")):
            connection.execute(f"DELETE FROM {table} WHERE {where}")
            connection.execute(f"UPDATE asset_partition SET digest = NULL WHERE asset = '{asset}'")


def test_strategies(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """One platform for all that is asked of the stored rows: three years take a while to load."""
    monkeypatch.setenv("FINTECH_COSTLY_STRATEGIES_SINCE", COSTLY_SINCE)
    assert LOOK_BACK_MONTHS < 36
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], PRICED)
    result = platform.materialize("simulation", ASSETS, RECENT)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    page = result.asset_materializations_for_node("strategy_nav")[-1].metadata
    assert "mean nav min_variance" in page["trend"].value
    picture = base64.b64decode(re.search(r"base64,([^)]+)", page["nav_by_strategy"].value)[1]).decode()
    assert int(re.search(r"width='(\d+)'", picture)[1]) <= 900
    every_month_is_weighed_by_what_is_known_at_its_end(platform)
    values_follow_from_weights_and_prices(platform)
    a_rerun_and_a_month_alone_change_nothing(platform)
    what_comes_later_changes_nothing(platform)


def every_month_is_weighed_by_what_is_known_at_its_end(platform: Platform) -> None:
    counted = platform.rows(
        "SELECT strategy, count(DISTINCT session), min(session), bool_and(abs(total - 1) < 1e-9) FROM (SELECT strategy,"
        " session, sum(weight) AS total FROM strategy_weight GROUP BY 1, 2) AS summed GROUP BY 1 ORDER BY 1"
    )
    expected = {name: (5, date(2022, 8, 31), True) for name in STRATEGIES}
    expected |= dict.fromkeys(SIMPLE, (12, date(2022, 1, 31), True))
    assert {row[0]: row[1:] for row in counted} == expected
    assert platform.rows("SELECT DISTINCT window_sessions, eligible, reason FROM strategy_weight") == [(504, 20, None)]
    with platform.database.connect() as connection:
        stocks = [stock.id for stock in read_instruments(connection) if stock.kind == "stock"]
        panel = read_price_panel(connection, stocks, PRICED.first, OCTOBER.end)
    returns = panel.close[1:] / panel.close[:-1] - 1.0
    found = weigh("risk_parity", returns[-SPEC.window_sessions :], SPEC).weights
    rows = weights(platform, "strategy = 'risk_parity' AND session = '2022-10-31'")
    assert [row[2] for row in rows] == sorted(stocks)
    np.testing.assert_allclose([row[3] for row in rows], found, atol=2e-6)


def values_follow_from_weights_and_prices(platform: Platform) -> None:
    rows = values(platform, "strategy = 'equal_weight'")
    assert (rows[0][1], rows[-1][1]) == (date(2022, 2, 1), date(2022, 12, 28))
    assert rows[0][4:] == (pytest.approx(1.0), pytest.approx(SPEC.cost_fraction))
    with platform.database.connect() as connection:
        stocks = [stock.id for stock in read_instruments(connection) if stock.kind == "stock"]
        panel = read_price_panel(connection, stocks, date(2022, 1, 31), date(2022, 3, 1))
    drifted = (panel.close[1:] / panel.close[0]).mean(axis=1) * (1.0 - SPEC.cost_fraction)
    np.testing.assert_allclose([row[2] for row in rows[: len(drifted)]], drifted, rtol=1e-12)
    assert platform.rows(
        "SELECT count(*) FROM (SELECT nav / lag(nav) OVER (PARTITION BY strategy ORDER BY session) - 1 - daily_return"
        " AS difference FROM strategy_nav) AS compared WHERE abs(difference) > 1e-12"
    ) == [(0,)]


def a_rerun_and_a_month_alone_change_nothing(platform: Platform) -> None:
    before = weights(platform), values(platform)
    result = platform.materialize("simulation", ASSETS, OCTOBER)
    for asset in ASSETS:
        page = result.asset_materializations_for_node(asset)[0].metadata
        assert (page["rows_inserted"].value, page["rows_revised"].value, page["rows_deleted"].value) == (0, 0, 0)
        assert page["rows_unchanged"].value > 0
    forget(platform, "session >= '2022-10-01' AND session < '2022-11-01'")
    assert (weights(platform), values(platform)) != before
    platform.materialize("simulation", ASSETS, OCTOBER)
    assert (weights(platform), values(platform)) == before


def what_comes_later_changes_nothing(platform: Platform) -> None:
    """Rows up to October are the same, bit for bit, where nothing after October was ever known."""
    over = "session < '2022-11-01'"
    before = weights(platform, over), values(platform, over)
    with platform.database.connect() as connection:
        connection.execute("DELETE FROM price WHERE session > '2022-10-31'")
        connection.execute("DELETE FROM price_block WHERE month > '2022-10-01'")
    forget(platform, "true")
    platform.materialize("simulation", ASSETS, MonthRange(RECENT.first, OCTOBER.last))
    assert (weights(platform), values(platform)) == before


def test_without_prices_there_are_no_weights_and_no_values(platform: Platform) -> None:
    platform.materialize("market_data", ["instruments"])
    result = platform.materialize("simulation", ASSETS, OCTOBER)
    assert (weights(platform), values(platform)) == ([], [])
    page = result.asset_materializations_for_node("strategy_nav")[0].metadata
    assert page["reason"].value == "no strategy had weights before this month"
    assert page["nav_by_strategy"].value == "Not enough months for a picture"
