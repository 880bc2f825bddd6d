"""Asset ``stress_results`` on the bundled history: no look-ahead, sums, proxies, and the same bytes again."""

import json
import math
from datetime import date

import numpy as np
import pytest

from fintech.samples import register_samples
from pipeline.base.types import MonthRange
from pipeline.risk.measures.stress import replay
from pipeline.risk.measures.stress_historical import HISTORICAL_WINDOWS
from pipeline.store.instruments import find_instruments
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from tests.integration.orchestration.conftest import Platform

ALL = MonthRange(date(1990, 1, 1), date(2022, 12, 1))
WINTER = MonthRange(date(2020, 1, 1), date(2020, 3, 1))
MARCH = MonthRange(date(2020, 3, 1), date(2020, 3, 1))
EVERYTHING = "SELECT * FROM stress_result ORDER BY 1, 2, 3, 4"
SCENARIOS = "SELECT * FROM stress_scenario ORDER BY 1, 2, 3"
CRISES = "SELECT session, scenario, shocked_by, reason FROM stress_result WHERE kind = 'historical'"


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
    firsts = dict(
        platform.rows("SELECT scenario, min(session) FROM stress_result WHERE kind = 'historical' GROUP BY 1")
    )
    assert set(firsts) == set(HISTORICAL_WINDOWS)
    for name, window in HISTORICAL_WINDOWS.items():
        # The first row is that of the month in which the crisis ended: no earlier one, and none is left out.
        assert firsts[name] >= window.last
        assert (firsts[name].year, firsts[name].month) == (window.last.year, window.last.month)
    assert platform.rows(
        "SELECT count(DISTINCT session), max(session) FROM stress_result WHERE kind = 'historical'"
    ) == [(387, date(2022, 12, 28))]

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
        " WHERE kind <> 'hypothetical' GROUP BY portfolio_id, session, scenario) AS s"
        " WHERE abs(gap) > 1e-9 OR abs(cash) > 1e-9"
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
    assert without_writer(platform.rows(EVERYTHING)) == without_writer(before)


def without_writer(rows: list[tuple]) -> list[tuple]:
    """Rows of stress_result, whose writer is the last column but one: kind came later."""
    return [(*row[:-2], row[-1]) for row in rows]


def test_standard_scenarios_are_stored_with_their_shocks(platform: Platform) -> None:
    """Two years before March 2020: exposures to the funds, full windows, and every kind of scenario."""
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], MonthRange(date(2018, 3, 1), MARCH.last))
    hold(platform)
    platform.materialize("risk", ["factor_exposure", "stress_results"], WINTER)
    stored = platform.rows(
        "SELECT slug, s.session, scenario, s.kind, parameters, total, array_agg(shock ORDER BY instrument_id),"
        " array_agg(weight ORDER BY instrument_id), array_agg(pnl ORDER BY instrument_id), s.reason"
        " FROM stress_scenario AS s JOIN portfolio AS p ON p.id = s.portfolio_id"
        " LEFT JOIN stress_result AS r USING (portfolio_id, session, scenario) GROUP BY 1, 2, 3, 4, 5, 6, 10"
    )
    assert {row[1] for row in stored} == {date(2020, 1, 31), date(2020, 2, 28), date(2020, 3, 31)}
    for slug, _, scenario, kind, parameters, total, shocks, weights, pnl, reason in stored:
        stated = json.loads(parameters)
        if shocks == [None]:
            assert total == 0.0
            assert {"volatility_scale", "correlation_shift"} & stated.keys()
            continue
        if total is None:
            assert reason == "positions_unknown: one has no shock", (slug, scenario)
            continue
        made = replay(np.array(shocks), np.array(weights))  # from what is stored, to the last bit
        assert made.position.tolist() == pnl
        assert made.total == total
        assert abs(math.fsum(pnl) - total) <= 1e-12
        if kind == "reverse":
            assert total == pytest.approx(-stated["loss"], rel=1e-12)
    of_core = {row[2]: row for row in stored if row[0] == "core" and row[1] == date(2020, 3, 31)}
    assert {name for name in of_core if name.startswith("factor_")} == {
        f"factor_{fund}" for fund in ("MTUM", "QUAL", "SIZE", "USMV", "VLUE")
    }
    assert {name for name in of_core if name.startswith("reverse_")} == {f"reverse_loss_{n}" for n in (10, 20, 30)}
    assert of_core["equity_down_20"][5] == pytest.approx(2.0 * of_core["equity_down_10"][5], rel=1e-12)
    assert of_core["sector_energy"][4] == '{"sectors": {"Energy": -0.4}}'
    assert set(of_core["sector_energy"][6]) == {-0.4}
    assert of_core["largest_position_gap_15"][5] == pytest.approx(-0.15 / 20, rel=1e-12)
    exposures = platform.rows(
        "SELECT avg(exposure_ols) FROM factor_exposure JOIN instrument ON id = instrument_id"
        " WHERE kind = 'stock' AND factor = 'MTUM' AND session = '2020-03-31'"
    )
    assert of_core["factor_MTUM"][5] == pytest.approx(-0.1 * exposures[0][0], rel=1e-9)
    of_funds = dict(
        platform.rows(
            "SELECT symbol, shock FROM stress_result JOIN portfolio AS p ON p.id = portfolio_id JOIN instrument AS i"
            " ON i.id = instrument_id WHERE slug = 'funds' AND scenario = 'factor_MTUM' AND session = '2020-03-31'"
        )
    )
    assert of_funds["MTUM"] == -0.1  # a fund moves by its own return
    risk = platform.rows(
        "SELECT scenario, var_99_1d_before, var_99_1d_after"
        " FROM stress_scenario JOIN portfolio AS p ON p.id = portfolio_id"
        " WHERE slug = 'core' AND session = '2020-03-31' AND var_99_1d_before IS NOT NULL"
    )
    assert {row[0] for row in risk} == {"volatility_up_50", "volatility_doubled", "correlation_up_80"}
    assert all(before < after for _, before, after in risk)

    before, scenarios = platform.rows(EVERYTHING), platform.rows(SCENARIOS)
    result = platform.materialize("risk", ["stress_results"], WINTER)
    metadata = result.get_asset_materialization_events()[0].materialization.metadata
    written = [metadata[name].value for name in ("rows_inserted", "rows_revised", "rows_deleted")]
    assert written == [0, 0, 0]
    assert (platform.rows(EVERYTHING), platform.rows(SCENARIOS)) == (before, scenarios)  # writers too
    platform.materialize("market_data", ["prices"], MonthRange(date(2020, 4, 1), date(2020, 9, 1)))
    platform.materialize("risk", ["factor_exposure", "stress_results"], WINTER)
    assert (platform.rows(EVERYTHING), platform.rows(SCENARIOS)) == (before, scenarios)  # nor does the future count


def test_nothing_after_the_session_counts(platform: Platform) -> None:
    """The rows of March 2020 stay as they are, writer and all, when later prices come."""
    platform.materialize("market_data", ["instruments"])
    platform.materialize("market_data", ["prices"], MonthRange(date(2008, 1, 1), MARCH.last))
    hold(platform)
    platform.materialize("risk", ["stress_results"], MARCH)
    before = platform.rows(EVERYTHING)
    crises = platform.rows(CRISES)
    assert {row[1] for row in crises} == set(HISTORICAL_WINDOWS) - {"rates_2022"}
    assert {row[1] for row in crises if row[2] == "none"} == {"gulf_war_1990", "ltcm_russia_1998", "dot_com_2000"}
    assert all(row[3].startswith("window_not_covered") for row in crises if row[2] == "none")
    platform.materialize("market_data", ["prices"], MonthRange(date(2020, 4, 1), date(2020, 9, 1)))
    platform.materialize("risk", ["stress_results"], MARCH)
    assert platform.rows(EVERYTHING) == before
