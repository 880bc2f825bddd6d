"""A payload that is yesterday's."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.market_data.rules import Verdict
from pipeline.market_data.rules.mostly_unchanged import LEAST_INSTRUMENTS, UNCHANGED_SHARE, is_mostly_unchanged

YESTERDAY = np.arange(1.0, 21.0)


@pytest.mark.parametrize(("moved", "refused"), [(0, True), (9, True), (10, False), (20, False)])
def test_more_than_half_must_have_moved(moved: int, refused: bool) -> None:
    today = YESTERDAY.copy()
    today[:moved] += 0.01
    assert is_mostly_unchanged(YESTERDAY, today) is refused


def test_instruments_without_both_closes_do_not_count() -> None:
    today = YESTERDAY.copy()
    today[:9] = np.nan
    assert is_mostly_unchanged(YESTERDAY, today)
    today[:11] = np.nan
    assert not is_mostly_unchanged(YESTERDAY, today)  # nine are left
    assert not is_mostly_unchanged(np.full(20, np.nan), np.full(20, np.nan))


def test_of_a_few_instruments_nothing_is_said() -> None:
    few = YESTERDAY[: LEAST_INSTRUMENTS - 1]
    assert not is_mostly_unchanged(few, few)


def test_closes_of_different_instruments_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same instruments"):
        is_mostly_unchanged(YESTERDAY, YESTERDAY[:5])


def test_no_real_session_comes_near(bundled: Verdict) -> None:
    bars = bundled.bars
    equal = np.r_[False, bars.close_adjusted[1:] == bars.close_adjusted[:-1]] & ~bars.is_first
    _, session = np.unique(bars.sessions, return_inverse=True)
    assert (np.bincount(session, equal) / np.bincount(session)).max() < UNCHANGED_SHARE - 0.15  # measured: .33
