"""How a route is run, and its name as one of few texts: what logs and metrics are grouped by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import cache, partial, wraps
from inspect import iscoroutinefunction
from re import Pattern
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import compile_path
from starlette.types import Scope

from serving.cores import freely
from serving.finishing import documented, finished
from serving.request_values import with_request_values

ROUTE = "fintech.route"
"""Key of the scope for the template of the route, where something other than routing knows it."""
UNMATCHED = "unmatched"

COMPUTING = 4
"""Requests that compute at once, in threads and with connections of their own: a bulkhead, so that no number of slow
ones keeps a small read waiting (Nygard, Release It!, 2nd ed., 2018, section 5.6)."""
COMPUTES: ContextVar[bool] = ContextVar("fintech_computes", default=False)
"""Whether the request computes, which `serving.deps` gives other connections."""
_COMPUTING_THREADS: RunVar[CapacityLimiter] = RunVar("fintech_computing_threads")
_MARK = "fintech_computes"
"""Attribute of a route's function that computes."""

Function = TypeVar("Function", bound=Callable[..., Any])
Made = TypeVar("Made")


def route_of(scope: Scope) -> str:
    """Template such as ``/api/v1/instruments/{symbol}``, never the caller's own text; known once it is answered."""
    known = scope.get(ROUTE)
    if known is not None:
        return str(known)
    # FastAPI keeps the prefix under which a router was included here, and only here.
    context = scope.get("fastapi", {}).get("effective_route_context")
    path = getattr(context, "path_format", None) or getattr(scope.get("route"), "path", None)
    return str(path) if path else UNMATCHED


def methods_at(scope: Scope) -> list[str]:
    """Every method that an address takes, sorted: those of all routes with its path, as RFC 9110 asks of ``Allow``.

    A router names those of the first one only.
    """
    found = {
        method
        for route in iter_route_contexts(scope["app"].routes)
        if route.path is not None and route.methods and _pattern(route.path).match(scope["path"])
        for method in route.methods
    }
    return sorted(found | {"HEAD"} if "GET" in found else found)


@cache
def _pattern(template: str) -> Pattern[str]:
    """Of one of the routes' own templates, so there are few."""
    return compile_path(template)[0]


def computing(endpoint: Function) -> Function:
    """Mark the function of a `ThreadedRoute` as one that computes, which is then done behind a bulkhead.

    The method does not tell: much of what is only asked for is computed, and little of what is written.
    """
    setattr(endpoint, _MARK, True)
    return endpoint


def computes(endpoint: Callable[..., Any]) -> bool:
    """Whether the function of a route is marked as `computing`."""
    return getattr(endpoint, _MARK, False)


class ThreadedRoute(APIRoute):
    """A route whose function runs in a thread, and whose answer is not sent to another thread to be checked.

    FastAPI does the latter for every function that is no coroutine, though an answer that is an object of its model
    already needs no work. The thread is one of the loop's own few: each more that waits for the interpreter makes all
    of them slower, a quarter with twelve instead of four (measured on two cores).
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        _finish(options, endpoint)
        run = compute if computes(endpoint) else asyncio.to_thread
        super().__init__(path, _threaded(with_request_values(finished(endpoint)), run), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request that the application's guard lets pass, before anything else of it is looked at."""
        answer = super().get_route_handler()

        async def answer_guarded(request: Request) -> Response:
            request.app.state.guard(request)
            return await answer(request)

        return answer_guarded


class ComputingRoute(ThreadedRoute):
    """As `ThreadedRoute`, of a router whose functions all compute, whatever their methods."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, computing(endpoint), **options)


def _finish(options: dict[str, Any], endpoint: Callable[..., Any]) -> None:
    """Add the formats of a collection to the documentation of its route."""
    options["responses"] = documented(endpoint) | (options.get("responses") or {})


def _threaded(endpoint: Callable[..., Any], run: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def in_thread(**values: Any) -> Any:
        return await run(endpoint, **values)

    return in_thread


async def compute(function: Callable[..., Made], **values: Any) -> Made:
    """Run a function behind the bulkhead: in one of the threads, and with connections, of what computes."""
    marked = COMPUTES.set(True)  # in the context of this request, which the thread takes over
    try:
        return await to_thread.run_sync(freely, partial(function, **values), limiter=_computing_threads())
    finally:
        COMPUTES.reset(marked)  # what else the request does is as small as any reading


def _computing_threads() -> CapacityLimiter:
    """Of this loop: a limiter belongs to the one in which it is made."""
    try:
        return _COMPUTING_THREADS.get()
    except LookupError:
        limiter = CapacityLimiter(COMPUTING)
        _COMPUTING_THREADS.set(limiter)
        return limiter
