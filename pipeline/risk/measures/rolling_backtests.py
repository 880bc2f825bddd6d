"""The tests of `backtests` over many parts of one series of forecasts: what a month's end knew of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base import special
from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.backtests import (
    BASEL_CONFIDENCE,
    BASEL_MULTIPLIERS,
    BASEL_SESSIONS,
    exceptions_of,
    independence_ratio,
    independence_undefined_because,
    kupiec_ratio,
    transitions_of,
    zone_of,
)
from pipeline.risk.measures.durations import duration_ratios
from pipeline.risk.measures.shortfall_nulls import z1_p_values, z2_p_values

MOST_OBSERVATIONS = 1_000
"""Four years: 10 exceptions are expected at 99 %."""

FEWEST_OBSERVATIONS = BASEL_SESSIONS

_TESTS = ("kupiec", "independence", "conditional_coverage", "duration", "shortfall_z1", "shortfall_z2")
_COLUMNS = (*(f"{test}_{kind}" for test in _TESTS for kind in ("statistic", "p_value")), "basel_multiplier")


@dataclass(frozen=True, slots=True)
class JudgedForecasts:
    """Forecasts of one series and what happened, a session each.

    Parameters
    ----------
    returns
        (n,) what was earned.
    var, es
        (n,) what was forecast as positive losses, finite; `es` is None where none was.
    confidence
        α of both.
    """

    returns: FloatArray
    var: FloatArray
    es: FloatArray | None
    confidence: float


@dataclass(frozen=True, slots=True)
class RollingBacktests:
    """The tests of m parts of a series.

    Parameters
    ----------
    observations, exceptions
        (m,) sessions, and those with a loss above the value at risk.
    values
        Name of the test + ``_statistic`` and ``_p_value``, and ``basel_multiplier`` → (m,); NaN where undefined.
    zones
        (m,) byte strings, empty where there is no traffic light.
    reasons
        (m,) byte strings: why values are missing, empty where none is.
    """

    observations: IntArray
    exceptions: IntArray
    values: dict[str, FloatArray]
    zones: NDArray[np.bytes_]
    reasons: NDArray[np.bytes_]


def rolling_backtests(judged: JudgedForecasts, starts: IntArray, stops: IntArray) -> RollingBacktests:
    """Run every test on the parts ``[start:stop]`` of a series.

    They are those of `backtests.backtest`, to rounding, but for the p-values of the shortfall statistics, which come
    from `shortfall_nulls`. The bits of one part do not depend on the others. A part of fewer than
    `FEWEST_OBSERVATIONS` sessions has counts only.

    Parameters
    ----------
    starts, stops
        (m,) positions, 0 ≤ start ≤ stop ≤ n.
    """
    hits = exceptions_of(judged.returns, judged.var)
    observations, exceptions = stops - starts, _between(hits, starts, stops)
    rows = np.flatnonzero(observations >= FEWEST_OBSERVATIONS)
    values = {name: np.full(len(starts), np.nan) for name in _COLUMNS}
    zones = np.full(len(starts), b"", dtype="S6")
    reasons = [f"short_window: {count} of {FEWEST_OBSERVATIONS} sessions" for count in observations.tolist()]
    if len(rows):
        parts = _Parts(judged, hits, starts[rows], stops[rows], exceptions[rows])
        zones[rows] = parts.zones()
        answers = [test(parts) for test in (_coverage, _independence, _durations, _shortfall, _traffic_light)]
        for answer in answers:
            for name, column in answer.values.items():
                values[name][rows] = column
        for row, words in zip(rows.tolist(), _sentences(answers, len(rows)), strict=True):
            reasons[row] = words
    texts = np.array([words.encode() for words in reasons], dtype="S") if reasons else np.array([], dtype="S1")
    return RollingBacktests(observations, exceptions, values, zones, texts)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parts that are long enough."""

    judged: JudgedForecasts
    hits: BoolArray
    starts: IntArray
    stops: IntArray
    exceptions: IntArray

    @property
    def observations(self) -> IntArray:
        return self.stops - self.starts

    @property
    def is_basel(self) -> bool:
        return abs(self.judged.confidence - BASEL_CONFIDENCE) <= 1e-12

    def basel_exceptions(self) -> IntArray:
        """(m,) exceptions of the last 250 sessions."""
        return _between(self.hits, self.stops - BASEL_SESSIONS, self.stops)

    def zones(self) -> NDArray[np.bytes_]:
        """(m,) traffic lights; empty where there are none."""
        if not self.is_basel:
            return np.full(len(self.starts), b"", dtype="S6")
        return np.array([zone_of(count).encode() for count in self.basel_exceptions().tolist()], dtype="S6")


@dataclass(frozen=True, slots=True)
class _Answer:
    """Columns of a test, and test → (m,) why it is missing, empty where it is not."""

    values: dict[str, FloatArray]
    missing: dict[str, NDArray[np.str_]]


def _coverage(parts: _Parts) -> _Answer:
    """Kupiec's test, and both together: where independence says nothing its ratio is 0."""
    kupiec = kupiec_ratio(parts.exceptions, parts.observations, parts.judged.confidence)
    independence = independence_ratio(transitions_of(parts.hits, parts.starts, parts.stops))
    both = _with_p_values("conditional_coverage", kupiec + independence, 2)
    return _Answer(_with_p_values("kupiec", kupiec, 1) | both, {})


def _independence(parts: _Parts) -> _Answer:
    transitions = transitions_of(parts.hits, parts.starts, parts.stops)
    missing = np.array(independence_undefined_because(transitions))
    ratio = np.where(missing == "", independence_ratio(transitions), np.nan)
    return _Answer(_with_p_values("independence", ratio, 1), {"independence": missing})


def _durations(parts: _Parts) -> _Answer:
    ratios, rows = np.full(len(parts.starts), np.nan), np.flatnonzero(parts.exceptions >= 2)
    if len(rows):
        ratios[rows] = duration_ratios(np.flatnonzero(parts.hits), parts.starts[rows], parts.stops[rows])
    undefined = np.where(np.isnan(ratios), "likelihood_without_maximum", "")
    missing = np.where(parts.exceptions < 2, "fewer_than_two_exceptions", undefined)
    return _Answer(_with_p_values("duration", ratios, 1), {"duration": missing})


def _shortfall(parts: _Parts) -> _Answer:
    """Z1 of the parts with an exception, Z2 of all; neither where ES is not above 0 on every session."""
    es = parts.judged.es
    if es is None:
        return _Answer({}, {"shortfall": np.full(len(parts.starts), "no_expected_shortfall")})
    is_above_0 = _between(es <= 0.0, parts.starts, parts.stops) == 0
    rows = np.flatnonzero(is_above_0)
    hit_rows = np.flatnonzero(is_above_0 & (parts.exceptions > 0))
    positive = np.where(es > 0.0, es, 1.0)  # another value is in no part that is looked at
    earned, squares = parts.judged.returns / positive, (1.0 - parts.judged.var / positive) ** 2
    values = {name: np.full(len(parts.starts), np.nan) for name in _COLUMNS if name.startswith("shortfall")}
    for name, made, into in (
        ("shortfall_z1", _z1(parts, earned, squares, hit_rows), hit_rows),
        ("shortfall_z2", _z2(parts, earned, squares, rows), rows),
    ):
        values[f"{name}_statistic"][into], values[f"{name}_p_value"][into] = made
    none = np.where(is_above_0 & (parts.exceptions == 0), "no_exceptions", "")
    undefined = np.where(is_above_0, "", "expected_shortfall_not_above_0")
    return _Answer(values, {"shortfall": undefined, "shortfall_z1": none})


def _z1(parts: _Parts, earned: FloatArray, squares: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    positions = np.flatnonzero(parts.hits)
    first, last = np.searchsorted(positions, parts.starts[rows]), np.searchsorted(positions, parts.stops[rows])
    number = last - first
    statistics = 1.0 + _sums(earned[positions], first, last) / number
    spread = np.sqrt(_sums(squares[positions], first, last) / number)
    return statistics, z1_p_values(statistics, number, spread)


def _z2(parts: _Parts, earned: FloatArray, squares: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    positions, confidence = np.flatnonzero(parts.hits), parts.judged.confidence
    starts, stops = parts.starts[rows], parts.stops[rows]
    total = _sums(earned[positions], np.searchsorted(positions, starts), np.searchsorted(positions, stops))
    statistics = 1.0 + total / ((1.0 - confidence) * (stops - starts))
    spread = np.sqrt(_sums(squares, starts, stops) / (stops - starts))
    return statistics, z2_p_values(statistics, stops - starts, spread, confidence)


def _traffic_light(parts: _Parts) -> _Answer:
    if not parts.is_basel:
        return _Answer({}, {"traffic_light": np.full(len(parts.starts), "confidence_is_not_99_percent")})
    rows = np.minimum(parts.basel_exceptions(), len(BASEL_MULTIPLIERS) - 1)
    return _Answer({"basel_multiplier": np.array(BASEL_MULTIPLIERS)[rows]}, {})


def _sentences(answers: list[_Answer], count: int) -> list[str]:
    """Which tests are missing and why, one text a part."""
    causes = [
        [f"{test}: {word}" if word else "" for word in words.tolist()]
        for answer in answers
        for test, words in answer.missing.items()
    ]
    return ["; ".join(filter(None, row)) for row in zip(*causes, strict=True)] if causes else [""] * count


def _with_p_values(test: str, ratios: FloatArray, degrees: int) -> dict[str, FloatArray]:
    """Likelihood ratios (m,) and their χ² probabilities as columns."""
    return {f"{test}_statistic": ratios, f"{test}_p_value": special.chdtrc(degrees, ratios)}


def _between(happened: BoolArray, starts: IntArray, stops: IntArray) -> IntArray:
    """(m,) how often in each part."""
    total = np.concatenate([[0], np.cumsum(happened)])
    counted: IntArray = total[stops] - total[starts]
    return counted


def _sums(values: FloatArray, starts: IntArray, stops: IntArray) -> FloatArray:
    """(m,) sums of parts, each by itself: differences of running sums would remember where those began."""
    spans = zip(starts.tolist(), stops.tolist(), strict=True)
    return np.array([np.add.reduce(values[start:stop]) for start, stop in spans], dtype=np.float64)
