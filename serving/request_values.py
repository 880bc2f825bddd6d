"""Parameters of a route that are made from the request alone, without FastAPI solving a dependency for each.

A dependency is solved like a route of its own: its parameters are looked for in the path, the query, the headers and
the cookies. That took a third of the loop's time for a small read, which had two of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from fastapi import Request

from serving.signatures import request_parameter, signature_of, with_parameters


@dataclass(frozen=True, slots=True)
class FromRequest:
    """Marks the annotation of such a parameter: ``Annotated[Connections, FromRequest(connections_of)]``.

    Parameters
    ----------
    make
        What gives the value, quickly and without waiting for anything.
    """

    make: Callable[[Request], Any]


def with_request_values(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a route as FastAPI may see it: with a request in the place of all that is made from it."""
    signature = signature_of(endpoint)
    made = _marked(signature)
    if not made:
        return endpoint
    own = request_parameter(signature)
    taken = own or "request_of_values"

    def filled(values: dict[str, Any]) -> dict[str, Any]:
        request = values[taken] if own else values.pop(taken)
        for name, make in made.items():
            values[name] = make(request)
        return values

    @wraps(endpoint)
    def fill(**values: Any) -> Any:
        return endpoint(**filled(values))

    @wraps(endpoint)
    async def fill_at_once(**values: Any) -> Any:
        return await endpoint(**filled(values))

    wrapped: Any = fill_at_once if inspect.iscoroutinefunction(endpoint) else fill
    wrapped.__signature__ = with_parameters(signature, {} if own else {taken: Request}, without=made)
    return wrapped  # type: ignore[no-any-return]


def _marked(signature: inspect.Signature) -> dict[str, Callable[[Request], Any]]:
    return {
        name: mark.make
        for name, parameter in signature.parameters.items()
        for mark in getattr(parameter.annotation, "__metadata__", ())
        if isinstance(mark, FromRequest)
    }
