"""Crises replayed: the registry against the index, results against pandas on real prices, gaps and proxies."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import FloatArray
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.stress import Positions, replay
from pipeline.risk.measures.stress_historical import (
    HISTORICAL_WINDOWS,
    HistoricalWindow,
    MissingPricesError,
    PricePanel,
    Proxy,
    replay_window,
    window_named,
)
from tests.bundled import bundled_bars
from tests.unit.risk.series import PROPERTY, drawn_close, same, weekdays

FUNDS = ["MTUM", "QUAL", "SIZE", "USMV", "VLUE"]
EVERY_WINDOW = pytest.mark.parametrize("name", HISTORICAL_WINDOWS)

# Equal weights in the 20 bundled stocks, then the S&P 500: total and worst point of each window. Made by this file's
# `by_pandas`, which shares no code with the module; the index's agree with its published closes (368.95 to 295.46,
# 1186.75 to 959.44 and 957.28, 1527.46 to 776.76, 1251.70 to 676.53, 1363.61 to 1099.23, 3386.15 to 2237.40, 4796.56
# to 3577.03).
KNOWN = {
    "gulf_war_1990": (-0.2475, -0.2475, -0.1992, -0.1992),
    "ltcm_russia_1998": (-0.2069, -0.2069, -0.1915, -0.1934),
    "dot_com_2000": (-0.0246, -0.0764, -0.4915, -0.4915),
    "lehman_2008": (-0.4091, -0.4091, -0.4595, -0.4595),
    "euro_us_downgrade_2011": (-0.1521, -0.1576, -0.1939, -0.1939),
    "covid_2020": (-0.3124, -0.3124, -0.3392, -0.3392),
    "rates_2022": (-0.0788, -0.1013, -0.2543, -0.2543),
}

SESSIONS = weekdays("2021-03-01", 40)
CLOSE = drawn_close(40, 3, seed=61)
INDEX = drawn_close(40, 1, seed=62)[:, 0]
WINDOW = HistoricalWindow("spring_2021", date(2021, 3, 15), date(2021, 4, 9))
HELD = Positions(("A", "B", "C"), np.array([0.5, 0.7, -0.3]), 1e6)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    bars = bundled_bars()
    symbols = np.array(bars.symbols)[bars.symbol_index]
    rows = pd.DataFrame({"session": bars.sessions, "symbol": symbols, "close": bars.close_adjusted})
    return rows.pivot_table(index="session", columns="symbol", values="close").sort_index()


def panel_of(table: pd.DataFrame, symbols: list[str]) -> PricePanel:
    return PricePanel(table.index.to_numpy().astype("datetime64[D]"), table[symbols].to_numpy(dtype=float))


def stocks(table: pd.DataFrame) -> list[str]:
    return [symbol for symbol in table.columns if symbol not in (*FUNDS, "SP500")]


def equal(symbols: list[str]) -> Positions:
    return Positions(tuple(symbols), np.full(len(symbols), 1 / len(symbols)))


def by_pandas(table: pd.DataFrame, symbols: list[str], window: HistoricalWindow) -> pd.Series:
    """Value of 1 spread evenly, on each day of the window: daily returns compounded one by one."""
    returns = table[symbols].pct_change(fill_method=None)[str(window.first) : str(window.last)]
    return (1.0 + returns).cumprod().mean(axis=1) - 1.0


def test_the_registry_has_the_crises_of_the_contract_oldest_first() -> None:
    assert [window.first.year for window in HISTORICAL_WINDOWS.values()] == [1990, 1998, 2000, 2008, 2011, 2020, 2022]
    assert [window.last.year for window in HISTORICAL_WINDOWS.values()] == [1990, 1998, 2002, 2009, 2011, 2020, 2022]
    for name, window in HISTORICAL_WINDOWS.items():
        assert window.name == name
        assert window_named(name) is window


@EVERY_WINDOW
def test_windows_begin_and_end_on_sessions(name: str, table: pd.DataFrame) -> None:
    window = window_named(name)
    assert {pd.Timestamp(window.first), pd.Timestamp(window.last)} <= set(table.index[table["SP500"].notna()])


@pytest.mark.parametrize("name", [name for name in HISTORICAL_WINDOWS if name not in ("lehman_2008",)])
def test_windows_begin_after_the_index_s_high(name: str, table: pd.DataFrame) -> None:
    """No close of the quarter year before, nor of the window, is above the one before its first session."""
    window, index = window_named(name), table["SP500"]
    base = index[: str(window.first)].index[-2]
    around = index[str(base - pd.Timedelta(days=90)) : str(window.last)]
    assert around.idxmax() == base


@pytest.mark.parametrize("name", [name for name in HISTORICAL_WINDOWS if name not in ("ltcm_russia_1998",)])
def test_windows_end_at_the_index_s_low(name: str, table: pd.DataFrame) -> None:
    window, index = window_named(name), table["SP500"]
    around = index[str(window.first) : str(pd.Timestamp(window.last) + pd.Timedelta(days=60))]
    assert around.idxmin() == pd.Timestamp(window.last)


def test_the_two_windows_that_depart_from_the_rule(table: pd.DataFrame) -> None:
    ltcm, index = window_named("ltcm_russia_1998"), table["SP500"]
    assert index["1998-09-05":"1998-12-31"].idxmin() == pd.Timestamp(ltcm.last)
    assert index["1998-07-18":"1998-12-31"].idxmin() == pd.Timestamp("1998-08-31")
    assert window_named("lehman_2008").first == date(2008, 9, 15)


@EVERY_WINDOW
def test_twenty_stocks_and_the_index_equal_pandas(name: str, table: pd.DataFrame) -> None:
    window = window_named(name)
    made = []
    for symbols in (stocks(table), ["SP500"]):
        result = replay_window(window, equal(symbols), panel_of(table, symbols), "refuse")
        path = by_pandas(table, symbols, window)
        assert result.kind == "historical"
        assert result.name == name
        assert result.total == pytest.approx(float(path.iloc[-1]), abs=1e-12)
        assert result.worst is not None
        assert result.worst.total == pytest.approx(float(path.min()), abs=1e-12)
        assert pd.Timestamp(result.worst.session) == path.idxmin()
        assert math.fsum(result.position_pnl.tolist()) == pytest.approx(result.total, abs=1e-15)
        assert result.total < 0.0
        made += [result.total, result.worst.total]
    assert [round(figure, 4) for figure in made] == list(KNOWN[name])


@EVERY_WINDOW
def test_each_stock_moves_by_its_close_over_the_close_before(name: str, table: pd.DataFrame) -> None:
    window, symbols = window_named(name), stocks(table)
    result = replay_window(window, equal(symbols), panel_of(table, symbols), "refuse")
    before = table.index[table.index < pd.Timestamp(window.first)][-1]
    expected = table.loc[str(window.last), symbols] / table.loc[before, symbols] - 1.0
    np.testing.assert_allclose(result.shocks, expected.to_numpy(dtype=float), rtol=1e-14)


def test_funds_that_did_not_exist_are_refused_by_name_or_proxied(table: pd.DataFrame) -> None:
    symbols = ["AAPL", "MTUM", "USMV"]
    panel, positions = panel_of(table, symbols), equal(symbols)
    message = r"^close: prices are missing for MTUM, USMV in window lehman_2008 \(2008-09-15 to 2009-03-09\); load"
    with pytest.raises(MissingPricesError, match=message):
        replay_window(window_named("lehman_2008"), positions, panel, "refuse")
    index = table["SP500"].to_numpy(dtype=float)
    proxy = Proxy(index, {"MTUM": 1.0, "USMV": 0.6})
    result = replay_window(window_named("lehman_2008"), positions, panel, "proxy", proxy)
    assert result.proxied == ("MTUM", "USMV")
    assert result.shocks[1] == pytest.approx(676.53 / 1251.70 - 1.0, abs=1e-5)
    daily = 1.0 + 0.6 * table["SP500"].pct_change()["2008-09-15":"2009-03-09"]
    assert result.shocks[2] == pytest.approx(float(daily.prod()) - 1.0, rel=1e-12)
    recent = replay_window(window_named("covid_2020"), positions, panel, "proxy", proxy)
    assert recent.proxied == ()
    assert same(recent.shocks, replay_window(window_named("covid_2020"), positions, panel, "refuse").shocks)


def without(session: int, instrument: int) -> PricePanel:
    close = CLOSE.copy()
    close[session, instrument] = np.nan
    return PricePanel(SESSIONS, close)


def in_window() -> list[int]:
    """Rows from the close before the window to its last."""
    first = int(np.searchsorted(SESSIONS, np.datetime64("2021-03-15")))
    return list(range(first - 1, int(np.searchsorted(SESSIONS, np.datetime64("2021-04-09"))) + 1))


def test_any_price_missing_in_the_window_is_missing_and_none_outside() -> None:
    rows = in_window()
    whole = replay_window(WINDOW, HELD, PricePanel(SESSIONS, CLOSE), "refuse")
    for row in range(40):
        if row in rows:
            with pytest.raises(MissingPricesError, match=r"^close: prices are missing for B in window spring_2021"):
                replay_window(WINDOW, HELD, without(row, 1), "refuse")
        else:
            assert same(replay_window(WINDOW, HELD, without(row, 1), "refuse").shocks, whole.shocks)


def cumulative(row: int) -> FloatArray:
    return CLOSE[row] / CLOSE[in_window()[0]] - 1.0


def test_shorts_gain_where_prices_fall_and_the_worst_point_reproduces_itself() -> None:
    result = replay_window(WINDOW, HELD, PricePanel(SESSIONS, CLOSE), "refuse")
    path = {row: float(cumulative(row) @ HELD.weights) for row in in_window()}
    deepest = min(path, key=lambda row: path[row])
    assert result.worst is not None
    assert np.datetime64(result.worst.session) == SESSIONS[deepest]
    np.testing.assert_allclose(result.worst.shocks, cumulative(deepest), rtol=1e-14)
    again = replay(result.worst.shocks, HELD.weights)
    assert same(again.position, result.worst.position_pnl)
    assert again.total == result.worst.total <= min(result.total, 0.0) + 1e-15
    assert same(replay(result.shocks, HELD.weights).position, result.position_pnl)


def test_a_window_without_a_loss_is_worst_at_its_start() -> None:
    rising = PricePanel(SESSIONS, np.linspace(10.0, 20.0, 40)[:, None])
    result = replay_window(WINDOW, Positions(("A",), np.ones(1)), rising, "refuse")
    assert result.total > 0.0
    assert result.worst is not None
    assert result.worst.total == 0.0
    assert np.datetime64(result.worst.session) == SESSIONS[in_window()[0]]


def test_a_window_is_one_session_long_at_least() -> None:
    day = date(2021, 3, 15)
    result = replay_window(HistoricalWindow("a day", day, day), HELD, PricePanel(SESSIONS, CLOSE), "refuse")
    row = in_window()[1]
    np.testing.assert_allclose(result.shocks, CLOSE[row] / CLOSE[row - 1] - 1.0, rtol=1e-14)


@PROPERTY
@given(st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3))
def test_profit_and_loss_is_linear_in_the_weights_and_sums(weights: list[float]) -> None:
    result = replay_window(WINDOW, Positions(("A", "B", "C"), np.array(weights)), PricePanel(SESSIONS, CLOSE), "refuse")
    shocks = cumulative(in_window()[-1]).tolist()
    expected = math.fsum(w * s for w, s in zip(weights, shocks, strict=True))
    assert result.total == pytest.approx(expected, abs=1e-12)
    assert float(np.sum(result.position_pnl)) == pytest.approx(result.total, abs=1e-9)


def test_nothing_given_is_modified() -> None:
    close, index, weights = without(12, 1).close, INDEX.copy(), HELD.weights.copy()
    result = replay_window(WINDOW, HELD, PricePanel(SESSIONS, close), "proxy", Proxy(index, {"B": 1.2}))
    result.shocks[:] = 9.0
    assert same(close, without(12, 1).close)
    assert same(index, INDEX)
    assert same(HELD.weights, weights)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(1990, 7, 17), date(1990, 10, 11)),
        (date(2021, 3, 1), date(2021, 3, 19)),
        (date(2021, 4, 12), date(2021, 6, 30)),
        (date(2021, 3, 20), date(2021, 3, 21)),
        (date(2024, 3, 20), date(2024, 4, 21)),
    ],
    ids=["long before", "no close before", "ends later", "a weekend", "long after"],
)
def test_prices_that_do_not_cover_the_window_are_refused(first: date, last: date) -> None:
    message = r"^close: the prices do not cover window other .* and the close before it; load that history or choose"
    with pytest.raises(MissingPricesError, match=message):
        replay_window(HistoricalWindow("other", first, last), HELD, PricePanel(SESSIONS, CLOSE), "refuse")


def test_a_close_long_before_the_window_is_not_the_one_before_it() -> None:
    """A history with a hole in front of the window would count the return of the hole as the crisis's."""
    kept = np.r_[0, in_window()[1] : 40]
    holed = PricePanel(np.r_[SESSIONS[0] - np.timedelta64(10, "D"), SESSIONS[kept[1:]]], CLOSE[kept])
    with pytest.raises(MissingPricesError, match=r"^close: the prices do not cover window spring_2021"):
        replay_window(WINDOW, HELD, holed, "refuse")


@pytest.mark.parametrize(
    ("proxy", "error", "message"),
    [
        (
            None,
            MissingPricesError,
            r"^close: prices are missing for B in window spring_2021 .* give a benchmark with betas$",
        ),
        (Proxy(INDEX, {"A": 1.0}), MissingPricesError, r"^betas: none for B, without prices in spring_2021; give them"),
        (Proxy(INDEX[:-1], {"B": 1.0}), MeasureInputError, r"^benchmark_close: shape \(39,\) for 40 sessions"),
        (Proxy(INDEX, {"B": 500.0}), MeasureInputError, r"^betas: B would lose 100 % or more on a day of spring_2021"),
        (
            Proxy(np.where(np.arange(40) == 14, np.nan, INDEX), {"B": 1.0}),
            MissingPricesError,
            r"^benchmark_close: prices are missing in window spring_2021; load them or choose another benchmark$",
        ),
    ],
)
def test_a_proxy_that_does_not_serve_is_refused(
    proxy: Proxy | None, error: type[MeasureInputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        replay_window(WINDOW, HELD, without(14, 1), "proxy", proxy)


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(MeasureInputError, match=r"^on_missing='skip': give 'refuse' or 'proxy'$"):
        replay_window(WINDOW, HELD, without(14, 1), "skip", Proxy(INDEX, {"B": 1.0}))  # type: ignore[arg-type]


def test_a_proxy_given_does_not_override_a_refusal() -> None:
    with pytest.raises(MissingPricesError, match=r"^close: prices are missing for B"):
        replay_window(WINDOW, HELD, without(14, 1), "refuse", Proxy(INDEX, {"B": 1.0}))


@pytest.mark.parametrize("price", [0.0, -1.0, math.inf])
def test_prices_that_are_none_are_refused(price: float) -> None:
    close = CLOSE.copy()
    close[3, 1] = price
    with pytest.raises(MeasureInputError, match=r"^close: 0, negative or infinite; repair those prices or set them"):
        PricePanel(SESSIONS, close)
    with pytest.raises(MeasureInputError, match=r"^benchmark_close: 0, negative or infinite"):
        Proxy(close[:, 1])


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MeasureInputError, match=r"^close: shape \(39, 3\) for 40 sessions; a row each$"):
        PricePanel(SESSIONS, CLOSE[1:])
    with pytest.raises(MeasureInputError, match=r"^sessions: not ascending; sort them and keep each once$"):
        PricePanel(SESSIONS[::-1], CLOSE)
    with pytest.raises(MeasureInputError, match=r"^close: 2 columns for 3 positions; give one each, in order$"):
        replay_window(WINDOW, HELD, PricePanel(SESSIONS, CLOSE[:, :2]), "refuse")
    with pytest.raises(MeasureInputError, match=r"^betas: NaN or infinite for B; give a finite number$"):
        Proxy(INDEX, {"A": 1.0, "B": math.nan})
    with pytest.raises(MeasureInputError, match=r"^last=2020-01-01: before first=2020-01-02; swap the two$"):
        HistoricalWindow("x", date(2020, 1, 2), date(2020, 1, 1))
    with pytest.raises(MeasureInputError, match=r"^name: empty; say what happened in the window and when$"):
        HistoricalWindow("", date(2020, 1, 2), date(2020, 1, 3))
    with pytest.raises(MeasureInputError, match=r"^window: 'tulips_1637' is not known; choose one of gulf_war_1990, "):
        window_named("tulips_1637")
