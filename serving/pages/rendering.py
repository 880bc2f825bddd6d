"""Pages as answers: templates that escape what they are given, a strict policy, and failures that a person can read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from pipeline.base.errors import DatabaseError, InvalidInputError, NotFoundError, NotInstalledError, PlatformError
from pipeline.risk.measures.errors import MeasureInputError
from serving.callers import SIGNED_IN
from serving.errors import RETRY_AFTER_SECONDS, not_installed
from serving.pages import formats
from serving.request_values import with_request_values

if TYPE_CHECKING:
    from jinja2 import Environment

logger = logging.getLogger("serving")

TEMPLATES = Path(__file__).parent / "templates"

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
"""No script or style but those of this service, and none inside a page."""

_HEADERS = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
_STATUSES: tuple[tuple[type[Exception], int, str], ...] = (
    (NotFoundError, 404, "Not found"),
    (RequestValidationError, 404, "Not found"),
    (InvalidInputError, 422, "This cannot be shown"),
    (MeasureInputError, 422, "This cannot be shown"),
    (NotInstalledError, 501, "This service cannot do that"),
    (DatabaseError, 503, "The database cannot be reached"),
)


def page(template: str, notice: str | None, status: int = 200, **values: Any) -> HTMLResponse:
    """The page that a template makes of some values; the notice stands on each."""
    text = environment().get_template(template).render(notice=notice, **values)
    return HTMLResponse(text, status, {**_HEADERS, "Content-Security-Policy": POLICY})


@lru_cache(1)
def environment() -> Environment:
    """The templates, with the filters of `serving.pages.formats`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only pages need it: 0.1 s
    from markupsafe import Markup  # noqa: PLC0415

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("percent", "ratio", "money", "count", "by_unit", "exact", "moment", "words", "policy_words")
    made.filters |= {name: getattr(formats, name) for name in names}
    made.globals["signed_in"] = SIGNED_IN.get
    made.filters["svg"] = Markup  # charts escape what they are given
    return made


class PageRoute(APIRoute):
    """A route whose failures are pages, too."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, with_request_values(endpoint), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, which never answers with a problem document."""
        answer = super().get_route_handler()

        async def answer_or_tell(request: Request) -> Response:
            try:
                return await answer(request)
            except (PlatformError, MeasureInputError, RequestValidationError) as error:
                return _failure(request, error)
            except ModuleNotFoundError as error:
                return _failure(request, not_installed(error))

        return answer_or_tell


def _failure(request: Request, error: Exception) -> HTMLResponse:
    status, title = next(((s, t) for kind, s, t in _STATUSES if isinstance(error, kind)), (500, "The service failed"))
    cause, remedy = _causes(error)
    headers = {}
    if status >= 500 and not isinstance(error, NotInstalledError):
        logger.error("%s %s: %s", request.method, request.url.path, error)
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        if not request.app.state.settings.is_local:  # strangers learn neither addresses nor users of the database
            cause, remedy = "The service's log names the cause.", "Try again in a few seconds."
    answer = page("failure.html", None, status, title=title, cause=cause, remedy=remedy)
    answer.headers.update(headers)
    return answer


def _causes(error: Exception) -> tuple[str, str]:
    if isinstance(error, PlatformError):
        return error.cause, error.remedy
    if isinstance(error, RequestValidationError):
        fields = ", ".join(str(found["loc"][-1])[:64] for found in error.errors()[:3])
        return f"The address has a value that cannot be: {fields}", "Begin at the overview."
    return str(error), ""
