"""What routes are given: connections to Postgres, and the notices that every answer carries."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import psycopg
from fastapi import Depends, Request
from psycopg import Connection, IsolationLevel
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from pipeline.base.errors import DatabaseError
from pipeline.store.engine import libpq_url, unreachable
from pipeline.store.providers import read_notices
from serving.observability.tracing import step

POOL_SIZE = 8
WAITING_REQUESTS = 64
"""Requests that may wait for a connection; the next is told to come back."""
WAIT_SECONDS = 0.5
"""For a connection: who asks while Postgres is down is told so soon."""
CONNECT_TIMEOUT_SECONDS = 2
STATEMENT_TIMEOUT_SECONDS = 10
NOTICE_SECONDS = 60.0


class Connections:
    """A pool of checked connections to one database, opened and closed with the service.

    The server may be down when the service starts: requests are then refused until it answers.

    Parameters
    ----------
    url
        Address of the application database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._notice: tuple[float, str] | None = None
        self._pool = ConnectionPool(
            libpq_url(url),
            open=False,
            min_size=1,
            max_size=POOL_SIZE,
            max_waiting=WAITING_REQUESTS,
            timeout=WAIT_SECONDS,
            # A pool that gives up at once tries again with the next request, not minutes later.
            reconnect_timeout=WAIT_SECONDS / 2,
            check=_check,
            kwargs={
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                # Whoever writes says so; what does not begin a transaction cannot.
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000}"
                " -c default_transaction_read_only=on",
                "application_name": "fintech-serving",
            },
        )

    def open(self) -> None:
        """Begin to connect, without waiting for the server."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    @contextmanager
    def reading(self, *, as_known: bool = False) -> Iterator[Connection]:
        """A read-only transaction in which every statement sees the same data.

        Parameters
        ----------
        as_known
            Whether rows are read as they were known at a moment, which waits for a write under way: each statement
            then sees what was committed before it, and the moment, not the transaction, keeps them together.

        Raises
        ------
        DatabaseError
            If the database is out of reach, busy or too slow.
        """
        isolation = IsolationLevel.READ_COMMITTED if as_known else IsolationLevel.REPEATABLE_READ
        with self._transaction(isolation, read_only=True) as connection:
            yield connection

    @contextmanager
    def reading_once(self) -> Iterator[Connection]:
        """A connection for one statement, without a transaction around it: one round trip instead of three.

        Raises
        ------
        DatabaseError
            As in `reading`.
        """
        with self._transaction(None, read_only=True, autocommit=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end; errors as in `reading`."""
        with self._transaction(None, read_only=False) as connection:
            yield connection

    def notice(self, connection: Connection) -> str | None:
        """What every reader of the data must be told; remembered for `NOTICE_SECONDS`."""
        if self._notice is not None and time.monotonic() < self._notice[0]:
            return self._notice[1]
        notice = " ".join(read_notices(connection)) or None
        # "None" is asked again each time: a first load must not run a minute without its warning.
        self._notice = (time.monotonic() + NOTICE_SECONDS, notice) if notice else None
        return notice

    @contextmanager
    def _transaction(
        self, isolation: IsolationLevel | None, *, read_only: bool, autocommit: bool = False
    ) -> Iterator[Connection]:
        try:
            with step("postgres"), self._pool.connection() as connection:
                connection.autocommit = autocommit
                connection.read_only = read_only
                connection.isolation_level = isolation
                yield connection
        except (PoolTimeout, TooManyRequests) as error:
            raise self._unavailable(error) from error
        except psycopg.errors.QueryCanceled as error:
            raise DatabaseError(
                f"A query took longer than {STATEMENT_TIMEOUT_SECONDS} s and was stopped",
                "Ask for a shorter window, or try again later.",
            ) from error
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise DatabaseError(
                f"The database's schema is not that of this version ({error.diag.message_primary})",
                "Run 'fintech run', which brings it up to date, and try again.",
            ) from error
        except psycopg.OperationalError as error:
            raise unreachable(self.url, error) from error

    def _unavailable(self, error: psycopg.OperationalError) -> DatabaseError:
        if self._pool.get_stats().get("pool_size", 0) == 0:
            return unreachable(self.url, error)
        return DatabaseError("Every connection to the database is in use", "Try again in a few seconds.")


def _check(connection: Connection) -> None:
    """Refuse a connection that the server has closed.

    Nothing is to be read from one that lives; only where something is, the server is asked, which would double the
    cost of a small reading.
    """
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if waiting.poll(0):
        ConnectionPool.check_connection(connection)


async def connections_of(request: Request) -> Connections:
    """The connections of the running service."""
    found: Connections = request.app.state.connections
    return found


Database = Annotated[Connections, Depends(connections_of)]
"""Parameter of a route that reads or writes."""
