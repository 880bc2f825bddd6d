"""Returns by calendar."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.performance import calendar_returns, trailing_return


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def test_months_and_years_compound() -> None:
    sessions = days("2021-12-30", "2021-12-31", "2022-01-03", "2022-02-01")
    returns = np.array([0.1, 0.1, -0.5, 1.0])
    starts, monthly = calendar_returns(returns, sessions, "month")
    assert starts.tolist() == days("2021-12-01", "2022-01-01", "2022-02-01").tolist()
    assert monthly == pytest.approx([0.21, -0.5, 1.0])
    starts, yearly = calendar_returns(returns, sessions, "year")
    assert starts.tolist() == days("2021-01-01", "2022-01-01").tolist()
    assert yearly == pytest.approx([0.21, 0.0])


@given(st.lists(st.floats(-0.5, 1.0), min_size=1, max_size=80), st.integers(0, 20_000), st.integers(1, 40))
def test_periods_compound_to_the_whole(values: list[float], first: int, step: int) -> None:
    returns = np.array(values)
    sessions = np.datetime64("1990-01-01") + first + step * np.arange(len(values))
    for calendar in ("month", "year"):
        _, parts = calendar_returns(returns, sessions, calendar)
        assert np.prod(1 + parts) == pytest.approx(np.prod(1 + returns))


def test_a_trailing_return_begins_with_the_last_close_that_is_old_enough() -> None:
    sessions = days("2022-02-25", "2022-02-28", "2022-03-30", "2022-03-31")
    returns = np.array([1.0, 0.5, 0.1])
    month = trailing_return(returns, sessions, 1)  # from 28 February, the last day of that month
    assert month is not None
    assert month.start == np.datetime64("2022-02-28")
    assert month.total_return == pytest.approx(1.5 * 1.1 - 1)
    assert month.annual_return is None
    assert trailing_return(returns, sessions, 12) is None
    whole = trailing_return(returns, sessions, None)
    assert whole is not None
    assert whole.sessions == 3


def test_a_year_is_its_own_annual_return() -> None:
    sessions = np.datetime64("2020-01-01") + np.arange(505)
    returns = np.full(504, 0.001)
    found = trailing_return(returns, sessions, None)
    assert found is not None
    assert found.annual_return == pytest.approx(1.001**252 - 1)


def test_dates_and_returns_belong_together() -> None:
    with pytest.raises(MeasureInputError, match="sessions: 1 for 2 returns"):
        calendar_returns(np.array([0.1, 0.2]), days("2020-01-01"), "month")
    with pytest.raises(MeasureInputError, match="NaN"):
        trailing_return(np.array([np.nan]), days("2020-01-01", "2020-01-02"), None)
