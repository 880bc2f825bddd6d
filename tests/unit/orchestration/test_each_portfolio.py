"""Portfolios are computed one by one: one that cannot be is left out and named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
import pytest

from pipeline.base.types import MonthRange, Rebalancing
from pipeline.orchestration.checks import Columns, run_declared_checks
from pipeline.orchestration.each_portfolio import COMPUTED, MOST_SAMPLES, computed_outcome, each_portfolio
from pipeline.risk.assets.portfolio_risk import portfolio_report
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.simulation.assets.portfolio_simulation import simulated_rows
from pipeline.simulation.models import SimulationInputError
from pipeline.simulation.run import SimulationSpec
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolios import Portfolio, Position
from pipeline.store.prices import PricePanel
from pipeline.store.writing import concatenated

SESSIONS = np.arange("2021-01-01", "2023-01-01", dtype="datetime64[D]")
SESSIONS = SESSIONS[np.is_busday(SESSIONS)]
DECEMBER = MonthRange(date(2022, 12, 1), date(2022, 12, 1))
NOISE = 1 + 0.003 * np.random.default_rng(3).normal(size=(len(SESSIONS), 2))
# The first falls towards the second, by 15 % in each of three sessions of the last year.
FALLS = np.isin(np.arange(len(SESSIONS)) - len(SESSIONS), [-100, -80, -60])
FALL = np.linspace(340.0, 180.0, len(SESSIONS)) * np.cumprod(np.where(FALLS, 0.85, 1.0))
PANEL = PricePanel(SESSIONS, np.array([1, 2]), np.column_stack([FALL, np.full(len(SESSIONS), 100.0)]) * NOISE)
REFUSALS = (MeasureInputError, SimulationInputError)


def portfolio(number: int, *amounts: float, slug: str | None = None, policy: Rebalancing = "daily") -> Portfolio:
    field = "quantity" if policy == "buy_and_hold" else "target_weight"
    positions = tuple(Position(i, f"S{i}", **{field: amount}) for i, amount in enumerate(amounts, 1))
    return Portfolio(number, slug, "P", "USD", policy, datetime(2023, 1, 1, tzinfo=UTC), positions)


GOOD = portfolio(1, 0.5, 0.5, slug="good")
NOTHING = portfolio(2, 0.0, 0.0, slug="nothing", policy="buy_and_hold")
SHORT = portfolio(3, -1.0, 0.0, policy="buy_and_hold")
RUINED = portfolio(4, 60.0, -59.0, slug="ruined")
LEVERED = portfolio(5, 1.0, -1.0, slug="levered", policy="buy_and_hold")


def reported(*portfolios: Portfolio) -> tuple[Columns, list[str]]:
    blocks, computed = each_portfolio(portfolios, lambda p: portfolio_report(PANEL, None, p, DECEMBER), REFUSALS)
    return concatenated(PORTFOLIO_RISK, blocks), list(computed.metadata["left_out"])


def test_the_others_are_reported() -> None:
    rows, left_out = reported(NOTHING, GOOD, SHORT, RUINED)
    assert set(rows["portfolio_id"]) == {1}
    assert [sample.split(": ")[0] for sample in left_out] == ["nothing", "3", "ruined"]
    assert all("portfolio value" in sample for sample in left_out)
    alone, none = reported(GOOD)
    assert none == []
    for name, values in alone.items():
        np.testing.assert_array_equal(rows[name], values)


def test_the_others_are_simulated() -> None:
    specs = [SimulationSpec(paths=100, fit_window_sessions=252)]
    blocks, computed = each_portfolio(
        [NOTHING, GOOD, LEVERED], lambda p: simulated_rows(PANEL, p, DECEMBER, specs), REFUSALS
    )
    assert [int(block["portfolio_id"][0]) for block in blocks] == [1]
    assert computed.metadata["left_out"][1].startswith("levered: returns: -1 or below")


def test_a_loss_of_more_than_the_value_is_within_bounds() -> None:
    rows, left_out = reported(LEVERED, GOOD)
    assert left_out == []
    assert rows["es_99_1d"].max() > 1.0
    assert all(outcome.passed for outcome in run_declared_checks(PORTFOLIO_RISK, rows) if outcome.blocking)


def test_a_portfolio_counts_whole_or_not_at_all() -> None:
    def compute(_: Portfolio) -> Iterator[Columns]:
        yield {"session": SESSIONS}
        raise MeasureInputError("returns: too few")

    blocks, computed = each_portfolio([GOOD], compute, MeasureInputError)
    assert blocks == []
    assert (computed.name, computed.passed, computed.blocking) == (COMPUTED, False, False)
    assert computed.metadata == {"count": 1, "left_out": ["good: returns: too few"]}


def test_a_defect_ends_the_run() -> None:
    def compute(_: Portfolio) -> Iterator[Columns]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        each_portfolio([GOOD], compute, REFUSALS)


def test_many_are_counted_and_some_are_named() -> None:
    outcome = computed_outcome({str(n): "cause" for n in range(MOST_SAMPLES + 5)})
    assert outcome.metadata["count"] == MOST_SAMPLES + 5
    assert len(outcome.metadata["left_out"]) == MOST_SAMPLES
    assert computed_outcome({}).passed
