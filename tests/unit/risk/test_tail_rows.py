"""Rows of tails and backtests: they read nothing after their session, and nothing before their reach."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.orchestration.checks import Columns
from pipeline.risk.assets import portfolio_tail, var_backtests
from pipeline.risk.assets.portfolio_tail import tail_rows
from pipeline.risk.assets.reach import reach_starts, sessions_in_reach
from pipeline.risk.assets.var_backtests import (
    RISK_MEASURES,
    Earned,
    Subject,
    backtest_rows,
    coverage_outcome,
    light_outcome,
)
from pipeline.risk.measures.holdings import Holdings, scenario_returns
from pipeline.risk.measures.tail_spec import TailSpec
from pipeline.risk.measures.value_at_risk import VAR_METHODS
from pipeline.risk.measures.windows import simple_returns
from pipeline.risk.report import held_series
from pipeline.store.packed_series import Series
from pipeline.store.portfolio_tails import PORTFOLIO_TAIL
from pipeline.store.portfolios import Portfolio, Position
from pipeline.store.prices import PricePanel
from pipeline.store.var_backtests import VAR_BACKTEST
from pipeline.store.writing import concatenated

POSITIONS = (Position(1, "A", target_weight=0.6), Position(2, "B", target_weight=0.4))
PAIR = Portfolio(7, "pair", "Pair", "USD", "quarterly", datetime(2020, 1, 1, tzinfo=UTC), POSITIONS)
NOVEMBER = MonthRange(date(2022, 11, 1), date(2022, 11, 1))
SUBJECT = Subject("instrument", 1, "historical")


def drawn_panel(without: tuple[str, str] | None = None) -> PricePanel:
    """Two instruments since 2010; the second has no price in ``without``."""
    draw = np.random.default_rng(3)
    sessions = np.arange("2010-01-01", "2022-12-29", dtype="datetime64[D]")
    sessions = sessions[np.is_busday(sessions)]
    close = 100.0 * np.cumprod(1.0 + np.clip(0.008 * draw.standard_t(5, (len(sessions), 2)), -0.3, 0.3), axis=0)
    if without is not None:
        first, last = (np.datetime64(day) for day in without)
        close[(sessions >= first) & (sessions <= last), 1] = np.nan
    return PricePanel(sessions, np.array([1, 2]), close)


def part(panel: PricePanel, first: date, end: date) -> PricePanel:
    kept = (panel.sessions >= np.datetime64(first, "D")) & (panel.sessions < np.datetime64(end, "D"))
    return PricePanel(panel.sessions[kept], panel.instrument_ids, panel.close[kept])


def in_month(blocks: Iterable[Columns], months: MonthRange) -> dict[str, list[object]]:
    """Rows of a month by session and method, each number by its bits."""
    rows = concatenated(PORTFOLIO_TAIL, list(blocks))
    inside = (rows["session"] >= np.datetime64(months.first, "D")) & (rows["session"] < np.datetime64(months.end, "D"))
    order = np.lexsort((rows["method"][inside], rows["session"][inside]))
    return {name: [value.tobytes() for value in values[inside][order]] for name, values in trimmed(rows, inside, order)}


def trimmed(rows: Columns, inside: np.ndarray, order: np.ndarray) -> Iterable[tuple[str, np.ndarray]]:
    """Columns whose texts have one width, whatever the other rows say."""
    for name, values in rows.items():
        yield name, values.astype("S96") if values.dtype.kind == "S" else values


@pytest.mark.parametrize("without", [None, ("2021-03-01", "2021-11-12"), ("2020-08-01", "2022-10-20")])
def test_a_tail_reads_its_reach_and_nothing_else(without: tuple[str, str] | None) -> None:
    """With a gap a window of 500 sessions begins before the reach: then the row is short, however much is read."""
    panel = drawn_panel(without)
    everything = in_month(tail_rows(panel, PAIR, MonthRange(date(2010, 1, 1), date(2022, 12, 1))), NOVEMBER)
    reach = part(panel, NOVEMBER.back(portfolio_tail.LOOK_BACK_MONTHS), NOVEMBER.end)
    assert in_month(tail_rows(reach, PAIR, NOVEMBER), NOVEMBER) == everything
    assert len(everything["session"]) == 22 * 7
    has_figures = [np.isfinite(np.frombuffer(value)[0]) for value in everything["var_99_1d"]]
    assert all(has_figures) == (without is None)
    assert any(has_figures) == (without is None)


def test_what_is_simulated_comes_with_its_standard_error() -> None:
    panel = drawn_panel()
    rows = concatenated(PORTFOLIO_TAIL, list(tail_rows(part(panel, date(2019, 1, 1), NOVEMBER.end), PAIR, NOVEMBER)))
    close = panel.columns([1, 2])[: int(np.searchsorted(panel.sessions, np.datetime64("2022-12-01")))]
    series = held_series(close, panel.sessions[: len(close)], None, Holdings(PAIR.amounts, PAIR.rebalancing))
    scenarios = scenario_returns(series.held, len(series.held.returns), 500)
    simulated, is_last = rows["method"] == b"monte_carlo", rows["session"] == np.datetime64("2022-11-30")
    for name, confidence in (("95", 0.95), ("975", 0.975), ("99", 0.99)):
        made = VAR_METHODS["monte_carlo"].estimate(scenarios, TailSpec(confidence))
        for figure, error in (("var", made.var_standard_error), ("es", made.es_standard_error)):
            stored = rows[f"{figure}_{name}_1d_error"]
            assert error is not None
            assert stored[simulated & is_last] == pytest.approx([float(error)], rel=1e-9)
            assert np.isfinite(stored[simulated]).all()
            assert np.isnan(stored[~simulated]).all()
    assert set(rows["reason"][simulated].tolist()) == {b""}


def test_a_tail_reads_nothing_after_its_session() -> None:
    """Known to the end of the month, and to a session within it."""
    panel = drawn_panel()
    day = date(2022, 11, 16)
    full, cut = (
        concatenated(PORTFOLIO_TAIL, list(tail_rows(part(panel, date(2019, 1, 1), end), PAIR, NOVEMBER)))
        for end in (date(2022, 12, 1), day)
    )
    last = cut["session"].max()
    for method in (b"filtered_historical", b"cornish_fisher"):
        rows = [np.flatnonzero((rows["session"] == last) & (rows["method"] == method)) for rows in (full, cut)]
        assert full["es_99_1d"][rows[0]].tobytes() == cut["es_99_1d"][rows[1]].tobytes()


def forecasts_of(panel: PricePanel, seed: int = 2) -> Series:
    """Something plausible on each session, with holes."""
    draw = np.random.default_rng(seed)
    var = 0.02 * np.exp(0.1 * draw.standard_normal(len(panel.sessions)))
    values = {"var_95_1d": 0.7 * var, "var_99_1d": var, "es_99_1d": 1.2 * var}
    holes = draw.random(len(panel.sessions)) < 0.02
    return Series(panel.sessions, {name: np.where(holes, np.nan, column) for name, column in values.items()})


def earned_of(panel: PricePanel) -> Earned:
    return Earned(panel.sessions, simple_returns(panel.close[:, 0]))


def backtests(earned: Earned, forecasts: Series, months: MonthRange) -> Columns:
    return concatenated(VAR_BACKTEST, list(backtest_rows(SUBJECT, earned, forecasts, RISK_MEASURES, months)))


def cut_series(series: Series, first: date, end: date) -> Series:
    kept = (series.sessions >= np.datetime64(first, "D")) & (series.sessions < np.datetime64(end, "D"))
    return Series(series.sessions[kept], {name: values[kept] for name, values in series.values.items()})


@pytest.mark.parametrize("month", [date(2012, 3, 1), date(2022, 11, 1)])
def test_a_backtest_reads_its_reach_and_nothing_after_its_session(month: date) -> None:
    panel = drawn_panel()
    forecasts, own = forecasts_of(panel), MonthRange(month, month)
    everything = backtests(earned_of(panel), forecasts, MonthRange(date(2010, 1, 1), date(2022, 12, 1)))
    first = own.back(var_backtests.LOOK_BACK_MONTHS)
    alone = backtests(earned_of(part(panel, first, own.end)), cut_series(forecasts, first, own.end), own)
    inside = everything["session"].astype("datetime64[M]") == np.datetime64(month, "M")
    assert inside.sum() == len(alone["session"]) == 2
    for name, values in alone.items():
        expected = everything[name][inside]
        assert expected.astype(values.dtype).tobytes() == values.tobytes(), name
    if month.year == 2022:
        assert alone["observations"].tolist() == [1_000, 1_000]


def test_a_forecast_is_judged_by_the_next_session_and_not_before_it() -> None:
    """A loss on the month's last session judges the forecast of the one before; none judges the last forecast."""
    panel = drawn_panel()
    forecasts, earned = forecasts_of(panel), earned_of(panel)
    months = MonthRange(date(2022, 10, 1), date(2022, 11, 1))
    before = backtests(earned, forecasts, months)
    last = int(np.searchsorted(panel.sessions, np.datetime64("2022-10-31")))
    fallen = earned.returns.copy()
    fallen[last - 1] = -0.5
    after = backtests(Earned(earned.sessions, fallen), forecasts, months)
    assert (after["exceptions"] - before["exceptions"]).tolist() == [1, 1, 1, 1]
    fallen = earned.returns.copy()
    fallen[last] = -0.5  # on 1 November
    later = backtests(Earned(earned.sessions, fallen), forecasts, months)
    assert (later["exceptions"] - before["exceptions"]).tolist() == [0, 1, 0, 1]


def test_forecasts_on_other_sessions_than_the_prices_are_left_out() -> None:
    panel = drawn_panel()
    earned = earned_of(panel)
    shifted = Series(panel.sessions + np.timedelta64(400, "W"), forecasts_of(panel).values)
    rows = backtests(earned, shifted, NOVEMBER)
    assert rows["observations"].max(initial=0) <= 1_000
    nothing = Series(np.array([], dtype="datetime64[D]"), {name: np.array([]) for name in shifted.values})
    assert len(backtests(earned, nothing, NOVEMBER)["session"]) == 0


def test_the_checks_name_the_bad_series_of_the_newest_session() -> None:
    panel = drawn_panel()
    forecasts = forecasts_of(panel)
    low = Series(forecasts.sessions, {name: 0.3 * values for name, values in forecasts.values.items()})
    rows = backtests(earned_of(panel), low, MonthRange(date(2022, 10, 1), date(2022, 11, 1)))
    names = {(b"instrument", 1): "ACME"}
    light, coverage = light_outcome(rows, names), coverage_outcome(rows, names)
    assert (light.passed, coverage.passed) == (True, True)  # by a method that is not judged
    assert coverage.metadata["series_by_other_methods"] == [f"instrument ACME historical var_{n}_1d" for n in (95, 99)]
    rows = {**rows, "method": np.full(len(rows["session"]), b"filtered_historical")}
    light, coverage = light_outcome(rows, names), coverage_outcome(rows, names)
    assert (light.name, light.passed, light.blocking) == ("traffic_light_not_red", False, False)
    assert light.metadata == {
        "count": 1,
        "count_by_other_methods": 0,
        "series": ["instrument ACME filtered_historical var_99_1d"],
        "series_by_other_methods": [],
        "session": "2022-11-30",
    }
    assert coverage.metadata["series"] == [f"instrument ACME filtered_historical var_{n}_1d" for n in (95, 99)]
    empty = concatenated(VAR_BACKTEST, [])
    assert light_outcome(empty, names).passed
    assert coverage_outcome(empty, names).metadata["count"] == 0


def test_the_reach_of_a_row_begins_with_a_month() -> None:
    sessions = np.array(["2022-09-30", "2022-10-03", "2022-10-31", "2022-11-01", "2022-12-30"], dtype="datetime64[D]")
    assert reach_starts(sessions, 1).astype(str).tolist() == [
        "2022-08-01",
        "2022-09-01",
        "2022-09-01",
        "2022-10-01",
        "2022-11-01",
    ]
    assert sessions_in_reach(sessions, np.arange(5), 1).tolist() == [0, 1, 2, 2, 1]
