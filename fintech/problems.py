"""What goes wrong between the client and the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.base.errors import PlatformError


class ApiError(PlatformError):
    """The API gave no answer that can be used."""


class UnreachableError(ApiError):
    """No answer came."""


class ProblemError(ApiError):
    """The API refused, by a problem document (RFC 9457).

    Parameters
    ----------
    status
        Of the answer.
    document
        The problem, or nothing if the answer was something else.
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.title = str(document.get("title") or "No problem document")
        self.detail = str(document.get("detail") or f"The answer has status {status} and no problem document")
        self.errors: tuple[dict[str, str], ...] = tuple(document.get("errors") or ())
        self.request_id: str | None = document.get("request_id")
        remedy = document.get("remedy") or ("Correct the request." if status < 500 else "Try again later.")
        super().__init__(self.detail, str(remedy))
