"""Crises of many sessions at once: the bits of one replay at a time, and why a shock is missing."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures.limited import LIMITED_MEASURES
from pipeline.risk.measures.stress import Positions
from pipeline.risk.measures.stress_historical import HistoricalWindow, PricePanel, Proxy, replay_window
from pipeline.risk.measures.stress_replays import (
    BETA_SESSIONS,
    BY_BETA,
    BY_NOTHING,
    BY_PRICES,
    NO_BENCHMARK,
    NO_BETA,
    NOT_COVERED,
    OTHER_UNKNOWN,
    RUINOUS_BETA,
    replay_sessions,
    trailing_betas,
    window_paths,
)
from pipeline.store.risk_columns import MEASURE_COLUMNS
from tests.unit.risk.series import drawn_close, same, weekdays

SESSIONS = weekdays("2021-03-01", 40)
INDEX = drawn_close(40, 1, seed=62)[:, 0]
WINDOW = HistoricalWindow("spring_2021", date(2021, 3, 15), date(2021, 4, 9))
NAMES = ("A", "B", "C")


def late(close: FloatArray) -> FloatArray:
    """The prices, of which the last instrument's begin inside the window."""
    gap = close.copy()
    gap[:20, 2] = np.nan
    return gap


CLOSE = late(drawn_close(40, 3, seed=61))
PRICES = PricePanel(SESSIONS, CLOSE)
COLUMNS = np.arange(3)
WEIGHTS = np.array([[0.5, 0.7, -0.3], [0.2, 0.2, 0.6], [-1.0, 0.5, 1.2], [0.0, 0.0, 1.0]])
BETAS = np.full((4, 3), np.nan)
BETAS[:, 2] = [0.8, 1.3, -0.4, 2.0]


def test_each_row_is_a_replay_of_its_own_to_the_last_bit() -> None:
    replays = replay_sessions(window_paths(WINDOW, PRICES, INDEX), COLUMNS, WEIGHTS, BETAS)
    for row, weights in enumerate(WEIGHTS):
        alone = replay_window(WINDOW, Positions(NAMES, weights), PRICES, "proxy", Proxy(INDEX, {"C": BETAS[row, 2]}))
        assert alone.worst is not None
        same(replays.shocks[row], alone.shocks)
        same(replays.pnl[row], alone.position_pnl)
        same(replays.worst_shocks[row], alone.worst.shocks)
        same(replays.worst_pnl[row], alone.worst.position_pnl)
        assert abs(replays.pnl[row].sum() - alone.total) < 1e-12
    assert replays.shocked_by.tolist() == [[BY_PRICES, BY_PRICES, BY_BETA]] * 4
    assert (replays.reasons == b"").all()


def test_a_row_does_not_depend_on_the_others() -> None:
    paths = window_paths(WINDOW, PRICES, INDEX)
    together = replay_sessions(paths, COLUMNS, WEIGHTS, BETAS)
    for row in range(4):
        one = replay_sessions(paths, COLUMNS, WEIGHTS[row : row + 1], BETAS[row : row + 1])
        same(one.shocks[0], together.shocks[row])
        same(one.worst_pnl[0], together.worst_pnl[row])


@pytest.mark.parametrize(
    ("index", "betas", "reason"),
    [
        (None, BETAS, NO_BENCHMARK),
        (np.where(np.datetime64("2021-03-22") == SESSIONS, np.nan, INDEX), BETAS, NO_BENCHMARK),
        (INDEX, np.full((4, 3), np.nan), NO_BETA),
        (INDEX, np.full((4, 3), 1e4), RUINOUS_BETA),
    ],
)
def test_a_position_that_nothing_can_shock_says_why(index: FloatArray, betas: FloatArray, reason: bytes) -> None:
    replays = replay_sessions(window_paths(WINDOW, PRICES, index), COLUMNS, WEIGHTS, betas)
    assert np.isnan(replays.shocks[:, 2]).all()
    assert np.isfinite(replays.pnl[:, :2]).all()
    assert np.isnan(replays.worst_pnl).all()  # where the whole stood lowest is unknown for all
    assert replays.reasons.tolist() == [[OTHER_UNKNOWN, OTHER_UNKNOWN, reason]] * 4
    assert replays.shocked_by.tolist() == [[BY_PRICES, BY_PRICES, BY_NOTHING]] * 4


def test_one_unknown_row_leaves_the_others_whole() -> None:
    betas = BETAS.copy()
    betas[1, 2] = np.nan
    replays = replay_sessions(window_paths(WINDOW, PRICES, INDEX), COLUMNS, WEIGHTS, betas)
    assert np.isnan(replays.worst_pnl).any(axis=1).tolist() == [False, True, False, False]
    assert (replays.reasons == b"").all(axis=1).tolist() == [True, False, True, True]


def test_a_window_without_prices_shocks_nothing() -> None:
    before = HistoricalWindow("autumn_2020", date(2020, 9, 1), date(2020, 10, 1))
    replays = replay_sessions(window_paths(before, PRICES, INDEX), COLUMNS, WEIGHTS, BETAS)
    assert np.isnan(replays.shocks).all()
    assert (replays.reasons == NOT_COVERED).all()
    assert (replays.shocked_by == BY_NOTHING).all()


def test_betas_are_regressions_over_the_sessions_that_both_have() -> None:
    close, index = drawn_close(600, 1, seed=5)[:, 0], drawn_close(600, 1, seed=6)[:, 0]
    close[100:110] = np.nan
    index[300] = np.nan
    rows = np.array([200, BETA_SESSIONS + 9, BETA_SESSIONS + 10, 400, 599])
    betas = trailing_betas(close, index, rows)
    assert np.isnan(betas).tolist() == [True, True, False, False, False]
    for row, found in zip(rows[2:], betas[2:], strict=True):
        both = np.flatnonzero(np.isfinite(close[: row + 1]) & np.isfinite(index[: row + 1]))[-BETA_SESSIONS - 1 :]
        own, market = (np.diff(series[both]) / series[both][:-1] for series in (close, index))
        assert found == pytest.approx(np.polyfit(market, own, 1)[0], rel=1e-9)
    same(trailing_betas(close[:401], index[:401], rows[3:4]), betas[3:4])  # nothing after the row counts
    same(trailing_betas(close[120:], index[120:], rows[3:4] - 120), betas[3:4])  # nor where the prices begin


def test_limits_can_be_set_on_what_portfolio_risk_holds_and_on_concentration() -> None:
    stored = [name for name, _, _ in MEASURE_COLUMNS]
    assert set(stored) < set(LIMITED_MEASURES)
    assert [name for name in LIMITED_MEASURES if name not in stored] == [
        "largest_weight",
        "top_5_weight",
        "herfindahl_index",
        "effective_positions",
    ]
