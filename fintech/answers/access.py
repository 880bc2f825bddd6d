"""Users, API keys, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fintech.answers.records import Answer, Record, each
from fintech.series import Columns

USERS: Columns = {
    "id": "int",
    **each("text", "email", "name", "role"),
    "is_active": "truth",
    "created_at": "time",
}
API_KEYS: Columns = {
    **each("int", "id", "user_id"),
    **each("text", "email", "name", "prefix"),
    **each("time", "created_at", "expires_at", "last_used_at", "revoked_at"),
}
AUDIT: Columns = {
    "at": "time",
    "id": "int",
    **each("text", "actor", "action", "subject", "request_id", "client"),
}


class Me(Answer):
    """Who asks, and what they may do."""

    name: str
    user_id: int | None
    role: str
    permissions: tuple[str, ...]


class User(Record):
    """Somebody who may log in."""

    id: int
    email: str
    name: str
    role: str
    is_active: bool
    created_at: datetime


class UserAnswer(User, Answer):
    """One user."""


class ApiKey(Record):
    """An API key, without its secret."""

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


class NewApiKey(ApiKey, Answer):
    """A key that was just made: `key` is told this once."""

    key: str


class AuditEntry(Record):
    """What somebody did."""

    id: int
    at: datetime
    actor: str
    user_id: int | None
    action: str
    subject: str
    request_id: str | None
    client: str | None
    detail: dict[str, Any]
