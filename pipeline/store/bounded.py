"""Connections that never wait for ever: a server that has gone silent outlives its own ``statement_timeout``."""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen

T = TypeVar("T")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that a statement ends which takes too long."""

    longest_seconds = 2.5
    """Of one statement: a small one."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As psycopg's own, which every statement goes through.

        Raises
        ------
        OperationalError
            If the server does not answer in time; the connection is closed then, for its state is unknown.
        """
        timeout = self.longest_seconds if timeout is None else timeout
        try:
            return super().wait(gen, interval, timeout)
        except errors._WaitTimeout as error:
            self.close()
            raise psycopg.OperationalError(f"the server has not answered within {timeout:g} s") from error


def require_answer(connection: psycopg.Connection[Any]) -> None:
    """Have the server say a word.

    Raises
    ------
    psycopg.Error
        If it does not.
    """
    connection.execute("SELECT 1")
