"""Results of every kind that the analysts' pages show, added to the seeded database."""

from __future__ import annotations

import numpy as np

from pipeline.store.factor_exposures import FACTOR_EXPOSURE
from pipeline.store.ingest_runs import record_ingest_run
from pipeline.store.limits import NewEvent, NewLimit, record_events, replace_limits
from pipeline.store.portfolio_contributions import PORTFOLIO_CONTRIBUTION
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.portfolios import NewPortfolio, Position, create_portfolio
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST
from pipeline.store.quarantine import QuarantinedRow, replace_quarantine
from pipeline.store.stress_results import STRESS_RESULT
from pipeline.store.stress_scenarios import STRESS_SCENARIO, replace_scenarios
from pipeline.store.var_backtests import VAR_BACKTEST
from pipeline.store.writing import open_write
from tests.integration.serving.seeding import MONTHS, SESSIONS, Seeded, filled
from tests.integration.serving.test_explanations import write_risk

JUDGED = 60
EVIL = '<script>alert(1)</script> & "Co"'
"""Name of a portfolio."""


def add_page_results(seeded: Seeded) -> None:
    """Risk with its writes, and the other results, limits and a refused row, about ``held`` and what it holds."""
    held, apple, microsoft = seeded.portfolios["held"], seeded.instruments["AAPL"].id, seeded.instruments["MSFT"].id
    last = SESSIONS[-1:]
    write_risk(seeded)
    with open_write(seeded.database, "pages", "test", "1") as write:
        tails = {
            "portfolio_id": np.full(JUDGED, held, "i4"),
            "session": SESSIONS[-JUDGED:],
            "method": np.full(JUDGED, b"filtered_historical"),
            "var_99_1d": np.full(JUDGED, 0.02),
        }
        write.replace(PORTFOLIO_TAIL, filled(PORTFOLIO_TAIL, JUDGED, **tails), MONTHS)
        backtest = {
            "subject_kind": np.array([b"portfolio"]),
            "subject_id": np.full(1, held, "i4"),
            "session": last,
            "method": np.array([b"filtered_historical"]),
            "measure": np.array([b"var_99_1d"]),
            "traffic_light": np.array([b"yellow"]),
        }
        write.replace(VAR_BACKTEST, filled(VAR_BACKTEST, 1, **backtest), MONTHS)
        both = {
            "portfolio_id": np.full(2, held, "i4"),
            "session": np.repeat(last, 2),
            "instrument_id": np.array([apple, microsoft], "i4"),
        }
        write.replace(PORTFOLIO_CONTRIBUTION, filled(PORTFOLIO_CONTRIBUTION, 2, **both), MONTHS)
        crisis = {"scenario": np.full(2, b"lehman_2008"), "kind": np.full(2, b"historical")}
        stress = {**crisis, "pnl": np.array([-0.2, -0.1])}
        write.replace(STRESS_RESULT, filled(STRESS_RESULT, 2, **both, **stress), MONTHS)
        stated = {
            "portfolio_id": both["portfolio_id"],
            "session": both["session"],
            "scenario": np.array([b"lehman_2008", b"volatility_doubled"]),
            "kind": np.array([b"historical", b"hypothetical"]),
            "parameters": np.array([b'{"first": "2008-09-15"}', b'{"volatility_scale": 2.0}']),
            "total": np.array([-0.3, 0.0]),
            "var_99_1d_after": np.array([np.nan, 0.0432]),
        }
        replace_scenarios(write, filled(STRESS_SCENARIO, 2, **stated), MONTHS)
        exposure = {"instrument_id": np.full(1, apple, "i4"), "session": last, "factor": np.array([b"MTUM"])}
        write.replace(FACTOR_EXPOSURE, filled(FACTOR_EXPOSURE, 1, **exposure), MONTHS)
        band = {
            "instrument_id": np.full(JUDGED, apple, "i4"),
            "as_of": SESSIONS[-JUDGED:],
            "model": np.full(JUDGED, b"filtered_historical"),
            "quantile_0010": np.full(JUDGED, -0.02),
        }
        write.replace(QUANTILE_FORECAST, filled(QUANTILE_FORECAST, JUDGED, **band), MONTHS)
        limits = [NewLimit("var_99_1d", "above", 0.005, 0.008), NewLimit("largest_weight", "above", 0.3, 0.9)]
        replace_limits(write.connection, held, limits)
        create_portfolio(
            write.connection,
            NewPortfolio(EVIL, "daily", (Position(apple, "AAPL", target_weight=1.0),), slug="evil"),
        )
        record_events(write.connection, [_event(held, "var_99_1d", 0.021), _event(held, "largest_weight", 0.71)])
        refused = QuarantinedRow("bundled", "AAPL", SESSIONS[-2].astype(object), "spike", {"close": "<b>1e9</b>"})
        replace_quarantine(write, [refused], MONTHS)
        outcome = write.replace(PORTFOLIO_TAIL, filled(PORTFOLIO_TAIL, JUDGED, **tails), MONTHS)
        record_ingest_run(write, "bundled", MONTHS, JUDGED + 1, 1, 0, outcome)


def _event(portfolio_id: int, measure: str, value: float) -> NewEvent:
    day = SESSIONS[-1].astype(object)
    key = f"{portfolio_id}/{measure}/above/{day}"
    return NewEvent(key, portfolio_id, "BREACH", measure, "above", day, day, value, 0.005, 0.008)
