"""Which months are missing, failed, stale or current, and the fewest runs that compute them."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintech.planning import Selection, asset_state, parsed_month, require_known, runs_of, selection_of
from pipeline.base.errors import ConfigurationError
from pipeline.base.types import MonthRange, add_months
from tests.unit.properties import PROPERTY

MONTHS = [add_months(date(2022, 1, 1), number) for number in range(12)]
MONTH_SETS = st.sets(st.sampled_from(MONTHS))


@PROPERTY
@given(outdated=MONTH_SETS, built=MONTH_SETS, failed=MONTH_SETS)
def test_each_month_is_in_one_state(outdated: set[date], built: set[date], failed: set[date]) -> None:
    state = asset_state("risk", "a", MONTHS, sorted(outdated), dict.fromkeys(built, 5), sorted(failed), None)
    parts = [state.missing, state.failed, state.stale, state.current]
    assert sorted(month for part in parts for month in part) == MONTHS
    assert set(state.failed) == failed
    assert set(state.missing) == set(MONTHS) - built - failed
    assert set(state.current) == built - outdated - failed


@PROPERTY
@given(months=MONTH_SETS)
def test_runs_compute_the_months_and_no_other(months: set[date]) -> None:
    runs = runs_of(sorted(months, reverse=True))
    assert [month for run in runs for month in run.months()] == sorted(months)
    assert all(earlier.end < later.first for earlier, later in pairwise(runs))


STATE = asset_state(
    "risk", "a", MONTHS[:4], [MONTHS[0], MONTHS[2]], {MONTHS[1]: 10, MONTHS[2]: 20, MONTHS[3]: 30}, [MONTHS[3]], 0.5
)


@pytest.mark.parametrize(
    ("selection", "chosen", "rows"),
    [
        (Selection(), [0, 2, 3], 70),  # a month that is missing counts with the mean of the others
        (Selection(current_too=True), [0, 1, 2, 3], 80),
        (Selection(only="missing"), [0], 20),
        (Selection(only="failed"), [3], 30),
        (Selection(only="stale"), [2], 20),
    ],
)
def test_a_selection_chooses_months(selection: Selection, chosen: list[int], rows: int) -> None:
    assert STATE.chosen(selection) == [MONTHS[number] for number in chosen]
    assert STATE.expected_rows(selection) == rows
    assert STATE.expected_seconds(selection) == 0.5 * len(chosen)


def test_nothing_is_guessed_of_an_asset_that_was_never_built() -> None:
    state = asset_state("risk", "a", MONTHS, MONTHS, {}, [], None)
    assert (state.expected_rows(Selection()), state.expected_seconds(Selection())) == (None, None)


def test_bounds_are_included() -> None:
    assert Selection(MONTHS[2], MONTHS[4]).within(MONTHS) == MONTHS[2:5]
    assert runs_of(Selection(first=MONTHS[10]).within(MONTHS)) == [MonthRange(MONTHS[10], MONTHS[11])]


def test_options_make_a_selection() -> None:
    found = selection_of(
        "2022-01", "2022-12", "prices, fx_rates", only_missing=True, only_failed=False, current_too=False
    )
    assert found == Selection(date(2022, 1, 1), date(2022, 12, 1), frozenset({"prices", "fx_rates"}), "missing")


def test_a_rebuild_takes_all_months() -> None:
    options = {"only_missing": False, "only_failed": False, "current_too": False}
    found = selection_of(None, None, "prices", **options, rebuild=True)
    assert found == Selection(assets=frozenset({"prices"}), current_too=True, rebuild=True)
    for first, changed in (("2022-01", {}), (None, {"only_missing": True})):
        with pytest.raises(ConfigurationError, match="--rebuild takes all months of an asset") as caught:
            selection_of(first, None, None, **(options | changed), rebuild=True)
        assert caught.value.remedy == "Leave out --from, --to, --only-missing and --only-failed."


@pytest.mark.parametrize("text", ["", "2022", "2022-13", "x-1", "2022-01-01", "22/01"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--from .* is not a month"):
        parsed_month(text, "--from")


def test_contradicting_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="exclude each other"):
        selection_of(None, None, None, only_missing=True, only_failed=True, current_too=False)
    with pytest.raises(ConfigurationError, match="--from 2022-02 lies after --to 2022-01"):
        selection_of("2022-02", "2022-01", None, only_missing=False, only_failed=False, current_too=False)


def test_an_unknown_asset_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no partitioned asset 'price'") as caught:
        require_known(frozenset({"price"}), ["prices", "fx_rates"])
    assert caught.value.remedy == "Use some of: fx_rates, prices."
