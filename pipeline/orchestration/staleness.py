"""Which partitions need to be computed: missing, made by other code, or older than an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pipeline.base.types import MonthRange, add_months
from pipeline.store.materializations import UNPARTITIONED, PartitionState

States = Mapping[date, PartitionState]


@dataclass(frozen=True, slots=True)
class InputStates:
    """The partitions of one input and how far back it is read; None for an input without partitions."""

    states: States
    months_back: int | None

    def changed_by(self, month: date) -> int:
        """Number of the last write that changed what is read for `month`; 0 if there was none."""
        if self.months_back is None:
            state = self.states.get(UNPARTITIONED)
            return state.changed_by if state else 0
        window = (self.states.get(add_months(month, -back)) for back in range(self.months_back + 1))
        return max((state.changed_by for state in window if state), default=0)


def stale_months(
    months: Sequence[date], states: States, inputs: Sequence[InputStates], code_version: str
) -> list[date]:
    """Months that must be computed, in the order given.

    Parameters
    ----------
    months
        Every month that is a partition.
    states
        What is known of the asset's own partitions.
    inputs
        What is known of its inputs'.
    code_version
        Of the code that would compute them now.
    """

    def is_stale(month: date) -> bool:
        state = states.get(month)
        if state is None or state.code_version != code_version:
            return True
        return any(source.changed_by(month) > state.built_by for source in inputs)

    return [month for month in months if is_stale(month)]


def enclosing_range(months: Sequence[date]) -> MonthRange:
    """The smallest range that holds the months: one run computes it, and unchanged rows are not written."""
    return MonthRange(min(months), max(months))
