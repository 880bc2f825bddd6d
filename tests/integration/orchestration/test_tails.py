"""Tails of portfolios and their backtests on bundled prices: what they say, no look-ahead, the same bytes again."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from fintech.samples import register_samples
from pipeline.base.types import MonthRange
from pipeline.orchestration.table_assets import SECONDS_METADATA
from pipeline.risk.measures.backtests import backtest
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.report import held_series
from pipeline.store.instruments import read_instruments
from pipeline.store.portfolios import Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.tables import all_tables
from tests.integration.orchestration.conftest import Platform

ASSETS = {"portfolio_tail": "portfolio_tail", "var_backtests": "var_backtest"}
"""Asset → table."""
PRICED = MonthRange(date(2020, 1, 1), date(2022, 12, 1))
"""The fewest years after which 250 forecasts from windows of 500 sessions have been judged."""
NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
LAST = np.datetime64("2022-12-28")


def stored(platform: Platform, table: str, where: str = "true") -> list[tuple]:
    """Rows with every bit of their numbers, and the write that made them."""
    return platform.rows(f"SELECT * FROM {table} WHERE {where} ORDER BY 1, 2, 3, 4, 5")


def compute(platform: Platform, months: MonthRange) -> dict[str, Any]:
    return {asset: platform.materialize("risk", [asset], months) for asset in ASSETS}


@pytest.fixture
def tested(platform: Platform) -> tuple[Platform, dict[str, Any]]:
    """Three years of prices, and the results of the assets on them."""
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], PRICED)
    with platform.database.connect() as connection:
        register_samples(connection)
    platform.materialize("risk", ["instrument_risk", "portfolio_risk"], PRICED)
    return platform, compute(platform, PRICED)


def panel_of(platform: Platform) -> tuple[PricePanel, list[Portfolio]]:
    with platform.database.connect() as connection:
        ids = [instrument.id for instrument in read_instruments(connection)]
        panel = read_price_panel(connection, ids, PRICED.first, PRICED.end)
        return panel, read_portfolios(connection)


def test_tails_and_backtests(tested: tuple[Platform, dict[str, Any]]) -> None:
    """One platform for all that is asked of the stored rows: three years take a while to load."""
    platform, results = tested
    the_rows_are_those_of_the_declared_sessions(platform)
    a_tail_is_the_estimate_of_what_the_holdings_would_have_earned(platform)
    a_backtest_judges_each_forecast_by_the_next_session(platform)
    the_pages_show_figures_and_the_checks_name_what_fails(results)
    a_rerun_and_a_month_alone_change_nothing(platform)


def the_rows_are_those_of_the_declared_sessions(platform: Platform) -> None:
    sessions = platform.rows("SELECT count(DISTINCT session) FROM price")[0][0]
    counts = dict(platform.rows("SELECT method, count(*) FROM portfolio_tail GROUP BY 1"))
    assert counts == dict.fromkeys(VAR_METHODS, 3 * sessions)
    reasons = dict(platform.rows("SELECT reason, count(*) FROM portfolio_tail WHERE var_99_1d IS NULL GROUP BY 1"))
    assert reasons.pop("outside_cornish_fisher_domain") > 100  # March 2020
    assert reasons["short_window: 499 of 500 sessions"] == 3 * len(VAR_METHODS)
    assert len(reasons) == 500
    assert platform.rows("SELECT count(*) FROM portfolio_tail WHERE reason IS NULL AND es_99_1d < var_99_1d") == [(0,)]
    series = platform.rows(
        "SELECT subject_kind, method = 'historical_252', count(*), min(observations), max(observations),"
        " count(kupiec_p_value) FROM var_backtest"
        " WHERE session = '2022-12-28' AND method <> 'cornish_fisher' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    instruments, portfolios, judged = 26 * 2, 3 * (len(VAR_METHODS) - 1) * 3, sessions - 1
    assert series == [
        ("instrument", False, instruments, judged - 252, judged - 252, instruments),
        ("portfolio", False, portfolios, judged - 500, judged - 500, portfolios),
        ("portfolio", True, 3 * 2, judged - 252, judged - 252, 3 * 2),
    ]
    every_published_value_at_risk_is_tested(platform)
    short = platform.rows("SELECT DISTINCT kupiec_p_value FROM var_backtest WHERE observations < 250")
    assert short == [(None,)]
    lights = platform.rows("SELECT DISTINCT measure FROM var_backtest WHERE traffic_light IS NOT NULL")
    assert lights == [("var_99_1d",)]


def every_published_value_at_risk_is_tested(platform: Platform) -> None:
    """A series a subject, table, method and column of a VaR: none is stored without a backtest."""
    expected = set()
    for table, subject, method in (
        ("instrument_risk", "instrument", "'historical'"),
        ("portfolio_risk", "portfolio", "'historical_252'"),
        ("portfolio_tail", "portfolio", "method"),
    ):
        for measure in (column.name for column in all_tables().tables[table].columns):
            if measure.startswith("var_") and not measure.endswith("_error"):
                rows = platform.rows(
                    f"SELECT DISTINCT {subject}_id, {method} FROM {table}"
                    f" WHERE {measure} IS NOT NULL AND session < '{LAST}'"
                )
                expected |= {(subject, number, name, measure) for number, name in rows}
    tested = platform.rows(
        f"SELECT subject_kind, subject_id, method, measure FROM var_backtest WHERE session = '{LAST}'"
    )
    assert set(tested) == expected
    assert len(tested) == len(expected) > 100


def a_tail_is_the_estimate_of_what_the_holdings_would_have_earned(platform: Platform) -> None:
    panel, portfolios = panel_of(platform)
    for portfolio in portfolios:
        close = panel.columns([position.instrument_id for position in portfolio.positions])
        series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, portfolio.rebalancing))
        scenarios = scenario_returns(series.held, len(series.held.returns), 500)
        found = platform.rows(
            "SELECT method, var_95_1d, es_95_1d, var_99_1d, es_99_1d FROM portfolio_tail"
            f" WHERE portfolio_id = {portfolio.id} AND session = '{LAST}'"
        )
        assert len(found) == len(VAR_METHODS)
        for method, *figures in found:
            made = [VAR_METHODS[method].estimate(scenarios, TailSpec(confidence)) for confidence in (0.95, 0.99)]
            expected = [float(figure) for estimate in made for figure in (estimate.var, estimate.es)]
            given = [np.nan if figure is None else figure for figure in figures]
            assert given == pytest.approx(expected, rel=1e-9, nan_ok=True), method


def a_backtest_judges_each_forecast_by_the_next_session(platform: Platform) -> None:
    """Recomputed from the stored tails, row by row, with the single backtest."""
    panel, portfolios = panel_of(platform)
    portfolio = portfolios[0]
    close = panel.columns([position.instrument_id for position in portfolio.positions])
    series = held_series(close, panel.sessions, None, Holdings(portfolio.amounts, portfolio.rebalancing))
    earned_on = dict(zip(series.sessions[1:].astype(date).tolist(), series.held.returns.tolist(), strict=True))
    next_of = dict(zip(series.sessions[:-1].tolist(), series.sessions[1:].tolist(), strict=True))
    tails = platform.rows(
        f"SELECT session, var_975_1d, es_975_1d FROM portfolio_tail WHERE portfolio_id = {portfolio.id}"
        " AND method = 'student_t' AND var_975_1d IS NOT NULL ORDER BY 1"
    )
    judged = [(earned_on[next_of[session]], var, es) for session, var, es in tails if session in next_of]
    returns, var, es = (np.array(column) for column in zip(*judged, strict=True))
    expected = backtest(returns, var, es, 0.975)
    [found] = platform.rows(
        "SELECT observations, exceptions, kupiec_statistic, duration_statistic, shortfall_z2_statistic"
        f" FROM var_backtest WHERE subject_kind = 'portfolio' AND subject_id = {portfolio.id} AND method = 'student_t'"
        f" AND measure = 'var_975_1d' AND session = '{LAST}'"
    )
    assert found[:2] == (len(judged), expected.exceptions)
    statistics = (expected.kupiec.value, expected.duration.value, expected.shortfall_z2.value)
    assert found[2:5] == pytest.approx(statistics, rel=1e-9)


def the_pages_show_figures_and_the_checks_name_what_fails(results: dict[str, Any]) -> None:
    described = {"dagster/row_count", "dagster/partition_row_count", SECONDS_METADATA}
    for asset, result in results.items():
        event = result.asset_materializations_for_node(asset)[-1]
        numeric = {
            key
            for key, value in event.metadata.items()
            if isinstance(value.value, int | float) and not key.startswith("rows_")
        }
        assert len(numeric - described) == 4, numeric
        assert "svg" in event.metadata["trend"].value
    checks = {check.check_name: check for check in results["var_backtests"].get_asset_check_evaluations()}
    assert checks["portfolios_computed"].passed
    coverage = checks["coverage_not_rejected"]
    assert coverage.passed
    assert coverage.severity.value == "WARN"
    assert coverage.metadata["session"].value == "2022-12-28"
    assert any(name.endswith(" gaussian var_99_1d") for name in coverage.metadata["series_by_other_methods"].value)
    assert "traffic_light_not_red" in checks


def a_rerun_and_a_month_alone_change_nothing(platform: Platform) -> None:
    before = {table: stored(platform, table) for table in ASSETS.values()}
    compute(platform, PRICED)
    assert {table: stored(platform, table) for table in ASSETS.values()} == before
    compute(platform, NOVEMBER)
    # Bit by bit, the writer's number included: nothing was rewritten.
    assert {table: stored(platform, table) for table in ASSETS.values()} == before
