"""Which instruments and sessions make a matrix, with gaps, young and dead instruments, and holidays."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures.common_window import common_window, market_sessions, searched_sessions, shared_rows
from pipeline.risk.measures.errors import MeasureInputError

WINDOW = 20


def prices(sessions: int = 60, instruments: int = 4) -> FloatArray:
    draw = np.random.default_rng(3)
    return 100.0 * np.cumprod(1.0 + draw.normal(0.0, 0.01, (sessions, instruments)), axis=0)


def test_without_gaps_it_is_the_last_returns_of_all() -> None:
    close = prices()
    window = common_window(close, WINDOW)
    assert window is not None
    assert window.columns.tolist() == [0, 1, 2, 3]
    assert window.rows.tolist() == list(range(39, 60))
    np.testing.assert_array_equal(window.returns, close[40:] / close[39:-1] - 1.0)


def test_a_missing_price_costs_a_session_and_no_instrument() -> None:
    close = prices()
    close[50, 1] = np.nan
    window = common_window(close, WINDOW)
    assert window is not None
    assert window.columns.tolist() == [0, 1, 2, 3]
    assert window.rows.tolist() == [*range(38, 50), *range(51, 60)]
    np.testing.assert_array_equal(window.returns[11], close[51] / close[49] - 1.0)  # of two sessions


def test_young_and_dead_instruments_are_left_out() -> None:
    close = prices()
    close[:-WINDOW, 0] = np.nan  # 20 prices are 19 returns
    close[-1, 2] = np.nan
    window = common_window(close, WINDOW)
    assert window is not None
    assert window.columns.tolist() == [1, 3]
    close[-WINDOW - 1, 0] = 100.0  # and 21 are enough
    window = common_window(close, WINDOW)
    assert window is not None
    assert window.columns.tolist() == [0, 1, 3]


def test_instruments_that_share_too_few_sessions_give_way_one_by_one_the_fewest_prices_first() -> None:
    close = prices()
    close[35:59:2, 1] = np.nan
    close[34:58:2, 3] = np.nan
    close[36, 3] = 100.0
    window = common_window(close, WINDOW)
    assert window is not None
    assert window.columns.tolist() == [0, 2]  # 1 and 3 have 14 and 15 of 26 prices
    close = prices()
    close[[40, 42, 44, 46], 1] = np.nan
    close[[41, 43, 45], 3] = np.nan
    window = common_window(close, WINDOW)
    assert window is not None
    assert window.columns.tolist() == [0, 2, 3]
    assert len(window.rows) == WINDOW + 1


@pytest.mark.parametrize("missing", ["everything", "the last session", "most"])
def test_no_instrument_with_a_window_gives_none(missing: str) -> None:
    close = prices()
    close[{"everything": slice(None), "the last session": slice(-1, None), "most": slice(0, 45)}[missing]] = np.nan
    assert common_window(close, WINDOW) is None
    assert common_window(close[:0], WINDOW) is None


def test_shared_rows_are_fewer_where_prices_are() -> None:
    close = prices()
    close[:50, 1] = np.nan
    assert shared_rows(close, WINDOW).tolist() == list(range(50, 60))
    assert shared_rows(close[:, [0, 2]], WINDOW).tolist() == list(range(39, 60))
    assert shared_rows(close[:50], WINDOW).tolist() == []


def test_neither_earlier_nor_later_prices_matter() -> None:
    close = prices(200)
    close[[150, 170], 2] = np.nan
    expected = common_window(close[:181], WINDOW)
    assert expected is not None
    changed = close.copy()
    changed[181:] *= 3.0
    changed[: 181 - searched_sessions(WINDOW)] = np.nan
    found = common_window(changed[:181], WINDOW)
    shorter = common_window(close[181 - searched_sessions(WINDOW) : 181], WINDOW)
    assert found is not None
    assert shorter is not None
    for window in (found, shorter):
        np.testing.assert_array_equal(window.returns, expected.returns)
        np.testing.assert_array_equal(window.columns, expected.columns)


def test_a_price_of_zero_is_refused() -> None:
    close = prices()
    close[55, 1] = 0.0
    with pytest.raises(MeasureInputError, match="close: prices must be finite and above 0"):
        common_window(close, WINDOW)


def test_the_sessions_of_the_market_are_its_index_s() -> None:
    close = prices(4, 2)
    close[1] = np.nan
    close[2, 0] = np.nan
    assert market_sessions(close, None).tolist() == [True, False, True, True]
    assert market_sessions(close, close[:, 0]).tolist() == [True, False, False, True]
