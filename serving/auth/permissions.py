"""What each route asks for, in one table: reading is the rule, and every route that writes or computes is named."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from serving.auth.headers import CHALLENGE
from serving.callers import IDENTITY, Caller, Permission
from serving.routing import route_of

_PORTFOLIO = "/api/v1/portfolios/{reference}"
_QUARANTINED = "/api/v1/quarantine/{symbol}/{session}"

ROUTES: Mapping[tuple[str, str], Permission] = {
    ("POST", "/api/v1/calculate"): Permission.COMPUTE,
    ("POST", "/api/v1/calculate/explain"): Permission.COMPUTE,
    ("POST", "/api/v1/calculate/liquidity/explain"): Permission.COMPUTE,
    ("POST", "/api/v1/simulate"): Permission.COMPUTE,
    ("DELETE", "/api/v1/simulations/{job_id}"): Permission.COMPUTE,
    ("GET", "/api/v1/simulations/{job_id}/paths"): Permission.COMPUTE,
    ("POST", "/api/v1/forecast"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/risk"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/risk/explain"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/tail"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/tail/explain"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/stress"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/stress/explain"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/backtests"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/backtests/explain"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/decomposition"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/decomposition/explain"): Permission.COMPUTE,
    ("POST", "/api/v1/portfolios"): Permission.PORTFOLIOS,
    ("PATCH", _PORTFOLIO): Permission.PORTFOLIOS,
    ("DELETE", _PORTFOLIO): Permission.PORTFOLIOS,
    ("PUT", f"{_PORTFOLIO}/positions"): Permission.PORTFOLIOS,
    ("POST", f"{_PORTFOLIO}/transactions"): Permission.PORTFOLIOS,
    ("DELETE", f"{_PORTFOLIO}/transactions/{{number}}"): Permission.PORTFOLIOS,
    ("POST", f"{_PORTFOLIO}/what-if"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/what-if/explain"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/simulate"): Permission.COMPUTE,
    ("POST", f"{_PORTFOLIO}/forecast"): Permission.COMPUTE,
    ("PUT", f"{_PORTFOLIO}/limits"): Permission.LIMITS,
    ("DELETE", f"{_PORTFOLIO}/limits"): Permission.LIMITS,
    ("POST", f"{_QUARANTINED}/release"): Permission.QUARANTINE,
    ("POST", f"{_QUARANTINED}/reject"): Permission.QUARANTINE,
    ("POST", "/api/v1/models/{name}/promote"): Permission.MODELS,
    ("POST", "/api/v1/models/{name}/rollback"): Permission.MODELS,
    ("PUT", "/api/v1/users/me/password"): Permission.KEYS,
    ("GET", "/api/v1/users"): Permission.USERS,
    ("POST", "/api/v1/users"): Permission.USERS,
    ("GET", "/api/v1/users/{user_id}"): Permission.USERS,
    ("PATCH", "/api/v1/users/{user_id}"): Permission.USERS,
    ("GET", "/api/v1/api-keys"): Permission.KEYS,
    ("POST", "/api/v1/api-keys"): Permission.KEYS,
    ("DELETE", "/api/v1/api-keys/{key_id}"): Permission.KEYS,
    ("GET", "/api/v1/audit"): Permission.AUDIT,
}
"""Method and template → permission. What is not named asks for `READ` if it reads, else for `UNNAMED`."""

PUBLIC = frozenset({"/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout"})
UNNAMED = Permission.USERS
"""Of a writing route that is missing above, so that it is closed to most until it is named (a test finds it)."""
_API = "/api/"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def permission_for(method: str, route: str) -> Permission:
    """What a route asks for."""
    named = ROUTES.get(("GET" if method == "HEAD" else method, route))
    return named or (Permission.READ if method in _READING else UNNAMED)


def require_permission(request: Request) -> None:
    """Refuse a caller who may not use the route; the guard of every route of the API (`serving.routing`).

    Pages, whose visitors are asked to log in, are none of them.

    Raises
    ------
    HTTPException
        403, naming what is missing; 401 without a caller.
    """
    route = route_of(request.scope)
    if route in PUBLIC or not route.startswith(_API):
        return
    caller: Caller | None = request.scope.get(IDENTITY, request.app.state.default_caller)
    if caller is None:
        raise HTTPException(401, "Nobody is logged in.", CHALLENGE)
    needed = permission_for(request.method, route)
    if needed not in caller.permissions:
        raise HTTPException(403, lacking(caller, needed))


def lacking(caller: Caller, needed: Permission) -> str:
    """What a caller is told who has not what an address asks for."""
    by = "The API key has not the scope" if caller.key_id is not None else f"The role {caller.role} has not the right"
    return f"{by} {needed.value!r}, which this address asks for."


async def forbid_keeping(response: Response) -> None:
    """Have no cache keep the answer; a dependency of routes about accounts."""
    response.headers["Cache-Control"] = "no-store"
