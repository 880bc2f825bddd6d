"""Who asks, and what they may do: one table of roles, from which everything else follows."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum

from pipeline.store.access import NOBODY, OVERSEEING, Role, RowAccess

IDENTITY = "fintech.identity"
"""Key of the scope under which whoever checks callers leaves the `Caller`."""


BY_SERVICE = "fintech.by_service"
"""Key of the scope that is there if the request came with the key of the services, whoever they ask for."""


class Permission(StrEnum):
    """What a route asks for; also the scopes of an API key."""

    READ = "read"
    COMPUTE = "compute"
    PORTFOLIOS = "portfolios"
    KEYS = "keys"
    LIMITS = "limits"
    QUARANTINE = "quarantine"
    INSTRUMENTS = "instruments"
    MODELS = "models"
    USERS = "users"
    AUDIT = "audit"


_VIEWER = frozenset({Permission.READ, Permission.KEYS})
_ANALYST = _VIEWER | {Permission.COMPUTE, Permission.PORTFOLIOS}
_OPERATOR = _ANALYST | {Permission.LIMITS, Permission.QUARANTINE, Permission.INSTRUMENTS, Permission.MODELS}
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "analyst": _ANALYST,
    "operator": _OPERATOR,
    "admin": frozenset(Permission),
}
"""What each role may; `pipeline.store.access` says of whose portfolios."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose credentials were checked.

    Parameters
    ----------
    name
        Such as an address, ``local`` or ``service``.
    user_id
        None for one that is no user.
    permissions
        Those of the role, or those of them that an API key names.
    key_id
        Of the API key that was sent.
    session
        Login that an access token belongs to.
    """

    name: str
    role: Role
    user_id: int | None
    permissions: frozenset[Permission]
    key_id: int | None = None
    session: str | None = None

    @property
    def access(self) -> RowAccess:
        """Whose rows a connection shows."""
        return RowAccess(self.user_id, self.role)

    @property
    def identity(self) -> str:
        """The caller as a text that differs from every other caller's."""
        return f"{self.name}:{self.user_id}:{self.key_id}"

    @property
    def alone(self) -> str:
        """The audience of what nobody else is given."""
        return f"only {self.identity}"

    @property
    def audience(self) -> str:
        """Callers with the same text are given the same answers about portfolios."""
        if Permission.READ not in self.permissions:
            return self.alone
        if self.role in OVERSEEING:
            return "overseers"
        return f"user {self.user_id}"


def of_role(name: str, role: Role, user_id: int | None, *, session: str | None = None) -> Caller:
    """A caller with all that a role may."""
    return Caller(name, role, user_id, PERMISSIONS[role], session=session)


def restricted(caller: Caller, scopes: frozenset[str], key_id: int) -> Caller:
    """The caller with no more than the scopes of an API key."""
    return replace(caller, permissions=frozenset(p for p in caller.permissions if p in scopes), key_id=key_id)


LOCAL = of_role("local", "admin", None)
"""Whoever works on a machine of their own, where no login is asked."""

SERVICE = Caller("service", "viewer", None, frozenset({Permission.READ, Permission.COMPUTE}))
"""A service that asks for itself: it reads, and computes on, what belongs to everybody."""

CHART_READER = Caller("chart", "operator", None, frozenset({Permission.READ}))
"""Whoever has the signed address of a chart: it was made for one portfolio, whosever that is."""

SIGNED_IN: ContextVar[Caller | None] = ContextVar("signed_in", default=None)
"""Who asked for the page that is made."""


def access_of(caller: Caller | None) -> RowAccess:
    """Whose rows are shown; nobody's without a caller."""
    return caller.access if caller is not None else NOBODY
