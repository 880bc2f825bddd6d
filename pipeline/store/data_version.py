"""A number that changes with each commit that could change an answer: what caches of answers are keyed by.

Assets' writes are numbered (`pipeline.store.materializations`). Tables that others write have the trigger
``note_data_change``, which numbers each statement. Both numbers belong to the transaction that made them, so whoever
sees one sees its rows. A commit with a new number is announced to whoever listens.
"""

from __future__ import annotations

from collections.abc import Callable

from psycopg import Connection
from sqlalchemy import DateTime, Identity, Integer, Table, Text, func

from pipeline.store.schema import METADATA, column

CHANNEL = "fintech_data_version"
"""What the trigger ``announce_data_version`` notifies."""

RECENT = 1_000
"""Numbers that are summed. Numbers are taken before the commit, so the highest one says nothing of a transaction that
began earlier and ends later; the sum rises with it, unless so many began and ended in between."""

UNWATCHED = {
    "api_key": "its answers are not kept",
    "app_user": "its answers are not kept",
    "asset_partition": "changes with a numbered write",
    "audit_entry": "its answers are not kept",
    "data_change": "is the numbers",
    "failed_partition": "no answer is made from it",
    "feature_flag": "is told apart in the key of what is kept (`serving.flags`)",
    "idempotent_request": "answers are only sent again",
    "incident": "no answer is made from it",
    "last_success": "no answer is made from it",
    "materialization": "is the numbers",
    "payload_refusal": "no answer is made from it",
    "raw_payload": "no answer is made from it",
    "refresh_token": "no answer is made from it",
    "simulation_job": "its answers are not kept",
    "simulation_part": "no answer is made from it",
}
"""Tables with neither a writer's number nor the trigger, and why (a test holds every other table to one of them)."""

DATA_CHANGE = Table(
    "data_change",
    METADATA,
    column("id", Integer(), "Number of the change.", primary_key=True, server_default=Identity(always=True)),
    column("table_name", Text(), "Table that a statement changed.", nullable=False),
    column(
        "changed_at",
        DateTime(timezone=True),
        "When the statement ran.",
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    comment="Each statement that changed a table which no asset writes.",
)


def read_data_version(connection: Connection) -> str:
    """The version of everything that is committed; about 0.2 ms in the server, by two primary keys."""
    row = connection.execute(
        """
        SELECT
            (SELECT sum(id) FROM (SELECT id FROM materialization ORDER BY id DESC LIMIT %(recent)s) AS writes),
            (SELECT sum(id) FROM (SELECT id FROM data_change ORDER BY id DESC LIMIT %(recent)s) AS changes)
        """,
        {"recent": RECENT},
    ).fetchone()
    assert row is not None
    return f"{row[0] or 0}.{row[1] or 0}"


def listen(connection: Connection, heard: Callable[[], None]) -> None:
    """Have commits that change the version announced to a connection, which must not be shared by a pooler.

    Parameters
    ----------
    heard
        Called for each announcement that comes, with what else the connection reads or by `take_announcements`.
    """
    connection.add_notify_handler(lambda _: heard())
    connection.execute(f"LISTEN {CHANNEL}")


def take_announcements(connection: Connection) -> None:
    """Call `heard` for what has come while the connection was idle; does not wait for the server.

    Raises
    ------
    psycopg.OperationalError
        If the server has ended the connection.
    """
    server = connection.pgconn
    server.consume_input()
    while (found := server.notifies()) is not None:
        if server.notify_handler is not None:
            server.notify_handler(found)
