"""The spike rule: hand-made jumps, errors seeded into real prices, and crashes that were real."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.rules import RULES, Bars, Verdict
from pipeline.market_data.rules.moves import VOLATILITY_SESSIONS
from pipeline.market_data.rules.spike import flag_spike
from tests.unit.market_data.conftest import CONTEXT, LONG, bars_of, flagged_by, series, walk


def spikes(close: FloatArray) -> list[int]:
    return np.flatnonzero(flag_spike(series(close), CONTEXT)).tolist()


def with_error(sessions: int, position: int, factor: float = 1.5) -> FloatArray:
    close = walk(sessions)
    close[position] *= factor
    return close


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5, 10.0, 0.01])
@pytest.mark.parametrize("position", [1, 2, 64, 100, 198])
def test_a_jump_that_the_next_session_takes_back_is_flagged(factor: float, position: int) -> None:
    assert spikes(with_error(200, position, factor)) == [position]


@pytest.mark.parametrize("position", [0, 199])
def test_at_either_end_a_spike_cannot_be_told_from_a_move(position: int) -> None:
    assert spikes(with_error(200, position)) == []


@pytest.mark.parametrize("sessions", [0, 1, 2])
def test_a_few_bars_hold_no_spike(sessions: int) -> None:
    assert spikes(100.0 * 1.5 ** np.arange(sessions)) == []


@pytest.mark.parametrize("back", [0.0, 0.5, 0.74])
def test_a_jump_that_stays_is_a_move(back: float) -> None:
    close = np.full(200, 100.0)
    close[100:] *= 1.5
    close[101:] *= 1.5**-back
    assert spikes(close) == []


def test_four_fifths_taken_back_are_enough() -> None:
    close = np.full(200, 100.0)
    close[100:] *= 1.5
    close[101:] *= 1.5**-0.81
    assert spikes(close) == [100]


def test_an_error_does_not_hide_the_next_one() -> None:
    close = walk(200)
    close[[100, 110, 120]] *= 1.5
    assert spikes(close) == [100, 110, 120]


@pytest.mark.parametrize(("log_jump", "flagged"), [(0.24, []), (0.26, [100])])
def test_a_calm_instrument_may_jump_by_a_quarter(log_jump: float, flagged: list[int]) -> None:
    close = np.full(200, 100.0)
    close[100] *= np.exp(log_jump)
    assert spikes(close) == flagged


@pytest.mark.parametrize(("sigma", "flagged"), [(0.06, [150]), (0.07, [])])
def test_a_wild_instrument_may_jump_by_six_of_its_own_sigmas(sigma: float, flagged: list[int]) -> None:
    moves = sigma * np.resize([1.0, -1.0], 200)
    moves[150], moves[151] = 0.4, -0.4
    assert spikes(np.exp(np.cumsum(moves))) == flagged


def test_each_instrument_is_judged_by_its_own_prices() -> None:
    quiet, spoilt = walk(200, seed=1), with_error(200, 120)
    rows = [("A", day, close) for day, close in zip(LONG, quiet, strict=False)]
    rows += [("B", day, 1000 * close) for day, close in zip(LONG, spoilt, strict=False)]
    assert np.flatnonzero(flag_spike(bars_of(rows), CONTEXT)).tolist() == [320]


# Real prices -----------------------------------------------------------------------------------------------


def stock_bars(bars: Bars) -> IntArray:
    is_stock = np.array([security.kind == "stock" for security in BundledProvider().securities()])
    return np.flatnonzero(is_stock[bars.symbol_index])


def spoilt(bars: Bars, factor: float, seed: int) -> tuple[Bars, IntArray]:
    """About a thousand errors in stocks, more than 63 sessions apart, and where they are; none on a first bar."""
    drawn = np.sort(np.random.default_rng(seed).choice(stock_bars(bars), 2_000, replace=False))
    wrong = drawn[np.r_[True, np.diff(drawn) > VOLATILITY_SESSIONS] & ~bars.is_first[drawn]]
    close = bars.close_adjusted.copy()
    close[wrong] *= factor
    return Bars.of_adjusted_closes(bars.symbols, bars.symbol_index, bars.sessions, close), wrong


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_forty_nine_of_fifty_errors_of_a_half_are_found(bundled: Verdict, factor: float, seed: int) -> None:
    bars, wrong = spoilt(bundled.bars, factor, seed)
    flags = flag_spike(bars, CONTEXT)
    assert len(wrong) > 900
    assert flags[wrong].mean() > 0.975  # measured: .984 to .993
    assert flags.sum() - flags[wrong].sum() <= 2  # the neighbours of an error are not blamed


def test_clean_prices_are_not_accused(bundled: Verdict) -> None:
    false_flags_per_million = 1e6 * flag_spike(bundled.bars, CONTEXT).mean()
    assert false_flags_per_million <= 20  # measured: 0 of 185,893 bars


def in_month(bars: Bars, month: str) -> BoolArray:
    mask: BoolArray = bars.sessions.astype("datetime64[M]") == np.datetime64(month)
    return mask


@pytest.mark.parametrize(("month", "bars"), [("2008-10", 21 * 23), ("2020-03", 26 * 22)])
@pytest.mark.parametrize("warning", ["large_move", "market_move"])
def test_a_real_crash_is_accepted_with_a_warning(bundled: Verdict, month: str, bars: int, warning: str) -> None:
    inside = in_month(bundled.bars, month)
    assert inside.sum() == bars
    assert bundled.accepted[inside].all()
    assert any(line.split()[1].startswith(month) for line in flagged_by(warning, bundled))


def test_every_bundled_bar_is_accepted(bundled: Verdict) -> None:
    assert bundled.accepted.all()
    counts = dict(zip([rule.name for rule in RULES], bundled.flags.sum(axis=0).tolist(), strict=True))
    assert counts.pop("large_move") == pytest.approx(41, abs=5)
    assert counts.pop("market_move") == pytest.approx(429, abs=50)
    assert set(counts.values()) == {0}
