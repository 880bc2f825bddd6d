"""Make the texts of served series from their rows: of the years that changed, and of those before a later split.

The text of a row is made by pydantic's serializer, which answers rows as well: so the same numbers are the same bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from operator import itemgetter
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import tuple_row
from pydantic_core import to_json

from pipeline.store.outdating import WHAT_ROWS_FOLLOW_FROM, take_outdated
from pipeline.store.schema import session_column
from pipeline.store.series_kinds import Completion, Plain, Row, SeriesKind
from pipeline.store.served_series import MadeYear, digest_of, read_years, replace_years
from pipeline.store.writing import Write

_PLAIN = Plain()


def bring_up_to_date(write: Write, kind: SeriesKind) -> int:
    """Make the outdated texts of a kind of series anew, in the write that changed their rows.

    Returns
    -------
    int
        Texts that have changed.
    """
    outdated = take_outdated(write.connection, kind.resource)
    if not outdated:
        return 0
    making = _Making.of(write, kind)
    years = outdated - {WHAT_ROWS_FOLLOW_FROM}
    changed = sum(making.remake(subject, years | making.of_another_basis(subject)) for subject in making.subjects)
    return changed + making.drop_those_without_rows()


@dataclass(frozen=True, slots=True)
class _Making:
    """What is known of a kind of series before its texts are made.

    Parameters
    ----------
    subjects
        Values of the table's first key column.
    known
        Subject's name → year → digest and basis of the text that there is.
    """

    write: Write
    kind: SeriesKind
    subjects: list[Any]
    known: Mapping[str, Mapping[int, tuple[bytes, bytes]]]
    completions: Mapping[Any, Completion]

    @classmethod
    def of(cls, write: Write, kind: SeriesKind) -> _Making:
        subjects = _read_subjects(write.connection, kind)
        known = read_years(write.connection, kind.resource)
        return cls(write, kind, subjects, known, kind.completions(write.connection, subjects))

    def of_another_basis(self, subject: Any) -> set[int]:
        """Years whose rows followed from something else when their texts were made."""
        basis_of = self._completion(subject).basis_of
        known = self.known.get(str(subject), {})
        return {year for year, (_, basis) in known.items() if basis != basis_of(year)}

    def remake(self, subject: Any, years: Collection[int]) -> int:
        """Make a subject's texts of some years; the number of those that have changed."""
        if not years:
            return 0
        known = self.known.get(str(subject), {})
        made = {year.year: year for year in self._made(subject, years)}
        new = [text for year, text in made.items() if known.get(year) != (text.digest, text.basis)]
        return self._replace(str(subject), new, [year for year in known if year in years and year not in made])

    def drop_those_without_rows(self) -> int:
        """Take away the texts of subjects that have no row any more."""
        gone = self.known.keys() - {str(subject) for subject in self.subjects}
        return sum(self._replace(subject, [], list(self.known[subject])) for subject in gone)

    def _replace(self, subject: str, new: list[MadeYear], gone: list[int]) -> int:
        connection, number = self.write.connection, self.write.materialization_id
        replace_years(connection, self.kind.resource, subject, new, gone, number)
        return len(new) + len(gone)

    def _made(self, subject: Any, years: Collection[int]) -> Iterator[MadeYear]:
        names, completion = self.kind.names, self._completion(subject)
        session_of = itemgetter(names.index("session"))
        rows = _read_rows(self.write.connection, self.kind, subject, years)
        for year in sorted(years):
            first, end = (bisect_left(rows, date(number, 1, 1), key=session_of) for number in (year, year + 1))
            if first == end:
                continue
            named = [dict(zip(names, row, strict=True)) for row in completion.completed(rows[first:end])]
            body = to_json(named, inf_nan_mode="null")[1:-1]
            last = session_of(rows[end - 1])
            yield MadeYear(year, end - first, last, completion.basis_of(year), digest_of(body), body)

    def _completion(self, subject: Any) -> Completion:
        return self.completions.get(subject, _PLAIN)


def _read_rows(connection: Connection, kind: SeriesKind, subject: Any, years: Collection[int]) -> list[Row]:
    """Rows of a subject from the first of some years to the last, oldest first."""
    name, session = _key(kind)
    query = sql.SQL(
        "SELECT {names} FROM {table} WHERE {name} = {subject} AND {session} >= {first} AND {session} < {end}"
        " ORDER BY {session}"
    ).format(
        names=sql.SQL(", ").join(map(sql.Identifier, kind.names)),
        table=sql.Identifier(kind.table.name),
        name=sql.Identifier(name),
        subject=sql.Literal(subject),
        session=sql.Identifier(session),
        first=sql.Literal(date(min(years), 1, 1)),
        end=sql.Literal(date(max(years) + 1, 1, 1)),
    )
    with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
        return cursor.execute(query).fetchall()


def _read_subjects(connection: Connection, kind: SeriesKind) -> list[Any]:
    """The subjects that have rows: the index finds each after the one before it."""
    name, _ = _key(kind)
    query = sql.SQL(
        """
        WITH RECURSIVE known AS (
            (SELECT {name} AS subject FROM {table} ORDER BY {name} LIMIT 1)
            UNION ALL
            SELECT (SELECT {name} FROM {table} WHERE {name} > known.subject ORDER BY {name} LIMIT 1)
            FROM known WHERE known.subject IS NOT NULL
        )
        SELECT subject FROM known WHERE subject IS NOT NULL
        """
    ).format(name=sql.Identifier(name), table=sql.Identifier(kind.table.name))
    return [row[0] for row in connection.execute(query)]


def _key(kind: SeriesKind) -> tuple[str, str]:
    """The subject's column and the session's, which are the table's key."""
    subject, session = (column.name for column in kind.table.primary_key)
    assert session == session_column(kind.table)
    return subject, session
