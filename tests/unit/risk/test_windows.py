"""Windows of returns: how they are cut, and which prices, returns and parameters are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures import RiskSpec
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.windows import quotient, require_returns, rolling, simple_returns
from tests.unit.risk.series import drawn_close, drawn_returns, same


def test_simple_returns_are_the_change_over_the_price_before() -> None:
    np.testing.assert_allclose(simple_returns(np.array([100.0, 110.0, 99.0])), [0.1, -0.1], rtol=1e-12)


def test_simple_returns_of_a_panel_are_those_of_its_columns() -> None:
    close = drawn_close(30, 4)
    together = simple_returns(close)
    assert together.shape == (29, 4)
    for column in range(4):
        assert same(np.ascontiguousarray(together[:, column]), simple_returns(close[:, column]))


@pytest.mark.parametrize("close", [[], [5.0]], ids=["no price", "one price"])
def test_without_two_prices_there_is_no_return(close: list[float]) -> None:
    assert simple_returns(np.array(close)).shape == (0,)


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_prices_that_are_not_positive_numbers_are_refused(price: float, position: int) -> None:
    close = np.array([10.0, 11.0, 12.0])
    close[position] = price
    with pytest.raises(MeasureInputError, match=r"^close: .* finite and above 0; remove or repair"):
        simple_returns(close)


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ([0.01], r"^returns: 1 given, at least 2 are needed; give a longer history or a shorter window$"),
        ([0.01, math.nan], r"^returns: NaN or infinite; drop those sessions or repair their prices$"),
        ([math.inf, 0.01], r"^returns: NaN or infinite; drop those sessions or repair their prices$"),
        ([0.01, -1.5], r"^returns: below -1, .*; give fractions, not percent$"),
    ],
)
def test_returns_that_cannot_be_measured_are_refused(returns: list[float], message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        require_returns(np.array(returns))


@pytest.mark.parametrize("returns", [[0.01, -1.0], [0.0, 0.0], [30.0, -0.5]])
def test_returns_that_can_be_are_given_back(returns: list[float]) -> None:
    series = np.array(returns)
    assert require_returns(series) is series
    assert require_returns(np.empty(0), minimum_sessions=0).shape == (0,)


def test_rolling_gives_every_full_window_as_a_contiguous_row() -> None:
    series = drawn_returns(20)
    windows = rolling(series, 7)
    assert windows.shape == (14, 7)
    assert windows.flags.c_contiguous
    assert not np.shares_memory(windows, series)
    for row in range(14):
        assert same(windows[row], series[row : row + 7])


def test_a_quotient_is_taken_only_where_it_is_defined() -> None:
    """A warning would be an error here, so none comes from the places left out."""
    numerator, denominator = np.array([1.0, 1.0, 0.0]), np.array([4.0, 0.0, 0.0])
    np.testing.assert_array_equal(quotient(numerator, denominator, denominator > 0.0), [0.25, np.nan, np.nan])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window_sessions": 1}, r"^window_sessions=1: give at least 2$"),
        ({"window_sessions": -252}, r"^window_sessions=-252: give at least 2$"),
        ({"periods_per_year": 0}, r"^periods_per_year=0: give at least 1$"),
        ({"risk_free_rate_annual": 3.0}, r"^risk_free_rate_annual=3.0: give a fraction such as 0.03 for 3 %$"),
        ({"risk_free_rate_annual": -1.0}, r"^risk_free_rate_annual=-1.0: give a fraction"),
        ({"risk_free_rate_annual": math.nan}, r"^risk_free_rate_annual=nan: give a fraction"),
    ],
)
def test_impossible_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(MeasureInputError, match=message):
        RiskSpec(**parameters)


@pytest.mark.parametrize("returns", [drawn_returns(3, 5), drawn_returns(2, 3, 5)], ids=["panel", "panel of panels"])
def test_one_bad_return_anywhere_in_a_panel_is_found(returns: FloatArray) -> None:
    require_returns(returns)
    returns[..., -1, 2] = math.nan
    with pytest.raises(MeasureInputError, match="NaN"):
        require_returns(returns)
