"""Logging in: a password for tokens. Tries are counted in the audit log, which all processes share.

A try is noted before its password is compared, in a short transaction that takes its turn with others of the account:
many guesses at one time get no further than the same ones in a row. Comparing takes long, and holds no connection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from psycopg import Connection
from starlette.exceptions import HTTPException

from pipeline.store import audit
from pipeline.store.refresh_tokens import Login, begin_login
from pipeline.store.users import User, normalised, read_password_hash, read_user
from serving.auth.headers import CHALLENGE
from serving.auth.passwords import is_right
from serving.deps import Connections

FAILURE_WINDOW = timedelta(minutes=15)
FAILURES_OF_CLIENT = 5
"""To one account from one address, within the window and since the last login; tries under way count as well."""
FAILURES_OF_ACCOUNT = 50
"""To one account from everywhere: many addresses that guess together."""
WRONG = "The address or the password is wrong."


@dataclass(frozen=True, slots=True)
class Try:
    """A password that was compared.

    Parameters
    ----------
    number
        Of its audit entry; that of what was done with a right one names it as ``tried``.
    user_id
        Whose password it is; None if it was wrong.
    """

    number: int
    user_id: int | None


def log_in(database: Connections, email: str, password: str, lifetime: timedelta) -> tuple[Login, User]:
    """Begin a login.

    Raises
    ------
    HTTPException
        401 if address or password are wrong, or the user is disabled; 429 as in `try_password`.
    """
    account = normalised(email)
    tried = try_password(database, account, password)
    if tried.user_id is None:
        raise HTTPException(401, WRONG, CHALLENGE)
    with database.writing() as connection:
        user = read_user(connection, tried.user_id)
        login = begin_login(connection, user.id, lifetime)
        actor = replace(database.actor, name=user.email, user_id=user.id)
        audit.record(connection, actor, audit.LOGIN, account, {"tried": tried.number})
    return login, user


def try_password(database: Connections, email: str, password: str) -> Try:
    """Compare a password with that of an account. A right one counts as a try, too, until the next login.

    Raises
    ------
    HTTPException
        429 after too many tries.
    """
    account = normalised(email)
    with database.writing() as connection:
        number = _begin(connection, database.actor, account)
        known = read_password_hash(connection, account)
    if is_right(password, known[1] if known else None) and known is not None:
        return Try(number, known[0])
    with database.writing() as connection:
        audit.record(connection, database.actor, audit.LOGIN_FAILED, account, {"tried": number})
    return Try(number, None)


def _begin(connection: Connection, actor: audit.Actor, account: str) -> int:
    own, everybodys = audit.count_tries(connection, account, actor.client, FAILURE_WINDOW)
    if own >= FAILURES_OF_CLIENT or everybodys >= FAILURES_OF_ACCOUNT:
        wait = str(int(FAILURE_WINDOW.total_seconds()))
        raise HTTPException(429, "There were too many failed logins; wait a while.", {"Retry-After": wait})
    return audit.record(connection, actor, audit.LOGIN_TRIED, account)
