"""What the asset ``prices`` makes of a verdict: rows, quarantine, check results and figures."""

from __future__ import annotations

import json
import math
from datetime import date

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.market_data.assets.fx import fx_figures
from pipeline.market_data.assets.loads import Listed, judged_load, quarantined_rows, rule_outcomes
from pipeline.market_data.assets.prices import candidate_columns, price_columns, price_figures
from pipeline.market_data.providers import FetchResult
from pipeline.market_data.rules import RULES, Verdict, judge
from pipeline.store.quarantine import QuarantinedRow
from tests.unit.market_data.conftest import CONTEXT, LONG, SUNDAY, WEEK, Row, bars_of, series


def verdict_of(*rows: Row) -> Verdict:
    return judge(bars_of(rows), CONTEXT)


def everywhere(verdict: Verdict) -> np.ndarray:
    return np.ones(len(verdict.bars), dtype=bool)


def quarantine(*rows: Row) -> list[QuarantinedRow]:
    verdict = verdict_of(*rows)
    return quarantined_rows(verdict, everywhere(verdict), "vendor")


def test_a_refused_bar_is_kept_as_it_came() -> None:
    rows = quarantine(("A", WEEK[0], 10.0), ("A", WEEK[1], -3.0), ("B", SUNDAY, 7.0))
    assert rows == [
        QuarantinedRow("vendor", "A", date(2022, 5, 3), "not_positive", {"close_adjusted": -3.0}),
        QuarantinedRow("vendor", "B", date(2022, 5, 8), "not_a_session", {"close_adjusted": 7.0}),
    ]


@pytest.mark.parametrize("close", [math.nan, math.inf, -math.inf])
def test_a_close_that_json_cannot_hold_is_kept_as_text(close: float) -> None:
    [row] = quarantine(("A", WEEK[0], close))
    assert json.loads(json.dumps(row.payload, allow_nan=False)) == {"close_adjusted": str(close)}


def test_all_closes_of_a_contradiction_are_kept() -> None:
    [row] = quarantine(("A", WEEK[0], 11.0), ("A", WEEK[0], 10.0), ("A", WEEK[0], 10.0))
    assert row.rule == "conflicting_duplicate"
    assert row.payload == {"close_adjusted": [10.0, 10.0, 11.0]}


def test_keys_of_the_quarantine_are_unique_and_no_close_is_lost() -> None:
    closes = [10.0, 11.0, -1.0, math.nan, 0.0, -2.0]
    rows = quarantine(*(("A", day, close) for day in (WEEK[0], SUNDAY) for close in closes))
    assert len({(row.symbol, row.session, row.rule) for row in rows}) == len(rows)
    kept = [value for row in rows for value in np.atleast_1d(np.array(row.payload["close_adjusted"], dtype=object))]
    assert sorted(map(str, kept)) == sorted(map(str, 2 * closes))


def test_an_accepted_bar_and_its_repeat_are_not_quarantined() -> None:
    assert quarantine(("A", WEEK[0], 10.0), ("A", WEEK[0], 10.0)) == []


def test_only_the_months_of_the_run_are_quarantined() -> None:
    verdict = verdict_of(("A", "2022-04-29", -1.0), ("A", "2022-05-02", -2.0))
    assert [row.payload for row in quarantined_rows(verdict, np.array([False, True]), "vendor")] == [
        {"close_adjusted": -2.0}
    ]


def test_each_rule_reports_count_share_and_samples() -> None:
    verdict = verdict_of(*(("A", day, -1.0) for day in LONG[:7]), *(("A", day, 1.0) for day in LONG[7:20]))
    outcomes = {outcome.name: outcome for outcome in rule_outcomes(verdict, everywhere(verdict))}
    assert list(outcomes) == [rule.name for rule in RULES]
    refused = outcomes["not_positive"]
    assert not refused.passed
    assert not refused.blocking  # the bars are in quarantine: the others are good
    assert refused.metadata["count"] == 7
    assert refused.metadata["ppm"] == 350_000.0
    assert refused.metadata["samples"] == [f"A {day}" for day in LONG[:5]]
    assert outcomes["spike"].passed


@pytest.mark.parametrize(("moves", "passed"), [(10, True), (11, False)])
def test_some_large_moves_are_ordinary(moves: int, passed: bool) -> None:
    close = 100.0 * np.cumprod(np.r_[1.0, np.full(moves, 1.3), np.ones(20)])
    verdict = judge(series(close), CONTEXT)
    outcome = next(o for o in rule_outcomes(verdict, everywhere(verdict)) if o.name == "large_move")
    assert outcome.metadata["count"] == moves
    assert outcome.passed is passed


def test_the_large_moves_of_33_years_are_ordinary(bundled: Verdict) -> None:
    assert all(outcome.passed for outcome in rule_outcomes(bundled, everywhere(bundled)))


def test_a_month_without_bars_passes_every_rule() -> None:
    verdict = verdict_of(("A", WEEK[0], -1.0))
    outcomes = rule_outcomes(verdict, np.array([False]))
    assert all(outcome.passed and outcome.metadata["ppm"] == 0.0 for outcome in outcomes)


def test_rows_carry_the_number_of_their_instrument() -> None:
    columns = price_columns(bars_of([("B", WEEK[0], 2.0), ("A", WEEK[0], 1.0)]), {"A": 7, "B": 3, "C": 9}, 1)
    assert columns["instrument_id"].tolist() == [3, 7]
    assert columns["instrument_id"].dtype == np.int32
    assert columns["close_adjusted"].tolist() == [2.0, 1.0]


def test_figures_of_a_month_of_prices() -> None:
    columns = price_columns(
        bars_of([("A", day, close) for day, close in zip(WEEK, [1, 2, 9], strict=False)]), {"A": 1}, 1
    )
    assert price_figures(columns) == {
        "instruments_count": 1.0,
        "sessions_count": 3.0,
        "median_close": 2.0,
        "highest_close": 9.0,
    }


def test_figures_of_a_month_of_rates() -> None:
    figures = fx_figures(
        {
            "currency": np.array([b"USD", b"USD", b"JPY"]),
            "session": np.array(["2022-05-02", "2022-05-03", "2022-05-02"], dtype="datetime64[D]"),
            "units_per_euro": np.array([1.0, 1.2, 140.0]),
        }
    )
    assert math.isnan(figures.pop("mean_gbp_per_eur"))
    assert figures == {"currencies_count": 2.0, "days_count": 2.0, "mean_usd_per_eur": 1.1}


def test_candidates_stand_in_the_order_of_the_verdict() -> None:
    """Whichever exchange judges them, and in whatever order they came; those that nobody holds are none."""
    bars = bars_of(
        [
            (symbol, day, 10.0 + number)
            for number, symbol in enumerate("DBAC")
            for day in (*WEEK[::-1], date(2022, 6, 1))
        ]
    )
    months = MonthRange(date(2022, 5, 1), date(2022, 5, 1))
    ids = {"A": 7, "B": 3, "C": 0, "D": 5}
    exchanges = Listed(exchange_of={"A": "XLON", "D": "XLON"})
    load = judged_load(FetchResult(bars=bars), months, None, exchanges)
    columns, is_candidate = candidate_columns(bars, ids, 1, months)
    judged = load.verdict.bars.take(is_candidate)
    assert columns["instrument_id"].tolist() == [ids[judged.symbols[place]] for place in judged.symbol_index]
    assert columns["session"].tolist() == judged.sessions.tolist()
    assert columns["close_adjusted"].tolist() == judged.close_adjusted.tolist()
    assert sorted(set(columns["instrument_id"].tolist())) == [3, 5, 7]
    assert (load.is_accepted & ~is_candidate).sum() == len(WEEK)
