"""Exposures of every instrument to the factor funds at one session."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures.factor_windows import (
    FIGURES,
    NO_RESIDUAL,
    NO_VARIATION,
    SINGULAR,
    ExplainedInstruments,
    explained_instruments,
)
from tests.unit.risk.market import fund_returns, stock_returns

WINDOW = 252
FUNDS = np.array([3, 4, 5, 6, 7])


def real() -> FloatArray:
    """(500, 8) prices of three stocks and the five funds."""
    returns = np.column_stack([stock_returns()[-499:, :3], fund_returns()[-499:]])
    return 100.0 * np.vstack([np.ones(8), np.cumprod(1.0 + returns, axis=0)])


def figures_of(close: FloatArray, column: int, funds: np.ndarray = FUNDS) -> tuple[dict[str, FloatArray], str, list]:
    """The figures (f,), reason and factors of one instrument."""
    [found] = [group for group in explained_instruments(close, funds, WINDOW) if column in group.columns]
    place = found.columns.tolist().index(column)
    return {name: found.figures[name][place] for name in FIGURES}, found.reasons[place], found.factors.tolist()


def test_stocks_are_explained_by_all_funds_as_by_numpy() -> None:
    close = real()
    figures, reason, factors = figures_of(close, 1)
    assert (reason, factors) == ("", [3, 4, 5, 6, 7])
    returns = close[1:] / close[:-1] - 1.0
    y, x = returns[-WINDOW:, 1], np.column_stack([np.ones(WINDOW), returns[-WINDOW:][:, FUNDS]])
    solution, squares, *_ = np.linalg.lstsq(x, y, rcond=None)
    variance = squares[0] / (WINDOW - 6)
    errors = np.sqrt(variance * np.diag(np.linalg.inv(x.T @ x)))
    np.testing.assert_allclose(figures["exposure_ols"], solution[1:], rtol=1e-8)
    np.testing.assert_allclose(figures["standard_error"], errors[1:], rtol=1e-8)
    np.testing.assert_allclose(figures["t_statistic"], solution[1:] / errors[1:], rtol=1e-8)
    np.testing.assert_allclose(figures["r_squared"], 1.0 - squares[0] / np.sum((y - y.mean()) ** 2), rtol=1e-8)
    np.testing.assert_allclose(figures["residual_volatility"], np.sqrt(variance * 252), rtol=1e-8)
    assert (figures["ridge_penalty"] > 0.0).all()


def test_a_fund_is_explained_by_the_others() -> None:
    figures, reason, factors = figures_of(real(), 4)
    assert (reason, factors) == ("", [3, 5, 6, 7])
    assert 0.8 < figures["r_squared"][0] < 1.0


def test_a_single_fund_has_no_row_of_its_own() -> None:
    groups = list(explained_instruments(real(), FUNDS[:1], WINDOW))
    assert sorted(column for group in groups for column in group.columns) == [0, 1, 2, 4, 5, 6, 7]


def test_nothing_is_explained_before_a_fund_has_a_full_window() -> None:
    close = real()
    close[:-WINDOW, FUNDS] = np.nan
    assert list(explained_instruments(close, FUNDS, WINDOW)) == []
    assert list(explained_instruments(close, FUNDS[:0], WINDOW)) == []


def test_a_young_fund_is_no_factor_yet_and_a_young_stock_says_how_short_it_is() -> None:
    close = real()
    close[:-100, [0, 7]] = np.nan
    figures, reason, factors = figures_of(close, 0)
    assert (reason, factors) == ("short_window: 99 of 252 sessions", [3, 4, 5, 6])
    assert all(np.isnan(values).all() for values in figures.values())
    assert figures_of(close, 1)[1:] == ("", [3, 4, 5, 6])
    assert figures_of(close, 7)[1:] == ("short_window: 99 of 252 sessions", [3, 4, 5, 6])


def test_an_instrument_without_a_price_on_the_session_has_no_row() -> None:
    close = real()
    close[-1, 2] = np.nan
    assert all(2 not in group.columns for group in explained_instruments(close, FUNDS, WINDOW))


def test_a_gap_costs_an_instrument_one_session_and_the_others_none() -> None:
    close = real()
    before = figures_of(close, 1)[0]
    close[-40, 2] = np.nan
    figures, reason, _ = figures_of(close, 2)
    assert reason == ""
    assert np.isfinite(figures["exposure_ols"]).all()
    np.testing.assert_allclose(figures_of(close, 1)[0]["exposure_ols"], before["exposure_ols"], rtol=1e-10)


def test_missing_figures_have_a_reason() -> None:
    close = real()
    close[:, 0] = 50.0
    close[:, 1] = close[:, 3]
    figures, reason, _ = figures_of(close, 0)
    assert reason == NO_VARIATION
    assert np.isnan(figures["r_squared"]).all()
    figures, reason, _ = figures_of(close, 1)
    assert reason in ("", NO_RESIDUAL)  # the residuals are 0 but for rounding
    assert figures["exposure_ols"][0] == pytest.approx(1.0)
    close[:, 6] = close[:, 5]
    figures, reason, _ = figures_of(close, 2)
    assert reason == SINGULAR
    assert np.isnan(figures["exposure_ols"]).all()
    assert np.isfinite(figures["exposure_ridge"]).all()
    close[:, 6] = 1.0
    figures, reason, _ = figures_of(close, 2)
    assert reason == SINGULAR
    assert all(np.isnan(values).all() for values in figures.values())


def test_every_missing_figure_is_explained() -> None:
    close = real()
    close[:, 0] = 50.0
    close[:-100, 7] = np.nan
    for group in explained_instruments(close, FUNDS, WINDOW):
        assert isinstance(group, ExplainedInstruments)
        for place, reason in enumerate(group.reasons):
            missing = any(np.isnan(values[place]).any() for values in group.figures.values())
            assert missing == (reason != "")
