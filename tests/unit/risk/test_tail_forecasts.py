"""Published tails: each method's own estimate of what the weights of the session would have earned."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.holdings import HeldPortfolio, Holdings, hold, scenario_returns
from pipeline.risk.measures.tail_forecasts import (
    PUBLISHED_CONFIDENCES,
    PUBLISHED_WINDOW_SESSIONS,
    TailForecasts,
    held_forecasts,
    tail_forecasts,
)
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from tests.unit.risk.market import close_of

SYMBOLS = ("AAPL", "BAC", "XOM")
FITTED = ("student_t", "monte_carlo")
"""Compiled where they are published."""
SESSIONS = close_of("AAPL")[0][-1_900:]
CLOSE = np.column_stack([close_of(symbol)[1][-1_900:] for symbol in SYMBOLS])


def held(amounts: tuple[float, ...] = (0.5, 0.3, 0.2), count: int = 1_900) -> HeldPortfolio:
    return hold(CLOSE[:count], SESSIONS[:count], Holdings(np.array(amounts), "quarterly"))


def by_method(made: list[TailForecasts]) -> dict[str, dict[int, bytes]]:
    """Method → row → the bytes of its figures."""
    found: dict[str, dict[int, bytes]] = {}
    for part in made:
        for column, row in enumerate(part.rows.tolist()):
            figures = part.var[:, column].tobytes() + part.es[:, column].tobytes()
            found.setdefault(part.method, {})[row] = figures
    return found


def test_a_row_is_the_estimate_of_its_own_window() -> None:
    portfolio = held()
    made = list(tail_forecasts(portfolio, slice(1_200, 1_210)))
    assert {part.method: part.rows.tolist() for part in made} == {
        method: list(range(1_200, 1_210)) for method in VAR_METHODS
    }
    scenarios = scenario_returns(portfolio, 1_204, PUBLISHED_WINDOW_SESSIONS)
    for part in made:
        column = part.rows.tolist().index(1_204)
        for row, confidence in enumerate(PUBLISHED_CONFIDENCES):
            expected = VAR_METHODS[part.method].estimate(scenarios, TailSpec(confidence))
            found = part.var[row, column], part.es[row, column]
            tolerance = 1e-10 if part.method in FITTED else 1e-12
            assert found == pytest.approx((float(expected.var), float(expected.es)), rel=tolerance, nan_ok=True)


def test_the_bits_of_a_row_depend_on_its_window_alone() -> None:
    """A row computed alone, and with 900 others in other blocks, and from a history that ends with it."""
    together = by_method(list(tail_forecasts(held(), slice(600, 1_500))))
    for row in (700, 1_207):
        single = by_method(list(tail_forecasts(held(count=row + 1), slice(row, row + 1))))
        assert sorted(single) == sorted(VAR_METHODS)
        for method, rows in single.items():
            assert rows == {row: together[method][row]}, method


def test_short_positions_may_lose_more_than_everything() -> None:
    amounts = (-30.0, 20.0, 11.0)
    asset_returns = CLOSE[1:700] / CLOSE[:699] - 1.0
    weights = np.tile(amounts, (699, 1))
    portfolio = HeldPortfolio(asset_returns @ amounts, weights, asset_returns)
    assert portfolio.returns.min() < -1.0
    made = by_method(list(tail_forecasts(portfolio, slice(600, 602))))
    assert sorted(made) == sorted(VAR_METHODS)


def test_any_window_gives_what_the_published_one_does() -> None:
    portfolio = held()
    published = {part.method: part for part in tail_forecasts(portfolio, slice(600, 1_300))}
    spec = TailSpec(PUBLISHED_CONFIDENCES[2])
    for method in VAR_METHODS:
        made = held_forecasts(portfolio, slice(1_112, 1_300), 500, VAR_METHODS[method], spec)
        if method in FITTED:
            np.testing.assert_allclose(made.var, published[method].var[2], rtol=1e-10)
            np.testing.assert_allclose(made.es, published[method].es[2], rtol=1e-10)
        else:
            assert made.var.tobytes() == published[method].var[2].tobytes()
            assert made.es.tobytes() == published[method].es[2].tobytes()
    longer = held_forecasts(portfolio, slice(1_300, 1_302), 1_250, VAR_METHODS["historical"], spec)
    expected = VAR_METHODS["historical"].estimate(scenario_returns(portfolio, 1_301, 1_250), spec)
    assert longer.var[1] == expected.var
    with pytest.raises(MeasureInputError, match=r"^window_sessions=29: student_t needs at least 30"):
        held_forecasts(portfolio, slice(600, 601), 29, VAR_METHODS["student_t"], spec)


@pytest.mark.parametrize("name", VAR_METHODS)
def test_one_fit_serves_every_confidence(name: str) -> None:
    windows = np.stack([scenario_returns(held(), row, 500) for row in (600, 900, 1_400)])
    method = VAR_METHODS[name]
    for confidence, made in zip((0.95, 0.99), method.estimate_each(windows, TailSpec(0.5), (0.95, 0.99)), strict=True):
        expected = method.estimate(windows, TailSpec(confidence))
        assert made.var.tobytes() == expected.var.tobytes()
        assert made.es.tobytes() == expected.es.tobytes()
