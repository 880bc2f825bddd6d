"""Hand-made bars, and the bundled ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.base.calendars import sessions_between
from pipeline.base.types import DateArray, FloatArray
from pipeline.market_data.rules import RULES, Bars, Context, Verdict, judge
from tests.bundled import bundled_bars

WEEK = np.array(["2022-05-02", "2022-05-03", "2022-05-04", "2022-05-05", "2022-05-06"], dtype="datetime64[D]")
SUNDAY = np.datetime64("2022-05-08")
LONG = np.arange("2020-01-01", "2022-06-01", dtype="datetime64[D]")
LONG = LONG[np.is_busday(LONG)]
"""Weekdays, as sessions of an exchange without holidays."""
CONTEXT = Context(LONG)

Row = tuple[str, object, float]


def bars_of(rows: Sequence[Row]) -> Bars:
    """Bars in the order given, as a provider delivers them."""
    symbols = tuple(sorted({row[0] for row in rows}))
    return Bars.of_adjusted_closes(
        symbols,
        np.array([symbols.index(row[0]) for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype="datetime64[D]"),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def series(close: Sequence[float] | FloatArray, sessions: DateArray = LONG, symbol: str = "A") -> Bars:
    """One instrument on consecutive sessions."""
    return bars_of([(symbol, session, value) for session, value in zip(sessions, close, strict=False)])


def walk(sessions: int, seed: int = 3, sigma: float = 0.01) -> FloatArray:
    """Closes of a quiet instrument."""
    return 100 * np.exp(np.cumsum(sigma * np.random.default_rng(seed).standard_normal(sessions)))


def flagged_by(rule: str, verdict: Verdict) -> list[str]:
    """Symbol and session of each bar that a rule flags."""
    column = [known.name for known in RULES].index(rule)
    hits = np.flatnonzero(verdict.flags[:, column])
    return [f"{verdict.bars.symbols[verdict.bars.symbol_index[hit]]} {verdict.bars.sessions[hit]}" for hit in hits]


@pytest.fixture(scope="session")
def bundled() -> Verdict:
    """The verdict on every bundled bar."""
    bars = bundled_bars()
    first, last = bars.sessions.min().astype(object), bars.sessions.max().astype(object)
    return judge(bars, Context(sessions_between(first, last.replace(day=31))))
