"""Whether the edge lets somebody through to Dagster's webserver, which has no login of its own.

The edge asks before each request (``auth_request`` in deploy/compose/edge.conf), which it names by
``X-Forwarded-Method`` and ``X-Forwarded-Uri``, and sends browsers that get 401 to the login page.
"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from serving.auth.headers import SESSION_COOKIE
from serving.auth.permissions import lacking
from serving.auth.same_origin import require_same_origin
from serving.callers import IDENTITY, Caller, Permission

DAGSTER = "/dagster/"
NEEDED = Permission.INSTRUMENTS
"""What operators have, and analysts not: who starts a run writes everybody's data."""
_ONLY_READS = frozenset({"GET", "HEAD"})

router = APIRouter(include_in_schema=False)


@router.get("/dagster-access")
async def dagster_access(request: Request) -> Response:
    """Let an operator through; a browser that comes here by itself, from the login page, is sent on.

    Raises
    ------
    HTTPException
        403 to whoever is no operator, and to a page of another host that uses an operator's cookie.
    """
    caller: Caller | None = request.scope.get(IDENTITY, request.app.state.default_caller)
    if caller is None or NEEDED not in caller.permissions:
        raise HTTPException(403, lacking(caller, NEEDED) if caller else "Nobody is logged in.")
    method = request.headers.get("x-forwarded-method")
    if method is None:
        return RedirectResponse(DAGSTER, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    # Web sockets are opened by GET, and browsers say of each which page it belongs to.
    if SESSION_COOKIE in request.cookies and (method not in _ONLY_READS or "origin" in request.headers):
        require_same_origin(request)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})
