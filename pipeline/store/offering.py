"""Rows that are offered to a table, and which of them differ from what was offered last."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table

from pipeline.base.types import DateArray, MonthRange, add_months
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


@dataclass(frozen=True, slots=True)
class OfferedRows:
    """Rows that are offered to a table, in the order of their sessions.

    Parameters
    ----------
    rows
        Columns, sorted by session.
    session
        (m,) session of each row; None for a table without sessions.
    counts
        Month → its rows.
    digests
        Month → a digest of the names of its columns, then for each row a digest and the day of the month.
    """

    rows: Columns
    session: DateArray | None
    counts: Mapping[date, int]
    digests: Mapping[date, bytes]

    @classmethod
    def of(cls, table: Table, rows: Columns, months: MonthRange | None) -> OfferedRows:
        """Sort rows by session and take their digests."""
        name = session_column(table)
        if months is None or name is None:
            total = len(next(iter(rows.values())))
            return cls(rows, None, {UNPARTITIONED: total}, {UNPARTITIONED: _digest(rows)})
        ordered = _by_session(rows, name)
        session = ordered[name].astype("datetime64[D]")
        kept, edges = _kept_rows(ordered, session), _month_edges(session, months)
        layout = _layout(rows)
        counts = {month: last - first for month, first, last in edges}
        digests = {month: layout + kept[first:last].tobytes() for month, first, last in edges}
        if sum(counts.values()) != len(session):
            raise ValueError(f"{table.name}: {name} lies outside the months offered; drop those rows or widen them")
        return cls(ordered, session, counts, digests)

    @property
    def total(self) -> int:
        """Rows offered."""
        return len(next(iter(self.rows.values())))

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

    def part(self, span: Span) -> Columns:
        """The rows of a span."""
        return self.take(self.inside(span))

    def take(self, chosen: slice | NDArray[np.bool_]) -> Columns:
        """Some of the rows."""
        return {name: values[chosen] for name, values in self.rows.items()}


_NO_DAYS = np.array([], dtype="datetime64[D]")


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


def _by_session(rows: Columns, name: str) -> Columns:
    """Rows in the order of their sessions, and inside a session as they came."""
    day = rows[name].astype("datetime64[D]").astype(np.int64)
    if len(day) == 0 or (day[1:] >= day[:-1]).all():
        return rows
    # A stable sort of small integers is a radix sort, linear in the rows; they reach over 179 years.
    order = np.argsort((day - day.min()).astype(np.uint16), kind="stable")
    return {name: values[order] for name, values in rows.items()}


def _layout(rows: Columns) -> bytes:
    """A digest of the names of the columns and of how they are kept."""
    names = " ".join(f"{name} {rows[name].dtype.kind}" for name in sorted(rows))
    return hashlib.blake2b(names.encode(), digest_size=_LAYOUT_BYTES).digest()


def _kept_rows(rows: Columns, session: DateArray) -> NDArray[Any]:
    kept = np.empty(len(session), dtype=_ROW)
    kept["digest"] = row_digests(rows)
    kept["day"] = (session - session.astype("datetime64[M]")).astype(np.int64) + 1
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
