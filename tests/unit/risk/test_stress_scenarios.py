"""The standard scenarios: what they share, their sizes, and that each agrees with its counterpart on request."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures.covariance import ledoit_wolf_covariance
from pipeline.risk.measures.holdings import Holdings, hold, scenario_returns
from pipeline.risk.measures.stress import Positions, replay
from pipeline.risk.measures.stress_hypothetical import ShockSet, Universe, hypothetical_stress
from pipeline.risk.measures.stress_replays import BY_NOTHING, NO_BETA, OTHER_UNKNOWN
from pipeline.risk.measures.stress_reverse import reverse_stress
from pipeline.risk.measures.stress_scenarios import (
    NO_DIRECTION,
    NO_EXPOSURE,
    STANDARD_SCENARIOS,
    BenchmarkMove,
    standard_outcomes,
)
from pipeline.risk.measures.stress_shifts import correlation_shift, volatility_shift
from pipeline.risk.measures.stress_standing import (
    FIGURES,
    LOSES_TOO_MUCH,
    UNKNOWN_POSITIONS,
    Outcomes,
    Registered,
    Standing,
    standing_of,
)
from tests.unit.risk.series import drawn_close, same, weekdays

SYMBOLS = ("A", "B", "C", "D")
SECTORS = ("Energy", "Information Technology", "", "Energy")
CURRENCIES = ("USD", "EUR", "USD", "EUR")
REGISTERED = Registered(np.array([7, 3, 9, 5]), SECTORS, CURRENCIES, "USD", ("MTUM", "VLUE"))
CLOSE = drawn_close(600, 4, seed=71)
HELD = hold(CLOSE, weekdays("2018-01-01", 600), Holdings(np.array([2.0, 0.1, -0.02, 0.3]), "buy_and_hold"))
ROWS = np.array([100, 252, 400, 599])
DRAW = np.random.default_rng(8)
BETAS = DRAW.normal(1.0, 0.3, (4, 4))
EXPOSURES = DRAW.normal(0.3, 0.4, (4, 4, 2))
EXPOSURES[0] = np.nan

STANDING = standing_of(HELD, ROWS, REGISTERED, BETAS, EXPOSURES)


def outcomes(standing: Standing = STANDING) -> dict[str, Outcomes]:
    found = list(standard_outcomes(standing))
    named = {one.statement.name: one for one in found}
    assert len(named) == len(found)
    return named


ALL = outcomes()
BY_NAME = pytest.mark.parametrize("name", ALL)


def test_a_scenario_for_each_sector_fund_currency_and_size() -> None:
    assert list(ALL) == [
        "equity_down_10",
        "equity_down_20",
        "equity_down_40",
        "sector_energy",
        "sector_information_technology",
        "factor_MTUM",
        "factor_VLUE",
        "largest_position_gap_15",
        "currency_EUR",
        "volatility_up_50",
        "volatility_doubled",
        "correlation_up_80",
        "reverse_loss_10",
        "reverse_loss_20",
        "reverse_loss_30",
    ]
    at_home = replace(STANDING, registered=replace(REGISTERED, currencies=("USD",) * 4, sectors=("",) * 4, factors=()))
    assert not any(name.startswith(("sector", "factor", "currency")) for name in outcomes(at_home))


@pytest.mark.parametrize("scenario", STANDARD_SCENARIOS, ids=lambda scenario: type(scenario).__name__)
def test_a_scenario_is_frozen_and_says_where_its_size_comes_from(scenario: object) -> None:
    assert getattr(scenario, "source", "").endswith(".")
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        scenario.source = "elsewhere"  # type: ignore[attr-defined]


@BY_NAME
def test_positions_sum_to_the_total_and_are_reproduced_by_their_shocks(name: str) -> None:
    found = ALL[name]
    for row in range(len(found.rows)):
        moved = found.moved[row]
        if math.isnan(found.totals[row]):
            assert found.whole_reasons[row] == UNKNOWN_POSITIONS
            assert (found.reasons[row][moved] != b"").all()
            continue
        made = replay(found.shocks[row][moved], found.weights[row][moved])
        assert same(made.position, found.pnl[row][moved])
        assert made.total == found.totals[row]
        assert abs(found.pnl[row][moved].sum() - found.totals[row]) <= 1e-12
        assert found.worst_totals[row] == min(found.totals[row], 0.0)
        assert (found.shocks[row][~moved] == 0.0).all()
    assert json.loads(found.statement.json) == dict(found.statement.parameters)
    assert set(found.figures) <= set(FIGURES)


@BY_NAME
def test_a_session_does_not_depend_on_the_others(name: str) -> None:
    """Nor on what comes after it: the portfolio is held up to that session alone."""
    found = ALL[name]
    for place, row in enumerate(ROWS.tolist()):
        alone = standing_of(
            hold(
                CLOSE[: row + 1],
                weekdays("2018-01-01", row + 1),
                Holdings(np.array([2.0, 0.1, -0.02, 0.3]), "buy_and_hold"),
            ),
            np.array([row]),
            REGISTERED,
            BETAS[place : place + 1],
            EXPOSURES[place : place + 1],
        )
        one = outcomes(alone).get(name)
        if place not in found.rows:
            assert one is None
            continue
        assert one is not None
        at = int(np.flatnonzero(found.rows == place)[0])
        for field in ("shocks", "pnl", "worst_shocks", "moved", "totals"):
            assert same(getattr(one, field)[0], getattr(found, field)[at]), field
        for figure, values in one.figures.items():
            assert same(values[0], found.figures[figure][at])


@BY_NAME
def test_the_order_of_positions_does_not_matter(name: str) -> None:
    order = np.array([2, 0, 3, 1])
    shuffled = Standing(
        Registered(
            REGISTERED.instrument_ids[order],
            tuple(SECTORS[i] for i in order),
            tuple(CURRENCIES[i] for i in order),
            "USD",
            REGISTERED.factors,
        ),
        STANDING.weights[:, order],
        BETAS[:, order],
        EXPOSURES[:, order],
        STANDING.returns_before,
        STANDING.covariances[:, order][:, :, order],
        STANDING.scenarios,
    )
    found, other = ALL[name], outcomes(shuffled)[name]
    np.testing.assert_array_equal(other.moved, found.moved[:, order])
    np.testing.assert_allclose(other.shocks, found.shocks[:, order], rtol=1e-12)
    np.testing.assert_allclose(other.totals, found.totals, rtol=1e-12)
    for figure, values in found.figures.items():
        np.testing.assert_allclose(other.figures[figure], values, rtol=1e-10)


@BY_NAME
def test_a_mirrored_portfolio_gains_what_the_other_loses(name: str) -> None:
    found, other = ALL[name], outcomes(replace(STANDING, weights=-STANDING.weights))[name]
    if name == "largest_position_gap_15" or found.statement.kind == "reverse":
        assert same(other.totals, found.totals)  # the scenario itself is against the holder
        np.testing.assert_array_equal(other.shocks, -found.shocks)
    elif not found.moved.any():
        assert (other.totals == 0.0).all()
    else:
        assert same(other.totals, -found.totals)
        assert same(other.shocks, found.shocks)


@pytest.mark.parametrize("scale", [0.5, 2.0])
@BY_NAME
def test_a_larger_portfolio_loses_as_much_more(name: str, scale: float) -> None:
    found, other = ALL[name], outcomes(replace(STANDING, weights=scale * STANDING.weights))[name]
    if found.statement.kind == "reverse":
        np.testing.assert_allclose(other.totals, found.totals, rtol=1e-12)
        np.testing.assert_allclose(other.shocks, found.shocks / scale, rtol=1e-12)
        distances = found.figures["mahalanobis_distance"]
        np.testing.assert_allclose(other.figures["mahalanobis_distance"], distances / scale, rtol=1e-12)
    else:
        np.testing.assert_array_equal(other.totals, scale * found.totals)  # a power of two: to the last bit


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("sector_energy", {"sectors": {"Energy": -0.4}}),
        ("sector_information_technology", {"sectors": {"Information Technology": -0.5}}),
        ("factor_VLUE", {"factors": {"VLUE": -0.1}}),
        ("equity_down_20", {"factors": {"INDEX": -0.2}}),
    ],
)
def test_stated_shocks_are_those_of_the_same_scenario_on_request(name: str, stated: dict) -> None:
    found = ALL[name]
    universe_sectors = tuple(sector or None for sector in SECTORS)
    for place, row in enumerate(found.rows.tolist()):
        factors = np.column_stack([EXPOSURES[row], BETAS[row]])
        universe = Universe(SYMBOLS, universe_sectors, (*REGISTERED.factors, "INDEX"), factors)
        made = hypothetical_stress(ShockSet(name, **stated), Positions(SYMBOLS, STANDING.weights[row]), universe)
        assert same(made.shocks, found.shocks[place])
        assert made.total == found.totals[place]


@pytest.mark.parametrize("loss", [0.1, 0.2, 0.3])
def test_the_likeliest_loss_is_that_on_request(loss: float) -> None:
    found = ALL[f"reverse_loss_{100 * loss:.0f}"]
    assert np.isnan(found.totals).tolist() == [True, False, False, False]
    assert set(found.reasons[0].tolist()) == {b"short_window: 100 of 252 sessions"}
    for place, row in enumerate(ROWS[1:].tolist(), start=1):
        covariance = ledoit_wolf_covariance(np.ascontiguousarray(HELD.asset_returns[row - 252 : row]))
        made = reverse_stress(Positions(SYMBOLS, HELD.weights[row - 1]), covariance, loss)
        assert same(made.result.shocks, found.shocks[place])
        assert found.totals[place] == pytest.approx(-loss, rel=1e-12)
        assert found.figures["mahalanobis_distance"][place] == made.mahalanobis_distance
        assert found.figures["gaussian_probability"][place] == made.gaussian_probability


def test_wilder_markets_move_no_price_and_are_measured_as_on_request() -> None:
    names = ("volatility_up_50", "volatility_doubled", "correlation_up_80")
    for name in names:
        assert not ALL[name].moved.any()
        assert (ALL[name].totals == 0.0).all()
        assert np.isnan(ALL[name].figures["var_99_1d_after"]).tolist() == [True, False, False, False]
        assert ALL[name].whole_reasons.tolist() == [b"short_window: 100 of 252 sessions", b"", b"", b""]
    for place, row in enumerate(ROWS[1:].tolist(), start=1):
        scenarios = scenario_returns(HELD, row, 252)
        for name, scale in zip(names, (1.5, 2.0), strict=False):
            made = volatility_shift(scenarios, scale, 0.99)
            for figure in ("var_before", "var_after", "es_before", "es_after"):
                stored = ALL[name].figures[figure.replace("_", "_99_1d_", 1)][place]
                assert stored == getattr(made, figure)
        covariance = ledoit_wolf_covariance(np.ascontiguousarray(HELD.asset_returns[row - 252 : row]))
        shifted = correlation_shift(Positions(SYMBOLS, HELD.weights[row - 1]), covariance, 0.8, 0.99)
        assert ALL[names[2]].figures["var_99_1d_before"][place] == shifted.gaussian_var_before
        assert ALL[names[2]].figures["var_99_1d_after"][place] == shifted.gaussian_var_after


def test_the_largest_position_gaps_against_its_holder() -> None:
    weights = np.array([[0.5, 0.2, 0.2, 0.1], [0.3, 0.2, -0.9, 0.3], [0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.1, 0.4]])
    found = outcomes(replace(STANDING, weights=weights))["largest_position_gap_15"]
    # Of equals, the one with the lowest number: 3 and then 3 of (3, 5).
    assert [np.flatnonzero(moved).tolist() for moved in found.moved] == [[0], [2], [1], [1]]
    assert found.shocks[[0, 1, 2, 3], [0, 2, 1, 1]].tolist() == [-0.15, 0.15, -0.15, -0.15]
    np.testing.assert_allclose(found.totals, [-0.075, -0.135, -0.0375, -0.06], rtol=1e-15)


def with_betas(*changed: tuple[int, int, float]) -> FloatArray:
    betas = BETAS.copy()
    for row, column, value in changed:
        betas[row, column] = value
    return betas


def test_what_cannot_be_shocked_says_why_and_leaves_the_total_unknown() -> None:
    standing = replace(STANDING, betas=with_betas((1, 2, np.nan), (2, 0, 2.6)))
    found = outcomes(standing)
    mild, severe = found["equity_down_10"], found["equity_down_40"]
    assert np.isnan(mild.totals).tolist() == [False, True, False, False]
    assert mild.reasons[1].tolist() == [OTHER_UNKNOWN, OTHER_UNKNOWN, NO_BETA, OTHER_UNKNOWN]
    assert mild.shocked_by[1].tolist() == [b"benchmark_beta", b"benchmark_beta", BY_NOTHING, b"benchmark_beta"]
    assert np.isfinite(mild.pnl[1]).tolist() == [True, True, False, True]  # the others' are known still
    assert np.isnan(mild.worst_pnl[1]).all()
    # 2.6 times a fall by 40 % is more than all of it, and no price falls so far.
    assert np.isnan(severe.totals).tolist() == [False, True, True, False]
    assert severe.reasons[2, 0] == LOSES_TOO_MUCH


def test_a_fund_shocks_nothing_before_an_exposure_is_known() -> None:
    assert ALL["factor_MTUM"].rows.tolist() == [1, 2, 3]
    partly = EXPOSURES.copy()
    partly[2, 1, 0] = np.nan
    found = outcomes(replace(STANDING, exposures=partly))["factor_MTUM"]
    assert found.reasons[1].tolist() == [OTHER_UNKNOWN, NO_EXPOSURE, OTHER_UNKNOWN, OTHER_UNKNOWN]


def test_a_portfolio_without_variance_has_no_direction() -> None:
    covariances = STANDING.covariances.copy()
    covariances[2] = 0.0
    found = outcomes(replace(STANDING, covariances=covariances))["reverse_loss_20"]
    assert found.reasons[2].tolist() == [NO_DIRECTION] * 4
    assert np.isnan(found.figures["mahalanobis_distance"]).tolist() == [True, False, True, False]


def test_a_new_scenario_is_one_record() -> None:
    (found,) = BenchmarkMove("equity_up_10", 0.10, "The house's.").outcomes(STANDING)
    assert same(found.shocks, BETAS * 0.10)
    gains = found.totals > 0.0
    assert gains.any()
    assert (found.worst_totals[gains] == 0.0).all()  # who gains stood lowest at the start
