"""Rows of a portfolio in its base currency are those of prices that were converted beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from pipeline.base.errors import NotFoundError
from pipeline.base.types import MonthRange
from pipeline.orchestration.each_portfolio import each_portfolio
from pipeline.risk.assets.portfolio_contribution import contribution_rows
from pipeline.risk.assets.portfolio_risk import portfolio_report
from pipeline.risk.assets.portfolio_tail import tail_rows
from pipeline.risk.assets.stress_results import Crises, stressed_rows
from pipeline.risk.assets.var_backtests import portfolio_rows
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.simulation.assets.portfolio_simulation import simulated_rows
from pipeline.simulation.run import SimulationSpec
from pipeline.store.exchange import Exchange
from pipeline.store.instruments import Instrument
from pipeline.store.packed_series import Series
from pipeline.store.portfolios import Portfolio, Position
from pipeline.store.prices import PricePanel

SESSIONS = np.arange("2020-01-01", "2023-01-01", dtype="datetime64[D]")
SESSIONS = SESSIONS[np.is_busday(SESSIONS)]
DRAWS = np.random.default_rng(5).normal(0.0, 0.01, (len(SESSIONS), 4))
CLOSE = 50.0 * np.exp(np.cumsum(DRAWS[:, :3], axis=0))
DOLLARS = 1.1 * np.exp(np.cumsum(0.5 * DRAWS[:, 3]))
DOLLARS[400:410] = np.nan
IDS = np.array([7, 3, 9])
PANEL = PricePanel(SESSIONS, IDS, CLOSE, Exchange(("EUR", "USD", "EUR"), {"USD": DOLLARS}))
CONVERTED = PricePanel(SESSIONS, IDS, CLOSE * np.column_stack([DOLLARS, np.ones_like(DOLLARS), DOLLARS]))
INDEX = Instrument("DAX", "DAX", "index", "", "EUR", "XETR", "vendor", id=9)
NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
PORTFOLIO = Portfolio(
    1,
    "mixed",
    "Mixed",
    "USD",
    "monthly",
    datetime(2020, 1, 1, tzinfo=UTC),
    (Position(3, "A", target_weight=0.4), Position(7, "B", target_weight=0.6)),
)
FORECASTS = Series(
    SESSIONS[-200:], {f"{name}_{level}_1d": np.full(200, 0.02) for name in ("var", "es") for level in (95, 975, 99)}
)
SPEC = SimulationSpec(model="stationary_bootstrap", fit_window_sessions=260, paths=200)

Rows = Callable[[PricePanel, Portfolio], Iterable[dict[str, np.ndarray]]]
ROWS: dict[str, Rows] = {
    "portfolio_risk": lambda panel, held: portfolio_report(panel, INDEX, held, NOVEMBER),
    "portfolio_contribution": lambda panel, held: contribution_rows(panel, held, NOVEMBER, []),
    "portfolio_tail": lambda panel, held: tail_rows(panel, held, NOVEMBER),
    "var_backtests": lambda panel, held: portfolio_rows(panel, held, {(1, "historical"): FORECASTS}, NOVEMBER),
    "stress_results": lambda panel, held: stressed_rows(
        Crises.of(panel, INDEX.id, NOVEMBER.end, held.base_currency), held, NOVEMBER
    ),
    "portfolio_simulation": lambda panel, held: simulated_rows(panel, held, NOVEMBER, [SPEC]),
}


@pytest.mark.parametrize("asset", ROWS)
def test_rows_are_those_of_converted_prices(asset: str) -> None:
    found, expected = (list(ROWS[asset](panel, PORTFOLIO)) for panel in (PANEL, CONVERTED))
    local = list(ROWS[asset](replace(PANEL, exchange=Exchange(())), PORTFOLIO))
    assert len(found) == len(expected) > 0
    differs = False
    for one, other, unconverted in zip(found, expected, local, strict=True):
        for name, values in other.items():
            np.testing.assert_array_equal(one[name], values, err_msg=name)
            differs |= not np.array_equal(unconverted[name], values, equal_nan=values.dtype.kind == "f")
    assert differs


@pytest.mark.parametrize("asset", ROWS)
def test_a_currency_without_a_rate_leaves_the_portfolio_out(asset: str) -> None:
    other = replace(PORTFOLIO, base_currency="JPY", slug="yen")
    with pytest.raises(NotFoundError, match="no exchange rate of JPY"):
        list(ROWS[asset](PANEL, other))
    blocks, computed = each_portfolio([other], lambda held: ROWS[asset](PANEL, held), MeasureInputError)
    assert (blocks, computed.passed) == ([], False)
    assert str(computed.metadata["left_out"][0]).startswith("yen: There is no exchange rate of JPY")


def test_what_nobody_holds_needs_no_rate() -> None:
    """An instrument in a currency without a rate stops those who hold it, and no other."""
    strange = PricePanel(
        SESSIONS,
        np.array([7, 3, 9, 11]),
        np.column_stack([CLOSE, CLOSE[:, 0]]),
        Exchange(("EUR", "USD", "EUR", "XTS"), {"USD": DOLLARS}),
    )
    for found, expected in zip(
        ROWS["stress_results"](strange, PORTFOLIO), ROWS["stress_results"](PANEL, PORTFOLIO), strict=True
    ):
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)
