"""Logging in and out by the API."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

from pipeline.base.errors import ConflictError
from pipeline.store import audit
from pipeline.store.refresh_tokens import Login, Refused, end_login_of_token, rotate
from pipeline.store.users import User, read_user
from serving.answers import Row
from serving.auth.headers import CHALLENGE
from serving.auth.logins import log_in
from serving.auth.passwords import LONGEST
from serving.auth.permissions import forbid_keeping
from serving.auth.tokens import ACCESS_LIFETIME, REFRESH_LIFETIME, Tokens
from serving.deps import Database
from serving.errors import problem_responses
from serving.routing import ThreadedRoute

router = APIRouter(route_class=ThreadedRoute, prefix="/auth", tags=["access"], dependencies=[Depends(forbid_keeping)])

Email = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[!-~]{1,120}@[!-~]{1,120}$")]
Password = Annotated[str, StringConstraints(max_length=LONGEST)]


class LoginIn(BaseModel):
    """Who logs in."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"email": "analyst@example.com", "password": "four words no one guesses"}]},
    )

    email: Email = Field(examples=["analyst@example.com"])
    password: Password


class RefreshIn(BaseModel):
    """A refresh token."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"refresh_token": f"ftr_{'A' * 43}"}]},
    )

    refresh_token: str = Field(pattern=r"^ftr_[A-Za-z0-9_-]{43}$")


class TokensOut(Row):
    """Tokens of a login (RFC 6749, section 5.1)."""

    access_token: str = Field(description="Sent as a bearer token.")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the type
    expires_in: int = Field(description="Seconds until the access token is over.")
    refresh_token: str = Field(description="Buys the next two tokens, once.")


def tokens_of(request: Request) -> Tokens:
    """The tokens of the installation.

    Raises
    ------
    ConflictError
        Where no login is asked.
    """
    tokens: Tokens | None = request.app.state.tokens
    if tokens is None:
        raise ConflictError(
            "FINTECH_ENV=local asks for no login", "Ask without credentials, or serve with FINTECH_ENV=staging."
        )
    return tokens


Signing = Annotated[Tokens, Depends(tokens_of)]


@router.post("/login", responses=problem_responses(409, 429))
def post_login(given: LoginIn, database: Database, tokens: Signing) -> TokensOut:
    """Log in by address and password."""
    login, user = log_in(database, given.email, given.password, REFRESH_LIFETIME)
    return _answer(tokens, login, user)


@router.post("/refresh", responses=problem_responses(409))
def post_refresh(given: RefreshIn, database: Database, tokens: Signing) -> TokensOut:
    """Get the next tokens; a refresh token that was used before ends the login, for somebody else may have it."""
    with database.writing() as connection:
        login = rotate(connection, given.refresh_token, REFRESH_LIFETIME)
        if isinstance(login, Refused):
            subject = f"user:{login.user_id}" if login.user_id is not None else "nobody"
            audit.record(connection, database.actor, "refresh.failed", subject, {"why": login.why})
        else:
            user = read_user(connection, login.user_id)
    if isinstance(login, Refused):  # raised after the commit, which keeps what was revoked
        raise HTTPException(401, "The refresh token is not valid or no longer valid; log in again.", CHALLENGE)
    return _answer(tokens, login, user)


@router.post("/logout", status_code=204)
def post_logout(given: RefreshIn, database: Database) -> None:
    """End a login; its access token is refused within 30 s."""
    with database.writing() as connection:
        user_id = end_login_of_token(connection, given.refresh_token)
        if user_id is not None:
            audit.record(connection, database.actor, "logout", f"user:{user_id}")


def _answer(tokens: Tokens, login: Login, user: User) -> TokensOut:
    access = tokens.of_user(user.id, user.role, login.family, "fintech-api", ACCESS_LIFETIME)
    return TokensOut(access_token=access, expires_in=int(ACCESS_LIFETIME.total_seconds()), refresh_token=login.token)
