"""Spells of drawdown by walking along the wealth, and averages of drawdowns against skfolio."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from skfolio import measures as skfolio_measures

from pipeline.base.types import FloatArray
from pipeline.risk.measures.drawdown import (
    DrawdownSpell,
    average_drawdown,
    conditional_drawdown_at_risk,
    deepest_drawdown,
    drawdown_spells,
    drawdowns,
    entropic_drawdown_at_risk,
    max_drawdown,
    ulcer_index,
)
from pipeline.risk.measures.errors import MeasureInputError
from tests.unit.risk.market import CRISIS_YEARS, close_of, index_returns, stock_returns
from tests.unit.risk.series import PROPERTY, drawn_returns, return_lists, same


def spells_by_walking(returns: list[float]) -> list[DrawdownSpell]:
    """Close by close, remembering the peak."""
    wealth, peak, start, trough, spells = 1.0, 1.0, 0, 0, []
    depth = 0.0
    for position, earned in enumerate(returns, 1):
        wealth *= 1.0 + earned
        if wealth >= peak * (1.0 - 1e-12):
            if depth < 0.0:
                spells.append(DrawdownSpell(depth, start, trough, position, position - start))
            peak, start, depth = max(wealth, peak), position, 0.0
        elif wealth / peak - 1.0 < depth:
            depth, trough = wealth / peak - 1.0, position
    if depth < 0.0:
        spells.append(DrawdownSpell(depth, start, trough, None, len(returns) - start))
    return spells


def columns() -> FloatArray:
    return np.ascontiguousarray(stock_returns()[CRISIS_YEARS].T)


@PROPERTY
@given(return_lists())
def test_spells_are_those_met_when_walking_along_the_wealth(returns: list[float]) -> None:
    made = drawdown_spells(np.array(returns), 100)
    expected = sorted(spells_by_walking(returns), key=lambda spell: spell.depth)
    assert [spell.depth for spell in made] == pytest.approx([spell.depth for spell in expected], rel=1e-9)
    assert {(s.start, s.trough, s.recovery, s.duration_sessions) for s in made} == {
        (s.start, s.trough, s.recovery, s.duration_sessions) for s in expected
    }


@PROPERTY
@given(return_lists())
def test_the_deepest_spell_is_the_maximum_drawdown(returns: list[float]) -> None:
    series = np.array(returns)
    deepest = deepest_drawdown(series)
    if min(returns) >= 0.0:
        assert deepest is None
        return
    assert deepest is not None
    assert deepest.depth == max_drawdown(series)
    path = np.concatenate([[1.0], np.cumprod(1.0 + series)])
    assert path[deepest.trough] / path[deepest.start] - 1.0 == pytest.approx(deepest.depth, rel=1e-9)


def test_known_spells() -> None:
    """Wealth 1, .8, .9, 1, 1.1, .99, 1.1, 1.2, 1.08: one fall back to its peak, one past it, one still open."""
    wealth = np.array([1.0, 0.8, 0.9, 1.0, 1.1, 0.99, 1.1, 1.2, 1.08])
    made = drawdown_spells(wealth[1:] / wealth[:-1] - 1.0, 5)
    assert made == (
        DrawdownSpell(pytest.approx(-0.2), 0, 1, 3, 3),
        DrawdownSpell(pytest.approx(-0.1), 4, 5, 6, 2),
        DrawdownSpell(pytest.approx(-0.1), 7, 8, None, 1),
    )
    assert drawdown_spells(wealth[1:] / wealth[:-1] - 1.0, 1) == made[:1]


def test_prices_that_return_to_their_peak_have_recovered_however_the_returns_round() -> None:
    for low in np.linspace(0.31, 0.97, 67):
        prices = np.array([100.0, 100.0 * low, 100.0, 100.0 * low, 100.0])
        made = drawdown_spells(prices[1:] / prices[:-1] - 1.0, 9)
        assert sorted((spell.start, spell.recovery) for spell in made) == [(0, 2), (2, 4)], low


def test_the_index_fell_from_october_2007_to_march_2009_and_recovered_in_march_2013() -> None:
    sessions = close_of("SP500")[0]
    deepest = deepest_drawdown(index_returns())
    assert deepest is not None
    assert deepest.recovery is not None
    days = [str(sessions[position]) for position in (deepest.start, deepest.trough, deepest.recovery)]
    assert days == ["2007-10-09", "2009-03-09", "2013-03-28"]
    assert deepest.depth == pytest.approx(676.53 / 1565.15 - 1.0, rel=1e-6)
    second = drawdown_spells(index_returns(), 2)[1]
    assert [str(sessions[position]) for position in (second.start, second.trough)] == ["2000-03-24", "2002-10-09"]


def test_wealth_that_never_falls_has_no_spells() -> None:
    for returns in (np.zeros(5), np.full(5, 0.01)):
        assert deepest_drawdown(returns) is None
        assert drawdown_spells(returns, 3) == ()


def test_a_total_loss_never_recovers() -> None:
    assert drawdown_spells(np.array([0.1, -1.0, 0.5]), 3) == (DrawdownSpell(-1.0, 1, 2, None, 2),)


@pytest.mark.parametrize(
    ("returns", "count", "message"),
    [
        (np.array([0.1, np.nan]), 1, "returns: NaN or infinite"),
        (np.array([]), 1, "returns: 0 given, at least 1"),
        (np.array([-1.5]), 1, "returns: below -1"),
        (np.array([0.1]), 0, "count=0: give at least 1"),
    ],
)
def test_input_without_spells_is_refused(returns: FloatArray, count: int, message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        drawdown_spells(returns, count)


def test_averages_of_real_drawdowns_equal_skfolio_on_compounded_wealth() -> None:
    panel = columns()
    paths = skfolio_measures.get_drawdowns(panel.T, compounded=True)
    np.testing.assert_allclose(drawdowns(panel), paths.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(average_drawdown(panel), -skfolio_measures.average_drawdown(paths), rtol=1e-10)
    np.testing.assert_allclose(ulcer_index(panel), skfolio_measures.ulcer_index(paths), rtol=1e-10)
    for confidence in (0.5, 0.9, 0.95, 0.99):
        expected = skfolio_measures.cdar(paths, beta=confidence)
        np.testing.assert_allclose(conditional_drawdown_at_risk(panel, confidence), expected, rtol=1e-9)


def test_skfolio_s_default_of_uncompounded_wealth_would_be_seen() -> None:
    """The guard of the test above."""
    paths = skfolio_measures.get_drawdowns(columns().T)
    assert not np.isclose(ulcer_index(columns()), skfolio_measures.ulcer_index(paths), rtol=1e-4).any()


def test_known_averages() -> None:
    """Drawdowns 0, -10 %, -19 %, -10 %."""
    returns = np.array([0.2, -0.1, -0.1, 1.0 / 0.9 - 1.0])
    np.testing.assert_allclose(drawdowns(returns), [0.0, -0.1, -0.19, -0.1], atol=1e-15)
    assert float(average_drawdown(returns)) == pytest.approx(-0.0975, rel=1e-12)
    assert float(ulcer_index(returns)) == pytest.approx(math.sqrt((0.01 + 0.0361 + 0.01) / 4.0), rel=1e-12)
    # The worst 40 % of four sessions: the worst (25 %) and 15 % of the next.
    expected = (0.25 * 0.19 + 0.15 * 0.10) / 0.4
    assert float(conditional_drawdown_at_risk(returns, 0.6)) == pytest.approx(expected, rel=1e-12)


@PROPERTY
@given(return_lists())
def test_measures_of_drawdown_keep_their_order(returns: list[float]) -> None:
    """Average ≤ Ulcer ≤ deepest, and average ≤ CDaR ≤ EDaR ≤ deepest."""
    series = np.array(returns)
    average, deepest = -float(average_drawdown(series)), -float(max_drawdown(series))
    ordered = [average, float(ulcer_index(series)), deepest]
    at_risk = [
        average,
        *(float(measure(series, 0.9)) for measure in (conditional_drawdown_at_risk, entropic_drawdown_at_risk)),
        deepest,
    ]
    for values in (ordered, at_risk):
        assert (np.diff(values) >= -1e-9).all(), values


def test_the_currency_of_the_wealth_does_not_matter_but_the_size_of_the_returns_does() -> None:
    close = close_of("AAPL")[1][-253:]
    for unit in (1.0, 1e-3, 1e6):
        wealth = close * unit
        assert float(ulcer_index(wealth[1:] / wealth[:-1] - 1.0)) == pytest.approx(
            float(ulcer_index(close[1:] / close[:-1] - 1.0)), rel=1e-11
        )
    returns = drawn_returns(252)
    assert float(ulcer_index(returns * 2.0)) > float(ulcer_index(returns))


def test_inputs_are_left_as_they_were() -> None:
    returns = drawn_returns(252)
    drawdown_spells(returns, 3)
    assert same(returns, drawn_returns(252))
