"""How a route is run, and its name as one of few texts: what logs and metrics are grouped by."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

ROUTE = "fintech.route"
"""Key of the scope for the template of the route, where something other than routing knows it."""
UNMATCHED = "unmatched"


def route_of(scope: Scope) -> str:
    """Template such as ``/api/v1/instruments/{symbol}``, never the caller's own text; known once it is answered."""
    known = scope.get(ROUTE)
    if known is not None:
        return str(known)
    # FastAPI keeps the prefix under which a router was included here, and only here.
    context = scope.get("fastapi", {}).get("effective_route_context")
    path = getattr(context, "path_format", None) or getattr(scope.get("route"), "path", None)
    return str(path) if path else UNMATCHED


class ThreadedRoute(APIRoute):
    """A route whose function runs in a thread, and whose answer is not sent to another thread to be checked.

    FastAPI does the latter for every function that is no coroutine, though an answer that is an object of its model
    already needs no work.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _threaded(endpoint), **options)


def _threaded(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def in_thread(**values: Any) -> Any:
        return await run_in_threadpool(endpoint, **values)

    return in_thread
