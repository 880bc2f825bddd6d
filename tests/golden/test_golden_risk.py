"""Risk of real prices, 1990-2022: 8,312 daily returns of the 20 stocks that ship with skfolio.

Values with 12 digits come from skfolio 1.12.2, numpy 2.4.6 and pandas 3.1.1 with ``p = load_sp500_dataset()``,
``r = p.pct_change().dropna()`` and ``a = r["AAPL"]``, by the expression beside each; none from this repository.
Values with 3 digits are those that the definitions of this platform quote when they name what peers disagree on.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest

from pipeline.base.types import DateArray, FloatArray, Rebalancing
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.risk.measures import MEASURES, RiskSpec
from pipeline.risk.measures.holdings import Holdings
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series, latest_report
from tests.bundled import bundled_bars

RETURNS = 8_312
WHOLE = RiskSpec(window_sessions=RETURNS)
"""One window over all years."""


@dataclass(frozen=True)
class Market:
    sessions: DateArray
    close: FloatArray
    """(t, 20) adjusted closes of the stocks, Apple first."""
    index: FloatArray
    """(t,) closes of the S&P 500."""


@pytest.fixture(scope="module")
def market() -> Market:
    provider = BundledProvider()
    bars = bundled_bars()
    stocks = [security.symbol for security in provider.securities() if security.kind == "stock"]
    assert stocks[0] == "AAPL"
    column = {symbol: bars.take(bars.symbol_index == number) for number, symbol in enumerate(bars.symbols)}
    sessions = column["AAPL"].sessions
    for symbol in (*stocks, "SP500"):
        assert (column[symbol].sessions == sessions).all()
    close = np.column_stack([column[symbol].close_adjusted for symbol in stocks])
    return Market(sessions, close, column["SP500"].close_adjusted)


@pytest.fixture(scope="module")
def apple(market: Market) -> dict[str, float]:
    return latest_report(simple_returns(market.close[:, 0]), simple_returns(market.index), WHOLE)


def equal_weight(market: Market, policy: Rebalancing) -> dict[str, float]:
    """A twentieth of the money in each stock at the first close."""
    amounts = np.full(20, 0.05)
    holdings = Holdings(amounts / market.close[0] if policy == "buy_and_hold" else amounts, policy)
    series = held_series(market.close, market.sessions, market.index, holdings)
    return latest_report(series.held.returns, series.benchmark, WHOLE, series.held)


def test_the_prices_are_the_ones_the_values_were_made_from(market: Market) -> None:
    assert market.close.shape == (RETURNS + 1, 20)
    assert [str(market.sessions[row]) for row in (0, -1)] == ["1990-01-02", "2022-12-28"]
    assert np.isfinite(market.close).all()


APPLE = {
    "cagr": 0.205534654884,  # (p.AAPL.iloc[-1] / p.AAPL.iloc[0]) ** (252 / len(a)) - 1
    "volatility": 0.434152781147,  # a.std() * 252 ** 0.5
    "volatility_ewma": 0.358772994849,  # (a**2).ewm(alpha=0.06).mean().iloc[-1] ** 0.5 * 252 ** 0.5
    "sharpe_ratio": 0.652042533136,  # a.mean() / a.std() * 252 ** 0.5
    "sortino_ratio": 0.955908427747,  # a.mean() / (a.clip(upper=0) ** 2).mean() ** 0.5 * 252 ** 0.5
    "max_drawdown": -0.818098720293,  # -max_drawdown(get_drawdowns(a.values, compounded=True)) of skfolio.measures
    "average_drawdown": -0.285182416577,  # d = get_drawdowns(a.values, compounded=True); -average_drawdown(d), skfolio
    "ulcer_index": 0.383078682224,  # skfolio.measures.ulcer_index(d)
    "cdar_95": 0.782821757418,  # skfolio.measures.cdar(d, beta=0.95)
    "calmar_ratio": 0.205534654884 / 0.818098720293,
    "skewness": -0.392415451797,  # skfolio.measures.skew(a.values)
    "excess_kurtosis": 23.304678431592,  # skfolio.measures.kurtosis(a.values) - 3
    "var_95_1d": 0.039568345324,  # skfolio.measures.value_at_risk(a.values, beta=0.95)
    "var_99_1d": 0.068627450980,  # skfolio.measures.value_at_risk(a.values, beta=0.99)
    "es_975_1d": 0.074248386068,  # skfolio.measures.cvar(a.values, beta=0.975)
    "es_99_1d": 0.097631828425,  # skfolio.measures.cvar(a.values, beta=0.99)
    "beta": 1.154127688952,  # b = load_sp500_index().SP500.pct_change().dropna(); np.polyfit(b, a, 1)[0]
    "alpha": 0.181387764167,  # scipy.stats.linregress(b, a).intercept * 252
    "r_squared": 0.236557036490,  # scipy.stats.linregress(b, a).rvalue ** 2
    "tracking_error": 0.380388644376,  # (a - b).std() * 252 ** 0.5
    "information_ratio": 0.512552208608,  # (a - b).mean() / (a - b).std() * 252 ** 0.5
    "up_capture": 1.279363813789,  # (gmean(1 + a[b > 0]) - 1) / (gmean(1 + b[b > 0]) - 1), scipy.stats.gmean
    "down_capture": 1.174038778532,  # the same with b < 0
}


def test_every_registered_measure_has_a_golden_value() -> None:
    assert list(APPLE) == [measure.name for measure in MEASURES]


@pytest.mark.parametrize(("name", "expected"), APPLE.items(), ids=APPLE)
def test_apple(apple: dict[str, float], name: str, expected: float) -> None:
    assert apple[name] == pytest.approx(expected, rel=1e-10)


def test_apple_as_quoted_where_peers_disagree(apple: dict[str, float]) -> None:
    assert apple["var_99_1d"] == pytest.approx(0.0686, abs=0.00005)
    assert apple["sharpe_ratio"] == pytest.approx(0.652, abs=0.0005)
    assert apple["max_drawdown"] == pytest.approx(-0.818, abs=0.0005)


def test_what_peers_mean_by_the_same_names(market: Market) -> None:
    """Their numbers come out of the same returns, so the disagreement is one of definitions, not of data."""
    returns = simple_returns(market.close[:, 0])
    mean, deviation = float(returns.mean()), float(returns.std(ddof=1))
    wealth_uncompounded = np.cumsum(returns)
    assert -(mean - NormalDist().inv_cdf(0.99) * deviation) == pytest.approx(0.0625, abs=0.00005)  # quantstats' VaR
    assert mean / deviation == pytest.approx(0.0411, abs=0.00005)  # Sharpe per day
    drawdown = np.maximum.accumulate(wealth_uncompounded) - wealth_uncompounded
    assert float(drawdown.max()) == pytest.approx(1.248, abs=0.0005)  # skfolio's default


@pytest.mark.parametrize(
    ("policy", "sharpe_ratio", "max_drawdown"),
    [
        # With x, the returns of the portfolio: x.mean() / x.std() * 252 ** 0.5 and, with w = (1 + x).cumprod(),
        # (w / np.maximum(w.cummax(), 1) - 1).min(), where x is
        ("daily", 0.978002459184, -0.484075112260),  # r.mean(axis=1)
        # for the next two, with k = p.index.to_period("M") or ("Q"), b = p.groupby(k).last().shift(1),
        # b.iloc[0] = p.iloc[0], v = (p / b.reindex(k).set_axis(p.index)).mean(axis=1) and first = k != np.roll(k, 1),
        # first[0] = False:
        ("monthly", 0.960531401342, -0.494221203962),  # (v / v.shift(1).where(~first, 1.0) - 1).iloc[1:]
        ("quarterly", 0.986202191855, -0.481529005114),
        ("buy_and_hold", 0.817501404308, -0.581963060920),  # (p / p.iloc[0]).mean(axis=1).pct_change().dropna()
    ],
)
def test_twenty_stocks(market: Market, policy: Rebalancing, sharpe_ratio: float, max_drawdown: float) -> None:
    report = equal_weight(market, policy)
    assert report["sharpe_ratio"] == pytest.approx(sharpe_ratio, rel=1e-10)
    assert report["max_drawdown"] == pytest.approx(max_drawdown, rel=1e-10)


@pytest.mark.parametrize(
    ("policy", "sharpe_ratio", "max_drawdown"), [("daily", 0.978, -0.48), ("buy_and_hold", 0.818, -0.58)]
)
def test_twenty_stocks_as_quoted(market: Market, policy: Rebalancing, sharpe_ratio: float, max_drawdown: float) -> None:
    report = equal_weight(market, policy)
    assert report["sharpe_ratio"] == pytest.approx(sharpe_ratio, abs=0.0005)
    assert report["max_drawdown"] == pytest.approx(max_drawdown, abs=0.005)


@pytest.mark.parametrize(
    ("band", "trades", "sharpe_ratio", "max_drawdown", "apple"),
    [
        # From u = 0.05 / p.iloc[0] and v0 = 1, for each later row q of p: worth = u * q, v = worth.sum(), the return is
        # v / v0 - 1, v0 = v; if ((worth / v - 0.05).abs() > band).any(): u = 0.05 / q, v0 = 1. Then x as above, and
        # Apple's part of the last worth.
        (0.05, 24, 0.992506185615, -0.474552371531, 0.042816137927),
        (0.01, 457, 0.975281917540, -0.485199787168, 0.042635347356),
    ],
)
def test_twenty_stocks_in_a_drift_band(
    market: Market, band: float, trades: int, sharpe_ratio: float, max_drawdown: float, apple: float
) -> None:
    holdings = Holdings(np.full(20, 0.05), "drift_band", band)
    held = held_series(market.close, market.sessions, None, holdings).held
    report = latest_report(held.returns, None, WHOLE, held)
    assert len(np.unique(holdings.setting_rows(market.close))) == trades + 1
    assert report["sharpe_ratio"] == pytest.approx(sharpe_ratio, rel=1e-10)
    assert report["max_drawdown"] == pytest.approx(max_drawdown, rel=1e-10)
    assert held.weights[-1, 0] == pytest.approx(apple, rel=1e-10)


def test_the_tail_of_daily_rebalancing_is_that_of_its_returns(market: Market) -> None:
    """Weights that never drift: skfolio's value_at_risk and cvar of ``r.mean(axis=1).values``."""
    report = equal_weight(market, "daily")
    assert report["var_99_1d"] == pytest.approx(0.031384567543, rel=1e-10)
    assert report["es_975_1d"] == pytest.approx(0.034311366874, rel=1e-10)


def test_the_tail_of_buy_and_hold_is_that_of_the_last_weights(market: Market) -> None:
    """With ``w = p.iloc[-1] / p.iloc[0]``: skfolio's value_at_risk and cvar of ``(r @ (w / w.sum())).values``."""
    report = equal_weight(market, "buy_and_hold")
    assert report["var_99_1d"] == pytest.approx(0.039820643587, rel=1e-10)
    assert report["es_975_1d"] == pytest.approx(0.042930571704, rel=1e-10)
