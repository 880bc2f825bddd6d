"""Errors of known truth, seeded into a universe: what a rule must find, and what it must leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.market_data.rules import Bars, Context
from pipeline.market_data.rules.bars import VALUE_FIELDS
from tests.load.universe import Universe

SPACING = 40
"""Bars between two errors of one instrument, but for a jitter of five."""

PRICES = ("open", "high", "low", "close", "close_adjusted")
SPLIT_RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
LONGEST_SWITCH, LONGEST_STALE = 15, 3
AFTERMATH_BARS = 25
UNKNOWN_CURRENCIES = ("GBp", "XXX")
SMALL_ERROR, LARGE_ERROR = 1.01, 1.5


@dataclass(frozen=True, slots=True)
class Corrupted:
    """Bars with errors, sorted, and what each of them is.

    Parameters
    ----------
    truth
        (m,) position in `TRUTHS` of what the bar is.
    """

    bars: Bars
    context: Context
    truth: NDArray[np.int8]

    def having(self, *names: str) -> BoolArray:
        """(m,) bars that are one of these: the name of the rule that must flag the bar, or another of `TRUTHS`."""
        having: BoolArray = np.isin(self.truth, [TRUTHS.index(name) for name in names])
        return having


class _Draft:
    """Columns that are being corrupted, rows to be added, and the truth of both."""

    def __init__(self, universe: Universe, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.bars = universe.bars
        self.sessions = universe.context.sessions
        self.columns = {name: getattr(universe.bars, name).copy() for name in (*PRICES, "volume")}
        self.actions = universe.context.actions
        self.dividend = universe.context.actions.dividend.copy()
        self.truth = np.zeros(len(universe.bars), dtype=np.int8)
        self.added: list[tuple[Bars, str]] = []
        self.stops = np.searchsorted(self.bars.symbol_index, self.bars.symbol_index, side="right")

    def scale(self, rows: IntArray | slice, factor: FloatArray | float) -> None:
        for name in PRICES:
            self.columns[name][rows] *= factor

    def mark(self, rows: IntArray | slice, name: str) -> None:
        self.truth[rows] = TRUTHS.index(name)

    def either_way(self, rows: IntArray, factor: float) -> FloatArray:
        return np.where(self.rng.random(len(rows)) < 0.5, factor, 1 / factor)

    def taken(self, rows: IntArray) -> Bars:
        bars = self.bars.take(rows)
        return replace(bars, **{name: values[rows] for name, values in self.columns.items()})


def corrupt(universe: Universe, events_per_kind: int, seed: int = 7) -> Corrupted:
    """A universe with so many errors of each kind, a fifth of its newest bars wrong and two currencies unknown."""
    draft = _Draft(universe, seed)
    places = _places(draft, events_per_kind * len(KINDS)).reshape(len(KINDS), -1)
    for (name, seed_errors), rows in zip(KINDS.items(), places, strict=True):
        seed_errors(draft, np.sort(rows), name)
    _spoil_newest(draft)
    currencies = _unknown_currencies(draft, universe.context)
    actions = replace(universe.context.actions, dividend=draft.dividend)
    return _finished(draft, replace(universe.context, actions=actions, symbol_currencies=currencies))


def second_source_of(universe: Universe, seed: int = 11) -> Bars:
    """Closes of another provider for most instruments: one bar in 200 is missing, one in 30 is from another tape."""
    rng = np.random.default_rng(seed)
    bars = universe.bars
    covered = rng.random(len(bars.symbols)) < 0.9
    kept = covered[bars.symbol_index] & (rng.random(len(bars)) < 0.995)
    differs = rng.random(len(bars)) < 1 / 30
    close = bars.close * np.exp(np.where(differs, 0.0004 * rng.standard_t(4, len(bars)), 0.0))
    unknown = np.full(len(bars), np.nan)
    close = np.round(close, 2)
    other = replace(bars, open=unknown, high=unknown, low=unknown, close=close, close_adjusted=unknown)
    return other.take(kept)


def _places(draft: _Draft, count: int) -> IntArray:
    """Rows that lie apart, with 15 bars of their instrument before and 25 after."""
    cells = np.arange(SPACING // 2, len(draft.bars) - SPACING, SPACING)
    rows = cells + draft.rng.integers(-5, 6, len(cells))
    inside = draft.bars.symbol_index[rows - 15] == draft.bars.symbol_index[rows + 25]
    return draft.rng.choice(rows[inside], count, replace=False)


# One kind of error each ------------------------------------------------------------------------------------


def _spikes(draft: _Draft, rows: IntArray, name: str) -> None:
    draft.scale(rows, draft.either_way(rows, LARGE_ERROR))
    draft.mark(rows, name)


def _small_errors(draft: _Draft, rows: IntArray, name: str) -> None:
    draft.scale(rows, draft.either_way(rows, SMALL_ERROR))
    draft.mark(rows, name)


def _unit_switches(draft: _Draft, rows: IntArray, name: str) -> None:
    lengths = draft.rng.integers(1, LONGEST_SWITCH + 1, len(rows))
    factor = draft.either_way(rows, 100.0)
    for step in range(LONGEST_SWITCH):
        still = lengths > step
        draft.scale(rows[still] + step, factor[still])
        draft.mark(rows[still] + step, name)


def _invented_splits(draft: _Draft, rows: IntArray, name: str) -> None:
    factor = 1 / draft.rng.choice(SPLIT_RATIOS, len(rows))
    inverse = draft.rng.random(len(rows)) < 0.5
    factor[inverse] = 1 / factor[inverse]
    for row, stop, size in zip(rows, draft.stops[rows], factor, strict=True):
        draft.scale(slice(row, stop), size)
        draft.mark(slice(row + 1, row + AFTERMATH_BARS), "aftermath")
        later = draft.actions.symbol_index == draft.bars.symbol_index[row]
        draft.dividend[later & (draft.actions.ex_sessions > draft.bars.sessions[row])] *= size
    draft.mark(rows, name)


def _stale_bars(draft: _Draft, rows: IntArray, name: str) -> None:
    lengths = draft.rng.integers(1, LONGEST_STALE + 1, len(rows))
    for step in range(LONGEST_STALE):
        still = rows[lengths > step] + step
        for column in PRICES:
            draft.columns[column][still] = draft.columns[column][still - 1]
        draft.mark(still, name)


def _conflicts(draft: _Draft, rows: IntArray, name: str) -> None:
    other = draft.taken(rows)
    close = other.close * (1 + draft.rng.uniform(0.001, 0.05, len(rows)))
    draft.added.append((replace(other, close=close), name))
    draft.mark(rows, name)


def _repeats(draft: _Draft, rows: IntArray, _: str) -> None:
    draft.added.append((draft.taken(rows), "clean"))


def _disorders(draft: _Draft, rows: IntArray, name: str) -> None:
    rows = rows[draft.columns["high"][rows] > draft.columns["low"][rows]]
    high, low = draft.columns["high"][rows], draft.columns["low"][rows]
    draft.columns["high"][rows], draft.columns["low"][rows] = low, high
    draft.mark(rows, name)


def _no_prices(draft: _Draft, rows: IntArray, name: str) -> None:
    draft.columns["close"][rows] = draft.rng.choice([np.nan, 0.0, -1.0, np.inf], len(rows))
    draft.mark(rows, name)


def _holidays(draft: _Draft, rows: IntArray, name: str) -> None:
    """A bar on the first closed day after each row."""
    day = draft.bars.sessions[rows] + 1
    while (is_open := np.isin(day, draft.sessions)).any():
        day = day + is_open
    draft.added.append((replace(draft.taken(rows), sessions=day), name))


KINDS: dict[str, Callable[[_Draft, IntArray, str], None]] = {
    "suspected_split": _invented_splits,
    "spike": _spikes,
    "small_error": _small_errors,
    "unit_switch": _unit_switches,
    "stale_with_volume": _stale_bars,
    "conflicting_duplicate": _conflicts,
    "repeat": _repeats,
    "ohlc_order": _disorders,
    "not_positive": _no_prices,
    "not_a_session": _holidays,
}


def _spoil_newest(draft: _Draft) -> None:
    newest = np.flatnonzero(draft.bars.sessions == draft.sessions[-1])
    rows = newest[draft.rng.random(len(newest)) < 0.2]
    draft.scale(rows, draft.either_way(rows, LARGE_ERROR))
    draft.mark(rows, "provisional_spike")


def _unknown_currencies(draft: _Draft, context: Context) -> tuple[str, ...]:
    chosen = draft.rng.choice(len(context.symbol_currencies), len(UNKNOWN_CURRENCIES), replace=False)
    currencies = list(context.symbol_currencies)
    for index, currency in zip(chosen, UNKNOWN_CURRENCIES, strict=True):
        currencies[index] = currency
    return tuple(currencies)


def _finished(draft: _Draft, context: Context) -> Corrupted:
    parts = [draft.taken(np.arange(len(draft.bars))), *(bars for bars, _ in draft.added)]
    truth = np.concatenate(
        [draft.truth, *(np.full(len(bars), TRUTHS.index(name), dtype=np.int8) for bars, name in draft.added)]
    )
    columns = [np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Bars)[1:]]
    bars = Bars(draft.bars.symbols, *columns)
    unknown = np.array([code in UNKNOWN_CURRENCIES for code in context.symbol_currencies])
    truth[unknown[bars.symbol_index]] = TRUTHS.index("unknown_currency")
    values = [getattr(bars, name) for name in reversed(VALUE_FIELDS)]
    order = np.lexsort((*values, bars.sessions, bars.symbol_index))
    return Corrupted(bars.take(order), context, truth[order])


TRUTHS = ("clean", "aftermath", "unknown_currency", "provisional_spike", *KINDS)
"""What a bar can be; ``aftermath`` is behind an invented split: in a wrong unit, but without a jump."""
