"""Whose portfolios a connection sees: a role of the database that row-level security binds, and the caller's own.

The policies are in migration 0009. The pipeline connects as the owner of the tables, whom no policy binds; whoever
serves callers becomes `API_ROLE` first, for which a connection without a caller shows no portfolio at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from psycopg import Connection

Role = Literal["viewer", "analyst", "operator", "admin"]
"""From the least to the most: a role may do what those before it may."""
ROLES: tuple[Role, ...] = get_args(Role)
OVERSEEING: tuple[Role, ...] = ("operator", "admin")
"""Roles that see and change every portfolio."""

API_ROLE = "fintech_api"


@dataclass(frozen=True, slots=True)
class RowAccess:
    """Whose rows are seen.

    Parameters
    ----------
    user_id
        Whose own portfolios; None for nobody's.
    role
        None sees nothing.
    """

    user_id: int | None
    role: Role | None


NOBODY = RowAccess(None, None)


class ScopedConnection(Connection[Any]):
    """A connection that remembers whose rows it shows, so that the server is told only of a change."""

    access: RowAccess | None = None

    def show_rows_of(self, access: RowAccess) -> None:
        """Show a caller's rows from here on; not inside a transaction, whose end would undo it."""
        if self.access == access:
            return
        self.access = None  # unknown, should the statement fail
        autocommit = self.autocommit
        self.autocommit = True
        self.execute(
            "SELECT set_config('fintech.user_id', %s, false), set_config('fintech.role', %s, false)",
            ["" if access.user_id is None else str(access.user_id), access.role or ""],
        )
        self.autocommit = autocommit
        self.access = access


def become_api(connection: Connection) -> None:
    """Give up what the user of the database may, for the life of a connection.

    A server without the role has no migrated database, whose policies would refer to it.
    """
    connection.execute("SELECT set_config('role', rolname, false) FROM pg_roles WHERE rolname = %s", [API_ROLE])
    connection.commit()
