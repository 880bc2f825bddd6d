"""Which months are stale: missing, made by other code, or older than what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import MonthRange, add_months
from pipeline.orchestration.staleness import InputStates, enclosing_range, stale_months
from pipeline.store.materializations import UNPARTITIONED, PartitionState
from tests.unit.properties import PROPERTY

FIRST = date(2021, 11, 1)
MONTHS = [add_months(FIRST, number) for number in range(6)]
NOW = "code of now"


def built(writes: Mapping[date, int], code_version: str = NOW) -> dict[date, PartitionState]:
    """Partitions that the given writes built and changed."""
    return {month: PartitionState(month, 1, write, write, code_version) for month, write in writes.items()}


def all_built(write: int) -> dict[date, PartitionState]:
    return built(dict.fromkeys(MONTHS, write))


def test_nothing_is_stale_that_was_built_after_its_inputs() -> None:
    inputs = [InputStates(all_built(5), 12), InputStates(built({UNPARTITIONED: 9}), None)]
    assert stale_months(MONTHS, all_built(10), inputs, NOW) == []


def test_a_month_that_was_never_built_is_stale() -> None:
    states = all_built(10)
    del states[MONTHS[2]]
    assert stale_months(MONTHS, states, [], NOW) == [MONTHS[2]]


def test_a_month_of_other_code_is_stale() -> None:
    states = all_built(10) | built({MONTHS[4]: 10}, "code of then")
    assert stale_months(MONTHS, states, [], NOW) == [MONTHS[4]]


@pytest.mark.parametrize(
    ("months_back", "stale"), [(0, MONTHS[1:2]), (1, MONTHS[1:3]), (3, MONTHS[1:5]), (12, MONTHS[1:])]
)
def test_a_changed_input_month_reaches_as_far_as_it_is_read(months_back: int, stale: list[date]) -> None:
    changed = all_built(5) | built({MONTHS[1]: 11})
    assert stale_months(MONTHS, all_built(10), [InputStates(changed, months_back)], NOW) == stale


@pytest.mark.parametrize(("write", "count"), [(9, 0), (10, 0), (11, 6)])
def test_only_a_later_write_of_the_input_counts(write: int, count: int) -> None:
    source = InputStates(all_built(write), 0)
    assert len(stale_months(MONTHS, all_built(10), [source], NOW)) == count


@pytest.mark.parametrize(("write", "count"), [(9, 0), (11, 6)])
def test_an_input_without_partitions_reaches_every_month(write: int, count: int) -> None:
    source = InputStates(built({UNPARTITIONED: write}), None)
    assert len(stale_months(MONTHS, all_built(10), [source], NOW)) == count


def test_an_input_that_was_rebuilt_without_a_change_is_no_reason() -> None:
    rebuilt = {month: PartitionState(month, 1, 99, 5, NOW) for month in MONTHS}
    assert stale_months(MONTHS, all_built(10), [InputStates(rebuilt, 12)], NOW) == []


def test_an_asset_that_was_rebuilt_without_a_change_is_up_to_date() -> None:
    rebuilt = {month: PartitionState(month, 1, 20, 5, NOW) for month in MONTHS}
    assert stale_months(MONTHS, rebuilt, [InputStates(all_built(15), 0)], NOW) == []


@pytest.mark.parametrize("months_back", [None, 0, 12])
def test_an_input_that_was_never_written_is_no_reason(months_back: int | None) -> None:
    assert stale_months(MONTHS, all_built(10), [InputStates({}, months_back)], NOW) == []


def test_one_changed_input_of_several_is_enough() -> None:
    inputs = [InputStates(all_built(5), 0), InputStates(built({MONTHS[3]: 11}), 0), InputStates({}, None)]
    assert stale_months(MONTHS, all_built(10), inputs, NOW) == [MONTHS[3]]


def test_months_keep_their_order() -> None:
    assert stale_months(MONTHS[::-1], {}, [], NOW) == MONTHS[::-1]


# The definition, said another way --------------------------------------------------------------------------

WRITES = st.dictionaries(st.integers(-3, 5), st.integers(1, 6))
OWN = st.dictionaries(st.integers(0, 5), st.tuples(st.integers(1, 6), st.sampled_from([NOW, "then"])))
INPUTS = st.lists(st.tuples(WRITES, st.none() | st.integers(0, 3), st.integers(1, 6)), max_size=3)


@PROPERTY
@given(OWN, INPUTS)
def test_a_month_is_stale_if_it_is_missing_of_other_code_or_older_than_anything_it_reads(own, inputs) -> None:
    """`own` and `inputs` name months by their distance from the first one."""
    expected = {
        number
        for number in range(6)
        if number not in own
        or own[number][1] != NOW
        or any(write > own[number][0] for source in inputs for write in writes_read(source, number))
    }
    states = {month(n): PartitionState(month(n), 1, write, 1, code) for n, (write, code) in own.items()}
    sources = [
        InputStates(built({UNPARTITIONED: whole} | {month(n): write for n, write in writes.items()}), back)
        for writes, back, whole in inputs
    ]
    assert stale_months(MONTHS, states, sources, NOW) == [MONTHS[number] for number in sorted(expected)]


def month(number: int) -> date:
    return add_months(FIRST, number)


def writes_read(source: tuple[dict[int, int], int | None, int], number: int) -> list[int]:
    writes, back, whole = source
    if back is None:
        return [whole]
    return [write for of, write in writes.items() if number - back <= of <= number]


# The range of a run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("months", [[MONTHS[1]], [MONTHS[4], MONTHS[1]], MONTHS])
def test_one_run_covers_every_stale_month(months: list[date]) -> None:
    assert enclosing_range(months) == MonthRange(min(months), max(months))
