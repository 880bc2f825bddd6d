"""Of when stored data is: the newest and oldest session of a table, and when its asset was written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection, sql
from sqlalchemy import Table

from pipeline.store.schema import session_column


@dataclass(frozen=True, slots=True)
class Newest:
    """Of when a table's data is; None while there is none.

    Parameters
    ----------
    session, first_session
        Newest and oldest.
    materialized_at, first_write_at
        When the newest and the oldest write of the asset were finished.
    """

    session: date | None
    first_session: date | None
    materialized_at: datetime | None
    first_write_at: datetime | None


def read_newest_of(connection: Connection, table: Table, asset: str) -> Newest:
    """The sessions of a table whose key begins with one column and the session, and the writes of an asset.

    The first column's values are found one after the other, and the sessions of each at the ends of its part of the
    key: three looks into the index a value, where the maximum of all would read all.

    Parameters
    ----------
    asset
        Asset that makes what is asked about; of another table, if that is read as of the sessions of this one.
    """
    session = session_column(table)
    assert session is not None
    query = sql.SQL(
        """
        WITH RECURSIVE subject AS (
            (SELECT {first} AS id FROM {table} ORDER BY {first} LIMIT 1)
            UNION ALL
            SELECT (SELECT {first} FROM {table} WHERE {first} > subject.id ORDER BY {first} LIMIT 1)
            FROM subject WHERE subject.id IS NOT NULL
        )
        SELECT
            (SELECT max((SELECT {session} FROM {table} WHERE {first} = subject.id ORDER BY {session} DESC LIMIT 1))
             FROM subject),
            (SELECT min((SELECT {session} FROM {table} WHERE {first} = subject.id ORDER BY {session} LIMIT 1))
             FROM subject),
            (SELECT finished_at FROM materialization
             WHERE id = (SELECT max(built_by) FROM asset_partition WHERE asset = {asset})),
            (SELECT min(finished_at) FROM materialization WHERE asset = {asset})
        """
    ).format(
        table=sql.Identifier(table.name),
        first=sql.Identifier(next(iter(table.primary_key)).name),
        session=sql.Identifier(session),
        asset=sql.Literal(asset),
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return Newest(*row)
