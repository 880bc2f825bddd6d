"""What differs between two offers, told by their digests alone."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.base.types import MonthRange
from pipeline.store.offering import Columns, Difference, OfferedRows, PreparedRows, Span, row_digests
from pipeline.store.prices import PRICE, price_rows

MONTHS = MonthRange(date(2022, 5, 1), date(2022, 6, 1))


def bars(*rows: tuple[int, str, float]) -> Columns:
    ids, sessions, closes = zip(*rows, strict=True) if rows else ((), (), ())
    keys = np.array(ids, dtype=np.int32), np.array(sessions, dtype="datetime64[D]")
    return price_rows(*keys, 1, {"close": np.array(closes, dtype=np.float64)})


LAST = ((1, "2022-05-02", 10.0), (2, "2022-05-02", 20.0), (1, "2022-06-01", 11.0))


def difference(*rows: tuple[int, str, float], last: tuple[tuple[int, str, float], ...] = LAST) -> Difference | None:
    known = OfferedRows.of(PRICE, bars(*last), MONTHS).digests
    return OfferedRows.of(PRICE, bars(*rows), MONTHS).differing_from(known)


def test_the_same_rows_in_another_order_do_not_differ() -> None:
    assert difference(*LAST) is None
    assert difference(*LAST[::-1]) is None


@pytest.mark.parametrize(
    ("rows", "is_new", "vanished", "span"),
    [
        ([(1, "2022-05-02", 10.5), *LAST[1:]], [True, False, False], ["2022-05-02"], ("2022-05-02", "2022-05-03")),
        (LAST[1:], [False, False], ["2022-05-02"], ("2022-05-02", "2022-05-03")),
        ([*LAST, (3, "2022-06-30", 1.0)], [False] * 3 + [True], [], ("2022-06-30", "2022-07-01")),
        (
            [LAST[1], (1, "2022-05-04", 10.0)],
            [False, True],
            ["2022-05-02", "2022-06-01"],
            ("2022-05-02", "2022-06-02"),
        ),
        ([], [], ["2022-05-02", "2022-05-02", "2022-06-01"], ("2022-05-02", "2022-06-02")),
    ],
    ids=["revised", "deleted", "inserted", "moved", "nothing left"],
)
def test_rows_that_differ(
    rows: list[tuple[int, str, float]], is_new: list[bool], vanished: list[str], span: tuple[str, str]
) -> None:
    found = difference(*rows)
    assert found is not None
    assert found.is_known
    assert found.is_new.tolist() == is_new
    assert found.vanished.astype(str).tolist() == vanished
    assert found.span == Span(*map(date.fromisoformat, span))


def test_of_an_unknown_month_every_row_is_new() -> None:
    """As after an upgrade from a version that kept other digests."""
    offered = OfferedRows.of(PRICE, bars(*LAST), MONTHS)
    found = offered.differing_from({**offered.digests, date(2022, 5, 1): bytes(40)})
    assert found is not None
    assert (found.is_new.tolist(), found.is_known) == ([True, True, False], False)
    assert found.span == Span(date(2022, 5, 1), date(2022, 6, 1))


def test_a_row_outside_the_months_is_refused() -> None:
    with pytest.raises(ValueError, match="session lies outside the months offered"):
        OfferedRows.of(PRICE, bars((1, "2022-07-01", 1.0)), MONTHS)


def test_rows_that_differ_in_a_bit_have_other_digests() -> None:
    """In any column, in the sign of two at once, and in the last letter of a long text."""
    values = np.arange(1.0, 5.0)
    rows = {"a": values, "b": -values, "n": np.arange(4, dtype=np.int16), "t": np.array([b"x" * 20] * 4)}
    changed = [
        {**rows, "a": np.nextafter(values, 9.0)},
        {**rows, "a": -values, "b": values},
        {**rows, "n": rows["n"] + np.int16(1)},
        {**rows, "t": np.array([b"x" * 19 + b"y"] * 4)},
    ]
    digests = np.concatenate([row_digests(columns) for columns in [rows, *changed]])
    assert len(np.unique(digests)) == len(digests)


def test_digests_do_not_depend_on_the_rows_around() -> None:
    values = np.random.default_rng(3).normal(size=70_000)
    rows = {"value": values, "day": np.arange(len(values)).astype("datetime64[D]")}
    alone = row_digests({name: column[65_000:65_010] for name, column in rows.items()})
    assert (row_digests(rows)[65_000:65_010] == alone).all()


@pytest.mark.parametrize("turned", [False, True], ids=["by session", "in another order"])
def test_part_of_an_offer_is_the_offer_of_that_part(*, turned: bool) -> None:
    draws = np.random.default_rng(3)
    days = np.arange("2022-05-01", "2022-07-01", dtype="datetime64[D]")
    sessions = np.repeat(days, 3) if not turned else np.tile(days[::-1], 3)
    ids = np.arange(len(sessions), dtype=np.int32)
    rows = price_rows(ids, sessions, 1, {"close": draws.uniform(1, 2, len(ids))})
    kept = (draws.random(len(ids)) > 0.1) | (sessions >= np.datetime64("2022-06-01"))
    part = {name: values[kept] for name, values in rows.items()}
    found = PreparedRows(OfferedRows.of(PRICE, rows, MONTHS)).take(kept)
    offered, expected = OfferedRows.of(PRICE, found, MONTHS), OfferedRows.of(PRICE, part, MONTHS)
    assert not kept.all()
    assert offered is found.offered
    assert (offered.digests, offered.counts) == (expected.digests, expected.counts)
    assert np.array_equal(offered.session, expected.session)
    assert (offered.order is None) == (expected.order is None) == (not turned)
    assert offered.order is None or np.array_equal(offered.order, expected.order)
    assert list(found) == list(part)
    for name, values in part.items():
        np.testing.assert_array_equal(found[name], values)


def test_rows_prepared_for_other_months_are_looked_at_again() -> None:
    rows = PreparedRows(OfferedRows.of(PRICE, bars(*LAST), MONTHS))
    assert rows.take(np.ones(3, dtype=bool)).offered is rows.offered
    wider = OfferedRows.of(PRICE, rows, MonthRange(date(2022, 4, 1), date(2022, 6, 1)))
    assert list(wider.counts.values()) == [0, 2, 1]
