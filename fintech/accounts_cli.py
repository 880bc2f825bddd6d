"""The commands of `fintech users` and `fintech keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipeline.base.settings import Settings, load_settings

if TYPE_CHECKING:
    from fintech.accounts import PasswordSource

Role = Annotated[str, typer.Option(help="viewer, analyst, operator or admin.")]
Name = Annotated[str, typer.Option(help="Name as others see it; the address.")]
Generated = Annotated[bool, typer.Option("--generate", help="Make a password, and print it once.")]
Piped = Annotated[bool, typer.Option("--password-stdin", help="Read the password from the standard input.")]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="What it may do, such as read or compute; give it several times.")
]
Days = Annotated[int | None, typer.Option(min=1, max=3_650, help="Days until it is over; it has no end.")]

users = typer.Typer(help="Make users, list them, and change what they may.", no_args_is_help=True)
keys = typer.Typer(help="Make API keys, list them, and revoke them.", no_args_is_help=True)


@users.command("add")
def users_add(
    email: str, role: Role = "viewer", name: Name = "", generate: Generated = False, password_stdin: Piped = False
) -> None:
    """Make a user; the password is asked for."""
    settings = _settings()
    from fintech.accounts import add_user  # noqa: PLC0415 - each command imports only what it needs

    add_user(settings, email, name, role, _source(generate=generate, piped=password_stdin), Console())


@users.command("list")
def users_list() -> None:
    """Show who may log in."""
    settings = _settings()
    from fintech.accounts import list_users  # noqa: PLC0415

    list_users(settings, Console())


@users.command("disable")
def users_disable(email: str) -> None:
    """Keep a user out, and end every login of theirs."""
    settings = _settings()
    from fintech.accounts import set_active  # noqa: PLC0415

    set_active(settings, email, Console(), is_active=False)


@users.command("enable")
def users_enable(email: str) -> None:
    """Let a user log in again."""
    settings = _settings()
    from fintech.accounts import set_active  # noqa: PLC0415

    set_active(settings, email, Console(), is_active=True)


@users.command("role")
def users_role(email: str, role: Annotated[str, typer.Argument(help="viewer, analyst, operator or admin.")]) -> None:
    """Give a user another role."""
    settings = _settings()
    from fintech.accounts import set_role  # noqa: PLC0415

    set_role(settings, email, role, Console())


@users.command("password")
def users_password(email: str, generate: Generated = False, password_stdin: Piped = False) -> None:
    """Give a user another password, and end every login of theirs."""
    settings = _settings()
    from fintech.accounts import set_password  # noqa: PLC0415

    set_password(settings, email, _source(generate=generate, piped=password_stdin), Console())


@keys.command("add")
def keys_add(
    email: str,
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Scopes = None,
    days: Days = None,
) -> None:
    """Make an API key of a user, and print it once."""
    settings = _settings()
    from fintech.accounts import add_key  # noqa: PLC0415

    add_key(settings, email, name, scope or ["read"], days, Console())


@keys.command("list")
def keys_list() -> None:
    """Show the API keys, without their secrets."""
    settings = _settings()
    from fintech.accounts import list_keys  # noqa: PLC0415

    list_keys(settings, Console())


@keys.command("revoke")
def keys_revoke(key: Annotated[str, typer.Argument(help="Number or beginning of the key.")]) -> None:
    """Revoke an API key."""
    settings = _settings()
    from fintech.accounts import end_key  # noqa: PLC0415

    end_key(settings, key, Console())


def _source(*, generate: bool, piped: bool) -> PasswordSource:
    from fintech.accounts import PasswordSource  # noqa: PLC0415

    return PasswordSource(is_generated=generate, is_piped=piped)


def _settings() -> Settings:
    from fintech.host import require_server  # noqa: PLC0415

    settings = load_settings()
    require_server(settings)
    return settings
