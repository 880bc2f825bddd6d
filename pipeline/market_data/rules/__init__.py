"""Data-quality rules, one file each, and the registry that loads apply.

A rule is a function from bars to a mask. A quarantine rule keeps the row out of the prices and keeps it,
as parsed, in the quarantine; a provisional one does so until the next session; a warning lets it pass and is
counted. A new rule is a file and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Actions, Bars, Context
from pipeline.market_data.rules.conflicting_duplicate import flag_conflicting_duplicate
from pipeline.market_data.rules.gap import flag_gap
from pipeline.market_data.rules.halt import flag_halt
from pipeline.market_data.rules.large_move import flag_large_move
from pipeline.market_data.rules.market_move import flag_market_move
from pipeline.market_data.rules.not_a_session import flag_not_a_session
from pipeline.market_data.rules.not_positive import flag_not_positive
from pipeline.market_data.rules.ohlc_order import flag_ohlc_order
from pipeline.market_data.rules.provisional_spike import flag_provisional_spike
from pipeline.market_data.rules.second_source import flag_second_source
from pipeline.market_data.rules.spike import flag_spike
from pipeline.market_data.rules.stale_with_volume import flag_stale_with_volume
from pipeline.market_data.rules.standing import Standing
from pipeline.market_data.rules.suspected_split import flag_suspected_split
from pipeline.market_data.rules.unconfirmed_move import flag_unconfirmed_move
from pipeline.market_data.rules.unit_switch import flag_unit_switch
from pipeline.market_data.rules.unknown_currency import flag_unknown_currency

__all__ = ["RULES", "Actions", "Bars", "Context", "Rule", "Verdict", "judge"]

Action: TypeAlias = Literal["quarantine", "provisional", "warn"]

Scope: TypeAlias = Literal["bar", "key", "series"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A named rule and what happens to the rows that it flags.

    Parameters
    ----------
    name
        Name of the rule and of its asset check.
    action
        Whether a flagged row is kept out of the prices, for good or until the next session.
    meaning
        What a flagged row looks like.
    flag
        From bars and context to a mask.
    scope
        What a verdict depends on: the ``bar`` alone, all bars of its ``key`` (refused ones and repeats
        included), or the ``series`` of bars that the rules before have let pass.
    tolerated_ppm, tolerated_rows
        How many flags are ordinary: the check passes below either.
    """

    name: str
    action: Action
    meaning: str
    flag: Callable[[Bars, Context], BoolArray]
    scope: Scope = "series"
    tolerated_ppm: float = 0.0
    tolerated_rows: int = 0

    @property
    def refuses(self) -> bool:
        """Whether a flagged row is kept out of the prices."""
        return self.action != "warn"


RULES: tuple[Rule, ...] = (
    Rule("not_positive", "quarantine", "Close is not a finite number above 0.", flag_not_positive, "bar"),
    Rule("not_a_session", "quarantine", "The exchange was closed on that date.", flag_not_a_session, "bar"),
    Rule("unknown_currency", "quarantine", "The instrument's currency is unknown.", flag_unknown_currency, "bar"),
    Rule("ohlc_order", "quarantine", "Open or close lies outside low and high.", flag_ohlc_order, "bar"),
    Rule(
        "conflicting_duplicate", "quarantine", "Two different bars on one session.", flag_conflicting_duplicate, "key"
    ),
    Rule("unit_switch", "quarantine", "Price in another unit: a hundred times the usual.", flag_unit_switch),
    Rule("stale_with_volume", "quarantine", "Prices of the session before, with new volume.", flag_stale_with_volume),
    Rule("spike", "quarantine", "Jump that the next session takes back.", flag_spike),
    Rule("suspected_split", "quarantine", "Price level of a split without an action.", flag_suspected_split),
    Rule("second_source", "quarantine", "A second provider has another return.", flag_second_source),
    Rule("provisional_spike", "provisional", "Jump on the newest session, unconfirmed so far.", flag_provisional_spike),
    Rule("gap", "warn", "Sessions without a bar before this one.", flag_gap),
    Rule("halt", "warn", "Session without trading between others.", flag_halt, tolerated_ppm=1000),
    Rule(
        "large_move",
        "warn",
        "Return above 25 % in either direction.",
        flag_large_move,
        tolerated_ppm=500,  # 20 large stocks 1990-2022: 221
        tolerated_rows=10,  # a month of a crash
    ),
    Rule("unconfirmed_move", "warn", "Large move that nothing else shows.", flag_unconfirmed_move),
    Rule(
        "market_move",
        "warn",
        "The market as a whole moved by 7 % or more.",
        flag_market_move,
        tolerated_ppm=2500,  # 26 instruments 1990-2022: 2,308, on days of 2008 to 2020
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of bars.

    Parameters
    ----------
    bars
        The bars in the order of the mask.
    flags
        (m, rules) in the order of `RULES`.
    """

    bars: Bars
    flags: NDArray[np.bool_]

    @property
    def refused(self) -> BoolArray:
        """(m,) bars that are kept out of the prices, for good or until the next session."""
        return self._flagged_by([rule.refuses for rule in RULES])

    @property
    def provisional(self) -> BoolArray:
        """(m,) refused bars that the next session may confirm: no rule flags them but provisional ones."""
        return self.refused & ~self._flagged_by([rule.action == "quarantine" for rule in RULES])

    @property
    def accepted(self) -> BoolArray:
        """(m,) bars that are not refused, the first of each key: an exact repeat carries nothing."""
        accepted: BoolArray = ~(self.refused | self.bars.is_repeat)
        return accepted

    def _flagged_by(self, columns: list[bool]) -> BoolArray:
        flagged = np.zeros(len(self.flags), dtype=bool)
        for column in np.flatnonzero(columns):  # one pass a rule: a copy of all of their columns takes ten times that
            flagged |= self.flags[:, column]
        return flagged


def judge(bars: Bars, context: Context) -> Verdict:
    """Apply every rule to bars.

    Refusals come first, each on the bars that the ones before it let pass: a zero price would otherwise make
    its neighbours look like spikes and large moves. Rules that look at series come after those that do not, so
    all that they are given have closes of one kind.
    """
    bars = bars.sorted()
    flags = np.zeros((len(bars), len(RULES)), dtype=bool, order="F")
    passed = ~bars.is_repeat
    apart = [column for column, rule in enumerate(RULES) if rule.scope != "series"]
    for column in apart:
        judged = RULES[column].flag(bars, context)
        flags[:, column] = judged if RULES[column].scope == "key" else judged & passed
        passed &= ~flags[:, column]
    rows = slice(None) if passed.all() else passed
    standing = Standing(bars if passed.all() else bars.take(passed), context)
    for column, rule in list(enumerate(RULES))[len(apart) :]:
        flagged = standing.flagged(rule.flag)
        flags[rows, column] = flagged
        if rule.refuses:
            standing.drop(flagged)
    return Verdict(bars, flags)
