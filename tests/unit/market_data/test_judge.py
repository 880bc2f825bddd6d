"""The registry and the verdict: every row is accounted for, whatever the payload and its order."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market_data.rules import RULES, Bars, Rule, Verdict, judge
from tests.unit.market_data.conftest import CONTEXT, LONG, SUNDAY, WEEK, Row, bars_of, flagged_by, series, walk
from tests.unit.properties import PROPERTY

BY_NAME = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
DAYS = [*WEEK, SUNDAY]
CLOSES = [10.0, 11.0, 14.0, 0.0, -1.0, math.nan, math.inf]
ROWS = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(DAYS), st.sampled_from(CLOSES)), max_size=30)


def messy() -> Bars:
    """Two long instruments and one of everything that is wrong, in the order of a careless provider."""
    rows: list[Row] = [("A", day, close) for day, close in zip(LONG, walk(150, 1), strict=False)]
    rows += [("B", day, close) for day, close in zip(LONG, walk(150, 2), strict=False) if day != LONG[50]]
    rows[100] = ("A", LONG[100], rows[100][2] * 2)  # a spike
    rows[20] = ("A", LONG[20], -1.0)
    rows += [("B", SUNDAY, 99.0), rows[30], ("B", LONG[7], 1.0), ("C", LONG[0], 1.0), ("C", LONG[1], 9.0)]
    return bars_of([rows[position] for position in np.random.default_rng(5).permutation(len(rows))])


# The registry ----------------------------------------------------------------------------------------------


@BY_NAME
def test_a_rule_says_what_it_means_and_does(rule: Rule) -> None:
    assert rule.flag.__name__ == f"flag_{rule.name}"
    assert rule.action in ("quarantine", "provisional", "warn")
    assert rule.refuses is (rule.action != "warn")
    assert rule.meaning.endswith(".")
    assert len(rule.meaning) > 20
    assert (rule.flag.__doc__ or "").startswith("(m,) ")


def test_rules_have_names_of_their_own_and_refusals_come_first() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    refusals = [rule.refuses for rule in RULES]
    assert refusals == sorted(refusals, reverse=True)  # a warning looks at the bars that are left


@BY_NAME
@pytest.mark.parametrize("bars", [bars_of([]), series([10.0]), messy().sorted()], ids=["none", "one", "messy"])
def test_a_rule_answers_with_one_truth_value_a_bar(rule: Rule, bars: Bars) -> None:
    mask = rule.flag(bars, CONTEXT)
    assert mask.dtype == bool
    assert mask.shape == (len(bars),)


@BY_NAME
def test_a_rule_leaves_its_input_alone(rule: Rule) -> None:
    bars = messy().sorted()
    columns = (bars.symbol_index, bars.sessions, bars.close_adjusted, CONTEXT.sessions)
    before = [column.copy() for column in columns]
    rule.flag(bars, CONTEXT)
    for column, copy in zip(columns, before, strict=True):
        np.testing.assert_array_equal(column, copy)


@pytest.mark.parametrize(
    "rule", ["not_positive", "not_a_session", "conflicting_duplicate", "spike", "gap", "large_move"]
)
def test_adjusted_closes_alone_are_enough_for_a_rule(rule: str) -> None:
    assert flagged_by(rule, judge(messy(), CONTEXT))


@BY_NAME
def test_an_instrument_is_judged_as_if_it_were_alone(rule: Rule) -> None:
    bars = messy().sorted()
    together = rule.flag(bars, CONTEXT)
    for index in range(len(bars.symbols)):
        own = bars.symbol_index == index
        np.testing.assert_array_equal(rule.flag(bars.take(own), CONTEXT), together[own])


# The verdict -----------------------------------------------------------------------------------------------


def keyed(bars: Bars) -> list[tuple[int, object, str]]:
    """Rows as values that compare, NaN included."""
    close = [str(value + 0.0) for value in bars.close_adjusted]  # -0.0 as 0.0
    return list(zip(bars.symbol_index.tolist(), bars.sessions.tolist(), close, strict=True))


@PROPERTY
@given(ROWS)
def test_every_row_is_accepted_refused_or_an_exact_repeat(rows: list[Row]) -> None:
    verdict = judge(bars_of(rows), CONTEXT)
    assert Counter(keyed(verdict.bars)) == Counter(keyed(bars_of(rows)))
    assert not (verdict.accepted & verdict.refused).any()
    repeated = ~(verdict.accepted | verdict.refused)
    kept = set(keyed(verdict.bars.take(~repeated)))
    assert set(keyed(verdict.bars.take(repeated))) <= kept


@PROPERTY
@given(ROWS)
def test_what_is_accepted_is_one_undisputed_positive_close_on_a_session(rows: list[Row]) -> None:
    claimed = defaultdict(set)
    for symbol, session, close in keyed(bars_of(rows)):
        claimed[symbol, session].add(close)
    undisputed = [
        (*key, close)
        for key, closes in claimed.items()
        for close in closes
        if len(closes) == 1 and key[1] != SUNDAY.item() and 0 < float(close) < math.inf
    ]
    verdict = judge(bars_of(rows), CONTEXT)
    assert sorted(keyed(verdict.bars.take(verdict.accepted))) == sorted(undisputed)


@PROPERTY
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_payload_does_not_matter(rows: list[Row], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert told(judge(bars_of(rows), CONTEXT)) == told(judge(bars_of(shuffled), CONTEXT))


def told(verdict: Verdict) -> Counter:
    return Counter(zip(keyed(verdict.bars), map(tuple, verdict.flags.tolist()), verdict.accepted.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_a_long_payload_does_not_matter(seed: int) -> None:
    bars = messy()
    shuffled = bars.take(np.random.default_rng(seed).permutation(len(bars)))
    assert told(judge(shuffled, CONTEXT)) == told(judge(bars, CONTEXT))


# Rules after each other ------------------------------------------------------------------------------------


def test_a_zero_price_does_not_make_its_neighbours_suspicious() -> None:
    close = walk(150)
    close[100] = 0.0
    verdict = judge(series(close), CONTEXT)
    assert flagged_by("not_positive", verdict) == [f"A {LONG[100]}"]
    assert verdict.flags[:, 1:].sum() == 1
    assert flagged_by("gap", verdict) == [f"A {LONG[101]}"]


def test_a_spike_is_refused_and_its_neighbours_are_no_large_moves() -> None:
    close = walk(150)
    close[100] *= 2
    verdict = judge(series(close), CONTEXT)
    assert flagged_by("spike", verdict) == [f"A {LONG[100]}"]
    assert flagged_by("large_move", verdict) == []
    assert verdict.accepted.sum() == 149


def test_an_exact_repeat_is_accepted_once() -> None:
    verdict = judge(bars_of([("A", WEEK[0], 10.0), ("A", WEEK[1], 11.0), ("A", WEEK[0], 10.0)]), CONTEXT)
    assert verdict.accepted.tolist() == [True, False, True]
    assert not verdict.refused.any()


def test_a_bar_that_is_refused_is_refused_once() -> None:
    verdict = judge(bars_of([("A", WEEK[0], -1.0), ("A", WEEK[0], -1.0)]), CONTEXT)
    assert verdict.refused.tolist() == [True, False]
    assert not verdict.accepted.any()


def test_a_repeat_does_not_hide_a_spike() -> None:
    close = walk(150)
    close[100] *= 2
    rows = [("A", day, value) for day, value in zip(LONG, close, strict=False)]
    assert flagged_by("spike", judge(bars_of([*rows, rows[100]]), CONTEXT)) == [f"A {LONG[100]}"]


def test_a_contradiction_is_refused_whole() -> None:
    verdict = judge(bars_of([("A", WEEK[0], 10.0), ("A", WEEK[0], 10.0), ("A", WEEK[0], 11.0)]), CONTEXT)
    assert verdict.refused.all()


def test_a_warning_lets_the_bar_pass() -> None:
    verdict = judge(bars_of([("A", WEEK[0], 10.0), ("A", WEEK[3], 20.0)]), CONTEXT)
    assert flagged_by("gap", verdict) == flagged_by("large_move", verdict) == [f"A {WEEK[3]}"]
    assert verdict.accepted.all()
