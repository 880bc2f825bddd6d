"""Stated scenarios: which shock a position takes, storage as JSON, and names that do not exist."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import Positions, replay
from pipeline.risk.measures.stress_hypothetical import (
    ShockSet,
    Universe,
    UnknownNameError,
    hypothetical_stress,
    position_shocks,
)
from tests.unit.risk.series import PROPERTY, same

SYMBOLS = ("XOM", "CVX", "AAPL", "MSFT", "GLD")
UNIVERSE = Universe(
    SYMBOLS,
    ("Energy", "Energy", "Technology", "Technology", None),
    ("oil", "rates"),
    np.array([[1.2, -0.1], [1.0, 0.0], [0.0, -0.8], [0.1, -0.7], [0.3, np.nan]]),
)
HELD = Positions(SYMBOLS[:4], np.array([0.3, 0.2, 0.4, -0.1]), 1e6)

SHOCK = st.floats(-1.0, 3.0)
SHOCK_SETS = st.builds(
    ShockSet,
    st.text(min_size=1),
    SHOCK,
    st.dictionaries(st.sampled_from(["Energy", "Technology"]), SHOCK),
    st.dictionaries(st.sampled_from(SYMBOLS), SHOCK),
    st.dictionaries(st.sampled_from(["oil", "rates"]), SHOCK),
    st.none() | st.floats(0.0, 10.0),
    st.none() | st.floats(0.0, 1.0),
)


def shocks_of(shock_set: ShockSet) -> list[float]:
    return position_shocks(shock_set, HELD, UNIVERSE).tolist()


@pytest.mark.parametrize(
    ("shock_set", "expected"),
    [
        (ShockSet("market", market=-0.2), [-0.2, -0.2, -0.2, -0.2]),
        (ShockSet("sector", sectors={"Energy": -0.3}), [-0.3, -0.3, 0.0, 0.0]),
        (ShockSet("symbol", symbols={"MSFT": 0.5}), [0.0, 0.0, 0.0, 0.5]),
        (ShockSet("factor", factors={"oil": -0.5}), [-0.6, -0.5, 0.0, -0.05]),
        (ShockSet("sector beats market", market=-0.2, sectors={"Energy": 0.1}), [0.1, 0.1, -0.2, -0.2]),
        (
            ShockSet("symbol beats both", market=-0.2, sectors={"Energy": 0.1}, symbols={"CVX": -0.9}),
            [0.1, -0.9, -0.2, -0.2],
        ),
        (ShockSet("0 beats the market too", market=-0.2, symbols={"CVX": 0.0}), [-0.2, 0.0, -0.2, -0.2]),
        (ShockSet("factors add up", factors={"oil": -0.5, "rates": 0.1}), [-0.61, -0.5, -0.08, -0.12]),
        (
            ShockSet("factors add to all", -0.1, {"Energy": 0.2}, {"MSFT": 0.3}, {"oil": 0.1, "rates": -0.1}),
            [0.2 + 0.12 + 0.01, 0.2 + 0.1, -0.1 + 0.08, 0.3 + 0.01 + 0.07],
        ),
        (ShockSet("known, not held", symbols={"GLD": -0.5}), [0.0, 0.0, 0.0, 0.0]),
        (ShockSet("risk alone", volatility_scale=2.0), [0.0, 0.0, 0.0, 0.0]),
    ],
    ids=lambda value: value.name if isinstance(value, ShockSet) else "",
)
def test_a_position_takes_the_most_specific_shock_and_its_factors(shock_set: ShockSet, expected: list[float]) -> None:
    np.testing.assert_allclose(shocks_of(shock_set), expected, rtol=1e-14, atol=1e-17)
    result = hypothetical_stress(shock_set, HELD, UNIVERSE)
    assert result.kind == "hypothetical"
    assert result.name == shock_set.name
    np.testing.assert_allclose(result.position_pnl, np.array(expected) * HELD.weights, rtol=1e-14, atol=1e-17)
    assert float(result.position_pnl.sum()) == pytest.approx(result.total, abs=1e-15)


def test_positions_are_found_by_name_whatever_their_order() -> None:
    shock_set = ShockSet("x", -0.1, {"Energy": 0.2}, {"MSFT": 0.3}, {"oil": 0.1})
    turned = Positions(HELD.symbols[::-1], HELD.weights[::-1].copy())
    assert position_shocks(shock_set, turned, UNIVERSE).tolist() == shocks_of(shock_set)[::-1]


def test_an_instrument_without_a_sector_takes_the_market_s_shock() -> None:
    gold = Positions(("GLD",), np.ones(1))
    shock_set = ShockSet("x", market=-0.1, sectors={"Energy": -0.4, "Technology": -0.3})
    assert position_shocks(shock_set, gold, UNIVERSE).tolist() == [-0.1]


@PROPERTY
@given(SHOCK_SETS)
def test_a_scenario_survives_storage_and_gives_the_same_bits(shock_set: ShockSet) -> None:
    stored = ShockSet.from_json(shock_set.to_json())
    assert stored == shock_set
    assert stored.to_json() == shock_set.to_json()
    assert ShockSet.from_mapping(shock_set.to_mapping()) == shock_set
    assert same(position_shocks(stored, HELD, UNIVERSE), position_shocks(shock_set, HELD, UNIVERSE))


@PROPERTY
@given(SHOCK_SETS)
def test_profit_and_loss_sums_and_is_reproduced_from_the_shocks(shock_set: ShockSet) -> None:
    if min(shocks_of(shock_set)) < -1.0:
        with pytest.raises(MeasureInputError, match=r"would fall by more than 100 % in scenario"):
            hypothetical_stress(shock_set, HELD, UNIVERSE)
        return
    result = hypothetical_stress(shock_set, HELD, UNIVERSE)
    assert float(result.position_pnl.sum()) == pytest.approx(result.total, abs=1e-9)
    again = replay(result.shocks, HELD.weights)
    assert same(again.position, result.position_pnl)
    assert again.total == result.total


def test_whole_numbers_are_shocks_and_are_stored_like_fractions() -> None:
    whole = ShockSet.from_json('{"name": "x", "market": -1, "symbols": {"XOM": 1}, "factors": {"oil": 0}}')
    assert whole.to_json() == ShockSet("x", -1.0, symbols={"XOM": 1.0}, factors={"oil": 0.0}).to_json()
    assert shocks_of(whole) == [1.0, -1.0, -1.0, -1.0]


def test_a_scenario_does_not_change_with_the_mapping_it_was_made_of() -> None:
    mine = {"Energy": -0.2}
    shock_set = ShockSet("x", sectors=mine)
    mine["Energy"] = -0.9
    assert shock_set.sectors == {"Energy": -0.2}
    shock_set.to_mapping()["sectors"]["Energy"] = -0.9
    assert shock_set.sectors == {"Energy": -0.2}


def test_nothing_given_is_modified() -> None:
    exposures, weights = np.array(UNIVERSE.exposures), HELD.weights.copy()
    hypothetical_stress(ShockSet("x", -0.1, factors={"oil": 0.1, "rates": 0.2}), HELD, UNIVERSE)
    assert UNIVERSE.exposures is not None
    assert same(UNIVERSE.exposures, exposures)
    assert same(HELD.weights, weights)


@pytest.mark.parametrize(
    ("shock_set", "message"),
    [
        (ShockSet("x", symbols={"TSLA": -0.1}), r"^symbols: TSLA not known; known are XOM, CVX, AAPL, MSFT, GLD$"),
        (ShockSet("x", sectors={"Banks": -0.1}), r"^sectors: Banks not known; known are Energy, Technology$"),
        (ShockSet("x", factors={"gold": 0.1, "fx": 0.1}), r"^factors: fx, gold not known; known are oil, rates$"),
    ],
)
def test_names_that_do_not_exist_are_refused_with_those_that_do(shock_set: ShockSet, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        hypothetical_stress(shock_set, HELD, UNIVERSE)


def test_a_position_outside_the_universe_and_a_universe_without_factors_are_named() -> None:
    with pytest.raises(UnknownNameError, match=r"^positions: TSLA not known; known are XOM, "):
        hypothetical_stress(ShockSet("x", -0.1), Positions(("TSLA",), np.ones(1)), UNIVERSE)
    with pytest.raises(UnknownNameError, match=r"^factors: oil not known; known are none$"):
        hypothetical_stress(ShockSet("x", factors={"oil": 0.1}), HELD, Universe(SYMBOLS, (None,) * 5))


def test_an_unknown_exposure_matters_only_where_it_is_needed() -> None:
    gold = Positions(("GLD",), np.ones(1))
    assert position_shocks(ShockSet("x", factors={"oil": 0.1}), gold, UNIVERSE).tolist() == [pytest.approx(0.03)]
    message = r"^exposures: NaN or infinite for GLD on factor rates; estimate them or leave rates out of the scenario$"
    with pytest.raises(MeasureInputError, match=message):
        hypothetical_stress(ShockSet("x", factors={"rates": 0.1}), gold, UNIVERSE)
    assert shocks_of(ShockSet("x", factors={"rates": 0.1}))[1] == 0.0


def test_shocks_that_add_up_to_more_than_everything_are_refused() -> None:
    message = r"^shocks: XOM, CVX would fall by more than 100 % in scenario glut; ask for smaller shocks$"
    with pytest.raises(MeasureInputError, match=message):
        hypothetical_stress(ShockSet("glut", sectors={"Energy": -0.6}, factors={"oil": -0.5}), HELD, UNIVERSE)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"name": ""}, r"^name: empty or no text; name the scenario$"),
        ({"name": 3, "market": -0.1}, r"^name: empty or no text; name the scenario$"),
        ({"name": "x"}, r"^shocks: none in scenario x; state at least one$"),
        ({"name": "x", "sectors": {}}, r"^shocks: none in scenario x; state at least one$"),
        ({"name": "x", "market": -1.2}, r"^market=-1.2: no price falls by more than 100 %; give a fraction, not perc"),
        ({"name": "x", "symbols": {"XOM": -20.0}}, r"^symbols: XOM=-20.0: no price falls by more than 100 %"),
        ({"name": "x", "sectors": {"Energy": math.nan}}, r"^sectors: Energy=nan: no finite number; give a fraction"),
        ({"name": "x", "factors": {"oil": math.inf}}, r"^factors: oil=inf: no finite number"),
        ({"name": "x", "factors": {"oil": 10**400}}, r"^factors: oil=10+: no finite number"),
        ({"name": "x", "market": "-0.2"}, r"^market='-0.2': no finite number"),
        ({"name": "x", "market": True}, r"^market=True: no finite number"),
        ({"name": "x", "sectors": [1]}, r"^sectors: not a mapping; give names and fractions such as -0.2$"),
        ({"name": "x", "sectors": {1: -0.1}}, r"^sectors: 1 is no name; give text$"),
        ({"name": "x", "volatility_scale": -0.5}, r"^volatility_scale=-0.5: give a multiple of today's, such as 1.5"),
        ({"name": "x", "volatility_scale": math.nan}, r"^volatility_scale=nan: give a multiple"),
        ({"name": "x", "correlation_shift": 1.1}, r"^correlation_shift=1.1: give the fraction of the way from each"),
        ({"name": "x", "correlation_shift": -0.1}, r"^correlation_shift=-0.1: give the fraction"),
        ({"market": -0.1}, r"^name: missing; name the scenario$"),
    ],
)
def test_scenarios_that_are_none_are_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        ShockSet.from_mapping(stated)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"^shock set: no JSON \(.*\); give the text that was stored$"),
        ("[]", r"^shock set: not a JSON object; give one with the field name and the shocks$"),
        ('{"name": "x", "marked": -0.1}', r"^shock set: marked not known; known are name, market, sectors, symbols, f"),
        ('{"name": "x", "market": -0.1, "market": -0.2}', r"^shock set: a key is given twice; keep one of each$"),
        ('{"name": "x", "symbols": {"A": 0.1, "A": 0.2}}', r"^shock set: a key is given twice; keep one of each$"),
        ('{"name": "x", "market": NaN}', r"^market=nan: no finite number"),
    ],
)
def test_text_that_is_no_scenario_is_refused(text: str, message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        ShockSet.from_json(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("A", "B"), (None,)), r"^sectors: 1 for 2 symbols; give one a symbol, None if unknown$"),
        ((("A", "A"), (None, None)), r"^symbols: one is given twice; give each once$"),
        ((("A",), (None,), ("f", "f"), np.ones((1, 2))), r"^factors: one is given twice; give each once$"),
        ((("A",), (None,), ("f",)), r"^exposures: shape \(0, 0\); give \(1, 1\), None without factors$"),
        ((("A",), (None,), ("f",), np.ones((2, 1))), r"^exposures: shape \(2, 1\); give \(1, 1\)"),
        ((("A",), (None,), (), np.ones((1, 1))), r"^exposures: shape \(1, 1\); give \(1, 0\), None without factors$"),
    ],
)
def test_a_universe_that_does_not_fit_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        Universe(*arguments)
