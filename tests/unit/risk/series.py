"""Series that the tests of this folder measure, and how they compare results."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.base.types import DateArray, FloatArray, Policy, Rebalancing
from pipeline.risk.measures import Windows
from pipeline.risk.measures.holdings import Holdings

PROPERTY = settings(max_examples=80, deadline=None, database=None, derandomize=True)
"""The same examples on every run: a red test can be repeated."""

BASIS_POINTS = st.integers(-9_000, 12_000)
"""Whole basis points, so that ties, zeros and flat stretches are drawn often."""


def return_lists(minimum_sessions: int = 1, maximum_sessions: int = 60) -> st.SearchStrategy[list[float]]:
    values = BASIS_POINTS.map(lambda points: points / 10_000)
    return st.lists(values, min_size=minimum_sessions, max_size=maximum_sessions)


def drawn_returns(*shape: int, seed: int = 1) -> FloatArray:
    """Daily returns with fat tails and some exact zeros, as prices have them."""
    draw = np.random.default_rng(seed)
    returns = np.clip(0.0004 + 0.008 * draw.standard_t(4, shape), -0.4, 0.4)
    return np.where(draw.random(shape) < 0.03, 0.0, returns)


def drawn_windows(*shape: int, seed: int = 1) -> Windows:
    """Windows whose returns, scenarios and benchmark differ, so that no measure can read the wrong one unseen."""
    common = drawn_returns(*shape, seed=seed)
    scenarios = 0.8 * common + 0.3 * drawn_returns(*shape, seed=seed + 1_000)
    return Windows(common, scenarios, 0.5 * common + 0.5 * drawn_returns(*shape, seed=seed + 2_000))


def drawn_close(sessions: int, instruments: int, seed: int = 1) -> FloatArray:
    """(t, n) prices at different levels."""
    growth = np.cumprod(1.0 + drawn_returns(sessions, instruments, seed=seed), axis=0)
    return growth * np.linspace(3.0, 400.0, instruments)


def holdings_under(amounts: FloatArray, rebalancing: Rebalancing) -> Holdings:
    """Holdings with any policy; a drift band is narrow enough that these tests' prices leave it."""
    return Holdings(amounts, *policy_of(rebalancing))


def policy_of(rebalancing: Rebalancing) -> Policy:
    return Policy(rebalancing, 0.02 if rebalancing == "drift_band" else None)


def weekdays(first: str, sessions: int) -> DateArray:
    """Consecutive weekdays from `first` on."""
    return np.busday_offset(np.datetime64(first, "D"), np.arange(sessions), roll="forward")


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal in shape and to the last bit."""
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
