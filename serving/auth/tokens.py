"""Signed tokens (RFC 7519): of users, of the pages' cookie, and of a gateway that vouches for a caller.

One algorithm, HS256, whatever a token's header says; every claim is required; the audience keeps a token of one kind
from being used as another (RFC 8725).
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

import jwt

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings
from pipeline.store.access import ROLES, Role
from serving.callers import Caller, Permission

ALGORITHM = "HS256"
SHORTEST_SECRET_BYTES = 32
"""As long as the digest (RFC 7518, section 3.2)."""
ISSUER = "fintech-platform"
Audience = Literal["fintech-api", "fintech-pages", "fintech-services"]

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=14)
PAGES_LIFETIME = timedelta(hours=10)
"""A day at work; pages have no refresh token."""
VOUCHED_LIFETIME = timedelta(seconds=60)
CLOCK_SKEW = timedelta(seconds=5)
"""Between machines."""
LONGEST_TOKEN = 2_048
_REQUIRED = ["iss", "aud", "sub", "role", "iat", "exp", "jti"]


class InvalidTokenError(Exception):
    """A token that proves nothing."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says.

    Parameters
    ----------
    session
        Login that it belongs to.
    expires_at
        Seconds since 1970.
    """

    user_id: int
    session: str
    expires_at: float


class Tokens:
    """Makes and checks tokens.

    Parameters
    ----------
    secret
        Signs them; every service of an installation has the same.

    Raises
    ------
    ConfigurationError
        If the secret is shorter than `SHORTEST_SECRET_BYTES`.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        if len(self._secret) < SHORTEST_SECRET_BYTES:
            raise ConfigurationError(
                f"JWT_SECRET has {len(self._secret)} bytes, and {SHORTEST_SECRET_BYTES} are needed",
                "Make one: python -c 'import secrets; print(secrets.token_urlsafe(48))'.",
                exit_code=2,
            )

    @classmethod
    def of(cls, settings: Settings) -> Tokens | None:
        """Those of an installation; None where no login is asked."""
        if settings.is_local or settings.jwt_secret is None:
            return None
        return cls(settings.jwt_secret.get_secret_value())

    def of_user(self, user_id: int, role: Role, session: str, audience: Audience, lifetime: timedelta) -> str:
        """A token of a user's login."""
        return self._signed(str(user_id), role, audience, lifetime, {"sid": session})

    def vouching_for(self, caller: Caller) -> str:
        """A token by which a gateway tells a service who asks."""
        own = {"uid": caller.user_id, "key": caller.key_id, "may": sorted(caller.permissions)}
        return self._signed(caller.name, caller.role, "fintech-services", VOUCHED_LIFETIME, own)

    def read_user(self, token: bytes, audience: Audience) -> Claims:
        """What a token of a user says.

        Raises
        ------
        InvalidTokenError
            Unless it was signed here, for that audience, and is not over.
        """
        claims = self._claims(token, audience)
        subject, session = claims["sub"], claims.get("sid")
        if not (subject.isascii() and subject.isdigit() and len(subject) < 10 and isinstance(session, str)):
            raise InvalidTokenError
        return Claims(int(subject), session, float(claims["exp"]))

    def read_vouched(self, token: bytes) -> tuple[Caller, float]:
        """The caller whom a gateway vouches for, and until when; errors as in `read_user`."""
        claims = self._claims(token, "fintech-services")
        try:
            allowed = frozenset(Permission(name) for name in claims["may"])
            caller = Caller(claims["sub"], claims["role"], claims["uid"], allowed, key_id=claims["key"])
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidTokenError from error
        return caller, float(claims["exp"])

    def _signed(self, subject: str, role: Role, audience: Audience, lifetime: timedelta, own: dict[str, Any]) -> str:
        assert audience in get_args(Audience)
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": subject,
            "role": role,
            "iat": now,
            "exp": now + int(lifetime.total_seconds()),
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims | own, self._secret, algorithm=ALGORITHM)

    def _claims(self, token: bytes, audience: Audience) -> dict[str, Any]:
        if not token or len(token) > LONGEST_TOKEN:
            raise InvalidTokenError
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=audience,
                issuer=ISSUER,
                leeway=CLOCK_SKEW,
                options={"require": _REQUIRED},
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise InvalidTokenError from error
        if claims["role"] not in ROLES:
            raise InvalidTokenError
        return claims
