"""Logins that last: each is a family of refresh tokens, of which the newest buys the next one.

A token that is used twice was stolen, by whoever came first or second: its whole family ends (OAuth 2.0 Security Best
Current Practice, RFC 9700, section 4.14.2). Only digests are stored; a token has 256 random bits, so SHA-256 is enough.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Literal

from psycopg import Connection
from sqlalchemy import DateTime, ForeignKeyConstraint, Identity, Index, Integer, LargeBinary, Table, Text, func

from pipeline.store.access import Role
from pipeline.store.schema import METADATA, column

REFRESH_TOKEN = Table(
    "refresh_token",
    METADATA,
    column("id", Integer(), "Number of the token.", primary_key=True, server_default=Identity(always=True)),
    column("user_id", Integer(), "Who logged in.", nullable=False),
    column("family", Text(), "Login that the token belongs to.", nullable=False),
    column("sha256", LargeBinary(), "Digest of the token.", nullable=False, unique=True),
    column("created_at", DateTime(timezone=True), "When it was issued.", nullable=False, server_default=func.now()),
    column("expires_at", DateTime(timezone=True), "Until when it can be used.", nullable=False),
    column("used_at", DateTime(timezone=True), "When the next one was bought with it; empty until then."),
    column("revoked_at", DateTime(timezone=True), "When the login was ended; empty if it was not."),
    Index("refresh_token_family_idx", "family"),
    Index("refresh_token_user_id_idx", "user_id"),
    comment="Refresh tokens of logins.",
)
REFRESH_TOKEN.append_constraint(ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"))

PREFIX = "ftr_"
KEPT_AFTER_EXPIRY = timedelta(days=30)
"""So long a stolen one is still known as used."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login, and the token that buys its next one."""

    user_id: int
    family: str
    token: str


Refusal = Literal["unknown", "expired", "revoked", "reused", "inactive"]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a token buys nothing; what was written about it has to be committed."""

    why: Refusal
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """The user of a login that goes on."""

    user_id: int
    email: str
    role: Role


def begin_login(connection: Connection, user_id: int, lifetime: timedelta) -> Login:
    """Begin a family, and forget the user's tokens that expired long ago."""
    connection.execute(
        "DELETE FROM refresh_token WHERE user_id = %s AND expires_at < now() - %s", [user_id, KEPT_AFTER_EXPIRY]
    )
    return _issue(connection, user_id, uuid.uuid4().hex, lifetime)


def rotate(connection: Connection, token: str, lifetime: timedelta) -> Login | Refused:
    """Buy the next token of a family; a token that was used before ends the family instead."""
    row = connection.execute(
        """
        SELECT t.id, t.user_id, t.family, t.used_at IS NOT NULL, t.revoked_at IS NOT NULL,
            t.expires_at <= clock_timestamp(), u.is_active
        FROM refresh_token AS t JOIN app_user AS u ON u.id = t.user_id WHERE sha256 = %s FOR UPDATE OF t
        """,
        [digest_of(token)],
    ).fetchone()
    if row is None:
        return Refused("unknown")
    number, user_id, family, is_used, is_revoked, is_expired, is_active = row
    if is_used and not is_revoked:
        end_login(connection, family)
    reasons: tuple[tuple[bool, Refusal], ...] = (
        (is_used, "reused"),
        (is_revoked, "revoked"),
        (is_expired, "expired"),
        (not is_active, "inactive"),
    )
    for applies, why in reasons:
        if applies:
            return Refused(why, user_id)
    connection.execute("UPDATE refresh_token SET used_at = clock_timestamp() WHERE id = %s", [number])
    return _issue(connection, user_id, family, lifetime)


def end_login(connection: Connection, family: str) -> None:
    """Revoke every token of a family; access tokens of it are refused as soon as they are checked again."""
    connection.execute(
        "UPDATE refresh_token SET revoked_at = clock_timestamp() WHERE family = %s AND revoked_at IS NULL", [family]
    )


def end_login_of_token(connection: Connection, token: str) -> int | None:
    """Revoke the family of a token; whose it was, None if it is unknown."""
    row = connection.execute(
        "SELECT user_id, family FROM refresh_token WHERE sha256 = %s", [digest_of(token)]
    ).fetchone()
    if row is None:
        return None
    end_login(connection, row[1])
    return int(row[0])


def end_logins(connection: Connection, user_id: int) -> None:
    """Revoke every login of a user."""
    connection.execute(
        "UPDATE refresh_token SET revoked_at = clock_timestamp() WHERE user_id = %s AND revoked_at IS NULL", [user_id]
    )


def read_session(connection: Connection, user_id: int, family: str) -> Session | None:
    """The user of a login, as they are now; None if the login was ended or the user disabled."""
    row = connection.execute(
        """
        SELECT id, email, role FROM app_user WHERE id = %(user)s AND is_active
            AND EXISTS (SELECT FROM refresh_token WHERE family = %(family)s AND user_id = %(user)s)
            AND NOT EXISTS (SELECT FROM refresh_token WHERE family = %(family)s AND revoked_at IS NOT NULL)
        """,
        {"user": user_id, "family": family},
    ).fetchone()
    return Session(*row) if row else None


def _issue(connection: Connection, user_id: int, family: str, lifetime: timedelta) -> Login:
    token = PREFIX + secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO refresh_token (user_id, family, sha256, expires_at) VALUES (%s, %s, %s, now() + %s)",
        [user_id, family, digest_of(token), lifetime],
    )
    return Login(user_id, family, token)


def digest_of(token: str) -> bytes:
    """What is stored of a token."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
