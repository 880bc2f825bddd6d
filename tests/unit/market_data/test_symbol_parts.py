"""Which part of a symbol a bar belongs to."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.market_data.assets.symbol_parts import NOBODY, SymbolParts
from pipeline.market_data.providers import FetchResult
from pipeline.market_data.rules import Bars
from pipeline.store.symbols import Spell

JUNE, JULY = date(2022, 6, 1), date(2022, 7, 1)
MAY_END, JUNE_END = date(2022, 5, 31), date(2022, 6, 30)
REUSED = SymbolParts.of([Spell("A", 1, None, MAY_END), Spell("A", 2, JULY, None)])
RENAMED = SymbolParts.of(
    [Spell("A", 1, None, MAY_END), Spell("B", 1, JUNE, JUNE_END), Spell("C", 1, JULY, None), Spell("Z", 9, None, None)]
)


def answer(*keys: tuple[str, str]) -> FetchResult:
    """One bar a symbol and day."""
    symbols = tuple(dict.fromkeys(symbol for symbol, _ in keys))
    index = np.array([symbols.index(symbol) for symbol, _ in keys])
    days = np.array([day for _, day in keys], dtype="datetime64[D]")
    return FetchResult(bars=Bars.of_adjusted_closes(symbols, index, days, np.full(len(keys), 7.0)))


def owners(parts: SymbolParts, *keys: tuple[str, str]) -> list[int]:
    """Instrument of each bar."""
    bars = parts.split(answer(*keys)).bars
    assert bars is not None
    return [parts.ids[bars.symbols[number]] for number in bars.symbol_index]


def test_symbols_that_never_changed_hands_are_left_alone() -> None:
    told = answer(("Z", "2022-05-31"), ("UNKNOWN", "2022-05-31"))
    assert RENAMED.split(told) is told


@pytest.mark.parametrize(
    ("day", "owner"), [("1999-01-04", 1), ("2022-05-31", 1), ("2022-06-01", 2), ("2022-07-01", 2), ("2030-01-02", 2)]
)
def test_a_day_belongs_to_its_holder_or_the_next(day: str, owner: int) -> None:
    assert owners(REUSED, ("A", day)) == [owner]
    assert REUSED.ids[REUSED.part_on("A", date.fromisoformat(day))] == owner


def test_days_after_the_last_holder_are_of_no_instrument() -> None:
    assert owners(RENAMED, ("A", "2022-05-31"), ("A", "2022-06-01")) == [1, NOBODY]


def test_a_whole_history_under_the_newest_symbol_is_the_instruments() -> None:
    assert owners(RENAMED, ("C", "1999-01-04"), ("C", "2022-06-15"), ("C", "2022-07-01")) == [1, 1, 1]


def test_a_session_that_several_symbols_tell_of_goes_to_the_earliest() -> None:
    days = ("2022-05-31", "2022-06-15", "2022-07-01")
    told = [(symbol, day) for symbol in "ABC" for day in days]
    kept = [key for key, owner in zip(told, owners(RENAMED, *told), strict=True) if owner == 1]
    assert kept == [("A", "2022-05-31"), ("B", "2022-06-15"), ("C", "2022-07-01")]


def test_an_earlier_symbol_that_is_over_leaves_its_later_sessions_to_the_next() -> None:
    assert owners(RENAMED, ("A", "2022-06-15"), ("C", "2022-06-15")) == [NOBODY, 1]


def test_what_is_past_is_known() -> None:
    assert (REUSED.retired, REUSED.renamed) == ({1}, {2: JULY})
    assert (RENAMED.retired, RENAMED.renamed) == (frozenset(), {1: JULY})
    assert RENAMED.untold(["C", "Z"]) == {"A", "B"}
    assert {REUSED.symbols[part] for part in REUSED.ids} == {"A"}
    assert set(REUSED.described_by) == set(REUSED.ids)
