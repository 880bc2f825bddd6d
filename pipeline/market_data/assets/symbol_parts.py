"""Whose bars a provider tells of under a symbol that has changed hands: each bar belongs to who had it that session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import groupby

import numpy as np

from pipeline.base.types import BoolArray, DateArray, IntArray
from pipeline.market_data.providers import FetchResult
from pipeline.market_data.rules import Bars
from pipeline.store.symbols import Spell

NOBODY = 0
"""Where an instrument's number stands: no instrument has the symbol then."""


@dataclass(frozen=True)
class SymbolParts:
    """The symbols of a provider, those with several holders in parts that are judged and stored apart.

    A part goes by the symbol itself where its instrument has it now, else by symbol and number, as in ``FB (12)``.

    Parameters
    ----------
    spells
        Symbol → who had it, the oldest first.
    """

    spells: Mapping[str, Sequence[Spell]]

    @classmethod
    def of(cls, spells: Iterable[Spell]) -> SymbolParts:
        """The parts of all symbols; `spells` are ordered by symbol, the oldest first."""
        return cls({symbol: tuple(own) for symbol, own in groupby(spells, key=lambda spell: spell.symbol)})

    @cached_property
    def ids(self) -> dict[str, int]:
        """Part → its instrument; `NOBODY` for what is told of a symbol when no instrument has it."""
        found: dict[str, int] = {}
        for symbol, spells in self.spells.items():
            found |= {symbol: NOBODY, _unheld(symbol): NOBODY}
            found |= {_part(spell): spell.instrument_id for spell in spells}
        return found

    @cached_property
    def described_by(self) -> dict[str, int]:
        """Part → the instrument whose currency and exchange are taken for it: its own, else the symbol's last."""
        last = {symbol: spells[-1].instrument_id for symbol, spells in self.spells.items()}
        unheld = {_unheld(symbol): number for symbol, number in last.items()}
        return last | unheld | {part: number for part, number in self.ids.items() if number != NOBODY}

    @cached_property
    def symbols(self) -> dict[str, str]:
        """Part → the symbol that the provider uses."""
        parts = {_part(spell): symbol for symbol, spells in self.spells.items() for spell in spells}
        return parts | {_unheld(symbol): symbol for symbol in self.spells}

    @cached_property
    def retired(self) -> frozenset[int]:
        """Instruments that have no symbol any more."""
        everyone = {spell.instrument_id for spells in self.spells.values() for spell in spells}
        return frozenset(everyone - {spell.instrument_id for spell in self._held})

    @cached_property
    def renamed(self) -> dict[int, date]:
        """Instrument → the day on which its symbol of now became its own, where it had or another had one before."""
        return {spell.instrument_id: spell.first_session for spell in self._held if spell.first_session is not None}

    def untold(self, told: Sequence[str]) -> set[str]:
        """Symbols of the past that a provider does not tell of."""
        past = {symbol for symbol, spells in self.spells.items() if spells[0].last_session is not None}
        return past - set(told)

    def part_on(self, symbol: str, session: date) -> str:
        """The part that a symbol's row of a session belongs to."""
        spells = self.spells.get(symbol)
        if spells is None:
            return symbol
        (holder,) = _holders(spells, np.array([session], dtype="datetime64[D]")).tolist()
        return _part(spells[holder]) if holder < len(spells) else _unheld(symbol)

    def split(self, answer: FetchResult) -> FetchResult:
        """The answer by parts; the same one where no symbol of it has ever changed hands."""
        bars, actions = answer.bars, answer.actions
        if bars is None or not any(self._is_parted(symbol) for symbol in bars.symbols):
            return answer
        names = list(bars.symbols)
        bar_index = bars.symbol_index.copy()
        action_index = None if actions is None else actions.symbol_index.copy()
        for position, symbol in enumerate(bars.symbols):
            if not self._is_parted(symbol):
                continue
            told_before = self._told_before(symbol, bars)
            places = self._places(symbol, position, names)
            self._assign(symbol, places, bar_index, bars.symbol_index == position, bars.sessions, told_before)
            if actions is not None and action_index is not None:
                own = actions.symbol_index == position
                self._assign(symbol, places, action_index, own, actions.ex_sessions, told_before)
        symbols = tuple(names)
        parted = None
        if actions is not None and action_index is not None:
            parted = replace(actions, symbols=symbols, symbol_index=action_index)
        return replace(answer, bars=replace(bars, symbols=symbols, symbol_index=bar_index), actions=parted)

    @cached_property
    def _held(self) -> list[Spell]:
        return [spell for spells in self.spells.values() for spell in spells if spell.last_session is None]

    def _is_parted(self, symbol: str) -> bool:
        spells = self.spells.get(symbol, ())
        return any(spell.first_session or spell.last_session for spell in spells)

    def _places(self, symbol: str, position: int, names: list[str]) -> IntArray:
        """Positions in `names` of the parts, the last one for what nobody has; names that are new are added."""
        parts = [*(_part(spell) for spell in self.spells[symbol]), _unheld(symbol)]
        known = {symbol: position}
        for part in parts:
            if part not in known:
                known[part] = len(names)
                names.append(part)
        return np.array([known[part] for part in parts])

    def _assign(
        self,
        symbol: str,
        places: IntArray,
        index: IntArray,
        own: BoolArray,
        sessions: DateArray,
        told_before: Mapping[int, DateArray],
    ) -> None:
        """Move a symbol's rows to its parts, in place."""
        spells, days = self.spells[symbol], sessions[own].astype("datetime64[D]")
        holders = _holders(spells, days)
        for number, told in told_before.items():
            first = np.datetime64(spells[number].first_session, "D")
            holders[(holders == number) & (days < first) & np.isin(days, told)] = len(spells)
        index[own] = places[holders]

    def _told_before(self, symbol: str, bars: Bars) -> dict[int, DateArray]:
        """Spell of a symbol → sessions that the answer tells of by an earlier symbol of the instrument.

        Most vendors give a renamed instrument its whole history under the new symbol; one that gives it under both
        is taken at the word of the symbol of the time.
        """
        found = {}
        for number, spell in enumerate(self.spells[symbol]):
            told = [_days_told(bars, earlier) for earlier in self._earlier(spell)]
            if told:
                found[number] = np.concatenate(told)
        return found

    def _earlier(self, spell: Spell) -> list[Spell]:
        """Spells of other symbols that the instrument has had before."""
        if spell.first_session is None:
            return []
        return [
            other
            for spells in self.spells.values()
            for other in spells
            if other.instrument_id == spell.instrument_id
            and other.symbol != spell.symbol
            and (other.first_session is None or other.first_session < spell.first_session)
        ]


def _days_told(bars: Bars, spell: Spell) -> DateArray:
    """Sessions until the end of a spell that the bars tell of by its symbol."""
    if spell.symbol not in bars.symbols:
        return np.array([], dtype="datetime64[D]")
    own = bars.symbol_index == bars.symbols.index(spell.symbol)
    days = bars.sessions[own].astype("datetime64[D]")
    until: DateArray = np.unique(days[days <= np.datetime64(spell.last_session or date.max, "D")])
    return until


def _part(spell: Spell) -> str:
    return spell.symbol if spell.last_session is None else f"{spell.symbol} ({spell.instrument_id})"


def _unheld(symbol: str) -> str:
    return f"{symbol} (of no instrument)"


def _holders(spells: Sequence[Spell], days: DateArray) -> IntArray:
    """(m,) which spell each day belongs to: the one that is not over; the number of spells where all are."""
    ends = np.array([spell.last_session for spell in spells if spell.last_session], dtype="datetime64[D]")
    return np.searchsorted(ends, days, side="left")
