"""Keys of programs: each belongs to a user, may do a part of what the user may, and is stored as a digest.

A key is ``ftk_<prefix>_<secret>``. The prefix finds it and may be shown; the secret has 256 random bits, so SHA-256 is
enough.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import ARRAY, DateTime, ForeignKeyConstraint, Identity, Index, Integer, LargeBinary, Table, Text, func

from pipeline.base.errors import NotFoundError
from pipeline.store.access import Role
from pipeline.store.refresh_tokens import digest_of
from pipeline.store.schema import METADATA, column

API_KEY = Table(
    "api_key",
    METADATA,
    column("id", Integer(), "Number of the key.", primary_key=True, server_default=Identity(always=True)),
    column("user_id", Integer(), "Whose it is.", nullable=False),
    column("name", Text(), "What it is for.", nullable=False),
    column("prefix", Text(), "Part of the key that may be shown.", nullable=False, unique=True),
    column("sha256", LargeBinary(), "Digest of the whole key.", nullable=False),
    column("scopes", ARRAY(Text()), "What it may do, if its user may.", nullable=False),
    column("created_at", DateTime(timezone=True), "When it was made.", nullable=False, server_default=func.now()),
    column("expires_at", DateTime(timezone=True), "Until when it can be used; empty for no end."),
    column("last_used_at", DateTime(timezone=True), "When it was last used, to the minute; empty if never."),
    column("revoked_at", DateTime(timezone=True), "When it was revoked; empty if it was not."),
    Index("api_key_user_id_idx", "user_id"),
    comment="API keys of users.",
)
API_KEY.append_constraint(ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"))

PREFIX = "ftk_"
_KEY = re.compile(r"ftk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key, without its secret."""

    id: int
    user_id: int
    email: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scopes", tuple(self.scopes))


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who asks by a key."""

    key_id: int
    user_id: int
    email: str
    role: Role
    scopes: tuple[str, ...]


_COLUMNS = "k.id, user_id, email, k.name, prefix, scopes, k.created_at, expires_at, last_used_at, revoked_at"
_KEYS = "api_key AS k JOIN app_user AS u ON u.id = k.user_id"


def create_key(
    connection: Connection, user_id: int, name: str, scopes: Sequence[str], expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """Store a key; the second value is the key itself, which nobody can read again."""
    prefix = secrets.token_hex(6)
    key = f"{PREFIX}{prefix}_{secrets.token_urlsafe(32)}"
    row = connection.execute(
        "INSERT INTO api_key (user_id, name, prefix, sha256, scopes, expires_at) VALUES (%s, %s, %s, %s, %s, %s)"
        " RETURNING id",
        [user_id, name, prefix, digest_of(key), list(scopes), expires_at],
    ).fetchone()
    assert row is not None
    return read_key(connection, row[0]), key


def read_keys(connection: Connection, user_id: int | None = None) -> list[ApiKey]:
    """The keys of a user or of all, by number."""
    with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM {_KEYS} WHERE %(user)s::int IS NULL OR user_id = %(user)s ORDER BY k.id",
            {"user": user_id},
        ).fetchall()


def read_key(connection: Connection, key_id: int, user_id: int | None = None) -> ApiKey:
    """A key, of a user if one is named.

    Raises
    ------
    NotFoundError
        If there is none, or it is another user's.
    """
    with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        found = cursor.execute(
            f"SELECT {_COLUMNS} FROM {_KEYS} WHERE k.id = %(id)s AND (%(user)s::int IS NULL OR user_id = %(user)s)",
            {"id": key_id, "user": user_id},
        ).fetchone()
    if found is None:
        raise NotFoundError(f"There is no API key {key_id}", "GET /api/v1/api-keys and `fintech keys list` show yours.")
    return found


def revoke_key(connection: Connection, key_id: int, user_id: int | None = None) -> ApiKey:
    """End a key, of a user if one is named; one that was revoked stays so.

    Raises
    ------
    NotFoundError
        As in `read_key`.
    """
    read_key(connection, key_id, user_id)
    connection.execute(
        "UPDATE api_key SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = %s", [key_id]
    )
    return read_key(connection, key_id)


def read_holder(connection: Connection, key: str) -> KeyHolder | None:
    """Who asks by a key; None if it is unknown, revoked or expired, or its user disabled. Its use is noted."""
    parts = _KEY.fullmatch(key)
    if parts is None:
        return None
    row = connection.execute(
        f"""
        SELECT sha256, k.id, user_id, email, role, scopes,
            last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute'
        FROM {_KEYS} WHERE prefix = %s AND revoked_at IS NULL AND is_active
            AND (expires_at IS NULL OR expires_at > clock_timestamp())
        """,
        [parts[1]],
    ).fetchone()
    if row is None or not hmac.compare_digest(bytes(row[0]), digest_of(key)):
        return None
    if row[6]:
        connection.execute("UPDATE api_key SET last_used_at = clock_timestamp() WHERE id = %s", [row[1]])
    return KeyHolder(row[1], row[2], row[3], row[4], tuple(row[5]))
