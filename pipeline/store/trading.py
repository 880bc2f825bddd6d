"""Until when and how much instruments are traded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from psycopg import Connection

TURNOVER_DAYS = 31
"""The newest month: liquidity is that of today."""


def read_newest_session(connection: Connection, instrument_ids: Sequence[int]) -> date | None:
    """The newest session with a price of one of the instruments; a look at the end of each one's index."""
    row = connection.execute(
        """
        SELECT max(newest.session) FROM unnest(%s::integer[]) AS asked (id), LATERAL (
            SELECT session FROM price WHERE instrument_id = asked.id ORDER BY session DESC LIMIT 1
        ) AS newest
        """,
        [list(instrument_ids)],
    ).fetchone()
    return row[0] if row else None


def read_average_turnover(connection: Connection, instrument_ids: Sequence[int], end: date) -> dict[int, float]:
    """Mean of volume × close of the sessions in the `TURNOVER_DAYS` before `end`, in the instrument's currency.

    In money and not in units, because a split changes the units. Instruments without a known volume in that time
    are left out. Added up by session, so that the last digit does not depend on how the server finds the rows.
    """
    rows = connection.execute(
        """
        SELECT instrument_id, avg(volume * coalesce(close, close_adjusted) * price_scale ORDER BY session)
        FROM price JOIN instrument ON instrument.id = instrument_id
        WHERE instrument_id = ANY(%(ids)s) AND session >= %(start)s AND session < %(end)s AND volume IS NOT NULL
        GROUP BY instrument_id
        """,
        {"ids": list(instrument_ids), "start": end - timedelta(days=TURNOVER_DAYS), "end": end},
    )
    return dict(rows.fetchall())
