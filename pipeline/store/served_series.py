"""Series as finished JSON: what the API passes through instead of reading rows and making an answer of them.

A calendar year of a series is one text, so that a new session changes one text and not the whole of it. Assets make the
texts in the transaction of the rows (`pipeline.store.series_making`). Rows that are changed in another way outdate
their years, and as long as one year of a resource is outdated none of its texts is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from functools import cache
from hashlib import blake2b

from psycopg import Connection, sql
from sqlalchemy import Date, Integer, LargeBinary, SmallInteger, Table, Text

from pipeline.store.instruments import parsed_reference
from pipeline.store.outdating import OUTDATED_YEAR
from pipeline.store.schema import METADATA, ROWS, column, key, writer

SERVED_YEAR = Table(
    "served_year",
    METADATA,
    key("resource", Text(), "What it is a series of, such as prices."),
    key("subject", Text(), "Whose it is: number of an instrument, or a name."),
    key("year", SmallInteger(), "Calendar year of the rows."),
    column("rows", Integer(), "Rows of the year.", ROWS, nullable=False),
    column("last_session", Date(), "Session of the last of them.", nullable=False),
    column(
        "basis", LargeBinary(), "Digest of what the rows follow from besides their table; may be empty.", nullable=False
    ),
    column("digest", LargeBinary(), "Digest of the body.", nullable=False),
    column("body", LargeBinary(), "The rows as JSON, oldest first, with commas between them.", nullable=False),
    writer(),
    comment="Rows of each calendar year of a series, as the API answers them.",
)


YearText = bytes | memoryview
"""JSON of the rows of a year; of one that is held it may be a part of a longer text."""


@dataclass(frozen=True, slots=True)
class ServedSeries:
    """All rows of a series, oldest first.

    Parameters
    ----------
    bodies
        JSON of the rows of each year, with commas between them.
    digests
        Of each of them: equal for equal rows only.
    last_session
        Of the newest row.
    """

    bodies: tuple[YearText, ...]
    digests: tuple[bytes, ...]
    last_session: date

    @property
    def digest(self) -> bytes:
        """Of the whole series."""
        return digest_of(b"".join(self.digests))


def digest_of(body: bytes) -> bytes:
    """The digest of a body, or of several digests."""
    return blake2b(body, digest_size=16).digest()


def read_series_of_instrument(
    connection: Connection, resource: str, reference: str, most_rows: int, held: Mapping[bytes, YearText]
) -> ServedSeries | None:
    """The series of an instrument by one statement, so that it is of one moment.

    Parameters
    ----------
    reference
        As of `pipeline.store.instruments.read_instrument`.
    most_rows
        None is read that has more.
    held
        Digest → body, of those that need not be sent again.

    Returns
    -------
    ServedSeries or None
        None if it has to be made from rows: nobody has made its texts, they are outdated, or it is too long.
    """
    symbol, day = parsed_reference(reference)
    had = "last_session IS NULL" if day is None else "daterange(first_session, last_session, '[]') @> %(day)s::date"
    holder = f"SELECT instrument_id::text FROM instrument_symbol WHERE symbol = %(symbol)s AND {had}"
    return _read(connection, holder, {"resource": resource, "symbol": symbol, "day": day, "most": most_rows}, held)


def read_series_of_name(
    connection: Connection, resource: str, name: str, most_rows: int, held: Mapping[bytes, YearText]
) -> ServedSeries | None:
    """As `read_series_of_instrument`, of a series whose subject is a name."""
    values = {"resource": resource, "name": name, "most": most_rows}
    return _read(connection, "SELECT %(name)s::text", values, held)


def _read(
    connection: Connection, subject: str, values: Mapping[str, object], held: Mapping[bytes, YearText]
) -> ServedSeries | None:
    with connection.cursor(binary=True) as cursor:
        found = cursor.execute(_reading(subject), {**values, "held": _array_of(held)}).fetchall()
    if not found:
        return None
    sent, digests, days = zip(*found, strict=True)
    bodies = tuple(held[digest] if body is None else body for body, digest in zip(sent, digests, strict=True))
    return ServedSeries(bodies, digests, days[-1])


def _array_of(digests: Iterable[bytes]) -> str:
    """As Postgres writes an array of them; psycopg takes as long to write one as for the rest of the statement."""
    return "{" + ",".join([rf'"\\x{digest.hex()}"' for digest in digests]) + "}"


@cache
def _reading(subject: str) -> bytes:
    return sql.SQL(_READ).format(subject=sql.SQL(subject)).as_bytes()


_READ = f"""
SELECT CASE WHEN digest <> ALL(%(held)s::bytea[]) THEN body END, digest, last_session FROM served_year
WHERE resource = %(resource)s AND subject = ({{subject}})
    AND (SELECT sum(rows) FROM served_year WHERE resource = %(resource)s AND subject = ({{subject}})) <= %(most)s
    AND NOT EXISTS (SELECT FROM {OUTDATED_YEAR.name} WHERE resource = %(resource)s)
ORDER BY year
"""


def read_years(connection: Connection, resource: str) -> dict[str, dict[int, tuple[bytes, bytes]]]:
    """Subject → year → digest and basis of every text of a resource."""
    found: dict[str, dict[int, tuple[bytes, bytes]]] = {}
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute("SELECT subject, year, digest, basis FROM served_year WHERE resource = %s", [resource])
        for subject, year, digest, basis in rows:
            found.setdefault(subject, {})[year] = (digest, basis)
    return found


@dataclass(frozen=True, slots=True)
class MadeYear:
    """The text of a year of one subject that was made anew."""

    year: int
    rows: int
    last_session: date
    basis: bytes
    digest: bytes
    body: bytes


def replace_years(
    connection: Connection,
    resource: str,
    subject: str,
    made: Sequence[MadeYear],
    gone: Sequence[int],
    materialization_id: int,
) -> None:
    """Put texts of a subject in the place of those before them, and take away those of years without rows."""
    if gone:
        connection.execute(
            "DELETE FROM served_year WHERE resource = %s AND subject = %s AND year = ANY(%s)",
            [resource, subject, list(gone)],
        )
    if made:
        with connection.cursor() as cursor:
            cursor.executemany(_REPLACE, [(resource, subject, *astuple(year), materialization_id) for year in made])


_REPLACE = """
INSERT INTO served_year (resource, subject, year, rows, last_session, basis, digest, body, materialization_id)
VALUES (%s, %s, %s, %s, %s, %b, %b, %b, %s)
ON CONFLICT (resource, subject, year) DO UPDATE SET
    rows = excluded.rows, last_session = excluded.last_session, basis = excluded.basis, digest = excluded.digest,
    body = excluded.body, materialization_id = excluded.materialization_id
"""
