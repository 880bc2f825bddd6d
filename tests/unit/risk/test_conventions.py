"""Conventions against the libraries themselves, on 33 years of real prices."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd
import pytest
import riskfolio

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.conventions import CONVENTIONS, ConventionSpec, Library, by_convention
from pipeline.risk.measures.tail import historical_var
from pipeline.risk.measures.windows import simple_returns
from tests.bundled import bundled_bars
from tests.unit.risk.peers import PEERS
from tests.unit.risk.series import drawn_returns, same

SYMBOLS = ("AAPL", "GE", "JPM")
INDEX = "SP500"
Market: TypeAlias = dict[str, tuple[DateArray, FloatArray]]


@pytest.fixture(scope="module")
def market() -> Market:
    bars = bundled_bars()
    parts = {s: bars.take(bars.symbol_index == bars.symbols.index(s)) for s in (*SYMBOLS, INDEX)}
    return {symbol: (part.sessions[1:], simple_returns(part.close_adjusted)) for symbol, part in parts.items()}


def specs(benchmark: FloatArray) -> tuple[ConventionSpec, ...]:
    return (
        ConventionSpec(benchmark=benchmark),
        ConventionSpec(0.99, 252, 0.0, benchmark),
        ConventionSpec(0.975, 260, 0.0001, benchmark),
    )


EVERY_CONVENTION = pytest.mark.parametrize(
    ("library", "measure"), [(library, measure) for library, offered in CONVENTIONS.items() for measure in offered]
)


def test_every_convention_is_held_against_its_library() -> None:
    assert {library: set(offered) for library, offered in CONVENTIONS.items()} == {
        library: set(peers) for library, peers in PEERS.items()
    }


@EVERY_CONVENTION
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_library_gives_the_same_number(market: Market, library: Library, measure: str, symbol: str) -> None:
    sessions, returns = market[symbol]
    series = pd.Series(returns, index=pd.DatetimeIndex(sessions))
    for spec in specs(market[INDEX][1]):
        theirs = float(PEERS[library][measure](series, spec))
        assert float(by_convention(library, measure, returns, spec)) == pytest.approx(theirs, rel=1e-9), spec


@EVERY_CONVENTION
@pytest.mark.parametrize("sessions", [100, 250, 1_000, 1_001])
def test_the_library_gives_the_same_number_where_the_tail_has_a_whole_number_of_returns(
    library: Library, measure: str, sessions: int
) -> None:
    returns, benchmark = drawn_returns(2, sessions, seed=sessions)
    series = pd.Series(returns, index=pd.bdate_range("2001-01-01", periods=sessions))
    for confidence in (0.9, 0.95, 0.99):
        spec = ConventionSpec(confidence, benchmark=benchmark)
        theirs = float(PEERS[library][measure](series, spec))
        assert float(by_convention(library, measure, returns, spec)) == pytest.approx(theirs, rel=1e-9), spec


@EVERY_CONVENTION
def test_a_panel_is_its_rows_and_is_not_modified(library: Library, measure: str) -> None:
    panel, benchmark = drawn_returns(2, 3, 2, 260, seed=8)
    untouched = panel.copy()
    values = by_convention(library, measure, panel, ConventionSpec(benchmark=benchmark))
    assert values.shape == (3, 2)
    assert same(panel, untouched)
    for row in np.ndindex(3, 2):
        alone = float(by_convention(library, measure, panel[row], ConventionSpec(benchmark=benchmark[row])))
        assert alone == pytest.approx(float(values[row]), rel=1e-12)


@EVERY_CONVENTION
@pytest.mark.parametrize("place", [0, 40, 259])
def test_one_missing_return_leaves_no_figure_in_its_window_alone(library: Library, measure: str, place: int) -> None:
    panel, benchmark = drawn_returns(2, 3, 260, seed=9)
    spec = ConventionSpec(benchmark=benchmark)
    whole = by_convention(library, measure, panel, spec)
    panel[1, place] = np.nan
    made = by_convention(library, measure, panel, spec)
    assert np.isnan(made[1])
    assert same(made[[0, 2]], whole[[0, 2]])


def test_only_what_compares_with_a_benchmark_has_no_figure_without_one() -> None:
    returns = drawn_returns(260, seed=10)
    missing = {
        (library, measure)
        for library, offered in CONVENTIONS.items()
        for measure in offered
        if np.isnan(by_convention(library, measure, returns, ConventionSpec()))
    }
    both = {"beta", "alpha", "information_ratio"}
    assert missing == {("quantstats", name) for name in both | {"r_squared"}} | {
        ("empyrical", name) for name in both | {"up_capture", "down_capture"}
    }


def test_peers_disagree_on_value_at_risk_as_documented(market: Market) -> None:
    apple = market["AAPL"][1]
    made = {
        library: float(by_convention(library, "value_at_risk", apple, ConventionSpec(0.99))) for library in CONVENTIONS
    }
    assert made["quantstats"] == pytest.approx(-0.0625, abs=0.00005)
    for library, sign in (("empyrical", -1.0), ("skfolio", 1.0), ("riskfolio", 1.0)):
        assert sign * made[library] == pytest.approx(0.0686, abs=0.00005)


def test_where_the_tail_is_whole_riskfolio_names_the_loss_one_worse_than_ours() -> None:
    returns = -np.arange(1.0, 101.0) / 1_000.0
    spec = ConventionSpec(0.95)
    assert float(historical_var(returns, 0.95)) == 0.095
    assert float(by_convention("riskfolio", "value_at_risk", returns, spec)) == 0.096
    assert riskfolio.VaR_Hist(returns, alpha=0.05) == 0.096
    assert float(by_convention("skfolio", "value_at_risk", returns, spec)) == 0.095


def test_what_is_not_offered_is_refused_by_name() -> None:
    with pytest.raises(MeasureInputError, match=r"^library=pandas: unknown; choose one of quantstats, "):
        by_convention("pandas", "cagr", np.zeros(9), ConventionSpec())  # type: ignore[arg-type]
    with pytest.raises(MeasureInputError, match=r"^measure=cagr: riskfolio has none; choose one of "):
        by_convention("riskfolio", "cagr", np.zeros(9), ConventionSpec())
    with pytest.raises(MeasureInputError, match=r"^confidence=95\.0: give a fraction"):
        ConventionSpec(95.0)
    with pytest.raises(MeasureInputError, match=r"^periods_per_year=0: give at least 1"):
        ConventionSpec(periods_per_year=0)
