"""A drift band: when it trades, what lies at its ends, and that a walk goes on from where a trade or a row left it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import FloatArray, IntArray, SetUnits
from pipeline.risk.measures.drift_band import setting_rows
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings, first_needed_row, hold, opening_weights
from pipeline.risk.measures.kernels import drift_band as kernels
from tests.unit.risk.series import PROPERTY, drawn_close, same, weekdays

COUNT = 500
CLOSE, SESSIONS = drawn_close(COUNT, 4, seed=71), weekdays("2015-01-02", COUNT)
TARGETS = np.array([0.4, 0.3, 0.2, 0.1])
LONG_SHORT = np.array([0.9, 0.4, 0.1, -0.4])
BANDS = (1e-9, 0.005, 0.02, 0.05, 0.3)
EVERY_BAND = pytest.mark.parametrize("band", BANDS)


def banded(band: float, amounts: FloatArray = TARGETS, units: SetUnits | None = None) -> Holdings:
    return Holdings(amounts, "drift_band", band, units)


def trades(rows: IntArray) -> list[int]:
    return [row for row, setting in enumerate(rows.tolist()) if row == setting]


def kept_units(holdings: Holdings, rows: list[int]) -> SetUnits:
    """What is stored of a walk at some rows."""
    setting = holdings.setting_rows(CLOSE)
    return SetUnits(SESSIONS[rows], holdings.targets / CLOSE[setting[rows]])


def test_a_close_outside_trades_and_the_next_session_earns_with_the_targets() -> None:
    """Worked out by hand: half each, band 0.1. 0.55 stays, 0.62 trades at that close, and half each drifts again."""
    close = np.array([[10.0, 10.0], [11.0, 9.0], [13.1, 8.0], [14.41, 8.0], [14.41, 8.0]])
    holdings, sessions = Holdings(np.array([0.5, 0.5]), "drift_band", 0.1), SESSIONS[:5]
    held = hold(close, sessions, holdings)
    assert holdings.setting_rows(close).tolist() == [0, 0, 2, 2, 2]
    np.testing.assert_allclose(held.returns, [0.0, 21.1 / 20 - 1, 0.05, 0.0], rtol=1e-12, atol=1e-15)
    drifted = [1.1 / 2.1, 1.0 / 2.1]
    np.testing.assert_allclose(held.weights, [[0.55, 0.45], [0.5, 0.5], drifted, drifted], rtol=1e-12)
    opening = opening_weights(close, sessions, holdings)
    np.testing.assert_allclose(opening, [[0.5, 0.5], [0.55, 0.45], [0.5, 0.5], drifted], rtol=1e-12)


def test_a_weight_on_the_edge_has_not_left_the_band() -> None:
    close = np.array([[1.0, 1.0], [3.0, 1.0]])  # 0.75 exactly
    assert setting_rows(close, np.array([0.5, 0.5]), 0.25).tolist() == [0, 0]
    assert setting_rows(close, np.array([0.5, 0.5]), np.nextafter(0.25, 0.0)).tolist() == [0, 1]


def test_a_band_of_nothing_is_daily_rebalancing() -> None:
    one, daily = hold(CLOSE, SESSIONS, banded(1e-300)), hold(CLOSE, SESSIONS, Holdings(TARGETS, "daily"))
    np.testing.assert_allclose(one.returns, daily.returns, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(one.weights, daily.weights, rtol=1e-12)


@EVERY_BAND
def test_returns_differ_from_those_of_daily_rebalancing_by_no_more_than_the_band_lets_them(band: float) -> None:
    """Weights of the close before differ by at most the band each: returns tend to the daily ones with it."""
    daily, held = hold(CLOSE, SESSIONS, Holdings(TARGETS, "daily")), hold(CLOSE, SESSIONS, banded(band))
    bound = band * np.abs(held.asset_returns).sum(axis=1)
    assert (np.abs(held.returns - daily.returns) <= bound + 1e-14).all()


def test_a_band_that_no_weight_can_leave_is_buy_and_hold() -> None:
    """The weights of who is not short lie between 0 and 1."""
    one = hold(CLOSE, SESSIONS, banded(np.nextafter(1.0, 0.0)))
    held = hold(CLOSE, SESSIONS, Holdings(TARGETS / CLOSE[0], "buy_and_hold"))
    assert trades(setting_rows(CLOSE, TARGETS, 1.0)) == [0]
    np.testing.assert_allclose(one.returns, held.returns, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(one.weights, held.weights, rtol=1e-12)


@EVERY_BAND
@pytest.mark.parametrize("targets", [TARGETS, LONG_SHORT], ids=["long", "with a short"])
def test_closing_weights_lie_within_the_band(band: float, targets: FloatArray) -> None:
    held = hold(CLOSE, SESSIONS, banded(band, targets))
    assert np.abs(held.weights - targets).max() <= band + 1e-12


def test_a_narrower_band_trades_no_less_on_these_prices() -> None:
    """The guard of the others: between one trade and one a session."""
    counts = [len(trades(setting_rows(CLOSE, TARGETS, band))) for band in BANDS]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == COUNT
    assert counts[-1] == 1
    assert 3 < counts[2] < COUNT // 3


@EVERY_BAND
def test_the_kernel_its_twin_and_the_steps_of_many_sessions_trade_alike(band: float) -> None:
    for targets in (TARGETS, LONG_SHORT):
        expected = setting_rows(CLOSE, targets, band)
        for walk in (kernels.setting_rows, kernels.setting_rows_python):
            rows = np.empty(COUNT, dtype=np.int64)
            walk(CLOSE, targets, band, np.empty(4), rows)
            assert same(rows, expected)


@PROPERTY
@given(
    band=st.floats(0.001, 0.9),
    seed=st.integers(0, 10_000),
    sessions=st.integers(1, 80),
    weights=st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
def test_all_three_trade_alike_on_any_prices(band: float, seed: int, sessions: int, weights: list[int]) -> None:
    close, targets = drawn_close(sessions, len(weights), seed=seed), np.array(weights) / sum(weights)
    expected, rows = setting_rows(close, targets, band), np.empty(sessions, dtype=np.int64)
    kernels.setting_rows_python(close, targets, band, np.empty(len(weights)), rows)
    assert same(rows, expected)


@EVERY_BAND
def test_a_walk_that_begins_at_a_trade_goes_on_as_the_one_that_led_there(band: float) -> None:
    whole, rows = hold(CLOSE, SESSIONS, banded(band)), setting_rows(CLOSE, TARGETS, band)
    for trade in trades(rows)[:20]:
        part = hold(CLOSE[trade:], SESSIONS[trade:], banded(band))
        assert same(part.returns, whole.returns[trade:])
        assert same(part.weights, whole.weights[trade:])


@EVERY_BAND
def test_months_from_stored_units_are_those_of_one_walk_to_the_last_bit(band: float) -> None:
    holdings = banded(band)
    whole = hold(CLOSE, SESSIONS, holdings)
    months = SESSIONS.astype("datetime64[M]")
    firsts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]]).tolist()
    stored = kept_units(holdings, sorted({*firsts, *trades(holdings.setting_rows(CLOSE))}))
    for first in firsts:
        part = hold(CLOSE[first:], SESSIONS[first:], banded(band, units=stored))
        assert same(part.returns, whole.returns[first:])
        assert same(part.weights, whole.weights[first:])


def test_the_walk_depends_on_where_it_begins_without_them() -> None:
    """Why units are stored: from here on other weights, and for long."""
    whole, part = hold(CLOSE, SESSIONS, banded(0.05)), hold(CLOSE[57:], SESSIONS[57:], banded(0.05))
    assert np.abs(whole.weights[57:] - part.weights).max(axis=1).min(initial=1.0, where=np.arange(442) < 20) > 1e-4


def test_units_that_begin_too_late_are_refused() -> None:
    holdings = banded(0.05, units=kept_units(banded(0.05), [10]))
    message = r"^positions: no units of the drift band are stored at 2015-01-15; materialise portfolio_units up to it$"
    with pytest.raises(MeasureInputError, match=message):
        hold(CLOSE[9:], SESSIONS[9:], holdings)
    assert len(hold(CLOSE[10:], SESSIONS[10:], holdings).returns) == COUNT - 11


@pytest.mark.parametrize("window", [1, 21, 100, COUNT - 1])
def test_a_window_needs_prices_from_the_trade_before_it(window: int) -> None:
    holdings = banded(0.02)
    first, whole = first_needed_row(CLOSE, SESSIONS, holdings, window), hold(CLOSE, SESSIONS, holdings)
    assert first in trades(holdings.setting_rows(CLOSE))
    assert first <= COUNT - 1 - window
    part = hold(CLOSE[first:], SESSIONS[first:], holdings)
    assert same(part.returns[-window:], whole.returns[-window:])
    assert same(part.weights[-1], whole.weights[-1])


def test_neither_the_order_of_positions_nor_the_unit_of_prices_changes_trades() -> None:
    rows, order = setting_rows(CLOSE, TARGETS, 0.02), [2, 0, 3, 1]
    assert same(setting_rows(CLOSE[:, order], TARGETS[order], 0.02), rows)
    assert same(setting_rows(CLOSE * np.array([8.0, 0.5, 2.0, 1024.0]), TARGETS, 0.02), rows)


@pytest.mark.parametrize("last_price", [3.0, 4.0], ids=["nothing", "less than nothing"])
def test_who_is_worth_nothing_does_not_trade(last_price: float) -> None:
    close, targets = np.array([[1.0, 1.0], [1.0, last_price]]), np.array([1.5, -0.5])
    assert setting_rows(close, targets, 0.01).tolist() == [0, 0]
    rows = np.empty(2, dtype=np.int64)
    kernels.setting_rows_python(close, targets, 0.01, np.empty(2), rows)
    assert rows.tolist() == [0, 0]


@pytest.mark.parametrize("band", [0.0, -0.1, 1.0, 5.0, math.nan, math.inf])
def test_bands_that_are_no_fraction_are_refused(band: float) -> None:
    with pytest.raises(MeasureInputError, match=r"^drift_band: .*, a fraction of value; give one between 0 and 1"):
        banded(band)


def test_a_band_and_its_policy_go_together() -> None:
    message = r"^drift_band: rebalancing=drift_band needs one, and no other policy has one; give both or neither$"
    with pytest.raises(MeasureInputError, match=message):
        Holdings(TARGETS, "drift_band")
    with pytest.raises(MeasureInputError, match=message):
        Holdings(TARGETS, "monthly", 0.05)
