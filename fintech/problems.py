"""What goes wrong between the client and the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

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


class JobError(ApiError):
    """A simulation in the background has no result.

    Parameters
    ----------
    id_
        Of the job.
    state
        failed or cancelled; queued or running, if it was not waited for any longer.
    error
        What the service says of a failure.
    """

    def __init__(self, id_: UUID, state: str, error: str | None) -> None:
        self.id = id_
        self.state = state
        said = f": {error}" if error else ""
        super().__init__(f"simulation {id_}: it is {state}, and has no result{said}", _REMEDIES[state])


_REMEDIES = {
    "queued": "It goes on; wait for it again with a longer timeout.",
    "running": "It goes on; wait for it again with a longer timeout.",
    "failed": "Ask for another, with what the error names corrected.",
    "cancelled": "Ask for it again.",
}
