"""`fintech users` and `fintech keys`: who may log in, and the keys of programs."""

from __future__ import annotations

import getpass
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from fintech.actors import command_line_actor
from fintech.host import prepared_host
from pipeline.base.errors import ConfigurationError, NotFoundError
from pipeline.base.settings import Settings
from pipeline.store import audit
from pipeline.store.access import ROLES, Role
from pipeline.store.api_keys import create_key, read_keys, revoke_key
from pipeline.store.refresh_tokens import end_logins
from pipeline.store.users import NewUser, change_user, create_user, find_user, read_users
from serving.auth.passwords import hashed
from serving.callers import Permission

_EMAIL = re.compile(r"[!-~]{1,120}@[!-~]{1,120}")


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Where a new password comes from; never from the command's arguments, which other users of a machine see.

    Parameters
    ----------
    is_generated
        Whether one is made and printed once.
    is_piped
        Whether it is the first line of the standard input.
    """

    is_generated: bool = False
    is_piped: bool = False

    def read(self) -> str:
        """The password."""
        if self.is_generated:
            return secrets.token_urlsafe(18)
        if self.is_piped:
            return sys.stdin.readline().rstrip("\r\n")
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise ConfigurationError("The two passwords differ", "Type the same one twice.", exit_code=2)
        return password


def add_user(settings: Settings, email: str, name: str, role: str, source: PasswordSource, console: Console) -> None:
    """Make a user.

    Raises
    ------
    ConfigurationError
        If the address or the role cannot be one.
    ConflictError
        If the address is taken.
    InvalidInputError
        If the password is too short or too long.
    """
    if not _EMAIL.fullmatch(email.strip()):
        raise ConfigurationError(f"{email!r} is no address", "Write it as name@example.com.", exit_code=2)
    checked = _checked_role(role)
    password = source.read()
    user = NewUser(email, name or email.strip(), hashed(password, email), checked)
    with prepared_host(settings) as host, host.database.connect() as connection:
        made = create_user(connection, user)
        detail = {"email": made.email, "role": made.role}
        audit.record(connection, command_line_actor(), "user.create", f"user:{made.id}", detail)
    console.print(f"Made: {made.email}, {made.role}.", highlight=False)
    _show_generated(source, password, console)


def list_users(settings: Settings, console: Console) -> None:
    """Print who may log in."""
    with prepared_host(settings) as host, host.database.connect() as connection:
        users = read_users(connection)
    if not users:
        console.print("There is no user. Make one: fintech users add EMAIL --role admin")
        return
    rows = [
        (u.email, u.name, u.role, "active" if u.is_active else "disabled", f"{u.created_at:%Y-%m-%d}") for u in users
    ]
    console.print(_table(("address", "name", "role", "state", "since"), rows))


def set_active(settings: Settings, email: str, console: Console, *, is_active: bool) -> None:
    """Let a user log in, or keep one out and end every login of theirs.

    Raises
    ------
    NotFoundError
        If there is no such user.
    ConflictError
        If no active admin would be left.
    """
    with prepared_host(settings) as host, host.database.connect() as connection:
        user = change_user(connection, find_user(connection, email).id, is_active=is_active)
        if not is_active:
            end_logins(connection, user.id)
        audit.record(connection, command_line_actor(), "user.change", f"user:{user.id}", {"is_active": is_active})
    console.print(f"{'Enabled' if is_active else 'Disabled'}: {user.email}.", highlight=False)


def set_role(settings: Settings, email: str, role: str, console: Console) -> None:
    """Give a user another role; errors as in `set_active`."""
    checked = _checked_role(role)
    with prepared_host(settings) as host, host.database.connect() as connection:
        user = change_user(connection, find_user(connection, email).id, role=checked)
        audit.record(connection, command_line_actor(), "user.change", f"user:{user.id}", {"role": checked})
    console.print(f"{user.email} is {user.role} now.", highlight=False)


def set_password(settings: Settings, email: str, source: PasswordSource, console: Console) -> None:
    """Give a user another password, and end every login of theirs; errors as in `add_user`."""
    password = source.read()
    password_hash = hashed(password, email)
    with prepared_host(settings) as host, host.database.connect() as connection:
        user = change_user(connection, find_user(connection, email).id, password_hash=password_hash)
        end_logins(connection, user.id)
        audit.record(connection, command_line_actor(), "user.change", f"user:{user.id}", {"password": "changed"})
    console.print(f"Changed: the password of {user.email}.", highlight=False)
    _show_generated(source, password, console)


def add_key(
    settings: Settings, email: str, name: str, scopes: Sequence[str], days: int | None, console: Console
) -> None:
    """Make an API key of a user, and print it once.

    Raises
    ------
    ConfigurationError
        If there is no such scope.
    NotFoundError
        If there is no such user.
    """
    known = [permission.value for permission in Permission]
    unknown = [scope for scope in scopes if scope not in known]
    if unknown:
        raise ConfigurationError(f"There is no scope {unknown[0]!r}", f"Use some of {', '.join(known)}.", exit_code=2)
    expires_at = datetime.now(UTC) + timedelta(days=days) if days is not None else None
    with prepared_host(settings) as host, host.database.connect() as connection:
        user = find_user(connection, email)
        key, secret = create_key(connection, user.id, name, sorted(set(scopes)), expires_at)
        detail = {"prefix": key.prefix, "scopes": key.scopes, "email": user.email}
        audit.record(connection, command_line_actor(), "key.create", f"key:{key.id}", detail)
    console.print(f"Key {key.id} of {key.email}, shown this once; FINTECH_API_KEY takes it:", highlight=False)
    console.print(secret, highlight=False, soft_wrap=True)


def list_keys(settings: Settings, console: Console) -> None:
    """Print the API keys, without their secrets."""
    with prepared_host(settings) as host, host.database.connect() as connection:
        keys = read_keys(connection)
    if not keys:
        console.print("There is no API key.")
        return
    rows = [
        (
            str(k.id),
            k.email,
            k.name,
            f"ftk_{k.prefix}_…",
            ", ".join(k.scopes),
            f"{k.last_used_at:%Y-%m-%d %H:%M}" if k.last_used_at else "never",
            "revoked" if k.revoked_at else f"until {k.expires_at:%Y-%m-%d}" if k.expires_at else "valid",
        )
        for k in keys
    ]
    console.print(_table(("no.", "user", "name", "key", "scopes", "last used", "state"), rows))


def end_key(settings: Settings, key: str, console: Console) -> None:
    """Revoke the API key of a number or a prefix.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    wanted = key.removeprefix("ftk_").partition("_")[0]
    with prepared_host(settings) as host, host.database.connect() as connection:
        found = next((k for k in read_keys(connection) if wanted in (str(k.id), k.prefix)), None)
        if found is None:
            raise NotFoundError(f"There is no API key {key!r}", "`fintech keys list` shows which there are.")
        revoke_key(connection, found.id)
        audit.record(connection, command_line_actor(), "key.revoke", f"key:{found.id}", {"prefix": found.prefix})
    console.print(f"Revoked: key {found.id} of {found.email}. Services refuse it within 30 s.", highlight=False)


def _checked_role(role: str) -> Role:
    for known in ROLES:
        if known == role:
            return known
    raise ConfigurationError(f"There is no role {role!r}", f"Use one of {', '.join(ROLES)}.", exit_code=2)


def _show_generated(source: PasswordSource, password: str, console: Console) -> None:
    if source.is_generated:
        console.print("The password, shown this once:")
        console.print(password, highlight=False, soft_wrap=True)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    return table
