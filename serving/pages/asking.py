"""What a page asks of the application that it belongs to, in the name of its reader.

Only the router is asked: the reader has passed all that stands before it. A route that another service answers is
forwarded, as it would be for a caller of the API.
"""

from __future__ import annotations

from urllib.parse import unquote

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from serving.errors import problem

_NOT_PASSED_ON = frozenset({b"accept", b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"})
"""Headers that are about the page, not about what it is made of."""


_OF_THE_PAGE = frozenset({"endpoint", "route", "path_params", "fastapi"})
"""What routing left in the scope."""


async def asked(request: Request, path: str, query: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of what GET of a path answers; a failure is a problem document.

    Parameters
    ----------
    path
        Of the API, with a leading slash, escaped.
    query
        None for that of the page.
    """
    status, pieces = 500, []

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            pieces.append(message.get("body", b""))

    try:
        await request.app.router(_scope(request, path, query), _no_body(), send)
    except HTTPException as error:  # there is no such address
        return error.status_code, bytes(problem(error.status_code, f"Nothing is explained at {path[:200]}.").body)
    return status, b"".join(pieces)


def _scope(request: Request, path: str, query: bytes | None) -> Scope:
    headers = [(name, value) for name, value in request.scope["headers"] if name not in _NOT_PASSED_ON]
    kept = {name: value for name, value in request.scope.items() if name not in _OF_THE_PAGE}
    if query is not None:
        kept["query_string"] = query
    return {**kept, "method": "GET", "path": unquote(path), "raw_path": path.encode(), "headers": headers}


def _no_body() -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
