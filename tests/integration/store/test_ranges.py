"""A table in ranges of its subjects: where it is cut, and that nothing of a filling stays behind."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.store import writing
from pipeline.store.engine import Database
from pipeline.store.ranges import Range, ranges_of
from tests.integration.store.test_rebuilding import ALWAYS, DAYS, Offer, offer, ranges_in_use, write


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BULK_ROWS", 50)
    monkeypatch.setattr(writing, "REBUILT_SHARE", ALWAYS)


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [
        ([4], [Range(1, None, None, slice(0, 1))]),
        ([4, 4, 4], [Range(1, None, None, slice(0, 3))]),
        ([1, 2], [Range(1, None, 2, slice(0, 1)), Range(2, 2, None, slice(1, 2))]),
        ([1, 1, 1, 8], [Range(1, None, None, slice(0, 4))]),
        ([1, 8, 8, 8], [Range(1, None, 8, slice(0, 1)), Range(2, 8, None, slice(1, 4))]),
    ],
)
def test_a_subject_is_in_one_range(subjects: list[int], expected: list[Range]) -> None:
    assert ranges_of(np.array(subjects, dtype=np.int32)) == expected


def test_each_range_has_about_as_many_rows(database: Database) -> None:
    whole = offer(1, left_out=0.0)
    write(database, whole.rows)
    [(_, bounds, rows)] = ranges_in_use(database)
    assert (bounds, rows) == ("FOR VALUES FROM (MINVALUE) TO (MAXVALUE)", len(whole.close))
    write(database, offer(2, left_out=0.0).rows)
    assert ranges_in_use(database) == [
        ("price_1", "FOR VALUES FROM (MINVALUE) TO (7)", len(whole.close) // 2),
        ("price_2", "FOR VALUES FROM (7) TO (MAXVALUE)", len(whole.close) // 2),
    ]
    one = whole.instrument_id == 5
    write(database, Offer(whole.instrument_id[one], whole.session[one], whole.close[one]).rows)
    assert ranges_in_use(database) == [("price_1", "FOR VALUES FROM (MINVALUE) TO (MAXVALUE)", len(DAYS))]


def test_a_range_takes_what_comes_later(database: Database) -> None:
    """Instruments below the first and above the last, which no row had when the ranges were cut."""
    write(database, offer(1).rows)
    write(database, offer(2).rows)
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO price (instrument_id, session, close, source, materialization_id)"
            " VALUES (-3, '2022-03-01', 1, 1, 1), (2147483647, '2022-03-01', 1, 1, 1)"
        )
    assert len(ranges_in_use(database)) == 2


def test_what_a_killed_process_has_left_is_removed(database: Database) -> None:
    write(database, offer(1).rows)
    with database.connect() as connection:
        connection.execute("CREATE TABLE price_rebuilt_1 (x int4); CREATE TABLE price_rebuilt_2 (y text)")
    assert write(database, offer(2).rows).built_anew
    assert [name for name, _, _ in ranges_in_use(database)] == ["price_1", "price_2"]
