"""Rows that are offered to a table, and which of them differ from what was offered last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table

from pipeline.base.types import DateArray, IntArray, MonthRange, add_months
from pipeline.store.materializations import UNPARTITIONED
from pipeline.store.schema import session_column

Columns = Mapping[str, NDArray[Any]]
Digests = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` up to, not including, `end`."""

    first: date
    end: date


EVERYTHING = Span(date.min, date.max)
"""For tables without sessions, which are replaced whole."""

_LAYOUT_BYTES = 8
_ROW = np.dtype([("digest", "<u8"), ("day", "u1")])
"""How a month keeps its rows: nine bytes each, the day that of the month."""

_CHUNK_ROWS = 32_768
"""Rows that are digested at a time, so that intermediate results stay in the processor's cache."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, odd: Knuth, The Art of Computer Programming 3, section 6.4."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How an offer differs from the one before it.

    Parameters
    ----------
    span
        The days that differ.
    is_new
        (m,) which of the rows were not offered like this last; all rows of a month of which nothing is known.
    vanished
        (k,) session of each row that was offered last and is no longer: the session of a row that was revised
        stands here too.
    is_known
        Whether the last offer of every differing month is known, so that the above is complete.
    """

    span: Span
    is_new: NDArray[np.bool_]
    vanished: DateArray
    is_known: bool

    def days_with_deletions(self, revised: DateArray) -> DateArray:
        """Sessions on which more rows are gone than were revised.

        Parameters
        ----------
        revised
            Session of each row that was revised.
        """
        days, gone = np.unique(self.vanished, return_counts=True)
        replaced = np.searchsorted(np.sort(revised.astype("datetime64[D]")), np.array([days, days + 1]))
        is_short: NDArray[np.bool_] = gone > replaced[1] - replaced[0]
        found: DateArray = days[is_short]
        return found


@dataclass(frozen=True, slots=True)
class OfferedRows:
    """Rows that are offered to a table. They stay as they were given; a mask or slice of them counts by session.

    Parameters
    ----------
    rows
        Columns, in the order given.
    order
        (m,) positions of the rows by session; None where they are given by session.
    session
        (m,) session of each row, sorted; None for a table without sessions.
    counts
        Month → its rows.
    digests
        Month → a digest of the names of its columns, then for each row a digest and the day of the month.
    """

    rows: Columns
    order: IntArray | None
    session: DateArray | None
    counts: Mapping[date, int]
    digests: Mapping[date, bytes]

    @classmethod
    def of(cls, table: Table, rows: Columns, months: MonthRange | None) -> OfferedRows:
        """Order rows by session and take their digests, unless that is done (`PreparedRows`)."""
        name = session_column(table)
        if isinstance(rows, PreparedRows) and months is not None and list(rows.offered.counts) == [*months.months()]:
            return rows.offered
        if months is None or name is None:
            total = len(next(iter(rows.values())))
            return cls(rows, None, None, {UNPARTITIONED: total}, {UNPARTITIONED: _digest(rows)})
        session = rows[name].astype("datetime64[D]", copy=False)
        order = _order_by_session(session)
        session = _ordered(session, order)
        edges = _month_edges(session, months)
        counts = {month: last - first for month, first, last in edges}
        if sum(counts.values()) != len(session):
            raise ValueError(f"{table.name}: {name} lies outside the months offered; drop those rows or widen them")
        kept, layout = _kept_rows(_ordered(row_digests(rows), order), session, counts), _layout(rows)
        digests = {month: layout + kept[first:last].tobytes() for month, first, last in edges}
        return cls(rows, order, session, counts, digests)

    def keeping(self, kept: NDArray[np.bool_]) -> OfferedRows:
        """Some of the rows; what is known of months that keep all of theirs is not found out again.

        Parameters
        ----------
        kept
            (m,) which of them, in the order given.
        """
        if kept.all():
            return self
        assert self.session is not None  # what is replaced whole is not prepared
        rows = {name: values[kept] for name, values in self.rows.items()}
        is_left = _ordered(kept, self.order)
        edges = np.cumsum([0, *self.counts.values()])
        left = np.concatenate([[0], np.cumsum(is_left)])[edges]
        counts = dict(zip(self.counts, np.diff(left).tolist(), strict=True))
        digests = {
            month: self.digests[month] if count == self.counts[month] else _part(self.digests[month], is_left[first:])
            for (month, count), first in zip(counts.items(), edges[:-1].tolist(), strict=True)
        }
        order = None if self.order is None else (np.cumsum(kept) - 1)[self.order[is_left]]
        return OfferedRows(rows, order, self.session[is_left], counts, digests)

    @property
    def total(self) -> int:
        """Rows offered."""
        return len(next(iter(self.rows.values())))

    @property
    def span(self) -> Span:
        """The days of the months offered."""
        return EVERYTHING if self.session is None else Span(min(self.counts), add_months(max(self.counts), 1))

    @property
    def nothing_differs(self) -> Difference:
        """How the offer differs from itself."""
        return Difference(self.span, np.zeros(self.total, dtype=bool), _NO_DAYS, is_known=True)

    def differing_from(self, known: Mapping[date, bytes]) -> Difference | None:
        """What was not offered like this last; None if all was, in whatever order."""
        if all(known.get(month) == digest for month, digest in self.digests.items()):
            return None
        if self.session is None:
            return Difference(EVERYTHING, np.ones(self.total, dtype=bool), _NO_DAYS, is_known=False)
        is_new, end = np.zeros(self.total, dtype=bool), 0
        vanished, unknown = [_NO_DAYS], []
        for month, count in self.counts.items():
            start, end = end, end + count
            offered, last = self.digests[month], known.get(month, b"")
            if last[:_LAYOUT_BYTES] != offered[:_LAYOUT_BYTES]:
                is_new[start:end] = True
                unknown.append(month)
            elif last != offered:
                is_new[start:end], days = _compared(offered, last)
                vanished.append(np.datetime64(month, "D") + days.astype("timedelta64[D]") - np.timedelta64(1, "D"))
        gone = np.concatenate(vanished)
        span = _spanned(np.concatenate([self.session[is_new], gone]), unknown)
        return Difference(span, is_new, gone, is_known=not unknown) if span else None

    def inside(self, span: Span) -> slice:
        """Where the rows of a span stand."""
        if self.session is None:
            return slice(0, self.total)
        edges = np.array([span.first, span.end], dtype="datetime64[D]")
        return slice(*np.searchsorted(self.session, edges).tolist())

    def take(self, chosen: slice | NDArray[np.bool_]) -> Columns:
        """Some of the rows, in the order given."""
        kept = chosen if self.order is None else self.as_given(chosen)
        return {name: values[kept] for name, values in self.rows.items()}

    def as_given(self, chosen: slice | NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(m,) whether each row is chosen, in the order given."""
        kept = np.zeros(self.total, dtype=bool)
        kept[chosen if self.order is None else self.order[chosen]] = True
        return kept


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRows(Mapping[str, NDArray[Any]]):
    """Columns of which it is found out already what has to be known to offer them."""

    offered: OfferedRows

    def take(self, chosen: NDArray[np.bool_]) -> PreparedRows:
        """Some of the rows, without a copy if these are all."""
        return PreparedRows(self.offered.keeping(chosen))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.offered.rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.offered.rows)

    def __len__(self) -> int:
        return len(self.offered.rows)


_NO_DAYS = np.array([], dtype="datetime64[D]")


def _part(digest: bytes, is_left: NDArray[np.bool_]) -> bytes:
    """A month's digest with some of its rows, which are the first of the mask."""
    rows = np.frombuffer(digest, dtype=_ROW, offset=_LAYOUT_BYTES)
    return digest[:_LAYOUT_BYTES] + rows[is_left[: len(rows)]].tobytes()


def _compared(offered: bytes, last: bytes) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Which rows of a month are new, and the days of those that are gone."""
    now, then = (np.frombuffer(digest, dtype=_ROW, offset=_LAYOUT_BYTES) for digest in (offered, last))
    is_new, is_gone = np.ones(len(now), dtype=bool), np.ones(len(then), dtype=bool)
    if len(now) == len(then):  # most rows stand where they stood, which is sooner seen than searched for
        is_new = is_gone = now["digest"] != then["digest"]
    new, gone = np.flatnonzero(is_new), np.flatnonzero(is_gone)
    moved = np.isin(now["digest"][new], then["digest"][gone])
    left = ~np.isin(then["digest"][gone], now["digest"][new])
    is_new = is_new.copy()
    is_new[new[moved]] = False
    return is_new, then["day"][gone[left]]


def _spanned(days: DateArray, unknown: list[date]) -> Span | None:
    """From the first day that differs to the last, months of which nothing is known whole; None if there is none."""
    edges = [(month, add_months(month, 1)) for month in unknown]
    if len(days):
        edges.append((days.min().astype(object), (days.max() + 1).astype(object)))
    return Span(min(first for first, _ in edges), max(end for _, end in edges)) if edges else None


def _month_edges(session: DateArray, months: MonthRange) -> list[tuple[date, int, int]]:
    """Each month with the positions of its first row and of the row after its last."""
    named = list(months.months())
    edges = np.searchsorted(session, np.array([*named, months.end], dtype="datetime64[D]")).tolist()
    return list(zip(named, edges[:-1], edges[1:], strict=True))


def _order_by_session(session: DateArray) -> IntArray | None:
    """Positions by session, inside a session as the rows came; None if they came so."""
    day = session.view(np.int64)
    if len(day) == 0 or (day[1:] >= day[:-1]).all():
        return None
    # A stable sort of small integers is a radix sort, linear in the rows; they reach over 179 years.
    return np.argsort((day - day.min()).astype(np.uint16), kind="stable")


def _ordered(values: NDArray[Any], order: IntArray | None) -> NDArray[Any]:
    return values if order is None else values[order]


def _layout(rows: Columns) -> bytes:
    """A digest of the names of the columns and of how they are kept."""
    names = " ".join(f"{name} {rows[name].dtype.kind}" for name in sorted(rows))
    return hashlib.blake2b(names.encode(), digest_size=_LAYOUT_BYTES).digest()


def _kept_rows(digests: Digests, session: DateArray, counts: Mapping[date, int]) -> NDArray[Any]:
    first_days = np.repeat(np.array(list(counts), dtype="datetime64[D]"), list(counts.values()))
    kept = np.empty(len(session), dtype=_ROW)
    kept["digest"] = digests
    kept["day"] = (session - first_days).astype(np.int64) + 1
    return kept


def row_digests(rows: Columns) -> Digests:
    """A number of 64 bits for each row, the same for rows that are equal byte by byte.

    Each step is a bijection of the column's value, so rows that differ in one column never meet; others do once
    in 2^64. Not meant against someone who looks for two rows that meet.

    Returns
    -------
    NDArray
        (m,) digests.
    """
    words = [word for name in sorted(rows) for word in _words(rows[name])]
    digests = np.zeros(len(words[0]), dtype=np.uint64)
    for start in range(0, len(digests), _CHUNK_ROWS):
        _fold([word[start : start + _CHUNK_ROWS] for word in words], digests[start : start + _CHUNK_ROWS])
    return digests


def _words(values: NDArray[Any]) -> list[NDArray[Any]]:
    """A column as columns of at most 64 bits: one for a number, as many as it takes for a text."""
    if values.dtype.kind != "S":
        return [values]
    width = -(-values.dtype.itemsize // 8) * 8
    padded = np.ascontiguousarray(values.astype(f"S{width}"))
    return list(padded.view("<u8").reshape(len(values), width // 8).T)


def _fold(words: list[NDArray[Any]], digests: Digests) -> None:
    """Mix a chunk of columns into its digests, in place."""
    high = np.empty_like(digests)
    for word in words:
        wide = word if word.dtype.itemsize == 8 else word.astype(np.int64)
        np.bitwise_xor(digests, np.ascontiguousarray(wide).view(np.uint64), out=digests)
        np.multiply(digests, _MULTIPLIER, out=digests)
        np.right_shift(digests, np.uint64(32), out=high)
        np.bitwise_xor(digests, high, out=digests)


def _digest(rows: Columns) -> bytes:
    """A digest of all rows together, in the order in which they came."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(rows):
        values = np.ascontiguousarray(rows[name])
        digest.update(f"{name} {values.dtype.str} {len(values)} ".encode())
        digest.update(values.view(np.int64 if values.dtype.kind == "M" else np.uint8).data)
    return digest.digest()
