"""Value at risk by every method and its backtest on real prices: Apple, JPMorgan and the S&P 500.

Values come from scipy 1.17.1, pandas 3.1.1 and skfolio 1.12.2, by the expression beside each; none from this
repository. With ``i = load_sp500_index().SP500.pct_change().dropna()`` and ``r =
load_sp500_dataset().pct_change().dropna()``, ``a`` is the last 500 returns of ``r.AAPL``, ``r.JPM`` or ``i``.
"""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.types import FloatArray
from pipeline.risk.measures.backtests import VarBacktest, backtest
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS, rolling_forecasts
from pipeline.risk.measures.windows import simple_returns
from tests.bundled import bundled_bars

WINDOW = 500
SPEC = TailSpec(0.99)
SYMBOLS = ("AAPL", "JPM", "SP500")

# With z = norm.ppf(0.01): VaR and ES at 99 % of the three in turn.
EXPECTED = {
    # value_at_risk(a.values, beta=0.99), cvar(a.values, beta=0.99) of skfolio.measures
    "historical": (
        (0.046850708012941666, 0.05435524068472221),
        (0.03772371426670518, 0.045933857862520196),
        (0.033688010821315006, 0.03886689191327367),
    ),
    # For VaR -(a.mean() + z * a.std()), for ES -(a.mean() - a.std() * norm.pdf(z) / 0.01)
    "gaussian": (
        (0.0450448958848421, 0.05162952858451839),
        (0.03778675315891176, 0.04334158976355194),
        (0.028384188017078607, 0.032536110975423034),
    ),
    # With S = skew(a), K = kurtosis(a) of scipy.stats and w the expansion of the method's docstring:
    # for VaR -(a.mean() + a.std() * w(z)), for ES -(a.mean() + a.std() * t / 0.01) with, of scipy.integrate,
    # the integral t = quad(lambda x: w(x) * norm.pdf(x), -40, z, epsabs=1e-14)[0]
    "cornish_fisher": (
        (0.04828054628610526, 0.060068254889905144),
        (0.03900085431847365, 0.04730199695373557),
        (0.03338445437521979, 0.042239413768842625),
    ),
    # With l = scipy.stats.t(…) at the greatest likelihood that Nelder-Mead finds from scipy.stats.t.fit(a) with
    # xatol=1e-11: VaR -l.ppf(0.01), ES -l.expect(lambda x: x, ub=l.ppf(0.01), conditional=True)
    "student_t": (
        (0.048430603125425846, 0.05988909051589964),
        (0.04056071928870302, 0.04972074257017689),
        (0.03186363517990759, 0.04157930838397667),
    ),
    # With v = a.pow(2).ewm(alpha=0.06).mean() ** 0.5: -z * v.iloc[-1], v.iloc[-1] * norm.pdf(z) / 0.01
    "ewma": (
        (0.05257679802455883, 0.06023537206922622),
        (0.02970646432809646, 0.034033642193810665),
        (0.030620272418854993, 0.03508055970143443),
    ),
    # With e = ((a / v.shift(1)).iloc[22:] * v.iloc[-1]).values: value_at_risk(e, beta=0.99), cvar(e, beta=0.99)
    "filtered_historical": (
        (0.05529898455575296, 0.06257363730029694),
        (0.031248732044643242, 0.03907259477230737),
        (0.039011025254632514, 0.04446621182392139),
    ),
}


@pytest.fixture(scope="module")
def market() -> dict[str, FloatArray]:
    bars = bundled_bars()
    rows = {symbol: bars.take(bars.symbol_index == bars.symbols.index(symbol)) for symbol in SYMBOLS}
    return {symbol: simple_returns(part.close_adjusted) for symbol, part in rows.items()}


def test_every_method_in_closed_form_has_a_golden_value() -> None:
    assert set(VAR_METHODS) - set(EXPECTED) == {"monte_carlo"}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_last_two_years(market: dict[str, FloatArray], name: str) -> None:
    for symbol, (var, es) in zip(SYMBOLS, EXPECTED[name], strict=True):
        made = VAR_METHODS[name].estimate(market[symbol][-WINDOW:], SPEC)
        assert made.var == pytest.approx(var, rel=1e-6 if name == "student_t" else 1e-10), symbol
        assert made.es == pytest.approx(es, rel=1e-6 if name == "student_t" else 1e-9), symbol


def test_monte_carlo_lies_within_its_errors_of_the_law_it_draws_from(market: dict[str, FloatArray]) -> None:
    for symbol, (var, es) in zip(SYMBOLS, EXPECTED["student_t"], strict=True):
        made = VAR_METHODS["monte_carlo"].estimate(market[symbol][-WINDOW:], TailSpec(0.99, paths=100_000))
        assert made.var_standard_error is not None
        assert made.es_standard_error is not None
        assert abs(made.var - var) < 3.0 * made.var_standard_error < 0.03 * var
        assert abs(made.es - es) < 3.0 * made.es_standard_error < 0.04 * es


def backtested(returns: FloatArray, name: str) -> VarBacktest:
    made = rolling_forecasts(returns, VAR_METHODS[name], SPEC, WINDOW, range(WINDOW, len(returns)))
    return backtest(returns[WINDOW:], made.var, made.es, SPEC.confidence)


@pytest.mark.parametrize(
    ("symbol", "exceptions", "kupiec", "independence", "z1", "z2"),
    [
        ("SP500", 125, 24.041653453481786, 20.862020655456035, -0.057933486962392866, -0.6928019184626102),
        ("AAPL", 102, 6.726058872876592, 12.548292240769797, -0.061081759420288595, -0.38543701306796496),
    ],
)
def test_the_backtest_of_the_historical_method(
    market: dict[str, FloatArray],
    symbol: str,
    exceptions: int,
    kupiec: float,
    independence: float,
    z1: float,
    z2: float,
) -> None:
    """By pandas, with ``a`` all returns of ``i`` or ``r.AAPL`` and ``w = a.rolling(500)``.

    ``q = w.apply(lambda x: np.sort(x)[5], raw=True).shift(1)``, ``h = (a < q)[q.notna()]``, ``x, m = h.sum(), len(h)``.
    Kupiec is ``2 * (f(x, m, x / m) - f(x, m, 0.01))`` with ``f = lambda x, n, p: x * log(p) + (n - x) * log1p(-p)``,
    independence comes from ``pd.crosstab(h.shift(1), h)`` by the same f. With ``e = -w.apply(lambda x:
    np.sort(x)[:5].mean(), raw=True).shift(1)``, Z1 is ``1 + (a[h] / e[h]).mean()`` and Z2
    ``1 + (a[h] / e[h]).sum() / (0.01 * m)``.
    """
    made = backtested(market[symbol], "historical")
    assert (made.observations, made.exceptions) == (7_812, exceptions)
    assert made.kupiec.value == pytest.approx(kupiec, rel=1e-9)
    assert made.independence.value == pytest.approx(independence, rel=1e-9)
    assert made.shortfall_z1.value == pytest.approx(z1, rel=1e-9)
    assert made.shortfall_z2.value == pytest.approx(z2, rel=1e-9)
    assert (made.traffic_light.zone, made.traffic_light.exceptions) == ("yellow", 7)


def test_only_the_filtered_method_gets_the_number_and_the_timing_of_losses_right(
    market: dict[str, FloatArray],
) -> None:
    """Apple over 31 years: normal laws see too many losses, and windows of equal weights see them in clusters."""
    filtered = backtested(market["AAPL"], "filtered_historical")
    for statistic in (filtered.kupiec, filtered.independence, filtered.conditional_coverage, filtered.duration):
        assert statistic.p_value is not None
        assert statistic.p_value > 0.05
    for name in ("gaussian", "ewma"):
        assert backtested(market["AAPL"], name).kupiec.p_value < 1e-4  # type: ignore[operator]
    for name in ("historical", "student_t"):
        assert backtested(market["AAPL"], name).duration.p_value < 1e-6  # type: ignore[operator]


def test_estimates_of_a_panel_of_windows_are_those_of_each(market: dict[str, FloatArray]) -> None:
    windows = np.stack([market[symbol][-WINDOW:] for symbol in SYMBOLS])
    for method in VAR_METHODS.values():
        together = method.estimate(windows, SPEC)
        for row, symbol in enumerate(SYMBOLS):
            assert method.estimate(market[symbol][-WINDOW:], SPEC).var == together.var[row]
