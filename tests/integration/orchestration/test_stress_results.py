"""Asset ``stress_results`` on the bundled history: no look-ahead, sums, proxies, and the same bytes again."""

from datetime import date

import pytest

from fintech.samples import register_samples
from pipeline.base.types import MonthRange
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS
from pipeline.store.instruments import find_instruments
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from tests.integration.orchestration.conftest import Platform

ALL = MonthRange(date(1990, 1, 1), date(2022, 12, 1))
MARCH = MonthRange(date(2020, 3, 1), date(2020, 3, 1))
EVERYTHING = "SELECT * FROM stress_result ORDER BY 1, 2, 3, 4"


def hold(platform: Platform) -> None:
    """The samples, and a portfolio of two funds that are younger than most crises."""
    with platform.database.connect() as connection:
        register_samples(connection)
        known = find_instruments(connection, ["AAPL", "MTUM", "QUAL"])
        positions = tuple(
            Position(known[symbol].id, symbol, target_weight=weight)
            for symbol, weight in (("AAPL", 0.2), ("MTUM", 0.5), ("QUAL", 0.3))
        )
        create_portfolio(connection, NewPortfolio("Funds", "quarterly", positions, slug="funds"))


def test_every_crisis_that_had_ended_and_no_other(platform: Platform) -> None:
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], ALL)
    hold(platform)
    result = platform.materialize("risk", ["stress_results"], ALL)
    assert result.success
    firsts = dict(platform.rows("SELECT scenario, min(session) FROM stress_result GROUP BY 1"))
    assert set(firsts) == set(HISTORICAL_WINDOWS)
    for name, window in HISTORICAL_WINDOWS.items():
        # The first row is that of the month in which the crisis ended: no earlier one, and none is left out.
        assert firsts[name] >= window.last
        assert (firsts[name].year, firsts[name].month) == (window.last.year, window.last.month)
    assert platform.rows("SELECT count(DISTINCT session), max(session) FROM stress_result") == [
        (387, date(2022, 12, 28))
    ]

    # Figures of the equal-weighted 20 stocks, which tests/unit/risk/test_stress_historical.py has from pandas; the
    # weights are equal because the sample returns to them every day.
    totals = dict(
        platform.rows(
            "SELECT scenario, sum(pnl) FROM stress_result JOIN portfolio ON portfolio.id = portfolio_id"
            " WHERE slug = 'core' AND session = '2022-12-28' GROUP BY 1"
        )
    )
    assert totals["lehman_2008"] == pytest.approx(-0.4091, abs=5e-5)
    assert totals["gulf_war_1990"] == pytest.approx(-0.2475, abs=5e-5)
    assert totals["rates_2022"] == pytest.approx(-0.0788, abs=5e-5)

    wrong = platform.rows(
        "SELECT count(*) FROM (SELECT sum(weight * shock) - sum(pnl) AS gap, sum(weight) - 1 AS cash FROM stress_result"
        " GROUP BY portfolio_id, session, scenario) AS s WHERE abs(gap) > 1e-9 OR abs(cash) > 1e-9"
    )
    assert wrong == [(0,)]
    assert platform.rows("SELECT count(*) FROM stress_result WHERE worst_pnl IS NULL AND reason = ''") == [(0,)]

    sources = platform.rows(
        "SELECT shocked_by, min(session), count(*) FROM stress_result JOIN portfolio ON portfolio.id = portfolio_id"
        " JOIN instrument ON instrument.id = instrument_id"
        " WHERE slug = 'funds' AND symbol = 'MTUM' AND scenario = 'lehman_2008' GROUP BY 1 ORDER BY 2"
    )
    # The funds' prices begin in January 2014, and there is no beta before 252 returns.
    assert [(row[0], row[2]) for row in sources] == [("none", 12), ("benchmark_beta", 96)]

    before = platform.rows(EVERYTHING)
    platform.materialize("risk", ["stress_results"], ALL)
    assert platform.rows(EVERYTHING) == before
    with platform.database.connect() as connection:  # a month computed alone has the bytes of the whole range
        connection.execute("DELETE FROM stress_result WHERE session >= '2020-03-01' AND session < '2020-04-01'")
        connection.execute("DELETE FROM asset_partition WHERE asset = 'stress_results'")
    platform.materialize("risk", ["stress_results"], MARCH)
    assert [row[:-1] for row in platform.rows(EVERYTHING)] == [row[:-1] for row in before]


def test_nothing_after_the_session_counts(platform: Platform) -> None:
    """The rows of March 2020 stay as they are, writer and all, when later prices come."""
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], MonthRange(date(2008, 1, 1), MARCH.last))
    hold(platform)
    platform.materialize("risk", ["stress_results"], MARCH)
    before = platform.rows(EVERYTHING)
    assert {row[2] for row in before} == set(HISTORICAL_WINDOWS) - {"rates_2022"}
    assert {row[2] for row in before if row[9] == "none"} == {"gulf_war_1990", "ltcm_russia_1998", "dot_com_2000"}
    assert all(row[10].startswith("window_not_covered") for row in before if row[9] == "none")
    platform.materialize("market_data", ["prices"], MonthRange(date(2020, 4, 1), date(2020, 9, 1)))
    platform.materialize("risk", ["stress_results"], MARCH)
    assert platform.rows(EVERYTHING) == before
