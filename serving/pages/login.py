"""Logging in and out by a form, without a script: the cookie that it sets is for the pages alone."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from pipeline.store import audit
from pipeline.store.refresh_tokens import end_login
from serving.auth.headers import SESSION_COOKIE
from serving.auth.logins import log_in
from serving.auth.same_origin import require_same_origin
from serving.auth.tokens import PAGES_LIFETIME, InvalidTokenError, Tokens
from serving.deps import Connections, Database
from serving.pages.rendering import PageRoute, page

HOME = "/"
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")
"""A path of this host: ``//host`` and ``/\\host`` lead browsers elsewhere."""
MOST_FIELDS = 3

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/login")
def login_page(request: Request, next: Annotated[str, Query()] = HOME) -> Response:  # noqa: A002 - its usual name
    """The form; where no login is asked, the overview."""
    if request.app.state.tokens is None:
        return RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
    return page("login.html", None, target=_own_path(next), email="", failure="")


@router.post("/login")
async def log_in_by_form(request: Request, database: Database) -> Response:
    """Log in, and go on to the page that was asked for."""
    require_same_origin(request)
    tokens: Tokens | None = request.app.state.tokens
    if tokens is None:
        return RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
    fields = await _fields(request)
    target = _own_path(fields.get("next", HOME))
    email = fields.get("email", "")
    try:
        token = await run_in_threadpool(_token, database, tokens, email, fields.get("password", ""))
    except HTTPException as error:
        answer: Response = page(
            "login.html", None, error.status_code, target=target, email=email[:250], failure=error.detail
        )
        answer.headers.update(error.headers or {})
        return answer
    answer = RedirectResponse(target, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    seconds = int(PAGES_LIFETIME.total_seconds())
    answer.set_cookie(SESSION_COOKIE, token, seconds, secure=True, httponly=True, samesite="lax")
    return answer


@router.post("/logout")
def log_out(request: Request, database: Database) -> Response:
    """End the login of the cookie."""
    require_same_origin(request)
    _end(request, database)
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    answer.delete_cookie(SESSION_COOKIE, secure=True, httponly=True, samesite="lax")
    return answer


def _token(database: Connections, tokens: Tokens, email: str, password: str) -> str:
    login, user = log_in(database, email, password, PAGES_LIFETIME)
    return tokens.of_user(user.id, user.role, login.family, "fintech-pages", PAGES_LIFETIME)


def _end(request: Request, database: Connections) -> None:
    tokens: Tokens | None = request.app.state.tokens
    given = request.cookies.get(SESSION_COOKIE)
    if tokens is None or given is None:
        return
    try:
        claims = tokens.read_user(given.encode("latin-1", "replace"), "fintech-pages")
    except InvalidTokenError:
        return
    with database.writing() as connection:
        end_login(connection, claims.session)
        audit.record(connection, database.actor, "logout", f"user:{claims.user_id}")


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form of a page, the last of a name."""
    body = (await request.body()).decode("latin-1")
    try:
        return dict(parse_qsl(body, max_num_fields=MOST_FIELDS))
    except ValueError:
        return {}


def _own_path(given: str) -> str:
    return given if _PATH.fullmatch(given) else HOME
