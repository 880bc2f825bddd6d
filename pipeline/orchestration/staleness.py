"""Which partitions need to be computed: missing, made by other code, or older than an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from pipeline.base.types import MonthRange
from pipeline.store.materializations import UNPARTITIONED, PartitionState

States = Mapping[date, PartitionState]


@dataclass(frozen=True, slots=True)
class InputStates:
    """The partitions of one input and how far back it is read; None for an input without partitions."""

    states: States
    months_back: int | None

    def changed_by(self, months: Sequence[date]) -> list[int]:
        """For each of the months the number of the last write that changed what is read for it; 0 without any."""
        if self.months_back is None:
            state = self.states.get(UNPARTITIONED)
            return [state.changed_by if state else 0] * len(months)
        known = np.array(sorted(month for month in self.states if month != UNPARTITIONED), dtype="datetime64[M]")
        writes = np.array([self.states[month].changed_by for month in known.astype("datetime64[D]").astype(date)])
        last = np.searchsorted(known, np.array(months, dtype="datetime64[M]"), side="right")
        first = np.searchsorted(known, np.array(months, dtype="datetime64[M]") - self.months_back)
        return [int(writes[a:b].max(initial=0)) for a, b in zip(first, last, strict=True)]


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
    changed = np.zeros(len(months), dtype=np.int64)
    for source in inputs:
        np.maximum(changed, source.changed_by(months), out=changed)

    def is_stale(month: date, last_change: int) -> bool:
        state = states.get(month)
        return state is None or state.code_version != code_version or last_change > state.built_by

    return [month for month, last_change in zip(months, changed.tolist(), strict=True) if is_stale(month, last_change)]


def enclosing_range(months: Sequence[date]) -> MonthRange:
    """The smallest range that holds the months: one run computes it, and unchanged rows are not written."""
    return MonthRange(min(months), max(months))
