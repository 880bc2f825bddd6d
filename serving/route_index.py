"""Finds the route that answers a request without asking each router in turn.

FastAPI asks one included router after the other, which took a third of the time of a small read with fifty of them, and
the router that is found looks for its route twice again, another tenth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from re import Pattern
from typing import Any

from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.routing import ROUTE
from serving.upstream import ForwardedRoutes

ANSWER = "fintech.answer"
"""Key of the scope for what answers the route that was found."""

Shape = tuple[int, str]
"""How many segments a path has, and what its third one is: the resource of an address such as ``/api/v1/prices``."""


@dataclass(frozen=True, slots=True)
class _Route:
    """A route of FastAPI as it was included, whose answer is asked without the routers around it."""

    template: str
    pattern: Pattern[str]
    methods: frozenset[str]
    convertors: Mapping[str, Any]
    route: BaseRoute
    answer: ASGIApp

    @classmethod
    def of(cls, found: RouteContext) -> _Route:
        return cls(
            found.path_format or "",
            found.path_regex,
            frozenset(found.methods or ()),
            found.param_convertors,
            found.original_route,
            found.app,
        )

    def matched(self, scope: Scope) -> Scope | None:
        """What is added to the scope of a request that it answers; None if it does not."""
        if scope["method"] not in self.methods:
            return None
        match = self.pattern.match(scope["path"])
        if match is None:
            return None
        values = {name: self.convertors[name].convert(text) for name, text in match.groupdict().items()}
        return {"path_params": values, "route": self.route, ROUTE: self.template, ANSWER: self.answer}


@dataclass(frozen=True, slots=True)
class _Other:
    """What is no route of FastAPI, and says itself what it answers."""

    route: BaseRoute

    def matched(self, scope: Scope) -> Scope | None:
        """As of `_Route`."""
        match, found = self.route.matches(scope)
        return {**found, ANSWER: self.route.handle} if match is Match.FULL else None


class RouteIndex(BaseRoute):
    """Stands before the routes of an application and asks those alone whose paths have the shape of the request's.

    What none of them answers in full is left to the application, which knows the methods to name.

    Parameters
    ----------
    routes
        In the order in which the application would ask them.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._by_shape: dict[Shape, list[_Route | _Other]] = {}
        for route in routes:
            for path, found in _answering(route):
                if _has_shape(path):
                    self._by_shape.setdefault(_shape(path), []).append(found)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether one of the routes answers."""
        if scope["type"] == "http":
            for route in self._by_shape.get(_shape(scope["path"]), ()):
                found = route.matched(scope)
                if found is not None:
                    return Match.FULL, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that matches."""
        await scope[ANSWER](scope, receive, send)


def _answering(route: BaseRoute) -> Iterator[tuple[str, _Route | _Other]]:
    """Path and what answers there, of each route inside of one; what is asked as a whole once for each shape."""
    other = _Other(route)
    if isinstance(route, ForwardedRoutes):
        yield from ((path, other) for path in {_shape(path): path for path in route.paths}.values())
        return
    for found in iter_route_contexts([route]):
        if found.path is not None:
            yield found.path, _Route.of(found) if isinstance(found.original_route, APIRoute) else other


def _has_shape(path: str) -> bool:
    """Whether the shape of a template is that of every path that it matches."""
    return ":path}" not in path and "{" not in _shape(path)[1]


def _shape(path: str) -> Shape:
    segments = path.split("/", 4)
    return path.count("/"), segments[3] if len(segments) > 3 else ""
