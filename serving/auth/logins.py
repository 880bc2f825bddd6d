"""Logging in: a password for tokens. Failures are counted in the audit log, which all processes share."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from starlette.exceptions import HTTPException

from pipeline.store import audit
from pipeline.store.refresh_tokens import Login, begin_login
from pipeline.store.users import User, normalised, read_password_hash, read_user
from serving.auth.headers import CHALLENGE
from serving.auth.passwords import is_right
from serving.deps import Connections

FAILURE_WINDOW = timedelta(minutes=15)
FAILURES_OF_CLIENT = 5
"""To one account from one address, within the window and since the last success."""
FAILURES_OF_ACCOUNT = 50
"""To one account from everywhere: many addresses that guess together."""
WRONG = "The address or the password is wrong."


def log_in(database: Connections, email: str, password: str, lifetime: timedelta) -> tuple[Login, User]:
    """Begin a login.

    Raises
    ------
    HTTPException
        401 if address or password are wrong, or the user is disabled; 429 after too many failures.
    """
    account = normalised(email)
    with database.reading() as connection:
        own, everybodys = audit.count_failed_logins(connection, account, database.actor.client, FAILURE_WINDOW)
        known = read_password_hash(connection, account)
    if own >= FAILURES_OF_CLIENT or everybodys >= FAILURES_OF_ACCOUNT:
        wait = str(int(FAILURE_WINDOW.total_seconds()))
        raise HTTPException(429, "There were too many failed logins; wait a while.", {"Retry-After": wait})
    if not is_right(password, known[1] if known else None) or known is None:
        with database.writing() as connection:
            audit.record(connection, database.actor, audit.LOGIN_FAILED, account)
        raise HTTPException(401, WRONG, CHALLENGE)
    with database.writing() as connection:
        user = read_user(connection, known[0])
        login = begin_login(connection, user.id, lifetime)
        actor = replace(database.actor, name=user.email, user_id=user.id)
        audit.record(connection, actor, audit.LOGIN, account)
    return login, user
