"""Stands before the cache: no request gets further without a caller, but for the few paths that are open."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.base.errors import DatabaseError
from serving.auth.checking import Checker, TooManyGuessesError, UnknownCallerError
from serving.auth.headers import API_KEY, CHALLENGE, AmbiguousError, Credentials, credentials_of
from serving.auth.permissions import ROUTES, lacking
from serving.caching.keys import AUDIENCE, CALLER
from serving.callers import BY_SERVICE, CHART_READER, IDENTITY, SIGNED_IN, Caller, Permission
from serving.errors import RETRY_AFTER_SECONDS, problem

API = "/api/"
OPEN = frozenset(
    {
        "/health",
        "/health/ready",
        "/openapi.json",
        "/docs",
        "/favicon.ico",
        "/login",
        "/logout",
        "/metrics",  # has a check of its own
        "/api/v1/auth/login",
        "/api/v1/auth/refresh",
        "/api/v1/auth/logout",
    }
)
"""Paths that answer without credentials; every other asks for them, whether there is a route or not."""
OPEN_FOLDERS = ("/docs/", "/static/")

SHARED = tuple(
    f"/api/v1/{name}"
    for name in ("instruments", "fx-rates", "interest-rates", "quarantine", "measures", "covariance", "factors")
)
"""Beginnings of paths whose answers are the same for all who may read them."""
_GUARDED = tuple(
    compile_path(template)[0]
    for (method, template), permission in ROUTES.items()
    if method == "GET" and permission is not Permission.READ
)
"""Paths that not all may read who read the rest: the permission is asked for behind the cache."""


class Refusals(Protocol):
    """Bounds how often a client is refused."""

    def counted(self, answer: ASGIApp) -> ASGIApp:
        """A refusal that counts for who is refused, or 429 if there were too many."""
        ...

    def guess(self, scope: Scope) -> AbstractContextManager[None]:
        """Around the look for a key that may be a guess; raises `TooManyGuessesError`."""
        ...


class _Unbounded:
    """`Refusals` where there is no rate."""

    def counted(self, answer: ASGIApp) -> ASGIApp:
        return answer

    def guess(self, _: Scope) -> AbstractContextManager[None]:
        return nullcontext()


class AccessMiddleware:
    """Find out who asks, or answer 401; and 403 to a key that may not read and asks for a page or chart.

    What the routes of the API ask for, they say themselves (`serving.auth.permissions`).

    Pure ASGI: one ``BaseHTTPMiddleware`` would divide the throughput by four (measured).

    Parameters
    ----------
    app
        What is protected.
    checker
        Knows callers by their credentials.
    login_page
        Whether browsers are sent to ``/login``.
    refusals
        What bounds them: guesses come no faster than requests; None if nothing does.
    """

    def __init__(self, app: ASGIApp, checker: Checker, *, login_page: bool, refusals: Refusals | None) -> None:
        self._app = app
        self._checker = checker
        self._login_page = login_page
        self._refusals = refusals or _Unbounded()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, or answer it."""
        if scope["type"] == "lifespan" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller_of(scope)
        except UnknownCallerError as error:
            await self._refusals.counted(self._refusal(scope, error))(scope, receive, send)
            return
        except TooManyGuessesError as error:
            await error.answer(scope, receive, send)
            return
        except DatabaseError:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            detail = "Who asks cannot be checked now; the service's log names the cause."
            await problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers)(scope, receive, send)
            return
        scope[IDENTITY] = caller
        scope[CALLER] = caller.identity
        scope[AUDIENCE] = audience_of(caller, scope["path"])
        SIGNED_IN.set(caller)  # the server runs each request in a context of its own
        if scope["path"].startswith(API) or Permission.READ in caller.permissions:
            await self._app(scope, receive, send)
        else:
            answer = problem(HTTPStatus.FORBIDDEN, lacking(caller, Permission.READ))
            await self._refusals.counted(answer)(scope, receive, send)

    async def _caller_of(self, scope: Scope) -> Caller:
        if self._checker.opens_chart(scope):
            return CHART_READER
        try:
            credentials = credentials_of(scope, with_cookie=not scope["path"].startswith(API))
        except AmbiguousError:
            raise UnknownCallerError("There are several credentials; send one.") from None
        if credentials is None:
            raise UnknownCallerError(f"Send an access token or API key as a bearer token, or a key as {API_KEY}.")
        guess = partial(self._refusals.guess, scope)
        caller = await self._checker.caller_of(credentials, scope["app"].state.connections, guess)
        if credentials.kind == "service":
            scope[BY_SERVICE] = True
            _believe_address(scope, credentials)
        return caller

    def _refusal(self, scope: Scope, error: UnknownCallerError) -> Response:
        if self._login_page and _asks_for_page(scope):
            target = quote(scope["path"] + ("?" + scope["query_string"].decode("latin-1")).rstrip("?"), safe="/")
            return RedirectResponse(f"/login?next={target}", HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
        return problem(error.status, error.detail, CHALLENGE)


def audience_of(caller: Caller, path: str) -> str:
    """Callers with the same text may be given the same kept answer."""
    if _is_guarded(path):
        return caller.alone
    if path.startswith(SHARED) and Permission.READ in caller.permissions:
        return "readers"
    return caller.audience


@lru_cache(4096)
def _is_guarded(path: str) -> bool:
    return any(pattern.match(path) for pattern in _GUARDED)


def is_open(path: str) -> bool:
    """Whether a path answers anybody."""
    return path in OPEN or path.startswith(OPEN_FOLDERS)


def _asks_for_page(scope: Scope) -> bool:
    if scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(API):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _believe_address(scope: Scope, credentials: Credentials) -> None:
    """Take the address that a gateway forwards for, so that the audit log names it."""
    if credentials.vouched:
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                scope["client"] = (value.decode("latin-1"), 0)
