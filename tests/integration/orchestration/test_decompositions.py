"""Covariances, factor exposures and contributions on the bundled history: sums, no look-ahead, the same bytes again."""

from __future__ import annotations

from collections import Counter
from datetime import date

import dagster as dg
import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from fintech.samples import register_samples
from pipeline.base.types import MonthRange
from pipeline.orchestration.table_assets import SECONDS_METADATA
from pipeline.risk.assets import covariance
from pipeline.risk.measures.position_parts import position_parts
from pipeline.store.covariances import read_newest_covariance
from pipeline.store.instruments import find_instruments, read_instruments
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from pipeline.store.prices import PricePanel, read_price_panel
from tests.integration.orchestration.conftest import AUTUMN, Platform

ASSETS = {
    "covariance": "covariance",
    "factor_exposure": "factor_exposure",
    "portfolio_contribution": "portfolio_contribution",
}
"""Asset → table."""
ALL = MonthRange(date(1990, 1, 1), date(2022, 12, 1))
RECENT = MonthRange(date(2021, 1, 1), date(2022, 12, 1))
NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))


def load(platform: Platform, months: MonthRange) -> None:
    """Prices, the samples, and a portfolio of a stock and two funds, one of them short."""
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], months)
    with platform.database.connect() as connection:
        register_samples(connection)
        known = find_instruments(connection, ["AAPL", "MTUM", "QUAL"])
        positions = tuple(
            Position(known[symbol].id, symbol, target_weight=weight)
            for symbol, weight in (("AAPL", 0.9), ("MTUM", 0.5), ("QUAL", -0.4))
        )
        create_portfolio(connection, NewPortfolio("Hedged", "quarterly", positions, slug="hedged"))


def stored(platform: Platform, table: str, where: str = "true") -> list[tuple]:
    """Rows with every bit of their numbers, and the write that made them."""
    return platform.rows(f"SELECT * FROM {table} WHERE {where} ORDER BY 1, 2, 3, 4")


def panel_of(platform: Platform, first: date) -> tuple[PricePanel, dict[str, int]]:
    with platform.database.connect() as connection:
        ids = {instrument.symbol: instrument.id for instrument in read_instruments(connection)}
        return read_price_panel(connection, sorted(ids.values()), first, date(2023, 1, 1)), ids


def test_the_whole_history(platform: Platform) -> None:
    load(platform, ALL)
    result = platform.materialize("risk", [*ASSETS, "portfolio_risk"], ALL)
    seconds = {
        asset: result.asset_materializations_for_node(asset)[0].metadata[SECONDS_METADATA].value for asset in ASSETS
    }
    print("SECONDS", seconds)
    assert max(seconds.values()) < 20, "each takes about 2 s"
    assert all(check.passed for check in result.get_asset_check_evaluations() if check.check_name in (
        "components_sum_to_the_total", "matrices_positive_semidefinite", "instruments_covered"
    ))  # fmt: skip

    # Twenty stocks and the index from the first month with 252 returns; the funds began on 2014-01-02.
    counts = platform.rows("SELECT session, instrument_count FROM covariance ORDER BY 1")
    assert (counts[0], counts[-1]) == ((date(1990, 12, 31), 21), (date(2022, 12, 28), 26))
    assert len(counts) == 385
    assert platform.rows("SELECT min(session), count(DISTINCT session) FROM factor_exposure") == [
        (date(2015, 1, 30), 96)
    ]
    per_instrument = platform.rows(
        "SELECT kind, min(n), max(n) FROM (SELECT kind, instrument_id, count(*) AS n FROM factor_exposure"
        " JOIN instrument ON instrument.id = instrument_id WHERE session = '2022-12-28' GROUP BY 1, 2) AS counted"
        " GROUP BY 1 ORDER BY 1"
    )
    assert per_instrument == [("etf", 4, 4), ("index", 5, 5), ("stock", 5, 5)]
    assert platform.rows(
        "SELECT count(*) FROM factor_exposure JOIN instrument ON instrument.id = instrument_id WHERE factor = symbol"
    ) == [(0,)]
    short = platform.rows(
        "SELECT DISTINCT split_part(reason, ':', 1), volatility_component IS NULL, window_sessions < 252"
        " FROM portfolio_contribution ORDER BY 2"
    )
    assert short == [(None, False, False), ("short_window", True, True)]

    # Sums of the components are what portfolio_risk says, on every session.
    misses = platform.rows(
        "SELECT count(*), max(abs(var - r.var_99_1d)), max(abs(es - r.es_975_1d)), max(abs(weight - 1)) FROM"
        " (SELECT portfolio_id, session, sum(var_99_1d_component) AS var, sum(es_975_1d_component) AS es,"
        " sum(weight) AS weight FROM portfolio_contribution WHERE window_sessions = 252 GROUP BY 1, 2) AS c"
        " JOIN portfolio_risk AS r USING (portfolio_id, session)"
    )
    ((months, *differences),) = misses
    assert (
        months
        == platform.rows(
            "SELECT count(DISTINCT (portfolio_id, session)) FROM portfolio_contribution WHERE window_sessions = 252"
        )[0][0]
        > 3 * 380
    )
    assert max(differences) < 1e-12

    # One month alone gives the same rows, and nothing is written.
    before = {asset: stored(platform, table) for asset, table in ASSETS.items()}
    for month in (
        NOVEMBER,
        MonthRange(date(1991, 3, 1), date(1991, 3, 1)),
        MonthRange(date(2015, 6, 1), date(2015, 6, 1)),
    ):
        again = platform.materialize("risk", list(ASSETS), month)
        for asset in ASSETS:
            (page,) = (event.metadata for event in again.asset_materializations_for_node(asset))
            assert [page[f"rows_{what}"].value for what in ("inserted", "revised", "deleted")] == [0, 0, 0], asset
    assert {asset: stored(platform, table) for asset, table in ASSETS.items()} == before


def test_figures_are_those_of_numpy_and_scikit_learn(platform: Platform) -> None:
    load(platform, RECENT)
    platform.materialize("risk", list(ASSETS), NOVEMBER)
    panel, ids = panel_of(platform, date(2021, 1, 1))
    last = int(np.searchsorted(panel.sessions, np.datetime64("2022-11-30")))
    close = panel.close[last - 252 : last + 1]
    returns = close[1:] / close[:-1] - 1.0
    of = {symbol: returns[:, panel.instrument_ids.tolist().index(number)] for symbol, number in ids.items()}

    shrunk, _ = ledoit_wolf(returns)
    place = {number: row for row, number in enumerate(panel.instrument_ids.tolist())}
    with platform.database.connect() as connection:
        matrix = read_newest_covariance(connection, "ledoit_wolf", None)
    order = [place[number] for number in matrix.ids]
    assert len(order) == 26
    np.testing.assert_allclose(matrix.matrix, shrunk[np.ix_(order, order)], rtol=1e-10)
    scale = np.sqrt(np.outer(np.diag(shrunk), np.diag(shrunk)))
    pairs = (shrunk / scale)[np.tril_indices(26, -1)]
    assert platform.rows("SELECT mean_correlation, largest_correlation, reason FROM covariance") == [
        (pytest.approx(pairs.mean(), rel=1e-10), pytest.approx(pairs.max(), rel=1e-10), None)
    ]

    funds = sorted(symbol for symbol in ("MTUM", "QUAL", "SIZE", "USMV", "VLUE"))
    design = np.column_stack([np.ones(252), *(of[fund] for fund in funds)])
    slopes = np.linalg.lstsq(design, of["AAPL"], rcond=None)[0][1:]
    found = platform.rows(
        "SELECT exposure_ols, session FROM factor_exposure"
        f' WHERE instrument_id = {ids["AAPL"]} ORDER BY factor COLLATE "C"'
    )
    assert [row[0] for row in found] == pytest.approx(slopes.tolist(), rel=1e-8)
    assert {row[1] for row in found} == {date(2022, 11, 30)}

    held = np.array(
        platform.rows(
            "SELECT instrument_id, weight, volatility_component, var_99_1d_component, es_975_1d_incremental"
            " FROM portfolio_contribution JOIN portfolio ON portfolio.id = portfolio_id WHERE slug = 'defensive'"
        )
    )
    own = returns[:, [place[int(number)] for number in held[:, 0]]]
    quantities = {ids[symbol]: amount for symbol, amount in
                  (("JNJ", 120.0), ("KO", 300.0), ("PEP", 100.0), ("PG", 150.0), ("WMT", 130.0))}  # fmt: skip
    values = np.array([quantities[int(number)] * close[-1, place[int(number)]] for number in held[:, 0]])
    weights = values / values.sum()
    np.testing.assert_allclose(held[:, 1], weights, rtol=1e-12)
    own_covariance, _ = ledoit_wolf(own)
    volatility = np.sqrt(weights @ own_covariance @ weights)
    np.testing.assert_allclose(held[:, 2], weights * (own_covariance @ weights) / volatility, rtol=1e-9)
    losses = -(own @ weights)
    at_var = np.argsort(losses)[249]  # ⌈0.99 × 252⌉ = 250th
    np.testing.assert_allclose(held[:, 3], -weights * own[at_var], rtol=1e-9)
    np.testing.assert_allclose(held[:, 4], position_parts(weights, own)["es_975_1d"].incremental, rtol=1e-7)


def test_later_prices_change_no_row(platform: Platform) -> None:
    load(platform, MonthRange(date(2021, 1, 1), NOVEMBER.last))
    platform.materialize("risk", list(ASSETS), NOVEMBER)
    before = {asset: stored(platform, table) for asset, table in ASSETS.items()}
    platform.materialize("market_data", ["prices"], MonthRange(date(2022, 12, 1), date(2022, 12, 1)))
    platform.materialize("risk", list(ASSETS), AUTUMN)
    november = "session >= '2022-11-01' AND session < '2022-12-01'"
    assert {asset: stored(platform, table, november) for asset, table in ASSETS.items()} == before
    assert all(before.values())


def test_of_too_many_instruments_some_are_left_out_and_a_check_says_so(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(platform, MonthRange(date(2021, 1, 1), NOVEMBER.last))
    monkeypatch.setattr(covariance, "MOST_INSTRUMENTS", 8)
    result = platform.materialize("risk", ["covariance"], NOVEMBER)
    [failed] = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (failed.check_name, failed.severity) == ("instruments_covered", dg.AssetCheckSeverity.WARN)
    assert failed.metadata["instruments_left_out"].value == 18
    with platform.database.connect() as connection:
        matrix = read_newest_covariance(connection, "ledoit_wolf", None)
        kinds = Counter(instrument.kind for instrument in read_instruments(connection) if instrument.id in matrix.ids)
    assert kinds == {"etf": 5, "index": 1, "stock": 2}


def test_components_that_do_not_sum_are_not_written(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    load(platform, MonthRange(date(2021, 1, 1), NOVEMBER.last))

    def defective(weights, returns):
        parts = position_parts(weights, returns)
        parts["var_99_1d"].component[0] += 1e-8
        return parts

    monkeypatch.setattr("pipeline.risk.assets.portfolio_contribution.position_parts", defective)
    result = platform.materialize("risk", ["portfolio_contribution"], NOVEMBER, may_fail=True)
    assert not result.success
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [check.check_name for check in failed] == ["components_sum_to_the_total"]
    assert platform.rows("SELECT count(*) FROM portfolio_contribution") == [(0,)]


def test_a_month_without_a_full_window_says_why(platform: Platform) -> None:
    load(platform, NOVEMBER)
    result = platform.materialize("risk", list(ASSETS), NOVEMBER)
    for asset, words in (
        ("covariance", "no instrument has 252 returns"),
        ("factor_exposure", "no factor fund has 252"),
    ):
        (page,) = (event.metadata for event in result.asset_materializations_for_node(asset))
        assert page["reason"].value.startswith(words)
    (page,) = (event.metadata for event in result.asset_materializations_for_node("portfolio_contribution"))
    assert page["dagster/partition_row_count"].value == 20 + 3 + 5 + 3
    assert platform.rows("SELECT DISTINCT reason FROM portfolio_contribution") == [
        ("short_window: 20 of 252 sessions",)
    ]
