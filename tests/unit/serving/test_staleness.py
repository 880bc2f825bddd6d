"""What is told of data by how old it is, and how often that is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import pytest

from pipeline.base.errors import InvalidInputError
from pipeline.store.freshness import Newest
from serving.staleness import DATASETS, DEFAULT, Dataset, Standing, Standings

NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
"""A Wednesday morning in New York: Tuesday's session is expected."""

LOADED = datetime(2026, 11, 24, 23, 0, tzinfo=UTC)


def standing(session: date | None, dataset: Dataset = DEFAULT, *notices: tuple[str, str]) -> Standing:
    return Standing(dataset, Newest(session, date(1990, 1, 2), LOADED, datetime(2026, 1, 1, tzinfo=UTC)), notices)


@pytest.mark.parametrize(
    ("session", "dataset", "behind", "codes"),
    [
        (date(2026, 11, 24), DEFAULT, 0, []),
        (date(2026, 11, 25), DEFAULT, 0, []),
        (date(2026, 11, 23), DEFAULT, 1, ["stale"]),
        (date(2026, 11, 23), DATASETS["fx_rate"], 1, []),
        (date(2026, 11, 20), DATASETS["fx_rate"], 2, ["stale"]),
        (date(2026, 11, 19), DATASETS["interest_rate"], 3, []),
        (None, DEFAULT, None, []),
    ],
)
def test_stale_is_what_is_behind_its_own_lag(
    session: date | None, dataset: Dataset, behind: int | None, codes: list[str]
) -> None:
    found = standing(session, dataset)
    staleness = found.staleness(NOW)
    assert staleness.sessions_behind == behind
    assert (staleness.last_session, staleness.expected_session) == (session, date(2026, 11, 24))
    assert staleness.materialized_at == LOADED
    assert [warning.code for warning in found.warnings(staleness)] == codes


def test_notices_are_warnings_by_who_gave_them() -> None:
    found = standing(date(2026, 11, 24), DEFAULT, ("bundled", "Made up."), ("yahoo", "Personal use only."))
    warnings = [(warning.code, warning.message) for warning in found.warnings(found.staleness(NOW))]
    assert warnings == [("sample_data", "Made up."), ("provider_notice", "Personal use only.")]


@pytest.mark.parametrize(
    ("newest", "dataset", "expected"),
    [
        (date(2026, 11, 24), DEFAULT, None),
        (date(2026, 11, 25), DEFAULT, "The session of 2026-11-25 is not over; its row may still change."),
        (date(2026, 10, 30), DATASETS["var_backtest"], None),
        (
            date(2026, 11, 24),
            DATASETS["var_backtest"],
            "The month of 2026-11-24 is not over; its row may still change.",
        ),
        (None, DEFAULT, None),
    ],
)
def test_rows_of_what_is_not_over_are_provisional(newest: date | None, dataset: Dataset, expected: str | None) -> None:
    warning = standing(newest, dataset).provisional(newest, NOW)
    assert (warning.message if warning else None) == expected


def test_before_the_first_data_there_is_nothing_to_ask_for() -> None:
    found = standing(date(2026, 11, 24))
    found.require(date(1990, 1, 2), datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidInputError, match=r"^as_of: lies before the first session, 1990-01-02"):
        found.require(date(1990, 1, 1), None)
    with pytest.raises(InvalidInputError, match=r"^known_at: lies before the first load, 2026-01-01T00:00:00"):
        found.require(None, datetime(2025, 12, 31, tzinfo=UTC))


class Asked:
    """Connections that only count how often one was wanted."""

    def __init__(self) -> None:
        self.times = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        self.times += 1
        raise InterruptedError
        yield


def test_what_was_read_is_remembered_while_the_data_is_the_same() -> None:
    standings, asked = Standings(), Asked()
    known = standing(date(2026, 11, 24))
    standings._known[DEFAULT.asset] = (float("inf"), "7", known)
    assert standings.of("price", "7", asked.reading) is known
    assert standings.of("portfolio", None, asked.reading) is known
    assert asked.times == 0
    with pytest.raises(InterruptedError):
        standings.of("price", "8", asked.reading)
    standings._known[DEFAULT.asset] = (float("-inf"), "7", known)
    with pytest.raises(InterruptedError):
        standings.of("price", "7", asked.reading)
    assert asked.times == 2
