"""Names under which credentials travel, and how they are read from a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.types import Scope

from pipeline.store.api_keys import PREFIX

SERVICE_TOKEN = "X-Service-Token"  # noqa: S105 - its name
"""Header of a service that calls another one."""
API_KEY = "X-API-Key"
CALLER_TOKEN = "X-Fintech-Caller"  # noqa: S105 - its name
"""Header in which a gateway vouches for who asks; it counts beside the service token only."""
SESSION_COOKIE = "__Host-fintech"
"""Of the pages. The prefix keeps it to this host, to TLS and to no narrower path (RFC 6265bis, section 4.1.3.2)."""

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="fintech"'}
"""Of every 401 (RFC 9110, section 11.6.1)."""

Kind = Literal["token", "key", "service", "session"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What was sent; `vouched` is what a service says of the caller behind it."""

    kind: Kind
    value: bytes
    vouched: bytes = b""


class AmbiguousError(Exception):
    """Credentials of several kinds, or several of one: two readers could take different ones for the caller's."""


def credentials_of(scope: Scope, *, with_cookie: bool) -> Credentials | None:
    """What a request was sent with; None if nothing.

    Parameters
    ----------
    with_cookie
        Whether the cookie of the pages counts, if there is nothing else.

    Raises
    ------
    AmbiguousError
        If there is more than one.
    """
    found: list[Credentials] = []
    vouched: list[bytes] = []
    cookies: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"authorization":
            found.append(_bearer(value))
        elif name == b"x-api-key":
            found.append(Credentials("key", value))
        elif name == b"x-service-token":
            found.append(Credentials("service", value))
        elif name == b"x-fintech-caller":
            vouched.append(value)
        elif name == b"cookie":
            cookies.append(value)
    if len(found) > 1 or len(vouched) > 1:
        raise AmbiguousError
    if not found:
        return _session(cookies) if with_cookie else None
    if found[0].kind == "service" and vouched:
        return Credentials("service", found[0].value, vouched[0])
    return found[0]


def _bearer(value: bytes) -> Credentials:
    scheme, _, token = value.partition(b" ")
    token = token.strip() if scheme.lower() == b"bearer" else b""
    return Credentials("key" if token.startswith(PREFIX.encode()) else "token", token)


def _session(cookies: list[bytes]) -> Credentials | None:
    name = SESSION_COOKIE.encode()
    pairs = [part.strip().partition(b"=") for value in cookies for part in value.split(b";")]
    values = [value for given, _, value in pairs if given == name]
    if len(values) > 1:
        raise AmbiguousError
    return Credentials("session", values[0]) if values and values[0] else None
