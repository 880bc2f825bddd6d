"""Methods of the client for users, API keys and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fintech.answers.access import (
    API_KEYS,
    AUDIT,
    USERS,
    ApiKey,
    AuditEntry,
    Me,
    NewApiKey,
    User,
    UserAnswer,
)
from fintech.answers.records import Listing
from fintech.asking import nothing_of, success_of
from fintech.client.requests import Limit, Requests, given, part


class Access(Requests):
    """Who may ask for what."""

    def me(self) -> Me:
        """Who asks, and what they may do."""
        return Me.model_validate(self._get("/users/me"))

    def change_password(self, current_password: str, new_password: str) -> None:
        """Change your own password; every session ends."""
        body = {"current_password": current_password, "new_password": new_password}
        nothing_of(self._ask("PUT", "/users/me/password", body=body))

    def users(self) -> Listing[User]:
        """Every user, by id."""
        return self._listing("/users", User, USERS)

    def user(self, id_: int) -> UserAnswer:
        """The user of an id."""
        return UserAnswer.model_validate(self._get(f"/users/{part(id_)}"))

    def create_user(self, *, email: str, name: str, role: str, password: str) -> UserAnswer:
        """Add a user."""
        body = {"email": email, "name": name, "role": role, "password": password}
        return UserAnswer.model_validate(success_of(self._posted("/users", body)))

    def change_user(self, id_: int, **changes: Any) -> UserAnswer:
        """Set ``name``, ``role``, ``is_active`` or ``password`` of a user."""
        return UserAnswer.model_validate(success_of(self._ask("PATCH", f"/users/{part(id_)}", body=changes)))

    def api_keys(self) -> Listing[ApiKey]:
        """Your API keys, without their secrets; of everybody, if you may see them."""
        return self._listing("/api-keys", ApiKey, API_KEYS)

    def create_api_key(
        self, name: str, *, scopes: Sequence[str] | None = None, expires_at: datetime | None = None
    ) -> NewApiKey:
        """Make an API key; its secret is told this once, so an answer that is lost is not told again but refused."""
        body = given({"name": name, "scopes": scopes, "expires_at": expires_at})
        return NewApiKey.model_validate(success_of(self._posted("/api-keys", body)))

    def revoke_api_key(self, id_: int) -> None:
        """Make an API key worthless."""
        self._delete(f"/api-keys/{part(id_)}")

    def audit(self, limit: Limit = None) -> Listing[AuditEntry]:
        """What was done, the newest first; ``limit="all"`` is all of it."""
        return self._listing("/audit", AuditEntry, AUDIT, limit=limit)
