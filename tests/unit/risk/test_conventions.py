"""Conventions against the libraries themselves, on 33 years of real prices."""

from __future__ import annotations

from collections.abc import Callable

import empyrical
import numpy as np
import pandas as pd
import pytest
import quantstats.stats as quantstats
import riskfolio
from skfolio import Portfolio

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures import MeasureInputError
from pipeline.risk.measures.conventions import CONVENTIONS, ConventionSpec, Library, by_convention
from pipeline.risk.measures.tail import historical_var
from pipeline.risk.measures.windows import simple_returns
from tests.bundled import bundled_bars
from tests.unit.risk.series import drawn_returns, same

SPECS = (ConventionSpec(), ConventionSpec(0.99, 252, 0.0), ConventionSpec(0.975, 260, 0.0001))
SYMBOLS = ("AAPL", "GE", "JPM", "SP500")
Peer = Callable[["pd.Series[float]", ConventionSpec], float]


@pytest.fixture(scope="module")
def market() -> dict[str, tuple[DateArray, FloatArray]]:
    bars = bundled_bars()
    parts = {symbol: bars.take(bars.symbol_index == bars.symbols.index(symbol)) for symbol in SYMBOLS}
    return {symbol: (part.sessions[1:], simple_returns(part.close_adjusted)) for symbol, part in parts.items()}


def annual_rate(spec: ConventionSpec) -> float:
    return float((1.0 + spec.risk_free_rate_daily) ** spec.periods_per_year - 1.0)


def portfolio(returns: pd.Series[float], spec: ConventionSpec) -> Portfolio:
    return Portfolio(
        returns.to_frame("one"),
        weights=[1.0],
        risk_free_rate=spec.risk_free_rate_daily,
        annualization_factor=spec.periods_per_year,
        value_at_risk_beta=spec.confidence,
        cvar_beta=spec.confidence,
    )


def riskfolio_sharpe(returns: pd.Series[float], spec: ConventionSpec, risk: str) -> float:
    return float(riskfolio.Sharpe(returns.to_frame("one"), rm=risk, rf=spec.risk_free_rate_daily))


PEERS: dict[Library, dict[str, Peer]] = {
    "quantstats": {
        "value_at_risk": lambda r, s: quantstats.value_at_risk(r, confidence=s.confidence),
        "expected_shortfall": lambda r, s: quantstats.expected_shortfall(r, confidence=s.confidence),
        "sharpe_ratio": lambda r, s: quantstats.sharpe(r, rf=annual_rate(s), periods=s.periods_per_year),
        "sortino_ratio": lambda r, s: quantstats.sortino(r, rf=annual_rate(s), periods=s.periods_per_year),
        "max_drawdown": lambda r, _: quantstats.max_drawdown(r),
        "cagr": lambda r, s: quantstats.cagr(r, periods=s.periods_per_year),
        "volatility": lambda r, s: quantstats.volatility(r, periods=s.periods_per_year),
        "calmar_ratio": lambda r, s: quantstats.calmar(r, periods=s.periods_per_year),
    },
    "empyrical": {
        "value_at_risk": lambda r, s: empyrical.value_at_risk(r, cutoff=s.tail_probability),
        "expected_shortfall": lambda r, s: empyrical.conditional_value_at_risk(r, cutoff=s.tail_probability),
        "sharpe_ratio": lambda r, s: empyrical.sharpe_ratio(
            r, s.risk_free_rate_daily, annualization=s.periods_per_year
        ),
        "sortino_ratio": lambda r, s: empyrical.sortino_ratio(
            r, s.risk_free_rate_daily, annualization=s.periods_per_year
        ),
        "max_drawdown": lambda r, _: empyrical.max_drawdown(r),
        "cagr": lambda r, s: empyrical.cagr(r, annualization=s.periods_per_year),
        "volatility": lambda r, s: empyrical.annual_volatility(r, annualization=s.periods_per_year),
        "calmar_ratio": lambda r, s: empyrical.calmar_ratio(r, annualization=s.periods_per_year),
    },
    "skfolio": {
        "value_at_risk": lambda r, s: portfolio(r, s).value_at_risk,
        "expected_shortfall": lambda r, s: portfolio(r, s).cvar,
        "sharpe_ratio": lambda r, s: portfolio(r, s).sharpe_ratio,
        "sortino_ratio": lambda r, s: portfolio(r, s).sortino_ratio,
        "max_drawdown": lambda r, s: portfolio(r, s).max_drawdown,
        "volatility": lambda r, s: portfolio(r, s).annualized_standard_deviation,
        "calmar_ratio": lambda r, s: portfolio(r, s).calmar_ratio,
    },
    "riskfolio": {
        "value_at_risk": lambda r, s: riskfolio.VaR_Hist(r.to_numpy(), alpha=s.tail_probability),
        "expected_shortfall": lambda r, s: riskfolio.CVaR_Hist(r.to_numpy(), alpha=s.tail_probability),
        "sharpe_ratio": lambda r, s: riskfolio_sharpe(r, s, "MV"),
        "sortino_ratio": lambda r, s: riskfolio_sharpe(r, s, "SLPM"),
        "max_drawdown": lambda r, _: riskfolio.MDD_Abs(r.to_numpy()),
        "volatility": lambda r, _: riskfolio.Sharpe_Risk(r.to_frame("one"), rm="MV"),
        "calmar_ratio": lambda r, s: riskfolio_sharpe(r, s, "MDD"),
    },
}
EVERY_CONVENTION = pytest.mark.parametrize(
    ("library", "measure"), [(library, measure) for library, offered in CONVENTIONS.items() for measure in offered]
)


def test_every_convention_is_held_against_its_library() -> None:
    assert {library: set(offered) for library, offered in CONVENTIONS.items()} == {
        library: set(peers) for library, peers in PEERS.items()
    }


@EVERY_CONVENTION
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_library_gives_the_same_number(
    market: dict[str, tuple[DateArray, FloatArray]], library: Library, measure: str, symbol: str
) -> None:
    sessions, returns = market[symbol]
    series = pd.Series(returns, index=pd.DatetimeIndex(sessions))
    for spec in SPECS:
        theirs = float(PEERS[library][measure](series, spec))
        assert float(by_convention(library, measure, returns, spec)) == pytest.approx(theirs, rel=1e-9), spec


@EVERY_CONVENTION
@pytest.mark.parametrize("sessions", [100, 250, 1_000, 1_001])
def test_the_library_gives_the_same_number_where_the_tail_has_a_whole_number_of_returns(
    library: Library, measure: str, sessions: int
) -> None:
    returns = drawn_returns(sessions, seed=sessions)
    series = pd.Series(returns, index=pd.bdate_range("2001-01-01", periods=sessions))
    for confidence in (0.9, 0.95, 0.99):
        spec = ConventionSpec(confidence)
        theirs = float(PEERS[library][measure](series, spec))
        assert float(by_convention(library, measure, returns, spec)) == pytest.approx(theirs, rel=1e-9), spec


@EVERY_CONVENTION
def test_a_panel_is_its_rows_and_is_not_modified(library: Library, measure: str) -> None:
    panel = drawn_returns(3, 2, 260, seed=8)
    untouched = panel.copy()
    values = by_convention(library, measure, panel, ConventionSpec())
    assert values.shape == (3, 2)
    assert same(panel, untouched)
    for row in np.ndindex(3, 2):
        alone = float(by_convention(library, measure, panel[row], ConventionSpec()))
        assert alone == pytest.approx(float(values[row]), rel=1e-12)


def test_peers_disagree_on_value_at_risk_as_documented(market: dict[str, tuple[DateArray, FloatArray]]) -> None:
    apple = market["AAPL"][1]
    made = {library: float(by_convention(library, "value_at_risk", apple, SPECS[1])) for library in CONVENTIONS}
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
