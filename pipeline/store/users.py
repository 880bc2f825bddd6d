"""People who may log in. A password is kept as an argon2id hash only; hashing is the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row
from sqlalchemy import Boolean, CheckConstraint, DateTime, Identity, Integer, Table, Text, func, true

from pipeline.base.errors import ConflictError, NotFoundError
from pipeline.store.access import ROLES, Role
from pipeline.store.schema import METADATA, column

APP_USER = Table(
    "app_user",
    METADATA,
    column("id", Integer(), "Number of the user.", primary_key=True, server_default=Identity(always=True)),
    column("email", Text(), "Address that the user logs in with, in lower case.", nullable=False, unique=True),
    column("name", Text(), "Name as others see it.", nullable=False),
    column("password_hash", Text(), "argon2id, with its parameters and salt.", nullable=False),
    column("role", Text(), "What the user may do: viewer, analyst, operator or admin.", nullable=False),
    column("is_active", Boolean(), "Whether the user may log in.", nullable=False, server_default=true()),
    column("created_at", DateTime(timezone=True), "When it was made.", nullable=False, server_default=func.now()),
    CheckConstraint(f"role IN {ROLES}", name="role"),
    CheckConstraint("email = lower(email)", name="email"),
    comment="Users.",
)


@dataclass(frozen=True, slots=True)
class User:
    """A user, without the secret."""

    id: int
    email: str
    name: str
    role: Role
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user before it has a number."""

    email: str
    name: str
    password_hash: str
    role: Role


_COLUMNS = "id, email, name, role, is_active, created_at"
_REMEDY = "GET /api/v1/users and `fintech users list` show who there is."


def create_user(connection: Connection, user: NewUser) -> User:
    """Store a user.

    Raises
    ------
    ConflictError
        If the address is taken.
    """
    try:
        with connection.cursor(row_factory=class_row(User)) as cursor:
            made = cursor.execute(
                f"INSERT INTO app_user (email, name, password_hash, role) VALUES (%s, %s, %s, %s) RETURNING {_COLUMNS}",
                [normalised(user.email), user.name, user.password_hash, user.role],
            ).fetchone()
    except UniqueViolation as error:
        raise ConflictError(f"email: {user.email!r} has a user already", "Change that user instead.") from error
    assert made is not None
    return made


def read_users(connection: Connection, after: int = 0, limit: int = 1_000) -> list[User]:
    """Users with a higher number, by number."""
    with connection.cursor(row_factory=class_row(User)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM app_user WHERE id > %s ORDER BY id LIMIT %s", [after, limit]
        ).fetchall()


def read_user(connection: Connection, user_id: int) -> User:
    """The user of a number.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    with connection.cursor(row_factory=class_row(User)) as cursor:
        found = cursor.execute(f"SELECT {_COLUMNS} FROM app_user WHERE id = %s", [user_id]).fetchone()
    if found is None:
        raise NotFoundError(f"No user has the number {user_id}", _REMEDY)
    return found


def find_user(connection: Connection, email: str) -> User:
    """The user of an address, in whatever case it is written.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    with connection.cursor(row_factory=class_row(User)) as cursor:
        found = cursor.execute(f"SELECT {_COLUMNS} FROM app_user WHERE email = %s", [normalised(email)]).fetchone()
    if found is None:
        raise NotFoundError(f"No user has the address {email!r}", _REMEDY)
    return found


def read_password_hash(connection: Connection, email: str) -> tuple[int, str] | None:
    """Number and hash of the active user of an address; None if there is none."""
    row = connection.execute(
        "SELECT id, password_hash FROM app_user WHERE email = %s AND is_active", [normalised(email)]
    ).fetchone()
    return (int(row[0]), str(row[1])) if row else None


def change_user(
    connection: Connection,
    user_id: int,
    *,
    name: str | None = None,
    role: Role | None = None,
    is_active: bool | None = None,
    password_hash: str | None = None,
) -> User:
    """Change what is given of a user.

    Raises
    ------
    NotFoundError
        If there is no such user.
    ConflictError
        If no active admin would be left.
    """
    # One after the other: two admins who disable each other at the same time would leave none.
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('fintech users', 0))")
    changed = connection.execute(
        """
        UPDATE app_user SET
            name = coalesce(%(name)s, name),
            role = coalesce(%(role)s, role),
            is_active = coalesce(%(is_active)s, is_active),
            password_hash = coalesce(%(hash)s, password_hash)
        WHERE id = %(id)s
        """,
        {"id": user_id, "name": name, "role": role, "is_active": is_active, "hash": password_hash},
    )
    if changed.rowcount and (role is not None or is_active is not None):
        _require_admin(connection)
    return read_user(connection, user_id)


def _require_admin(connection: Connection) -> None:
    if connection.execute("SELECT FROM app_user WHERE role = 'admin' AND is_active LIMIT 1").fetchone() is None:
        raise ConflictError("No active admin would be left", "Make another user an admin first.")


def normalised(email: str) -> str:
    """An address as it is stored."""
    return email.strip().lower()
