"""Data-quality rules, one file each, and the registry that loads apply.

A rule is a function from bars to a mask. A quarantine rule keeps the row out of the prices and keeps it,
as parsed, in the quarantine; a warning lets it pass and is counted. A new rule is a file and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.base.types import BoolArray
from pipeline.market_data.rules.bars import Actions, Bars, Context
from pipeline.market_data.rules.conflicting_duplicate import flag_conflicting_duplicate
from pipeline.market_data.rules.gap import flag_gap
from pipeline.market_data.rules.large_move import flag_large_move
from pipeline.market_data.rules.not_a_session import flag_not_a_session
from pipeline.market_data.rules.not_positive import flag_not_positive
from pipeline.market_data.rules.spike import flag_spike

__all__ = ["RULES", "Actions", "Bars", "Context", "Rule", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A named rule and what happens to the rows that it flags.

    Parameters
    ----------
    name
        Name of the rule and of its asset check.
    action
        Whether a flagged row is kept out of the prices.
    meaning
        What a flagged row looks like.
    flag
        From bars and context to a mask.
    tolerated_ppm, tolerated_rows
        How many flags are ordinary: the check passes below either.
    """

    name: str
    action: Literal["quarantine", "warn"]
    meaning: str
    flag: Callable[[Bars, Context], BoolArray]
    tolerated_ppm: float = 0.0
    tolerated_rows: int = 0


RULES: tuple[Rule, ...] = (
    Rule("not_positive", "quarantine", "Close is not a finite number above 0.", flag_not_positive),
    Rule("not_a_session", "quarantine", "The exchange was closed on that date.", flag_not_a_session),
    Rule("conflicting_duplicate", "quarantine", "Two different bars on one session.", flag_conflicting_duplicate),
    Rule("spike", "quarantine", "Jump that the next session takes back.", flag_spike),
    Rule("gap", "warn", "Sessions without a bar before this one.", flag_gap),
    Rule(
        "large_move",
        "warn",
        "Return above 25 % in either direction.",
        flag_large_move,
        tolerated_ppm=500,  # 20 large stocks 1990-2022: 221
        tolerated_rows=10,  # a month of a crash
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
        """(m,) bars that a quarantine rule flags."""
        refusing = [rule.action == "quarantine" for rule in RULES]
        refused: BoolArray = np.logical_or.reduce(self.flags[:, refusing], axis=1)
        return refused

    @property
    def accepted(self) -> BoolArray:
        """(m,) bars that no quarantine rule flags, the first of each key: an exact repeat carries nothing."""
        accepted: BoolArray = ~(self.refused | self.bars.is_repeat)
        return accepted


def judge(bars: Bars, context: Context) -> Verdict:
    """Apply every rule to bars.

    Quarantine rules come first, each on the bars that the ones before it let pass: a zero price would
    otherwise make its neighbours look like spikes and large moves.
    """
    bars = bars.sorted()
    flags = np.zeros((len(bars), len(RULES)), dtype=bool)
    standing = ~bars.is_repeat
    for column, rule in enumerate(RULES):
        judged = np.ones(len(bars), dtype=bool) if rule.name == "conflicting_duplicate" else standing
        flags[judged, column] = rule.flag(bars.take(judged), context)
        if rule.action == "quarantine":
            standing = standing & ~flags[:, column]
    return Verdict(bars, flags)
