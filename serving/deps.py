"""What routes are given: connections to Postgres, and the notices that every answer carries."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Self

import psycopg
from fastapi import Request
from psycopg import Connection, IsolationLevel
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from pipeline.base.errors import DatabaseError
from pipeline.store import audit
from pipeline.store.access import become_api
from pipeline.store.audit import Actor
from pipeline.store.engine import libpq_url, unreachable
from pipeline.store.providers import read_notices
from pipeline.store.snapshots import keep_tables
from serving.callers import IDENTITY, Caller, access_of
from serving.observability.request_ids import REQUEST_ID
from serving.observability.tracing import step
from serving.pulse import CONNECT_TIMEOUT_SECONDS, Pulse, WatchedConnection
from serving.request_values import FromRequest
from serving.routing import COMPUTES, COMPUTING

POOL_SIZE = 8
WAITING_REQUESTS = 64
"""Requests that may wait for a connection; the next is told to come back."""
WAIT_SECONDS = 0.4
"""For a connection: who asks while Postgres is down is told so soon."""
IDLE_SECONDS = 30.0
"""After which a connection that a burst has opened is closed again: five services share what the server allows."""
STATEMENT_TIMEOUT_SECONDS = 10
NOTICE_SECONDS = 60.0

ON_WRITE: ContextVar[Callable[[Connection], None] | None] = ContextVar("fintech_on_write", default=None)
"""What is committed together with everything that the request writes."""


_Pool = ConnectionPool[WatchedConnection]


class _Notice:
    """What was last read of the notice, and until when it counts."""

    text: str | None = None
    until = float("-inf")


class Connections:
    """Pools of checked connections to one database, opened and closed with the service.

    Requests that compute have a small one of their own while they do: see `serving.routing.compute`.

    The server may be down when the service starts: requests are then refused until it answers. Every connection works
    as the role of the API, and shows the portfolios of the caller in whose name it is used: see `of`.

    Parameters
    ----------
    url
        Address of the application database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.caller: Caller | None = None
        self._client: str | None = None
        self._notice = _Notice()
        self.pulse = Pulse(url)
        self._pool = _pool(url, self.pulse, POOL_SIZE, kept=1)
        self._computing_pool = _pool(url, self.pulse, COMPUTING, kept=1)

    def of(self, caller: Caller | None, client: str | None = None) -> Self:
        """The same connections in a caller's name, who asks from an address; None sees no portfolio."""
        own = object.__new__(type(self))  # copy.copy takes ten times as long, at every request
        own.__dict__.update(self.__dict__)
        own.caller, own._client = caller, client
        return own

    @property
    def actor(self) -> Actor:
        """The caller, for the audit log."""
        caller = self.caller
        if caller is None:
            return Actor("nobody", None, REQUEST_ID.get(), self._client)
        return Actor(caller.name, caller.user_id, REQUEST_ID.get(), self._client)

    def record(
        self, connection: Connection, action: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Note in the audit log what the caller writes, in the transaction of the write."""
        audit.record(connection, self.actor, action, subject, detail)

    def open(self) -> None:
        """Begin to connect, without waiting for the server."""
        self.pulse.open()
        self._pool.open(wait=False)
        self._computing_pool.open(wait=False)

    def close(self) -> None:
        """Close every connection."""
        self.pulse.close()
        self._pool.close()
        self._computing_pool.close()

    def pool_stats(self) -> dict[str, dict[str, int]]:
        """What the pools count, by their names; a count that is 0 may be missing."""
        return {"requests": self._pool.get_stats(), "computing": self._computing_pool.get_stats()}

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
            if not as_known:
                keep_tables(connection)
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
        """A transaction that is committed at the end, with what `ON_WRITE` adds; errors as in `reading`."""
        with self._transaction(None, read_only=False) as connection:
            yield connection
            add = ON_WRITE.get()
            if add is not None:
                add(connection)

    def notice(self, connection: Connection) -> str | None:
        """What every reader of the data must be told; remembered for `NOTICE_SECONDS`."""
        if time.monotonic() < self._notice.until:
            return self._notice.text
        notice = " ".join(read_notices(connection)) or None
        self._notice.text = notice
        # "None" is asked again each time: a first load must not run a minute without its warning.
        self._notice.until = time.monotonic() + NOTICE_SECONDS if notice else float("-inf")
        return notice

    @contextmanager
    def _transaction(
        self, isolation: IsolationLevel | None, *, read_only: bool, autocommit: bool = False
    ) -> Iterator[Connection]:
        pool = self._computing_pool if COMPUTES.get() else self._pool
        if self.pulse.is_out:
            raise unreachable(self.url, PoolTimeout("it has not answered before, and is asked again every 0.1 s"))
        try:
            with step("postgres"), pool.connection() as connection:
                connection.show_rows_of(access_of(self.caller))
                _set(connection, isolation, read_only=read_only, autocommit=autocommit)
                yield connection
        except (PoolTimeout, TooManyRequests) as error:
            raise self._unavailable(pool, error) from error
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
            self.pulse.doubt()
            raise unreachable(self.url, error) from error

    def _unavailable(self, pool: _Pool, error: psycopg.OperationalError) -> DatabaseError:
        if pool.get_stats().get("pool_size", 0) == 0:
            self.pulse.doubt()
            return unreachable(self.url, error)
        return DatabaseError("Every connection to the database is in use", "Try again in a few seconds.")


def _pool(url: str, pulse: Pulse, size: int, kept: int) -> _Pool:
    """A pool of connections that `pulse` watches; `kept` of them stay open when nobody asks."""

    def configure(connection: WatchedConnection) -> None:
        connection.pulse = pulse
        become_api(connection)

    return ConnectionPool(
        libpq_url(url),
        connection_class=WatchedConnection,
        configure=configure,
        open=False,
        min_size=kept,
        max_size=size,
        max_waiting=WAITING_REQUESTS,
        timeout=WAIT_SECONDS,
        max_idle=IDLE_SECONDS,
        # A pool that gives up at once tries again with the next request, not minutes later.
        reconnect_timeout=WAIT_SECONDS / 2,
        check=_check,
        kwargs={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            # Whoever writes says so; what does not begin a transaction cannot.
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000} -c default_transaction_read_only=on",
            "application_name": "fintech-serving",
        },
    )


def _set(connection: WatchedConnection, isolation: IsolationLevel | None, *, read_only: bool, autocommit: bool) -> None:
    """Say how transactions begin, unless the last request has said so: psycopg takes a lock and a wait for each."""
    if connection.autocommit != autocommit:
        connection.autocommit = autocommit
    if connection.read_only != read_only:
        connection.read_only = read_only
    if connection.isolation_level != isolation:
        connection.isolation_level = isolation


def _check(connection: WatchedConnection) -> None:
    """Refuse a connection that the server has closed.

    Nothing is to be read from one that lives; only where something is, the server is asked, which would double the
    cost of a small reading.
    """
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if waiting.poll(0):
        if connection.pulse is not None:
            connection.pulse.doubt()
        ConnectionPool.check_connection(connection)


def connections_of(request: Request) -> Connections:
    """The connections of the running service, in the name of who asks."""
    state = request.app.state
    connections: Connections = state.connections
    client = request.client.host if request.client else None
    return connections.of(request.scope.get(IDENTITY, state.default_caller), client)


Database = Annotated[Connections, FromRequest(connections_of)]
"""Parameter of a route that reads or writes."""
