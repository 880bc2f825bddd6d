"""Problems as RFC 9457 ``application/problem+json``: one form for every failure, and none that echoes its input."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pipeline.base.errors import (
    ConflictError,
    DatabaseError,
    InvalidInputError,
    NotFoundError,
    NotInstalledError,
    PlatformError,
)
from pipeline.forecast.models.errors import ForecastInputError
from pipeline.risk.measures.errors import MeasureInputError
from serving.observability.request_ids import REQUEST_ID
from serving.routing import methods_at

logger = logging.getLogger("serving")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
_STATUSES: dict[type[PlatformError], HTTPStatus] = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    # Not 503, after which clients ask again: no second try finds the package.
    NotInstalledError: HTTPStatus.NOT_IMPLEMENTED,
    DatabaseError: HTTPStatus.SERVICE_UNAVAILABLE,
}
_DETAILS = {
    404: "Nothing is at this address; /docs shows what is.",
    405: "This address does not take that method; the header Allow names those it takes.",
    413: "The body is larger than this service takes.",
}
_ELSEWHERE = frozenset({"numba", "skfolio"})
"""Packages that the gateway's image goes without."""
_ELSEWHERE_REMEDY = (
    "Name the services that have it, for the gateway to ask: RISK_ENGINE_URL, PORTFOLIO_SERVICE_URL and AI_ENGINE_URL."
)
_JSON_REMEDY = "Send UTF-8 text, and numbers of a usual length."
_LONGEST_NAME = 64


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> Response:
    """A problem document; `members` are added to those of the standard, unless they are None.

    The member ``request_id`` finds the request in the log. Escaped to ASCII, so that a lone surrogate in the name of a
    field cannot break the answer.
    """
    members["request_id"] = REQUEST_ID.get()
    known = {name: value for name, value in members.items() if value is not None}
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **known}
    return Response(json.dumps(body), status, headers, MEDIA_TYPE)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every failure of the app with a problem."""
    app.add_exception_handler(PlatformError, answer_platform_error)
    app.add_exception_handler(ModuleNotFoundError, _on_missing_package)
    app.add_exception_handler(MeasureInputError, _on_input_error)
    app.add_exception_handler(ForecastInputError, _on_input_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_defect)


async def answer_platform_error(request: Request, error: Exception) -> Response:
    """The problem that a known failure is answered with; also for what stands in front of the handlers."""
    assert isinstance(error, PlatformError)
    status = next((s for kind, s in _STATUSES.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.NOT_IMPLEMENTED:
        return problem(status, error.cause, remedy=error.remedy)
    logger.error("%s %s: %s", request.method, request.url.path, error)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    if request.app.state.settings.is_local:
        return problem(status, error.cause, headers, remedy=error.remedy)
    # Strangers learn neither addresses nor users of the database.
    return problem(status, "The service cannot answer now; its log names the cause.", headers)


async def _on_missing_package(request: Request, error: Exception) -> Response:
    assert isinstance(error, ModuleNotFoundError)
    return await answer_platform_error(request, not_installed(error))


def not_installed(error: ModuleNotFoundError) -> NotInstalledError:
    """What a package that other services' images have is told as; any other that is missing is a defect, and raised."""
    package = (error.name or "").partition(".")[0]
    if package not in _ELSEWHERE:
        raise error
    return NotInstalledError(f"This service cannot compute that: {package} is not installed", _ELSEWHERE_REMEDY)


async def _on_input_error(_: Request, error: Exception) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


async def _on_invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": _field(found["loc"]), "message": str(found["msg"])} for found in error.errors()]
    detail = "; ".join(f"{found['field']}: {found['message']}" for found in errors[:3])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


def _field(location: tuple[int | str, ...]) -> str:
    """Where the value was sent, such as ``body.positions.0.symbol``; names may be the caller's own, and are cut."""
    return ".".join(str(part)[:_LONGEST_NAME] for part in location)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.__cause__, ValueError | RecursionError):
        # FastAPI's words for what no JSON parser reads, such as a number of 5,000 digits.
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "body: no JSON that can be read", remedy=_JSON_REMEDY)
    headers = dict(error.headers) if error.headers else None
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(methods_at(request.scope))}
    return problem(error.status_code, _DETAILS.get(error.status_code, str(error.detail)), headers)


async def _on_defect(request: Request, error: Exception) -> Response:
    """The traceback goes to the log only."""
    logger.error("%s %s failed (request %s)", request.method, request.url.path, REQUEST_ID.get(), exc_info=error)
    defects = request.app.state.instruments.defects
    if defects is not None:
        defects.report(error)
    # This answer passes by every middleware, so it gets its id here; the server closes the connection after it.
    headers = {"X-Request-ID": REQUEST_ID.get() or "", "Connection": "close"}
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed; its log has the cause.", headers)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documentation of the problems that a route can answer with."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": PROBLEM}}}
        for status in statuses
    }


PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong."},
        "remedy": {"type": "string", "description": "What to do about it."},
        "request_id": {"type": "string", "description": "Finds the request in the service's log."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
